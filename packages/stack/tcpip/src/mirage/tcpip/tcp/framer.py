"""From a segment to Ethernet frames, for one connection: one `pack` per frame on the fast way.

A super-segment longer than the MSS goes to the device as it is where the device cuts it (segmentation offload), and is
cut here where it does not. While the neighbour is unknown, or where the header of the path cannot be used, the
segments go through `Path.send`.
"""

from __future__ import annotations

import struct

from mirage.types import Checksum, FrameMeta, Offload, Segmentation
from mirage.types.devices import Buffer

from ..ip.path import Path
from ..wire.checksum import ones_sum, ones_sum_parts
from ..wire.tcp import CWR, FIN, HEADER, PSH, build
from .sent import cut

__all__ = ["Framer"]

_TCP = 6
_CHECKSUM_AT = 16
_ETHERNET = 14
_IP4, _IP6 = 20, 40
_LONGEST = 65535

# Ethernet | version, class, length, id, DF, hop limit, protocol, checksum | addresses, ports | TCP
_FRAME4 = struct.Struct(">14sBBHHHBBH12sIIHHHH")
# Ethernet | version, class, flow | length, next header, hop limit | addresses, ports | TCP
_FRAME6 = struct.Struct(">14sIHBB36sIIHHHH")
_DONT_FRAGMENT = 0x4000

_COMPLETE = FrameMeta()


