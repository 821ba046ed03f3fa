"""The devices that a library may ask for, as structural types.

A library never looks for a device: it receives one as an argument, typed by a Protocol of this module. Anything with
the right methods fits: a TAP interface, a ring shared with another virtual machine, a Python list in a test.

Rules that hold for every device:

* A device belongs to one thread. Methods are called from that thread only, unless the device's own documentation
  widens this.
* No method blocks for longer than the medium itself takes; a device that has to wait for the outside says so with a
  readiness callback (`Network.on_readable`), never by sleeping.
* Errors are subclasses of `mirage.types.DeviceError`. Where a Protocol lists errors, no other error may be raised.
* `close()` may be called any number of times; every other method then raises `DeviceClosed`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = [
    "Block",
    "Buffer",
    "Console",
    "Info",
    "KeyValueRO",
    "KeyValueRW",
    "Kind",
    "MonotonicClock",
    "Network",
    "NetworkStats",
    "Random",
    "WallClock",
]

Buffer = bytes | bytearray | memoryview
"""What a library may hand to a device. (`collections.abc.Buffer` needs Python 3.12.)"""


@dataclass(slots=True)
class NetworkStats:
    """Counters of one network device, since it was made. Frames and octets are counted at the Ethernet layer."""

    frames_sent: int = 0
    octets_sent: int = 0
    frames_received: int = 0
    octets_received: int = 0
    frames_dropped: int = 0
    """Frames that were given to `send` or had arrived and found no room, or that had arrived and were damaged."""


@runtime_checkable
class Network(Protocol):
    """An Ethernet device that carries whole frames, without the frame check sequence (IEEE 802.3 clause 3)."""

    @property
    def mac(self) -> bytes:
        """The device's 6-octet address."""
        ...

    @property
    def mtu(self) -> int:
        """The largest payload of a frame in octets, the 14 octets of its header not counted."""
        ...

    @property
    def stats(self) -> NetworkStats:
        """The live counters."""
        ...

    def send(self, frame: Sequence[Buffer]) -> bool:
        """Send one frame, given in slices that are read before the call returns.

        Returns False when the device has no room: the frame is dropped and counted, as Ethernet may.
        Raises `OutOfRange` for a frame shorter than its 14-octet header or longer than `mtu` + 14, `DeviceError` when
        the device itself is gone, `DeviceClosed`.
        """
        ...

    def receive(self) -> memoryview | None:
        """The next frame, or None if none waits. The view is valid until the next `receive`; keep a copy.

        Raises `DeviceError` when the device itself is gone, `DeviceClosed`.
        """
        ...

    def on_readable(self, callback: Callable[[], None] | None) -> None:
        """Have `callback` called, on the device's thread, when a frame arrives at an empty queue; None stops it.

        The callee then calls `receive` until it returns None; if it stops earlier, the device may call it again for
        what is left, or not. Raises `DeviceError` where the device needs an event loop and there is none,
        `DeviceClosed`.
        """
        ...

    def close(self) -> None:
        """Release the device; frames not yet received are lost."""
        ...


@runtime_checkable
class Block(Protocol):
    """A device of numbered sectors of one size."""

    @property
    def sector_size(self) -> int:
        """Octets in a sector; a power of two, at least 512."""
        ...

    @property
    def sectors(self) -> int:
        """How many sectors there are; they are numbered from 0."""
        ...

    @property
    def writable(self) -> bool:
        """Whether `write` is permitted."""
        ...

    def read(self, sector: int, count: int = 1) -> bytes:
        """The content of `count` sectors from `sector` on. Raises `OutOfRange`, `DeviceError`, `DeviceClosed`."""
        ...

    def write(self, sector: int, data: Buffer) -> None:
        """Write whole sectors from `sector` on; what was written is read back at once, and lasts after `flush`.

        Raises `OutOfRange` (also for a length that is no multiple of `sector_size`), `DeviceError` (also when the
        device is not writable), `DeviceClosed`. A write that raises may have written any prefix of its sectors.
        """
        ...

    def flush(self) -> None:
        """Return when everything written so far would survive a loss of power. Raises `DeviceError`, `DeviceClosed`."""
        ...

    def close(self) -> None:
        """Flush and release the device."""
        ...


