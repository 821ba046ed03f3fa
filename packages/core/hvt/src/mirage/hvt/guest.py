"""For the application inside a guest: saving itself, and what must happen when it goes on.

A guest that goes on from a snapshot has the state of its random generators in common with every other one from that
file. The library OS seeds its own anew before anything runs; `snapshot` does so for `random`, the interpreter's OpenSSL
and the one inside cryptography's wheel, and then calls what was registered with `on_resume`.
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

    Raises `OSError` where there is no tender, or where it was given no file, and `RuntimeError`, before anything is
    saved, where cryptography was imported and has no way in to its generator.
    """
    generators = _generators()
    device = os.open("/dev/snapshot", os.O_RDWR)
    try:
        os.write(device, b"1")
        resumed = int(os.read(device, 32))
    finally:
        os.close(device)
    if resumed:
        for seed in generators:
            seed(os.urandom(64))
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


def _generators() -> list[Callable[[bytes], object]]:
    """How the generators that were imported are given octets that no other guest has."""
    found: list[Callable[[bytes], object]] = []
    if numbers := sys.modules.get("random"):
        found.append(numbers.seed)
    if openssl := sys.modules.get("ssl"):
        found.append(lambda octets: openssl.RAND_add(octets, float(len(octets))))
    if wheel := sys.modules.get("cryptography.hazmat.bindings._rust"):
        # Its OpenSSL is linked in, so that the interpreter's does not stand for it. What is added to the first
        # generator makes that of each thread, seeded from it, seed itself again when next it is asked.
        try:
            add = wheel._openssl.lib.RAND_add
        except AttributeError:
            raise RuntimeError(
                "this cryptography has no RAND_add: guests that go on from one snapshot would make equal keys. "
                "Save before it is imported, or take another version"
            ) from None
        found.append(lambda octets: add(octets, len(octets), float(len(octets))))
    return found
