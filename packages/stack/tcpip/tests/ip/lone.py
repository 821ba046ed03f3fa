"""One stack on a link that the test itself is: what it sends is looked at, what it gets is made by hand."""

from __future__ import annotations

import ipaddress

from mirage.tcpip import Settings
from mirage.tcpip.stack import Stack
from mirage.tcpip.wire import arp, ethernet, icmp, ipv4, ipv6, ndp
from mirage.tcpip.wire.checksum import ones_sum
from mirage.types import FrameMeta, Offload
from mirage.types.testing import SeededRandom

MAC, PEER_MAC = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
OURS4, PEER4 = b"\x0a\x09\0\2", b"\x0a\x09\0\1"
OURS6, PEER6 = (ipaddress.ip_address(text).packed for text in ("fd00::2", "fd00::1"))
ROUTER = ipaddress.ip_address("fe80::1").packed
ALL_NODES = ipaddress.ip_address("ff02::1").packed
PLAIN = FrameMeta()
QUIET = Settings(duplicate_address_probes=0, router_solicitations=0)


class Lone:
    """A stack, the time, and its link."""

    def __init__(
        self,
        settings: Settings = QUIET,
        *,
        addresses: bool = True,
        mtu: int = 1500,
        offload: Offload = Offload.NONE,
        seed: int = 1,
    ) -> None:
        self.now = 100.0
        self.stack = Stack(random=SeededRandom(seed, predictable=True), now=self.now, settings=settings)
        self.ip = self.stack.ip
        self.interface = self.stack.add_interface("eth0", MAC, mtu, offload=offload)
        self.metas: list[FrameMeta] = []
        if addresses:
            self.ip.add_address(self.interface, OURS4, 24)
            self.ip.add_address(self.interface, OURS6, 64)

    @property
    def counters(self) -> dict[str, int]:
        return self.stack.counters

    def out(self) -> list[bytes]:
        """The frames that it has sent."""
        self.stack.poll(self.now)
        output = self.interface.take_output(self.now)
        self.metas = [meta for meta, _ in output]
        return [b"".join(parts) for _, parts in output]

    def wait(self, seconds: float) -> list[tuple[float, bytes]]:
        """Let time pass; what was sent meanwhile, each with the time since now."""
        start, end = self.now, self.now + seconds
        sent = [(0.0, frame) for frame in self.out()]
        while (due := self.stack.next_deadline()) <= end:
            assert due > self.now - 1e-6 or self.out(), "a deadline that does not pass"
            self.now = max(self.now, due) + 1e-9
            sent += [(self.now - start, frame) for frame in self.out()]
        self.now = end
        return sent

    def give(self, frame: bytes, meta: FrameMeta = PLAIN) -> list[bytes]:
        """A frame comes in; what is sent because of it."""
        self.stack.input(self.interface, [(meta, memoryview(frame))], self.now)
        return self.out()

    def meet(self) -> None:
        """Let it know both addresses of its peer, and come to rest."""
        self.give(frame_arp(arp.REQUEST, PEER_MAC, PEER4, OURS4))
        body = OURS6 + ndp.build_link(ndp.SOURCE_LINK, PEER_MAC)
        self.give(frame_icmp6(ndp.SOLICITATION, bytes(4), body, PEER6, OURS6, hop_limit=255))
        self.wait(5)


def frame_arp(operation: int, mac: bytes, sender: bytes, target: bytes, to: bytes = ethernet.BROADCAST) -> bytes:
    return to + mac + b"\x08\x06" + arp.build(arp.Arp(operation, mac, sender, bytes(6), target))


def frame4(
    protocol: int, payload: bytes, source: bytes = PEER4, destination: bytes = OURS4, to: bytes = MAC, **fields: int
) -> bytes:
    fields.setdefault("hop_limit", 64)
    header = ipv4.build(len(payload), protocol, source, destination, **fields)  # type: ignore[arg-type]
    return to + PEER_MAC + b"\x08\0" + header + payload


def frame6(
    protocol: int, payload: bytes, source: bytes = PEER6, destination: bytes = OURS6, to: bytes = MAC, **fields: int
) -> bytes:
    fields.setdefault("hop_limit", 64)
    header = ipv6.build(len(payload), protocol, source, destination, **fields)
    return to + PEER_MAC + b"\x86\xdd" + header + payload


def frame_icmp6(
    kind: int, rest: bytes, body: bytes, source: bytes = PEER6, destination: bytes = OURS6, hop_limit: int = 64
) -> bytes:
    to = ethernet.group_mac(destination) if destination[0] == 0xFF else MAC
    message = icmp.build6(kind, 0, rest, body, ones_sum(source + destination))
    return frame6(58, message, source, destination, to, hop_limit=hop_limit)


def frame_udp(size: int | bytes, version: int, port: int = 9, source_port: int = 7) -> bytes:
    """A datagram for us with a right checksum."""
    data = bytes(size) if isinstance(size, int) else size
    header = bytearray(
        source_port.to_bytes(2, "big") + port.to_bytes(2, "big") + (8 + len(data)).to_bytes(2, "big") + b"\0\0"
    )
    ours, peer = (OURS4, PEER4) if version == 4 else (OURS6, PEER6)
    total = ones_sum(ours + peer) + 17 + 8 + len(data) + ones_sum(bytes(header) + data)
    header[6:8] = (65535 - total % 65535).to_bytes(2, "big")
    return (frame4 if version == 4 else frame6)(17, bytes(header) + data)


def kind_of(frame: bytes) -> str:
    """What a frame is, in a word or two."""
    kind = frame[12:14]
    if kind == b"\x08\x06":
        message = arp.parse(memoryview(frame)[14:])
        if message.operation == arp.REPLY:
            return "arp reply"
        if not any(message.sender):
            return "arp probe"
        return "arp announcement" if message.sender == message.target else "arp request"
    if kind == b"\x08\0":
        return f"ip4 {frame[23]}"
    payload = ipv6.walk(memoryview(frame)[14:], frame[20])
    if payload.protocol == 58:
        return f"icmp6 {frame[14 + payload.offset]}"
    return f"ip6 {payload.protocol}"


def kinds(frames: list[bytes]) -> list[str]:
    return [kind_of(frame) for frame in frames]
