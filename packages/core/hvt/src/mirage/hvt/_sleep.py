"""Sleeping until a signal comes or a file is ready, so that neither is lost between a look and a wait.

The signals stay blocked: a descriptor that `signalfd` makes is readable while one of them is pending, and waits in one
set with the files. `select` is used for its precision: `poll` and `epoll` of Python count in milliseconds.
"""

from __future__ import annotations

import os
import select
import struct

from mirage.hvt.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SFD_CLOEXEC, _SFD_NONBLOCK = 0o2000000, 0o4000
_FD_SETSIZE = 1024


def _signalfd(signals: Iterable[int]) -> int:
    """A descriptor that is readable while one of the signals is pending in the thread that asks."""
    # The standard library has no signalfd, and `ctypes` takes longer to import than a guest to boot.
    import _ctypes

    mask = struct.pack("=Q", sum(1 << (number - 1) for number in signals)).ljust(128, b"\0")
    function = _ctypes.dlsym(_ctypes.dlopen(None, 0), "signalfd")  # type: ignore[arg-type] # None: this program itself
    descriptor: int = _ctypes.call_function(function, (-1, mask, _SFD_CLOEXEC | _SFD_NONBLOCK))
    if descriptor < 0:
        raise HostError("the kernel has no signalfd, or this process has too many open files (ulimit -n)")
    return descriptor


class Sleeper:
    """Waits for signals, which the caller has blocked, and for files."""

    def __init__(self, signals: Iterable[int]) -> None:
        self._signals = _signalfd(signals)

    def wait(self, readable: Sequence[int], writable: Sequence[int], seconds: float | None) -> bool:
        """Return when a signal is pending, a file is ready, or the time is over (None: never): whether it is a signal.

        Raises `HostError` when a file's descriptor is too large for `select`.
        """
        files = [self._signals, *readable]
        if max(*files, *writable, 0) >= _FD_SETSIZE:
            raise HostError(
                "a guest with input or a network cannot sleep in a process with 1024 open files; close some"
            )
        return self._signals in select.select(files, writable, [], seconds)[0]

    def close(self) -> None:
        """Release the descriptor; may be called again."""
        if self._signals >= 0:
            os.close(self._signals)
            self._signals = -1
