"""Presentation language (RFC 8446 3): integers and length-prefixed vectors, read and built in pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ._alerts import Alert
from .errors import PeerMisbehaved

__all__ = ["Cursor", "extensions", "message", "u16s", "v8", "v16", "v24"]

MAX_EXTENSIONS = 64
"""Extensions in one message at the most; there are about 60 in the registry."""


def v8(data: bytes) -> bytes:
    """A vector with its length in one octet."""
    return len(data).to_bytes(1, "big") + data


def v16(data: bytes) -> bytes:
    """A vector with its length in two octets."""
    return len(data).to_bytes(2, "big") + data


def v24(data: bytes) -> bytes:
    """A vector with its length in three octets."""
    return len(data).to_bytes(3, "big") + data


def u16s(codes: Iterable[int]) -> bytes:
    """Code points, two octets each."""
    return b"".join([code.to_bytes(2, "big") for code in codes])


def message(kind: int, body: bytes) -> bytes:
    """A handshake message (RFC 8446 4)."""
    return kind.to_bytes(1, "big") + len(body).to_bytes(3, "big") + body


def extensions(items: Mapping[int, bytes] | Iterable[tuple[int, bytes]]) -> bytes:
    """A block of extensions, in the order given."""
    pairs = items.items() if isinstance(items, Mapping) else items
    parts = [kind.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data for kind, data in pairs]
    return v16(b"".join(parts))


class Cursor:
    """Reads octets from the left. Every method raises `PeerMisbehaved` (decode_error) where there are too few."""

    __slots__ = ("at", "data", "end", "what")

    def __init__(self, data: bytes, what: str) -> None:
        self.data = data
        self.at = 0
        self.end = len(data)
        self.what = what

    def malformed(self, why: str) -> PeerMisbehaved:
        """The failure to raise."""
        return PeerMisbehaved(f"a malformed {self.what}: {why}", Alert.DECODE_ERROR)

    def take(self, count: int) -> bytes:
        """So many octets."""
        at = self.at
        if count > self.end - at:
            raise self.malformed("it ends too early")
        self.at = at + count
        return self.data[at : at + count]

    def integer(self, size: int) -> int:
        """An unsigned integer of so many octets."""
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int, least: int = 0) -> bytes:
        """A vector whose length is in `size` octets, of at least so many octets."""
        at = self.at + size
        if at > self.end:
            raise self.malformed("it ends too early")
        length = int.from_bytes(self.data[self.at : at], "big")
        if length > self.end - at:
            raise self.malformed("it ends too early")
        if length < least:
            raise self.malformed("a vector is too short")
        self.at = at + length
        return self.data[at : at + length]

    def u16s(self, size: int = 2) -> tuple[int, ...]:
        """A vector of code points, at least one."""
        data = self.vector(size, 2)
        if len(data) % 2:
            raise self.malformed("a list of code points has an odd length")
        return tuple([int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)])

    def extensions(self) -> dict[int, bytes]:
        """A block of extensions, none of them twice (RFC 8446 4.2)."""
        inner = Cursor(self.vector(2), self.what)
        found: dict[int, bytes] = {}
        while inner.at < inner.end:
            kind = inner.integer(2)
            if kind in found:
                raise PeerMisbehaved(f"extension {kind} twice in a {self.what}")
            if len(found) == MAX_EXTENSIONS:
                raise inner.malformed(f"it has more than {MAX_EXTENSIONS} extensions")
            found[kind] = inner.vector(2)
        return found

    @property
    def more(self) -> bool:
        """Whether anything is left."""
        return self.at < self.end

    def done(self) -> None:
        """Raise unless everything was read."""
        if self.at != self.end:
            raise self.malformed(f"{self.end - self.at} octets too many")
