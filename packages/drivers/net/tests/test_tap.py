"""A TAP interface, with the kernel's network stack at its other end, in a network namespace of the test's own."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import random
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirage.net import BadOffload, NetworkUnavailable, TapNetwork, _tap
from mirage.types import Checksum, FrameMeta, Offload, OffloadNetwork, Segmentation

pytestmark = [pytest.mark.root, pytest.mark.tool("ip"), pytest.mark.usefixtures("namespace")]

ALL = Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6 | Offload.ECN
KERNEL4, OURS4 = "10.9.0.1", "10.9.0.2"
KERNEL6, OURS6 = "fd00::1", "fd00::2"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def tap(namespace: None) -> Iterator[TapNetwork]:
    """An interface that is up, with an address, and a kernel that knows ours without asking."""
    device = TapNetwork("test%d")
    name = device.name
    for setting, value in (("accept_dad", "0"), ("router_solicitations", "0"), ("addr_gen_mode", "1")):
        Path(f"/proc/sys/net/ipv6/conf/{name}/{setting}").write_text(value)
    ip("address", "add", f"{KERNEL4}/24", "dev", name)
    ip("-6", "address", "add", f"{KERNEL6}/64", "dev", name, "nodad")
    ip("link", "set", name, "up")
    for address in (OURS4, OURS6):
        ip("neighbour", "replace", address, "lladdr", device.mac.hex(":"), "dev", name)
    yield device
    device.close()


def ones_sum(*parts: bytes) -> int:
    """The ones' complement sum of 16-bit words (RFC 1071)."""
    octets = b"".join(part + b"\0" * (len(part) % 2) for part in parts)
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def address(mac: bytes) -> bytes:
    """The kernel's address, which ours was made from."""
    return bytes([mac[0], mac[1] ^ 0x80]) + mac[2:]


def receive(tap: TapNetwork, start: bytes) -> list[tuple[FrameMeta, bytes]]:
    """The frames that wait, or come within five seconds, and whose type and protocol are those wanted."""
    while select.select([tap], [], [], 5)[0]:
        frames = [(meta, bytes(frame)) for meta, frame in tap.receive_many() if frame[12:14] == start]
        if frames:
            return frames
    raise AssertionError("the kernel sent nothing")


def test_fits_the_protocol(tap: TapNetwork) -> None:
    """A TAP is an `OffloadNetwork`; its address is not the kernel's; its name and MTU are the interface's."""
    assert isinstance(tap, OffloadNetwork)
    kernel = (
        Path("/proc/net/dev_mcast").exists()
        and subprocess.run(["ip", "-o", "link", "show", tap.name], check=True, capture_output=True, text=True).stdout
    )
    assert address(tap.mac).hex(":") in str(kernel)
    assert tap.name.startswith("test")
    assert tap.mtu == 1500


