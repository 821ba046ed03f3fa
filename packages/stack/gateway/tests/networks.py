"""A gateway with a guest, a server and a client of the host, on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from mirage.gateway import Gateway, Plan, parse_rule
from mirage.gateway.policy import Rule
from mirage.gateway.testing import Guest

__all__ = ["allow", "eventually", "network", "run", "serve_echo"]


@contextlib.asynccontextmanager
async def network(
    *, offload: bool = True, plan: Plan | None = None, **options: Any
) -> AsyncIterator[tuple[Gateway, Guest]]:
    """A gateway, and one guest on it."""
    gateway = Gateway(plan, **options)
    sock, mac = gateway.socket_pair()
    guest = Guest(sock, mac, plan=plan, offload=offload)
    try:
        yield gateway, guest
    finally:
        guest.close()
        await gateway.close()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine; thirty seconds are an error, not a wait, and so is what a callback raises."""
    raised: list[dict[str, Any]] = []

    async def whole() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
        await asyncio.wait_for(test(), 30)

    asyncio.run(whole())
    assert not raised, raised


def allow(text: str) -> Rule:
    """A rule without names."""
    return parse_rule(text, lambda name: [ipaddress.ip_address("127.0.0.1")] if name == "localhost" else [])


async def eventually(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is so."""
    while not condition():
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def serve_echo(host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server of the host that says again what it hears, up to the end of it; its port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(echo, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
