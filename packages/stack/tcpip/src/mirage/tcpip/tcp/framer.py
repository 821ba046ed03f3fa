"""From a segment to Ethernet frames, for one connection: one `pack` per frame on the fast way.

A super-segment longer than the MSS goes to the device as it is where the device cuts it (segmentation offload), and is
cut here where it does not. While the neighbour is unknown, or where the header of the path cannot be used, the
segments go through `Path.send`.
"""

from __future__ import annotations

import struct
from typing import Final

from mirage.types import Checksum, FrameMeta, Offload, Segmentation
from mirage.types.devices import Buffer

from ..ip.path import Path
from ..wire.checksum import ones_sum, ones_sum_parts
from ..wire.tcp import CWR, FIN, HEADER, PSH, build
from .sent import cut

__all__ = ["Framer", "Outgoing"]

_TCP: Final = 6
_CHECKSUM_AT: Final = 16
_ETHERNET: Final = 14
_IP4: Final = 20
_IP6: Final = 40
_LONGEST: Final = 65535

# Ethernet | version, class, length, id, DF, hop limit, protocol, checksum | addresses, ports | TCP
_FRAME4: Final = struct.Struct(">14sBBHHHBBH12sIIHHHH")
# Ethernet | version, class, flow | length, next header, hop limit | addresses, ports | TCP
_FRAME6: Final = struct.Struct(">14sIHBB36sIIHHHH")
# What precedes the sequence number, and then a TCP header with timestamps behind it
_LEAD4: Final = struct.Struct(">14sHH2xHHH12s").pack
_LEAD6: Final = struct.Struct(">14sIHBB36s").pack
_LANE4: Final = struct.Struct(">38sIIHHHHIII").pack
_LANE6: Final = struct.Struct(">58sIIHHHHIII").pack
_LANE_TCP: Final = 32
_TIMESTAMP_WORD: Final = 0x0101080A
_DONT_FRAGMENT: Final = 0x4000
_LEADS: Final = 64
"""Of so many lengths what precedes the sequence number is remembered: a connection sends few different ones."""

_COMPLETE: Final = FrameMeta()


class Outgoing:
    """A segment, or a super-segment of several, that is to go out."""

    __slots__ = ("acknowledgment", "ecn", "flags", "mss", "options", "parts", "sequence", "size", "window")

    def __init__(
        self,
        sequence: int,
        acknowledgment: int,
        flags: int,
        window: int,
        options: bytes = b"",
        parts: list[Buffer] | None = None,
        size: int = 0,
        mss: int = 1,
        ecn: int = 0,
    ) -> None:
        self.sequence = sequence
        self.acknowledgment = acknowledgment
        self.flags = flags
        self.window = window
        """As it stands in the header: scaled."""
        self.options = options
        """Of each segment, padded to whole words."""
        self.parts: list[Buffer] = parts if parts is not None else []
        self.size = size
        """Octets in `parts`."""
        self.mss = mss
        """The most that one segment carries of them."""
        self.ecn = ecn
        """The ECN field of the IP header (RFC 3168 5)."""

    def split(self, size: int) -> Outgoing:
        """Take the first `size` octets off, as a segment that goes before this one."""
        head, self.parts = cut(self.parts, size)
        flags = self.flags & ~(PSH | FIN)
        first = Outgoing(
            self.sequence, self.acknowledgment, flags, self.window, self.options, head, size, self.mss, self.ecn
        )
        self.sequence += size
        self.size -= size
        self.flags &= ~CWR  # of the first segment only (RFC 3168 6.1.2)
        return first