@pytest.mark.tool("ping")
@pytest.mark.slow
def test_the_kernel_pings_us() -> None:
    """ARP and five hundred echo requests, answered by a few lines on top of the plain interface; none is lost."""
    mine = ipaddress.ip_address(OURS4).packed

    def answer(frame: bytes, mac: bytes) -> bytes | None:
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1" and frame[38:42] == mine:  # RFC 826: request
            return frame[6:12] + mac + frame[12:20] + b"\0\2" + mac + mine + frame[22:32]
        if frame[12:14] == b"\x08\0" and frame[23] == 1 and frame[34] == 8:  # RFC 792: echo
            body = b"\0\0\0\0" + frame[38 : 14 + int.from_bytes(frame[16:18], "big")]
            checksum = (0xFFFF - ones_sum(body)).to_bytes(2, "big")
            return frame[6:12] + mac + frame[12:26] + mine + frame[26:30] + body[:2] + checksum + body[4:]
        return None

    async def main() -> str:
        tap = TapNetwork("ping%d", mac=b"\2\0\0\0\0\7")
        ip("address", "add", f"{KERNEL4}/24", "dev", tap.name)
        ip("link", "set", tap.name, "up")

        def serve() -> None:
            while (frame := tap.receive()) is not None:
                if reply := answer(bytes(frame), tap.mac):
                    assert tap.send([reply[:14], reply[14:]])

        tap.on_readable(serve)
        ping = await asyncio.create_subprocess_exec(
            "ping", "-f", "-c", "500", "-w", "20", "-s", "1000", OURS4, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await ping.communicate()
        assert tap.stats.frames_dropped == 0
        tap.close()
        return output.decode()

    assert "500 packets transmitted, 500 received, 0% packet loss" in asyncio.run(main())


class Talk:
    """Just enough TCP (RFC 9293) to be the other end of one connection of the kernel's, over either version of IP."""

    def __init__(self, tap: TapNetwork, version: int) -> None:
        self.tap = tap
        self.type = b"\x08\0" if version == 4 else b"\x86\xdd"
        self.start = 34 if version == 4 else 54
        kernel, ours = (KERNEL4, OURS4) if version == 4 else (KERNEL6, OURS6)
        self.source, self.dest = (ipaddress.ip_address(text).packed for text in (ours, kernel))
        self.segmentation = Segmentation.TCP4 if version == 4 else Segmentation.TCP6
        self.socket = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6)
        # Some kernels pace by default, which makes the length of super-frames a matter of time.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
        self.socket.setblocking(False)
        self.socket.connect_ex((ours, 7))
        _, syn = self.segments()[0]
        self.port, self.expected, self.sent = int.from_bytes(syn[:2], "big"), int.from_bytes(syn[4:8], "big") + 1, 1000
        self.say(b"", flags=0x12, options=struct.pack("!BBH", 2, 4, 1000))  # RFC 9293 3.2: maximum segment size
        self.sent += 1
        self.segments()
        self.socket.settimeout(5)

    def segments(self) -> list[tuple[FrameMeta, bytes]]:
        """The kernel's next segments, with what was said of them."""
        protocol = 23 if self.start == 34 else 20
        while True:
            found = []
            for meta, frame in receive(self.tap, self.type):
                if frame[protocol] == 6:
                    end = 14 + int.from_bytes(frame[16:18], "big") if self.start == 34 else len(frame)
                    found.append((meta, frame[self.start : end]))
            if found:
                return found

    def say(self, payload: bytes, *, flags: int = 0x18, options: bytes = b"", mss: int = 0) -> None:
        """Send a segment, or with `mss` a super-frame, and leave the checksum to the kernel."""
        size = 20 + len(options) + len(payload)
        pseudo = ones_sum(self.source, self.dest, struct.pack("!II", size, 6))
        offset = (20 + len(options)) << 2
        tcp = (
            struct.pack("!HHIIBBHHH", 7, self.port, self.sent, self.expected, offset, flags, 65535, pseudo, 0) + options
        )
        if self.start == 34:
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + size, 0, 0x4000, 64, 6, 0) + self.source + self.dest
            head = head[:10] + (0xFFFF - ones_sum(head)).to_bytes(2, "big") + head[12:]
        else:
            head = struct.pack("!IHBB", 6 << 28, size, 6, 64) + self.source + self.dest
        meta = FrameMeta(Checksum.PARTIAL, self.start, 16)
        if mss:
            meta = meta._replace(segmentation=self.segmentation, segment_size=mss, header_size=self.start + len(tcp))
        ethernet = address(self.tap.mac) + self.tap.mac + self.type
        assert self.tap.send_many([(meta, [ethernet + head + tcp, payload])]) == 1
        self.sent += len(payload)


@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_sends_super_frames(tap: TapNetwork, version: int) -> None:
    """A large write comes as one frame whose meta says how to cut it and where the checksum goes."""
    assert tap.enable_offload(ALL) == ALL
    talk = Talk(tap, version)
    with talk.socket:
        content = random.Random(version).randbytes(9000)
        talk.socket.sendall(content)
        got: dict[int, bytes] = {}
        longest = 0
        while sum(map(len, got.values())) < 9000:
            for meta, segment in talk.segments():
                assert meta[:3] == (Checksum.PARTIAL, talk.start, 16)
                pseudo = ones_sum(talk.dest, talk.source, struct.pack("!II", len(segment), 6))
                assert int.from_bytes(segment[16:18], "big") == pseudo
                if len(segment) > 1020:
                    assert meta[3:] == (talk.segmentation, 1000, talk.start + 20, False)
                longest = max(longest, len(segment))
                got[int.from_bytes(segment[4:8], "big")] = segment[20:]
        assert b"".join(got[number] for number in sorted(got, key=lambda n: (n - talk.expected) % 2**32)) == content
        assert longest > 1500


@pytest.mark.parametrize("version", [4, 6])
def test_without_offload_the_kernel_cuts_and_sums(tap: TapNetwork, version: int) -> None:
    """The same write comes in frames of the agreed size, each with a right checksum."""
    assert tap.enable_offload(Offload.CHECKSUM) == Offload.CHECKSUM
    talk = Talk(tap, version)
    with talk.socket:
        tap.enable_offload(Offload.NONE)
        content = random.Random(version).randbytes(3000)
        talk.socket.sendall(content)
        got: dict[int, bytes] = {}
        while sum(map(len, got.values())) < 3000:
            for _, segment in talk.segments():
                pseudo = struct.pack("!II", len(segment), 6)
                assert ones_sum(talk.dest, talk.source, pseudo, segment) == 0xFFFF
                assert len(segment) == 1020
                got[int.from_bytes(segment[4:8], "big")] = segment[20:]
        assert b"".join(got[number] for number in sorted(got, key=lambda n: (n - talk.expected) % 2**32)) == content


