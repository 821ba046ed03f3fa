"""A network namespace for the duration of a test."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import NoReturn

__all__ = ["namespace_or", "network_namespace"]

_CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def network_namespace() -> Iterator[None]:
    """Put the current thread into a new network namespace with nothing but loopback, and back again.

    Programs started within run in it too. It ends by itself when the last socket, TAP or program in it does. There is
    no route out, so no test can reach, or be answered by, anything else. Needs root; raises `OSError` without.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(libc.unshare(_CLONE_NEWNET), "unshare")
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # noqa: S607 - found on PATH, as in a shell
            yield
        finally:
            _check(libc.setns(home, _CLONE_NEWNET), "setns")
    finally:
        os.close(home)


@contextlib.contextmanager
def namespace_or(skip: Callable[[str], NoReturn]) -> Iterator[None]:
    """`network_namespace` for a test with a TAP; `skip`, which is pytest's, is told the reason where that cannot be."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(network_namespace())
        except PermissionError:
            skip("root may make no network namespace here: in a container, docker run --privileged")
        if not os.path.exists("/dev/net/tun"):
            skip("needs /dev/net/tun: modprobe tun")
        yield


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
