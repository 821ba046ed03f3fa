"""For the application inside a guest: saving itself, and what must happen when it goes on.

A guest that goes on from a snapshot has the state of its random generators in common with every other one from that
file. The library OS seeds its own anew before anything runs; `snapshot` does so for `random` and OpenSSL, and then
calls what was registered with `on_resume`.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["on_resume", "snapshot", "snapshot_on"]

_callbacks: list[Callable[[], object]] = []


def on_resume(callback: Callable[[], object]) -> None:
    """Call this in every guest that goes on from a snapshot, before `snapshot` returns there."""
    _callbacks.append(callback)


def snapshot() -> int:
    """Save this guest to the tender's file. Returns 0 in it, and n in a guest resumed for the nth time in a row.

    Raises `OSError` where there is no tender, or where it was given no file.
    """
    device = os.open("/dev/snapshot", os.O_RDWR)
    try:
        os.write(device, b"1")
        resumed = int(os.read(device, 32))
    finally:
        os.close(device)
    if resumed:
        _reseed()
        for callback in _callbacks:
            callback()
    return resumed


def snapshot_on(number: int) -> None:
    """Save this guest whenever a signal comes, so that whoever runs it may ask for it: `kill -USR2 PID-OF-THE-TENDER`.

    For the main thread; the guest is saved where Python runs the handler, between two of its instructions. What
    `snapshot` raises, the main thread sees.
    """
    import signal

    signal.signal(number, lambda *_: snapshot())


def _reseed() -> None:
    """Give the generators that were imported octets that no other guest has."""
    if generators := sys.modules.get("random"):
        generators.seed(os.urandom(64))
    if openssl := sys.modules.get("ssl"):
        openssl.RAND_add(os.urandom(64), 64.0)