@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_takes_super_frames(tap: TapNetwork, version: int) -> None:
    """Sixty thousand octets in one frame arrive in the kernel's socket as they were."""
    assert tap.enable_offload(ALL) == ALL
    talk = Talk(tap, version)
    with talk.socket:
        content = random.Random(version).randbytes(60_000)
        talk.say(content, mss=1000)
        got = b""
        while len(got) < 60_000:
            part = talk.socket.recv(1 << 20)
            assert part, "the kernel closed the connection"
            got += part
        assert got == content


def test_udp_with_a_partial_checksum(tap: TapNetwork) -> None:
    """The kernel leaves the sum to us when we asked for that, and gives it complete when we did not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for enabled in (Offload.CHECKSUM, Offload.NONE):
            tap.enable_offload(enabled)
            udp.sendto(b"hello", (OURS4, 9))
            meta, frame = receive(tap, b"\x08\0")[0]
            datagram = frame[34:47]
            pseudo = [frame[26:34], struct.pack("!HH", 17, 13)]
            if enabled:
                assert meta == FrameMeta(Checksum.PARTIAL, 34, 6)
                assert int.from_bytes(datagram[6:8], "big") == ones_sum(*pseudo)
            else:
                assert meta == FrameMeta()
                assert ones_sum(*pseudo, datagram) == 0xFFFF


def test_a_frame_that_contradicts_its_meta_is_refused(tap: TapNetwork) -> None:
    """What the kernel itself refuses is the caller's mistake, and the device goes on."""
    tap.enable_offload(ALL)
    meta = FrameMeta(Checksum.PARTIAL, 34, 16, Segmentation.TCP4, 1000, 5000)
    with pytest.raises(BadOffload, match="refuses"):
        tap.send_many([(meta, [bytes(2000)])])
    assert tap.send([bytes(60)])


def test_down_is_unplugged(tap: TapNetwork) -> None:
    """While the interface is down, frames are lost and counted; up again, it works."""
    ip("link", "set", tap.name, "down")
    while tap.receive_many():  # what the kernel said while it was up
        pass
    assert not tap.send([bytes(60)])
    assert tap.receive_many() == []
    assert tap.stats.frames_dropped == 1
    ip("link", "set", tap.name, "up")
    assert tap.send([bytes(60)])


def test_an_interface_that_is_deleted(tap: TapNetwork) -> None:
    """An error that names it, not silence."""
    ip("link", "delete", tap.name)
    with pytest.raises(NetworkUnavailable, match="test0 does not work any more"):
        tap.send([bytes(60)])
    with pytest.raises(NetworkUnavailable, match="test0 does not work any more"):
        tap.receive()


def test_an_existing_interface_is_attached_to() -> None:
    """With its own MTU; it stays when we go, and keeps the address of our end."""
    ip("tuntap", "add", "dev", "kept", "mode", "tap")
    ip("link", "set", "kept", "mtu", "9000")
    first = TapNetwork("kept")
    mac = first.mac
    assert (first.name, first.mtu) == ("kept", 9000)
    first.close()
    again = TapNetwork("kept")
    assert again.mac == mac
    again.close()
    ip("link", "show", "kept")


def test_opening_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch, tap: TapNetwork) -> None:
    """Each obstacle is named, with its remedy, and leaves no descriptor open."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NetworkUnavailable, match="in use by another program"):
        TapNetwork(tap.name)
    with pytest.raises(NetworkUnavailable, match="is no TAP"):
        TapNetwork("lo")
    for name in ("", "sixteen-letters!", "0123456789abcdef", "a b", "a/b", ".."):
        with pytest.raises(ValueError, match="no interface name"):
            TapNetwork(name)
    with pytest.raises(ValueError, match="no address of one station"):
        TapNetwork("fresh", mac=b"\xff" * 6)
    monkeypatch.setattr(_tap, "_CLONE", "/dev/net/tun-is-not-here")
    with pytest.raises(NetworkUnavailable, match=r"modprobe tun.*--device"):
        TapNetwork("fresh")
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_rights() -> None:
    """Somebody who is not root is told the command that root would have to run."""
    program = (
        "import os; from mirage.net import TapNetwork; os.setgid(65534); os.setuid(65534)\n"
        "try: TapNetwork('nope%d')\nexcept Exception as e: print(type(e).__name__, e)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("NetworkUnavailable you may not ")
    assert (
        "sudo ip tuntap add dev nope0 mode tap user 65534 && sudo ip link" in done.stdout or "chmod 666" in done.stdout
    )
