"""What the tests of the gateway share: a gateway on an event loop of its own, with a guest."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from mirage.gateway import Gateway, Plan
from mirage.gateway.testing import Guest


@contextlib.asynccontextmanager
async def network(*, offload: bool = True, plan: Plan | None = None, **options: Any) -> AsyncIterator[tuple[Gateway, Guest]]:
    """A gateway, and one guest on it."""
    gateway = Gateway(plan, **options)
    sock, mac = gateway.socket_pair()
    guest = Guest(sock, mac, plan=plan, offload=offload)
    try:
        yield gateway, guest
    finally:
        guest.close()
        await gateway.close()


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a coroutine as a test; 30 seconds are an error, not a wait."""

    @pytest.mark.usefixtures()
    def run(**arguments: Any) -> None:
        asyncio.run(asyncio.wait_for(test(**arguments), 30))

    return run