class Framer:
    """What is the same in all segments of a connection, worked out once for each state of its path."""

    __slots__ = (
        "_addresses",
        "_ethernet",
        "_first_word",
        "_generation",
        "_header",
        "_hop_limit",
        "_metas",
        "_partial",
        "_ports",
        "_sum",
        "_super",
        "_super_cwr",
        "largest",
        "local_port",
        "path",
        "remote_port",
        "traffic_class",
        "version6",
    )

    def __init__(self, path: Path, local_port: int, remote_port: int) -> None:
        self.path = path
        self.local_port = local_port
        self.remote_port = remote_port
        self.version6 = len(path.local) == 16
        self.traffic_class = 0
        """DSCP of the segments, in the high six bits; ECN is added for each segment."""
        self._ports = struct.pack(">HH", local_port, remote_port)
        self._generation = -1
        self._header = b""
        self._ethernet = b""
        self._addresses = b""
        self._first_word = 0
        self._hop_limit = 0
        self._sum = 0
        self._partial = False
        """Whether the device completes checksums."""
        self._super = False
        """Whether it cuts super-frames of this version of IP, and, next, those with CWR."""
        self._super_cwr = False
        self._metas: dict[tuple[int, int, bool], FrameMeta] = {}
        self.largest = 0
        """Octets of payload and TCP options that one frame may carry, super-frames included."""
        self._renew()

    @property
    def overhead(self) -> int:
        """Octets of the IP and TCP headers, without options."""
        return (_IP6 if self.version6 else _IP4) + HEADER

    def _renew(self) -> None:
        """Take over what the path has become."""
        path = self.path
        self._generation = path.generation
        header = self._header = path.header
        offload = path.interface.offload
        self._partial = Offload.CHECKSUM in offload
        self._super_cwr = Offload.ECN in offload
        segments = self._super = (Offload.TSO6 if self.version6 else Offload.TSO4) in offload
        longest = min(_LONGEST, path.interface.max_frame - _ETHERNET) if segments else path.mtu
        self.largest = longest - self.overhead
        self._metas.clear()
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

    def emit(
        self,
        sequence: int,
        acknowledgment: int,
        flags: int,
        window: int,
        options: bytes,
        parts: list[memoryview],
        size: int,
        mss: int,
        ecn: int,
        now: float,
    ) -> None:
        """Send `size` octets of `parts` as one or more segments, each with `options` and at most `mss` octets.

        `ecn` is the ECN field of the IP header (RFC 3168 5). Raises `NoRoute`, `Unreachable`.
        """
        path = self.path
        if path.generation != self._generation:
            self._renew()
        if now >= path.fresh_until and not path.refresh(now):
            self._resolve(sequence, acknowledgment, flags, window, options, parts, size, mss, ecn, now)
            return
        if path.generation != self._generation:
            self._renew()
        if size > mss and (size + len(options) > self.largest or not self._cuts(flags)):
            self._cut(sequence, acknowledgment, flags, window, options, parts, size, mss, ecn, now)
            return
        length = HEADER + len(options) + size
        offset_flags = (HEADER + len(options)) << 10 | flags
        pseudo = path.pseudo_sum + _TCP + length
        if self.version6:
            header = _FRAME6.pack(
                self._ethernet,
                self._first_word | (self.traffic_class | ecn) << 20,
                length,
                _TCP,
                self._hop_limit,
                self._addresses,
                sequence & 0xFFFFFFFF,
                acknowledgment & 0xFFFFFFFF,
                offset_flags,
                window,
                pseudo % 65535,
                0,
            )
        else:
            traffic_class = self.traffic_class | ecn
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
                sequence & 0xFFFFFFFF,
                acknowledgment & 0xFFFFFFFF,
                offset_flags,
                window,
                pseudo % 65535,
                0,
            )
        frame: list[Buffer] = [header + options if options else header]
        if size:
            frame += parts
        interface = path.interface
        if self._partial:
            meta = self._meta(len(options), mss if size > mss else 0, bool(flags & CWR))
        else:
            meta = _COMPLETE
            self._checksum(frame, pseudo)
        interface.output.append((meta, frame))

    def _cuts(self, flags: int) -> bool:
        """Whether the device cuts super-frames of this connection's version of IP, and with these flags."""
        return self._super and (self._super_cwr or not flags & CWR)

    def _checksum(self, frame: list[Buffer], pseudo: int) -> None:
        """Put the complete checksum into the first part of a frame."""
        start = _ETHERNET + (_IP6 if self.version6 else _IP4)
        first = bytearray(frame[0])
        first[start + _CHECKSUM_AT : start + _CHECKSUM_AT + 2] = b"\0\0"
        total = pseudo + ones_sum(first[start:]) + ones_sum_parts(frame[1:])
        first[start + _CHECKSUM_AT : start + _CHECKSUM_AT + 2] = (65535 - total % 65535).to_bytes(2, "big")
        frame[0] = bytes(first)

    def _meta(self, options: int, mss: int, cwr: bool) -> FrameMeta:
        """What the device has to do: the checksum, and cut into segments of `mss` octets unless that is 0."""
        key = (options, mss, cwr)
        meta = self._metas.get(key)
        if meta is None:
            start = _ETHERNET + (_IP6 if self.version6 else _IP4)
            if mss:
                kind = Segmentation.TCP6 if self.version6 else Segmentation.TCP4
                size = start + HEADER + options
                meta = FrameMeta(Checksum.PARTIAL, start, _CHECKSUM_AT, kind, mss, size, cwr)
            else:
                meta = FrameMeta(Checksum.PARTIAL, start, _CHECKSUM_AT)
            if len(self._metas) > 32:
                self._metas.clear()
            self._metas[key] = meta
        return meta

    def _cut(
        self,
        sequence: int,
        acknowledgment: int,
        flags: int,
        window: int,
        options: bytes,
        parts: list[memoryview],
        size: int,
        mss: int,
        ecn: int,
        now: float,
    ) -> None:
        """Send a super-segment in pieces that the path or the device can carry."""
        step = mss
        if self._cuts(flags):
            step = (self.largest - len(options)) // mss * mss or mss
        while size > step:
            head, parts = cut(parts, step)
            self.emit(sequence, acknowledgment, flags & ~(PSH | FIN), window, options, head, step, mss, ecn, now)
            sequence += step
            size -= step
            flags &= ~CWR  # of the first segment only (RFC 3168 6.1.2)
        self.emit(sequence, acknowledgment, flags, window, options, parts, size, mss, ecn, now)

    def _resolve(
        self,
        sequence: int,
        acknowledgment: int,
        flags: int,
        window: int,
        options: bytes,
        parts: list[memoryview],
        size: int,
        mss: int,
        ecn: int,
        now: float,
    ) -> None:
        """Give the segments to the path, which keeps a few until it knows the neighbour."""
        while True:
            step = min(size, mss)
            head, parts = cut(parts, step)
            last = step == size
            header = build(
                self.local_port,
                self.remote_port,
                sequence,
                acknowledgment,
                flags if last else flags & ~(PSH | FIN),
                window,
                options,
            )
            self.path.send(
                _TCP,
                [header, *head],
                now,
                traffic_class=self.traffic_class | ecn,
                checksum_offset=_CHECKSUM_AT,
            )
            if last:
                return
            sequence += step
            size -= step
            flags &= ~CWR
