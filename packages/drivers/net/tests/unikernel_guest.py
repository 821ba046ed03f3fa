"""What `test_unikernel.py` runs in a guest: just enough UDP and TCP (RFC 9293) to talk to the host's kernel."""

import os
import select
import struct

from mirage.net import DeviceNetwork, NetworkUnavailable
from mirage.types import Checksum, FrameMeta, Offload, OffloadNetwork, Segmentation

ALL = Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6 | Offload.ECN
OURS, KERNEL = bytes([10, 9, 0, 2]), bytes([10, 9, 0, 1])
UDP, TCP = 17, 6


def ones_sum(*parts):
    octets = b"".join(part + b"\0" * (len(part) % 2) for part in parts)
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


device = DeviceNetwork("/dev/net0")
kernel_mac = bytes([device.mac[0], device.mac[1] ^ 0x80]) + device.mac[2:]


def packets(protocol):
    """The next packets of the kernel's to us: what was said of each, and its payload."""
    while True:
        select.select([device], [], [])
        found = []
        for meta, frame in device.receive_many():
            octets = bytes(frame)
            if octets[12:14] == b"\x08\0" and octets[23] == protocol and octets[30:34] == OURS:
                found.append((meta, octets[34 : 14 + int.from_bytes(octets[16:18], "big")]))
        if found:
            return found


def send(protocol, segment, payload=b"", mss=0):
    """A packet whose checksum, and whose segmentation if there is an MSS, are left to the kernel."""
    size = 20 + len(segment) + len(payload)
    head = struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0x4000, 64, protocol, 0) + OURS + KERNEL
    head = head[:10] + (0xFFFF - ones_sum(head)).to_bytes(2, "big") + head[12:]
    meta = FrameMeta(Checksum.PARTIAL, 34, 6 if protocol == UDP else 16)
    if mss:
        meta = meta._replace(segmentation=Segmentation.TCP4, segment_size=mss, header_size=34 + len(segment))
    frame = [kernel_mac + device.mac + b"\x08\0" + head, segment, payload]
    while not device.send_many([(meta, frame)]):
        select.select([], [device], [])


def pseudo(protocol, size):
    return ones_sum(OURS, KERNEL, struct.pack("!II", size, protocol))


def udp():
    """Two datagrams: one whose sum the kernel left to us, one that it summed itself; both go back."""
    for enabled in (Offload.CHECKSUM, Offload.NONE):
        assert device.enable_offload(enabled) == enabled
        print("udp", flush=True)
        meta, datagram = packets(UDP)[0]
        source = int.from_bytes(datagram[:2], "big")
        if enabled:
            assert meta == FrameMeta(Checksum.PARTIAL, 34, 6), meta
            assert int.from_bytes(datagram[6:8], "big") == pseudo(UDP, len(datagram))
            size = len(datagram)
            send(UDP, struct.pack("!HHHH", 9, source, size, pseudo(UDP, size)), datagram[8:])
        else:
            assert meta == FrameMeta(), meta
            assert ones_sum(pseudo(UDP, len(datagram)).to_bytes(2, "big"), datagram) == 0xFFFF


def tcp():
    """One connection: what the kernel sends comes in super-frames, and goes back in one of our own."""
    assert device.enable_offload(ALL) == ALL
    print("tcp", flush=True)
    _, syn = packets(TCP)[0]
    port, expected, sent = int.from_bytes(syn[:2], "big"), int.from_bytes(syn[4:8], "big") + 1, 1000

    def say(payload=b"", flags=0x10, options=b"", mss=0):
        size = 20 + len(options) + len(payload)
        offset = 20 + len(options) << 2
        words = struct.pack("!HHIIBBHHH", 7, port, sent, expected, offset, flags, 65535, pseudo(TCP, size), 0)
        send(TCP, words + options, payload, mss)

    say(flags=0x12, options=struct.pack("!BBH", 2, 4, 1000))  # RFC 9293 3.2: maximum segment size
    sent += 1
    got, longest = b"", 0
    while len(got) < 60_000:
        for meta, segment in packets(TCP):
            payload = segment[(segment[12] >> 4) * 4 :]
            if int.from_bytes(segment[4:8], "big") != expected:
                continue  # what we have already
            if len(payload) > 1000:
                assert meta[3:5] == (Segmentation.TCP4, 1000), meta
            longest = max(longest, len(payload))
            got += payload
            expected += len(payload)
        say()
    say(got, flags=0x18, mss=1000)
    sent += len(got)
    while expected and int.from_bytes(packets(TCP)[-1][1][8:12], "big") != sent & 0xFFFFFFFF:
        pass
    print("longest", longest, flush=True)


print(device.mac.hex(), device.mtu, isinstance(device, OffloadNetwork), flush=True)
udp()
tcp()
print("down", flush=True)
os.read(0, 1)
print(device.send([bytes(60)]), device.stats.frames_dropped, flush=True)
try:
    while True:  # until the interface is deleted
        select.select([device], [], [])
        device.receive_many()
except NetworkUnavailable as error:
    print(error)