class Framer:
    """What is the same in all segments of a connection, worked out once for each state of its path."""

    __slots__ = (
        "_addresses",
        "_ethernet",
        "_first_word",
        "_hop_limit",
        "_leads",
        "_metas",
        "_port_sum",
        "_ports",
        "_sum",
        "_super_cwr",
        "cuts",
        "generation",
        "largest",
        "local_port",
        "partial",
        "path",
        "remote_port",
        "together",
        "traffic_class",
        "version6",
        "whole",
    )

    def __init__(self, path: Path, local_port: int, remote_port: int) -> None:
        self.path = path
        self.local_port = local_port
        self.remote_port = remote_port
        self.version6 = len(path.local) == 16
        self.traffic_class = 0
        """DSCP of the segments, in the high six bits; ECN is added for each segment."""
        self._ports = struct.pack(">HH", local_port, remote_port)
        self._port_sum = local_port + remote_port
        self.generation = -1
        """That of the path that the rest was worked out for."""
        self._ethernet = b""
        self._addresses = b""
        self._first_word = 0
        self._hop_limit = 0
        self._sum = 0
        self.partial = False
        """Whether the device completes checksums."""
        self.cuts = False
        """Whether it cuts super-frames of this version of IP, and, next, those with CWR."""
        self._super_cwr = False
        self.whole = _COMPLETE
        """What accompanies a frame that is not cut."""
        self._metas: dict[tuple[int, int, bool], FrameMeta] = {}
        self._leads: dict[int, tuple[bytes, int]] = {}
        self.largest = 0
        """Octets of payload and TCP options that one frame may carry, super-frames included."""
        self.together = 0
        """The same of what goes out at once and is one record: here it is cut if the device does not."""
        self._renew()

    @property
    def overhead(self) -> int:
        """Octets of the IP and TCP headers, without options."""
        return (_IP6 if self.version6 else _IP4) + HEADER

    def _renew(self) -> None:
        """Take over what the path has become."""
        path = self.path
        self.generation = path.generation
        header = path.header
        offload = path.interface.offload
        self.partial = Offload.CHECKSUM in offload
        self._super_cwr = Offload.ECN in offload
        self.cuts = (Offload.TSO6 if self.version6 else Offload.TSO4) in offload
        longest = min(_LONGEST, path.interface.max_frame - _ETHERNET) if self.cuts else path.mtu
        self.largest = longest - self.overhead
        self.together = self.largest if self.cuts else _LONGEST - self.overhead
        self._metas.clear()
        self._leads.clear()
        self.whole = FrameMeta(Checksum.PARTIAL, self._transport, _CHECKSUM_AT) if self.partial else _COMPLETE
        if not header:
            return
        self._ethernet = header[:_ETHERNET]
        if self.version6:
            self._first_word = int.from_bytes(header[14:18], "big")
            self._hop_limit = header[21]
            self._addresses = header[22:54] + self._ports
        else:
            self._hop_limit = header[22]
            self._addresses = header[26:34] + self._ports
            self._sum = path.header_sum + _TCP
        # RFC 9293 3.1: the pseudo-header has addresses, protocol and length; the length comes with each segment.

    @property
    def _transport(self) -> int:
        """Where the TCP header begins in a frame."""
        return _ETHERNET + (_IP6 if self.version6 else _IP4)

    def emit(self, segment: Outgoing, now: float) -> None:
        """Send a segment, or as many segments as it takes. Raises `NoRoute`, `Unreachable`."""
        path = self.path
        if path.generation != self.generation:
            self._renew()
        if now >= path.fresh_until and not path.refresh(now):
            self._resolve(segment, now)
            return
        if path.generation != self.generation:
            self._renew()
        size, options, mss = segment.size, segment.options, segment.mss
        if size > mss and (size + len(options) > self.largest or not self._cuts(segment.flags)):
            self._cut(segment, now)
            return
        length = HEADER + len(options) + size
        offset_flags = (HEADER + len(options)) << 10 | segment.flags
        pseudo = path.pseudo_sum + _TCP + length
        traffic_class = self.traffic_class | segment.ecn
        sequence, acknowledgment = segment.sequence & 0xFFFFFFFF, segment.acknowledgment & 0xFFFFFFFF
        checksum = pseudo % 65535
        if not self.partial:
            fields = sequence + acknowledgment + offset_flags + segment.window + ones_sum(options)
            summed = pseudo + self._port_sum + fields + ones_sum_parts(segment.parts)
            checksum = 65535 - summed % 65535
        if self.version6:
            header = _FRAME6.pack(
                self._ethernet,
                self._first_word | traffic_class << 20,
                length,
                _TCP,
                self._hop_limit,
                self._addresses,
                sequence,
                acknowledgment,
                offset_flags,
                segment.window,
                checksum,
                0,
            )
        else:
            total = _IP4 + length
            header = _FRAME4.pack(
                self._ethernet,
                0x45,
                traffic_class,
                total,
                0,
                _DONT_FRAGMENT,
                self._hop_limit,
                _TCP,
                65535 - (self._sum + traffic_class + total) % 65535,
                self._addresses,
                sequence,
                acknowledgment,
                offset_flags,
                segment.window,
                checksum,
                0,
            )
        frame: list[Buffer] = [header + options if options else header]
        if size:
            frame += segment.parts
        meta = self.meta(len(options), mss, bool(segment.flags & CWR)) if size > mss else self.whole
        path.interface.output.append((meta, frame))

    def header(
        self,
        sequence: int,
        acknowledgment: int,
        flags: int,
        window: int,
        size: int,
        parts: list[Buffer],
        value: int,
        echo: int,
        ecn: int,
    ) -> bytes:
        """All headers of a segment with timestamps and `size` octets in `parts`, for the fast lane: the path is fresh.

        `flags` is the word of offset and flags; `value` and `echo` are the timestamps; numbers fit their fields.
        """
        traffic_class = self.traffic_class | ecn
        lead, checksum = self._leads.get(size << 8 | traffic_class) or self._lead(size, traffic_class)
        if not self.partial:
            fields = sequence + acknowledgment + flags + window + _TIMESTAMP_WORD + value + echo
            checksum = 65535 - (checksum + self._port_sum + fields + ones_sum_parts(parts)) % 65535
        pack = _LANE6 if self.version6 else _LANE4
        return pack(lead, sequence, acknowledgment, flags, window, checksum, 0, _TIMESTAMP_WORD, value, echo)

    def segments(
        self,
        sequence: int,
        acknowledgment: int,
        flags: int,
        window: int,
        size: int,
        mss: int,
        parts: list[Buffer],
        value: int,
        echo: int,
        ecn: int,
    ) -> None:
        """Send what `header` would put one header before, as segments of `mss` octets, each with headers of its own.

        PSH in `flags` is for the last (RFC 9293 3.9.1.2).
        """
        output = self.path.interface.output
        while size:
            piece, parts = cut(parts, mss) if size > mss else (parts, parts)
            length = min(size, mss)
            marked = flags if length == size else flags & ~PSH
            header = self.header(sequence, acknowledgment, marked, window, length, piece, value, echo, ecn)
            output.append((self.whole, [header, *piece]))
            sequence = (sequence + length) & 0xFFFFFFFF
            size -= length

    def _lead(self, size: int, traffic_class: int) -> tuple[bytes, int]:
        """What precedes the sequence number in such a segment, and the sum of its pseudo-header; remembered."""
        path = self.path
        length = _LANE_TCP + size
        if self.version6:
            lead = _LEAD6(
                self._ethernet,
                self._first_word | traffic_class << 20,
                length,
                _TCP,
                self._hop_limit,
                self._addresses,
            )
        else:
            total = _IP4 + length
            lead = _LEAD4(
                self._ethernet,
                0x4500 | traffic_class,
                total,
                _DONT_FRAGMENT,
                self._hop_limit << 8 | _TCP,
                65535 - (self._sum + traffic_class + total) % 65535,
                self._addresses,
            )
        if len(self._leads) >= _LEADS:
            self._leads.clear()
        found = self._leads[size << 8 | traffic_class] = lead, (path.pseudo_sum + _TCP + length) % 65535
        return found

    def _cuts(self, flags: int) -> bool:
        """Whether the device cuts super-frames of this connection's version of IP, and with these flags."""
        return self.cuts and (self._super_cwr or not flags & CWR)

    def meta(self, options: int, mss: int, cwr: bool) -> FrameMeta:
        """What the device has to do with a super-frame: sum, and cut into segments of `mss` octets of payload."""
        key = (options, mss, cwr)
        meta = self._metas.get(key)
        if meta is None:
            start = self._transport
            kind = Segmentation.TCP6 if self.version6 else Segmentation.TCP4
            meta = FrameMeta(Checksum.PARTIAL, start, _CHECKSUM_AT, kind, mss, start + HEADER + options, cwr)
            if len(self._metas) > 32:
                self._metas.clear()
            self._metas[key] = meta
        return meta

    def _cut(self, segment: Outgoing, now: float) -> None:
        """Send a super-segment in pieces that the path or the device can carry."""
        mss = segment.mss
        step = mss
        if self._cuts(segment.flags):
            step = (self.largest - len(segment.options)) // mss * mss or mss
        while segment.size > step:
            self.emit(segment.split(step), now)
        self.emit(segment, now)

    def _resolve(self, segment: Outgoing, now: float) -> None:
        """Give the segments to the path, which keeps a few until it knows the neighbour."""
        while segment.size > segment.mss:
            self._wait(segment.split(segment.mss), now)
        self._wait(segment, now)

    def _wait(self, segment: Outgoing, now: float) -> None:
        header = build(
            self.local_port,
            self.remote_port,
            segment.sequence,
            segment.acknowledgment,
            segment.flags,
            segment.window,
            segment.options,
        )
        self.path.send(
            _TCP,
            [header, *segment.parts],
            now,
            traffic_class=self.traffic_class | segment.ecn,
            checksum_offset=_CHECKSUM_AT,
        )
