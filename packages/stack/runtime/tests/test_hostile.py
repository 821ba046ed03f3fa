"""Bulk data with the kernel over a seeded link that loses, reorders, doubles, damages and delays, or has a black hole.

The kernel's end is a TAP in a namespace of the test's own, and the link is a process between it and our stack. Every
octet is checked by SHA-256, at both ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mirage.net import SocketNetwork, TapNetwork
from mirage.net.testing import relay
from mirage.net.testing.bulk import DOWN, UP, content
from mirage.runtime import StackEventLoop
from mirage.tcpip import Settings, inspect

pytestmark = [pytest.mark.root, pytest.mark.tool("ip"), pytest.mark.slow, pytest.mark.usefixtures("namespace")]

KERNEL = {4: "10.9.0.1", 6: "fd00::1"}
OURS = {4: "10.9.0.2", 6: "fd00::2"}
MS = 1_000_000
PATIENCE = 90
RTO_MAX = 1.0
"""Seconds, at both ends: where a third is lost, timeouts would else double by chance until nobody waits any more."""
SYN_RETRIES = 30
"""At both ends, for timeouts that do not double are soon used up: half of all SYNs stay without an answer there."""
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "clean": (4_000_000, {}),
    "loss-1": (1_000_000, {"loss": 0.01}),
    "loss-5": (300_000, {"loss": 0.05}),
    "loss-10": (100_000, {"loss": 0.1}),
    "loss-30": (4_000, {"loss": 0.3}),
    "reorder": (1_000_000, {"reorder": 0.05, "reorder_ns": 5 * MS}),
    "duplicate": (1_000_000, {"duplicate": 0.1}),
    "corrupt": (500_000, {"corrupt": 0.02}),
    "delay": (1_000_000, {"delay_ns": 40 * MS, "jitter_ns": 4 * MS}),
    "small-mtu": (500_000, {"mtu": 600, "loss": 0.01}),
    "black-hole": (500_000, {"largest": 1100}),
    "black-hole-6": (500_000, {"largest": 14 + 1280}),
    "all": (200_000, {"loss": 0.02, "reorder": 0.02, "duplicate": 0.02, "corrupt": 0.01, "jitter_ns": 2 * MS}),
}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def kernel_end(mtu: int) -> TapNetwork:
    """A TAP whose other end is the kernel's, with an address of each version; the kernel looks for black holes."""
    tap = TapNetwork("hostile%d")
    tap.close()
    ip("tuntap", "add", "dev", "hostile0", "mode", "tap", "vnet_hdr")
    ip("link", "set", "hostile0", "mtu", str(max(mtu, 1280)))
    Path("/proc/sys/net/ipv6/conf/hostile0/accept_dad").write_text("0")
    Path("/proc/sys/net/ipv4/tcp_mtu_probing").write_text("1")
    Path("/proc/sys/net/ipv4/tcp_syn_retries").write_text(str(SYN_RETRIES))
    longest = Path("/proc/sys/net/ipv4/tcp_rto_max_ms")
    if longest.exists():  # Linux 6.15; without, a test may have to wait for what was doubled often
        longest.write_text(f"{RTO_MAX * 1000:.0f}")
    ip("address", "add", f"{KERNEL[4]}/24", "dev", "hostile0")
    ip("-6", "address", "add", f"{KERNEL[6]}/64", "dev", "hostile0", "nodad")
    ip("link", "set", "hostile0", "mtu", str(mtu))
    ip("link", "set", "hostile0", "up")
    return TapNetwork("hostile0")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Our end of what `mirage.net.testing.bulk` says."""
    data = await reader.read()
    writer.write(hashlib.sha256(data).digest() + content(DOWN, len(data)))
    writer.close()
    await writer.wait_closed()


async def ask(size: int, host: str) -> None:
    """The same from us to the kernel."""
    reader, writer = await asyncio.open_connection(host, 7)
    writer.write(content(UP, size))
    writer.write_eof()
    received = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert received[:32] == hashlib.sha256(content(UP, size)).digest()
    assert received[32:] == content(DOWN, size)


@pytest.mark.parametrize(
    ("case", "version"),
    [(case, 4 + 2 * (number % 2)) for number, case in enumerate(CASES)] + [("clean", 6), ("small-mtu", 4)],
)
def test_every_octet_arrives(case: str, version: int) -> None:
    """Up and down a connection of the kernel's, and one of ours."""
    size, given = CASES[case]
    properties = {"delay_ns": 2 * MS, "seed": 11, **given}
    mtu = properties.pop("mtu", 1500)
    if version == 6 and mtu < 1280:
        mtu = 1280  # RFC 8200 5: a link that carries IPv6 carries that
    tap = kernel_end(mtu)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours = SocketNetwork(near, mac=bytes.fromhex("020000000001"), mtu=mtu, offload=False)
    end = SocketNetwork(far, mac=bytes.fromhex("020000000002"), mtu=mtu, offload=False)
    loop = StackEventLoop(settings=Settings(rto_max=RTO_MAX, syn_retries=SYN_RETRIES))
    interface = loop.attach(ours)
    for address, length in ((OURS[4], 24), (OURS[6], 64)):
        loop.stack.ip.add_address(interface, ipaddress.ip_address(address).packed, length)
    words = [sys.executable, "-m", "mirage.net.testing.bulk"]

    async def main() -> None:
        server = await asyncio.start_server(answer, None, 7)
        kernel = await asyncio.create_subprocess_exec(
            *words, "serve", KERNEL[version], "7", "--patience", str(PATIENCE), stdout=asyncio.subprocess.PIPE
        )
        assert kernel.stdout is not None
        assert await kernel.stdout.readline() == b"ready\n"
        try:
            client = await asyncio.create_subprocess_exec(
                *words, "exchange", OURS[version], "7", str(size), "--patience", str(PATIENCE)
            )
            assert await client.wait() == 0
            await ask(size, KERNEL[version])
        finally:
            kernel.kill()
            await kernel.wait()
            server.close()

    try:
        with relay(tap, end, **properties):
            try:
                loop.run_until_complete(asyncio.wait_for(main(), PATIENCE))
            except TimeoutError as error:
                error.add_note(json.dumps([inspect.connections(loop.stack, loop.time()), inspect.counters(loop.stack)]))
                raise
    finally:
        loop.close()
        for device in (tap, end, ours):
            device.close()