class Kind(enum.Enum):
    """What a key names."""

    VALUE = "value"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class Info:
    """What a key names, without its content."""

    kind: Kind
    size: int
    """Octets of the value; 0 for a directory."""
    modified: float | None = None
    """Seconds since 1970-01-01T00:00Z of the last change, or None where the store does not know."""


@runtime_checkable
class KeyValueRO(Protocol):
    """A read-only tree of values.

    A **key** is a relative path: non-empty segments joined by single slashes, as in ``blog/2014/welcome.md``. No
    segment is ``.`` or ``..`` and none contains NUL, a slash, a backslash or a surrogate; the empty key ``""`` is the
    root directory. `mirage.types.check_key` is the one definition. Every method raises `InvalidKey` for anything else,
    so no text from outside can name something that is not in the store.

    The root always exists and is a directory. A key with a proper prefix that names a value raises `DirectoryExpected`;
    a key that names a directory where a value is needed raises `ValueExpected`. Reading needs no other device and
    changes nothing that a caller could see. `mirage.types.testing.KeyValueROContract` checks all of this.
    """

    def get(self, key: str) -> bytes:
        """The whole value. Raises `NotFound`, `ValueExpected`, `DirectoryExpected`, `InvalidKey`, `DeviceError`."""
        ...

    def get_partial(self, key: str, offset: int, length: int) -> bytes:
        """At most `length` octets of the value from `offset` on; shorter, down to empty, at its end.

        Raises what `get` raises, and `OutOfRange` for a negative offset or length.
        """
        ...

    def info(self, key: str) -> Info:
        """What the key names. Raises `NotFound`, `DirectoryExpected`, `InvalidKey`, `DeviceError`."""
        ...

    def list(self, key: str = "") -> Sequence[tuple[str, Kind]]:
        """The segments directly below a directory, sorted by code point, with what each names.

        Raises `NotFound`, `DirectoryExpected`, `InvalidKey`, `DeviceError`.
        """
        ...

    def digest(self, key: str) -> str:
        """`mirage.types.value_digest` of the value: equal octets have equal digests in every store, and other octets
        other ones, so that it serves as a strong ETag (RFC 9110 section 8.8.3). Only values have one.

        Cheap to ask for again: a store keeps it. Raises what `get` raises.
        """
        ...


@runtime_checkable
class KeyValueRW(KeyValueRO, Protocol):
    """A tree of values that can be changed. Directories appear with their first value and go with their last."""

    def set(self, key: str, value: Buffer) -> None:
        """Store a value, making the directories above it. Atomic: a reader sees the old value or the new one.

        Raises `ValueExpected` (the key names a directory), `DirectoryExpected`, `InvalidKey`, `NoSpace`, `DeviceError`.
        """
        ...

    def set_partial(self, key: str, offset: int, data: Buffer) -> None:
        """Overwrite a part of an existing value, extending it where `data` passes its end. Not atomic.

        Raises what `get` raises, `OutOfRange` when `offset` is negative or past the end, and `NoSpace`.
        """
        ...

    def remove(self, key: str) -> None:
        """Remove a value, or a directory and all below it. Raises `NotFound`, `DirectoryExpected`, `InvalidKey`
        (also for the root), `DeviceError`.
        """
        ...

    def rename(self, source: str, dest: str) -> None:
        """Move a value or a directory; a value at `dest` is replaced atomically.

        Onto itself, nothing happens. Raises what `remove` raises for `source` and what `set` raises for `dest`; a
        directory at `dest`, or a `dest` below `source`, is `ValueExpected`; a directory moved onto a value is
        `DirectoryExpected`.
        """
        ...


@runtime_checkable
class MonotonicClock(Protocol):
    """Time that never goes back; its zero means nothing."""

    def elapsed_ns(self) -> int:
        """Nanoseconds since some moment that is fixed for the life of the clock."""
        ...


@runtime_checkable
class WallClock(Protocol):
    """The time of day; it may jump when it is set."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted (POSIX)."""
        ...


@runtime_checkable
class Random(Protocol):
    """Random octets fit for keys and nonces."""

    def generate(self, size: int) -> bytes:
        """`size` octets that nobody can predict. Raises `DeviceError` when the source is not seeded."""
        ...


@runtime_checkable
class Console(Protocol):
    """Where a unikernel says what it does: a stream of octets, by convention lines of UTF-8."""

    def write(self, data: Buffer) -> None:
        """Write all of `data`, in order. Raises `DeviceError`, `DeviceClosed`."""
        ...
