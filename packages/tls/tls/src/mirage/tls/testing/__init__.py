"""For tests of what uses TLS: certificates made on the spot, configurations that fit, and a wire in memory.

Nothing here is for production: `accept_anyone` is what its name says.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from mirage.crypto import PublicKey
from mirage.x509 import Certificate, Presented, Validated, chain_of_trust

from .. import ClientConfig, Connection, Event, Identity, ServerConfig, client, server
from ..tickets import Session
from ._certificates import Issued, issue

__all__ = ["Issued", "accept_anyone", "configurations", "connect", "issue", "randomness", "shuttle"]


def accept_anyone(chain: Presented, **_: Any) -> Validated:
    """An authenticator for tests that are not about authentication."""
    return Validated(chain if isinstance(chain, PublicKey) else chain[0].public_key)


def configurations(*names: str, now: float | None = None) -> tuple[ClientConfig, ServerConfig]:
    """A server that is called `names`, with a certificate of a CA made for it, and a client that trusts this CA."""
    now = time.time() if now is None else now
    ca = issue("CA for tests", now=now)
    leaf = issue(names[0], ca, hosts=names, now=now)
    authenticator = chain_of_trust([Certificate.decode(ca.der)])
    identity = Identity((leaf.der,), leaf.key)
    return ClientConfig(authenticator=authenticator), ServerConfig(identities=(identity,))


def randomness(seed: str) -> Callable[[int], bytes]:
    """Octets that a test can repeat: SHAKE-256 of the seed and a counter."""
    count = 0

    def random(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"{seed}/{count}".encode()).digest(size)

    return random


def shuttle(one: Connection, other: Connection, data: bytes, now: float) -> tuple[list[Event], list[Event]]:
    """Give `data` to `other`, its answer to `one`, and so on until both are quiet: the events of `one`, of `other`."""
    events: tuple[list[Event], list[Event]] = ([], [])
    sides, turn = (one, other), 1
    while data:
        step = sides[turn].handle(data, now)
        events[turn].extend(step.events)
        data, turn = step.output, 1 - turn
    return events


def connect(
    client_config: ClientConfig,
    server_config: ServerConfig,
    name: str | None = "example.org",
    now: float = 1_750_000_000.0,
    session: Session | None = None,
    early: bytes = b"",
    seed: str = "seed",
) -> tuple[Connection, Connection, list[Event], list[Event]]:
    """Two ends in memory with their handshake done, and the events of both."""
    ours = client(client_config, name, now, randomness(f"{seed} client"), session)
    theirs = server(server_config, now, randomness(f"{seed} server"))
    if early:
        ours.send_early(early)
    first, second = shuttle(ours, theirs, ours.handle(b"", now).output, now)
    return ours, theirs, first, second
