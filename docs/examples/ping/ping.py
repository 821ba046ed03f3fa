"""Answers pings: ARP (RFC 826) and ICMP echo (RFC 792) on an Ethernet device, and nothing else.

As a unikernel it has `/dev/net0`; the one argument is its address, `--ipv4=10.0.0.2`.
"""

import argparse
import asyncio
import ipaddress
import struct

from mirage.net import DeviceNetwork

ARP, IPV4 = b"\x08\x06", b"\x08\x00"
ICMP, ECHO_REQUEST = 1, 8
ARP_REQUEST, ARP_REPLY = b"\x00\x01", b"\x00\x02"


def checksum(octets: bytes) -> bytes:
    """The complement of the ones' complement sum of 16-bit words (RFC 1071)."""
    octets += bytes(len(octets) % 2)
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return (total ^ 0xFFFF).to_bytes(2, "big")


def arp_reply(frame: bytes, mac: bytes, ip: bytes) -> bytes | None:
    """The answer to an ARP request for our address."""
    if len(frame) < 42 or frame[20:22] != ARP_REQUEST or frame[38:42] != ip:
        return None
    asker = frame[22:32]  # its Ethernet and its IPv4 address
    return asker[:6] + mac + ARP + frame[14:20] + ARP_REPLY + mac + ip + asker


def echo_reply(frame: bytes, mac: bytes, ip: bytes) -> bytes | None:
    """The answer to an echo request for our address; a header with options, or a fragment, gets none."""
    if len(frame) < 42 or frame[14] != 0x45 or frame[23] != ICMP or frame[30:34] != ip:
        return None
    end = 14 + int.from_bytes(frame[16:18], "big")
    fragment = int.from_bytes(frame[20:22], "big") & 0x3FFF
    if fragment or frame[34] != ECHO_REQUEST or not 42 <= end <= len(frame):
        return None
    body = frame[38:end]
    header = frame[14:24] + b"\0\0" + ip + frame[26:30]
    header = header[:10] + checksum(header) + header[12:]
    return frame[6:12] + mac + IPV4 + header + b"\0\0" + checksum(b"\0\0\0\0" + body) + body


ANSWERS = {ARP: arp_reply, IPV4: echo_reply}


async def main() -> None:
    """Serve until the task is cancelled, by Ctrl-C say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ipv4", type=ipaddress.IPv4Address, required=True)
    ip = parser.parse_args().ipv4.packed
    device = DeviceNetwork("/dev/net0")

    def serve() -> None:
        for _, frame in device.receive_many():
            answer = ANSWERS.get(bytes(frame[12:14]))
            reply = answer and answer(bytes(frame), device.mac, ip)
            if reply:
                device.send([reply])

    device.on_readable(serve)
    print(f"{device.mac.hex(':')} answers for {ipaddress.IPv4Address(ip)}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        stats = device.stats
        print(f"{stats.frames_received} frames came, {stats.frames_sent} went, {stats.frames_dropped} were dropped")
        device.close()


try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
