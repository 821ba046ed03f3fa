"""The record layer (RFC 8446 5, RFC 5246 6): octets in, records out, and the other way round.

It is the one mutable part below the connection: a buffer of what has not arrived whole, and for each direction a key
with its sequence number. Records are sealed in place in one output buffer and opened into one, so that bulk data is
copied once each way.

Invariants: a sequence number is used once; plaintext that is not authentic is never given out; the buffer holds at most
one record.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from mirage.crypto import Aead, InvalidTag

from ._alerts import Alert
from ._constants import TLS12, TLS13, ContentType, Suite
from .errors import PeerMisbehaved

__all__ = ["MAX_PLAINTEXT", "Keys", "Reader", "Writer"]

MAX_PLAINTEXT = 1 << 14
_EXPANSION_13 = 256  # RFC 8446 5.2
_EXPANSION_12 = 1024  # RFC 5246 6.2.3 allows 2048 with compression; without it 1024
_HEADER = struct.Struct("!BHH")
_AAD_12 = struct.Struct("!QBHH")
_TYPES = tuple(bytes((kind,)) for kind in range(256))
"""What stands behind the data before it is sealed (RFC 8446 5.2): its type, as octets."""


class Keys:
    """The key of one direction, and its sequence number."""

    __slots__ = ("_iv", "_salt", "aead", "explicit", "open", "seal", "sequence", "tag", "version")

    def __init__(self, suite: Suite, key: bytes, iv: bytes) -> None:
        self.aead: Aead = suite.aead.new(key)
        self.seal, self.open = self.aead.seal_into, self.aead.open_into
        self.tag = suite.aead.tag_size
        self.version = suite.version
        self.sequence = 0
        self.explicit = 8 if suite.explicit_nonce else 0
        self._iv = int.from_bytes(iv, "big")
        self._salt = iv if suite.explicit_nonce else b""

    def nonce(self) -> bytes:
        """The nonce of the next record."""
        if self._salt:  # RFC 5288 3: the explicit part is ours to choose; the sequence number never repeats
            return self._salt + self.sequence.to_bytes(8, "big")
        return (self._iv ^ self.sequence).to_bytes(12, "big")


class Writer:
    """Makes records. `limit` is the most octets of plaintext in one."""

    __slots__ = ("keys", "limit", "version")

    def __init__(self) -> None:
        self.keys: Keys | None = None
        self.limit = MAX_PLAINTEXT
        self.version = 0x0301  # of a ClientHello; RFC 8446 5.1

    def write(self, kind: int, data: bytes | bytearray | memoryview) -> bytes | bytearray:
        """The records of one content type for this data, which is not empty unless it is application data."""
        keys = self.keys
        if keys is None:
            if len(data) <= self.limit:
                return b"".join((_HEADER.pack(kind, self.version, len(data)), data))
            view = memoryview(data)
            parts = [view[at : at + self.limit] for at in range(0, len(data), self.limit)]
            return b"".join([piece for part in parts for piece in (_HEADER.pack(kind, self.version, len(part)), part)])
        return self._write_13(keys, kind, data) if keys.version == TLS13 else self._write_12(keys, kind, data)

    def _write_13(self, keys: Keys, kind: int, data: bytes | bytearray | memoryview) -> bytes | bytearray:
        limit, length, tag, sequence, iv = self.limit, len(data), keys.tag, keys.sequence, keys._iv
        if length <= limit:  # one record, as most writes are: the library allocates its octets, and no view is made
            header = _HEADER.pack(ContentType.DATA, TLS12, length + 1 + tag)
            sealed = keys.aead.seal((iv ^ sequence).to_bytes(12, "big"), b"".join((data, _TYPES[kind])), header)
            keys.sequence = sequence + 1
            return header + sealed
        # All records are laid out in one go, with a place for each tag, and then sealed where they lie: the buffer is
        # written by what is to be in it, and not by zeros before.
        tail = _TYPES[kind] + bytes(tag)
        header = _HEADER.pack(ContentType.DATA, TLS12, limit + 1 + tag)
        source = memoryview(data)
        full, rest = divmod(length, limit)
        parts: list[bytes | memoryview] = []
        for taken in range(0, full * limit, limit):
            parts += (header, source[taken : taken + limit], tail)
        if rest:
            last = _HEADER.pack(ContentType.DATA, TLS12, rest + 1 + tag)
            parts += (last, source[-rest:], tail)
        out = bytearray().join(parts)
        view = memoryview(out)
        seal, whole, at = keys.seal, limit + 6 + tag, 5
        for number in range(sequence, sequence + full):
            end = at + limit + 1
            seal((iv ^ number).to_bytes(12, "big"), view[at:end], header, view[at : end + tag])
            at += whole
        keys.sequence = sequence + full
        if rest:
            nonce = (iv ^ keys.sequence).to_bytes(12, "big")
            seal(nonce, view[at : at + rest + 1], last, view[at:])
            keys.sequence += 1
        return out

    def _write_12(self, keys: Keys, kind: int, data: bytes | bytearray | memoryview) -> bytearray:
        limit, tag, explicit, length = self.limit, keys.tag, keys.explicit, len(data)
        count = -(-length // limit) or 1
        out = bytearray(length + count * (5 + explicit + tag))
        with memoryview(out) as view, memoryview(data) as source:
            at = taken = 0
            while count:
                size = min(limit, length - taken)
                start, end = at + 5 + explicit, at + 5 + explicit + size + tag
                out[at : at + 5] = _HEADER.pack(kind, TLS12, explicit + size + tag)
                if explicit:
                    out[at + 5 : start] = keys.sequence.to_bytes(8, "big")
                view[start : start + size] = source[taken : taken + size]
                aad = _AAD_12.pack(keys.sequence, kind, TLS12, size)
                keys.aead.seal_into(keys.nonce(), view[start : start + size], aad, view[start:end])
                keys.sequence += 1
                at = end
                taken += size
                count -= 1
        return out


class Reader:
    """Takes records apart. `limit` is the most octets of content that one may have."""

    __slots__ = ("_buffer", "_early_budget", "keys", "limit", "plain_alerts", "versions")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.keys: Keys | None = None
        self.limit = MAX_PLAINTEXT
        self.versions = range(0x0300, 0x0400)
        """What the version field of a record without protection may hold."""
        self._early_budget = -1
        self.plain_alerts = False
        """Whether the peer may not have our keys yet, and so may send an alert without protection."""

    def skip_early(self, budget: int) -> None:
        """Drop records that do not open, up to so many octets: early data that was not accepted (RFC 8446 4.2.10).

        The first record that opens, or `budget` below zero, ends it.
        """
        self._early_budget = budget

    @property
    def pending(self) -> int:
        """Octets of a record that has not arrived whole."""
        return len(self._buffer)

    def read(self, data: bytes | bytearray | memoryview) -> Iterator[tuple[int, bytes | bytearray]]:
        """The content types and contents of the records that are whole now.

        The keys may be changed between two records. Application data of records in a row is joined. Raises
        `PeerMisbehaved`; what has been given out before that was right.
        """
        source = data
        if self._buffer:
            self._buffer += data
            source, self._buffer = self._buffer, bytearray()
        at, end = 0, len(source)
        with memoryview(source) as view:
            while end - at >= 5:
                kind, version, length = _HEADER.unpack_from(view, at)
                keys = self.keys
                self._check_header(kind, version, length)
                stop = at + 5 + length
                if stop > end:
                    break
                protected = keys is not None and keys.version == TLS13 and kind == ContentType.DATA
                if keys is not None and protected and self._early_budget < 0:
                    at, inner, content = self._open_run(keys, view, at, end)
                    yield inner, content
                    continue
                opened = self._open(kind, view, at, stop)
                at = stop
                if opened is not None:
                    yield opened
            if at < end:
                self._buffer += view[at:]

    def read_data(self, data: bytes | bytearray | memoryview) -> tuple[bytes | bytearray, int]:
        """The application data that these octets begin with, and how many of them it took: the fast way of `read`.

        Nothing of them where something else may come first. Raises `PeerMisbehaved`.
        """
        if one := self.read_one(data):
            return one, len(data)
        keys = self.keys
        if self._buffer or keys is None or keys.version != TLS13 or self._early_budget >= 0 or len(data) < 5:
            return b"", 0
        if data[0] != ContentType.DATA or (data[3] << 8 | data[4]) + 5 >= len(data):
            return b"", 0
        sequence = keys.sequence
        at, inner, content = self._open_run(keys, memoryview(data), 0, len(data))
        if inner != ContentType.DATA or not content:
            keys.sequence = sequence
            return b"", 0  # for `read`, which opens it again
        return content, at

    def read_one(self, data: bytes | bytearray | memoryview) -> bytes:
        """The application data of one record that has come alone, as most small messages do, or nothing.

        The library allocates its octets. What is not right, padded, or not data is left to `read`, which opens it
        again.
        """
        keys, size = self.keys, len(data)
        if self._buffer or keys is None or keys.version != TLS13 or self._early_budget >= 0 or size < 5:
            return b""
        if size != (data[3] << 8 | data[4]) + 5 or size > self.limit + keys.tag + 6:
            return b""
        header = bytes(data[:5])
        if header[:3] != b"\x17\x03\x03":
            return b""
        try:
            nonce = (keys._iv ^ keys.sequence).to_bytes(12, "big")
            text = keys.aead.open(nonce, memoryview(data)[5:], header)
        except InvalidTag:
            return b""
        if len(text) < 2 or text[-1] != ContentType.DATA:
            return b""
        keys.sequence += 1
        return text[:-1]

    def _check_header(self, kind: int, version: int, length: int) -> None:
        if not ContentType.CCS <= kind <= ContentType.DATA:
            raise PeerMisbehaved(
                f"a record of the unknown type {kind}: no TLS is spoken here", Alert.UNEXPECTED_MESSAGE
            )
        if version not in self.versions:
            raise PeerMisbehaved(f"a record of version {version:#06x}", Alert.PROTOCOL_VERSION)
        keys = self.keys
        if keys is None or (kind == ContentType.CCS and keys.version == TLS13):
            most = MAX_PLAINTEXT if self._early_budget < 0 else MAX_PLAINTEXT + _EXPANSION_13
        else:
            most = MAX_PLAINTEXT + (_EXPANSION_13 if keys.version == TLS13 else _EXPANSION_12)
        if length > most:
            raise PeerMisbehaved(f"a record of {length} octets, more than {most}", Alert.RECORD_OVERFLOW)

    def _open_run(self, keys: Keys, view: memoryview, at: int, end: int) -> tuple[int, int, bytes | bytearray]:
        """Open records from `at` on, as long as they are application data: where they stop, type and content.

        Another type ends the run, so that a message in it can change the keys before the next record is opened.
        """
        out = bytearray(end - at)
        target = memoryview(out)
        tag, sequence, iv, limit, opening = keys.tag, keys.sequence, keys._iv, self.limit, keys.open
        unpack = _HEADER.unpack_from
        filled, inner, header, fields, length, size = 0, ContentType.DATA, b"", None, 0, 0
        while end - at >= 5:
            start = at + 5
            found = unpack(view, at)
            if found != fields:  # in bulk all but the last are alike
                kind, version, length = found
                if kind != ContentType.DATA:
                    break
                if version != TLS12 or length > MAX_PLAINTEXT + _EXPANSION_13:
                    self._check_header(kind, version, length)
                header, fields, size = bytes(view[at:start]), found, length - tag
            stop = start + length
            if stop > end:
                break
            if size < 1:
                raise PeerMisbehaved("a record that is too short to be one", Alert.BAD_RECORD_MAC)
            last = filled + size
            try:
                opening((iv ^ sequence).to_bytes(12, "big"), view[start:stop], header, target[filled:last])
            except InvalidTag:
                if filled:  # what came before it is right; the next call finds this record again
                    break
                raise PeerMisbehaved("a record that is not authentic", Alert.BAD_RECORD_MAC) from None
            last -= 1
            type_ = out[last]
            if type_ == 0:  # RFC 8446 5.4: padding; found from the end, without a loop over its octets
                text = bytes(target[filled : filled + size]).rstrip(b"\0")
                if not text:
                    raise PeerMisbehaved("a record of nothing but padding", Alert.UNEXPECTED_MESSAGE)
                last = filled + len(text) - 1
                type_ = text[-1]
            # RFC 8446 5.4: what is inside has at most 2^14 octets and its type; RFC 8449 4 counts both
            if size > limit + 1:
                raise PeerMisbehaved(f"a record with more than {limit} octets in it", Alert.RECORD_OVERFLOW)
            if type_ != ContentType.DATA:
                if filled:
                    break  # give out the data first; this record is opened again then
                sequence += 1
                at, filled, inner = stop, last, type_
                break
            sequence += 1
            empty = last == filled
            at, filled = stop, last
            if empty:
                break  # let the caller count those
        keys.sequence = sequence
        target.release()
        del out[filled:]
        return at, inner, out

    def _open(self, kind: int, view: memoryview, at: int, stop: int) -> tuple[int, bytes | bytearray] | None:
        keys = self.keys
        if keys is None:
            if kind == ContentType.DATA and self._early_budget >= 0:
                self._skipped(stop - at)
                return None
            return kind, bytes(view[at + 5 : stop])
        if keys.version == TLS13:
            if kind == ContentType.DATA:
                return self._open_early(keys, view, at, stop)
            # RFC 8446 5: whatever else is not protected was put there by somebody else; CCS the connection judges
            if kind != ContentType.CCS and not (kind == ContentType.ALERT and self.plain_alerts and not keys.sequence):
                raise PeerMisbehaved("a record without protection", Alert.UNEXPECTED_MESSAGE)
            return kind, bytes(view[at + 5 : stop])
        start, size = at + 5 + keys.explicit, stop - at - 5 - keys.explicit - keys.tag
        if size < 0:
            raise PeerMisbehaved("a record that is too short to be one", Alert.BAD_RECORD_MAC)
        aad = _AAD_12.pack(keys.sequence, kind, TLS12, size)
        nonce = keys.nonce()
        if keys.explicit:
            nonce = nonce[:4] + bytes(view[at + 5 : start])
        try:
            content = keys.aead.open(nonce, view[start:stop], aad)
        except InvalidTag:
            raise PeerMisbehaved("a record that is not authentic", Alert.BAD_RECORD_MAC) from None
        if size > self.limit:
            raise PeerMisbehaved(f"a record with more than {self.limit} octets in it", Alert.RECORD_OVERFLOW)
        keys.sequence += 1
        return kind, content

    def _open_early(self, keys: Keys, view: memoryview, at: int, stop: int) -> tuple[int, bytes | bytearray] | None:
        """One record where early data may still come that was not accepted."""
        try:
            _, inner, content = self._open_run(keys, view, at, stop)
        except PeerMisbehaved as error:
            if error.alert is not Alert.BAD_RECORD_MAC:
                raise
            self._skipped(stop - at)
            return None
        self._early_budget = -1
        return inner, content

    def _skipped(self, octets: int) -> None:
        self._early_budget -= octets
        if self._early_budget < 0:
            raise PeerMisbehaved("more early data than would have been taken", Alert.UNEXPECTED_MESSAGE)
