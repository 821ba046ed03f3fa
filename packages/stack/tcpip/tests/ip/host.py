"""One stack with an interface, and a test at the other end of its cable that writes and reads single frames."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from mirage.tcpip.settings import Settings
from mirage.tcpip.stack import Stack
from mirage.tcpip.wire import arp, ethernet, icmp, ipv4, ipv6
from mirage.tcpip.wire.checksum import ones_sum
from mirage.types import FrameMeta
from mirage.types.testing import SeededRandom

OURS4, THEIRS4 = ip_address("10.0.0.1").packed, ip_address("10.0.0.2").packed
OURS6, THEIRS6 = ip_address("fd00::1").packed, ip_address("fd00::2").packed
MAC, PEER = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
ROUTER6 = ip_address("fe80::1").packed


def packed(text: str) -> bytes:
    return ip_address(text).packed


class Host:
    """The stack under test; `now` moves only as a test says."""

    def __init__(
        self, settings: Settings | None = None, *, seed: int = 1, known: bool = True, reports: bool = False
    ) -> None:
        """`known`: the peer's Ethernet address needs not be asked for. `reports`: of multicast groups."""
        settings = replace(settings or Settings(), multicast_reports=reports)
        self.stack = Stack(random=SeededRandom(seed, predictable=True), settings=settings)
        self.ip = self.stack.ip
        self.now = 0.0
        self.interface = self.stack.add_interface("eth0", MAC, 1500)
        self.ip.add_address(self.interface, OURS4, 24)
        self.ip.add_address(self.interface, OURS6, 64)
        if known:
            self.ip.neighbours.set_permanent(self.interface, THEIRS4, PEER)
            self.ip.neighbours.set_permanent(self.interface, THEIRS6, PEER)
        self.take()

    @property
    def counters(self) -> dict[str, int]:
        return {name: count for name, count in self.stack.counters.items() if count}

    @property
    def link_local(self) -> bytes:
        return next(a for a in self.interface.addresses if a[0] == 0xFE)

    def take(self) -> list[bytes]:
        """What the stack has sent."""
        return [b"".join(parts) for _, parts in self.interface.take_output(self.now)]

    def give(self, *frames: bytes) -> list[bytes]:
        """Hand over frames; what is sent because of them."""
        self.stack.input(self.interface, [(FrameMeta(), memoryview(f)) for f in frames], self.now)
        self.stack.poll(self.now)
        return self.take()

    def wait(self, seconds: float) -> list[bytes]:
        """Let time pass; what is sent meanwhile."""
        end, sent = self.now + seconds, []
        for _ in range(10_000):
            due = self.stack.next_deadline()
            if due > end:
                break
            self.now = max(self.now, due)
            self.stack.poll(self.now)
            sent += self.take()
        else:
            raise AssertionError("the stack does not come to rest")
        self.now = end
        self.stack.poll(end)
        return sent + self.take()


def frame4(payload: bytes, protocol: int, *, source: bytes = THEIRS4, to: bytes = OURS4, mac: bytes = MAC,
           **header: int) -> bytes:  # fmt: skip
    return (
        mac + PEER + b"\x08\0"
        + ipv4.build(len(payload), protocol, source, to, **{"hop_limit": 64, **header}) + payload  # type: ignore[arg-type]
    )  # fmt: skip


def frame6(payload: bytes, protocol: int, *, source: bytes = THEIRS6, to: bytes = OURS6, mac: bytes = MAC,
           hop_limit: int = 64) -> bytes:  # fmt: skip
    return mac + PEER + b"\x86\xdd" + ipv6.build(len(payload), protocol, source, to, hop_limit=hop_limit) + payload


def icmp6(kind: int, body: bytes, *, code: int = 0, source: bytes = THEIRS6, to: bytes = OURS6, mac: bytes = MAC,
          hop_limit: int = 255) -> bytes:  # fmt: skip
    message = icmp.build6(kind, code, body[:4], body[4:], ones_sum(source + to))
    return frame6(message, 58, source=source, to=to, mac=mac, hop_limit=hop_limit)


def icmp4(kind: int, code: int, rest: bytes, body: bytes, **addresses: bytes) -> bytes:
    return frame4(icmp.build4(kind, code, rest, body), 1, **addresses)  # type: ignore[arg-type]


def arp_frame(operation: int, sender: bytes, target: bytes, *, mac: bytes = PEER, to: bytes = MAC) -> bytes:
    message = arp.build(arp.Arp(operation, mac, sender, bytes(6), target))
    return to + mac + ethernet.ARP.to_bytes(2, "big") + message


def udp4(data: bytes, *, port: int = 9, source_port: int = 1000) -> bytes:
    """A UDP datagram without checksum, which IPv4 allows."""
    return (
        source_port.to_bytes(2, "big") + port.to_bytes(2, "big") + (8 + len(data)).to_bytes(2, "big") + b"\0\0" + data
    )


def messages6(frames: list[bytes], kind: int | None = None) -> list[tuple[bytes, bytes, bytes]]:
    """Of the ICMPv6 messages among frames: source, destination, and the message; only of a kind, if one is given."""
    found = []
    for frame in frames:
        if frame[12:14] != b"\x86\xdd":
            continue
        packet = memoryview(frame)[14:]
        inner = ipv6.walk(packet, packet[6])
        message = bytes(packet[inner.offset :])
        if inner.protocol == 58 and kind in {None, message[0]}:
            total = ones_sum(frame[22:54]) + 58 + len(message) + ones_sum(message)
            assert total % 65535 == 0, "a wrong checksum"
            found.append((frame[22:38], frame[38:54], message))
    return found
