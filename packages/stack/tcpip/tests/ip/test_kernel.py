"""The kernel's network stack as the neighbour: what it and its tools make of ours, and ours of them."""

from __future__ import annotations

import re
import socket

import pytest
from mirage.types import Offload
from taphost import KERNEL4, KERNEL6, OURS4, OURS6, TapHost

pytestmark = [pytest.mark.root, pytest.mark.tool("ip"), pytest.mark.usefixtures("namespace"), pytest.mark.slow]

BOTH = pytest.mark.parametrize(("ours", "kernel"), [(OURS4, KERNEL4), (OURS6, KERNEL6)], ids=["4", "6"])


@pytest.mark.tool("ping")
@BOTH
@pytest.mark.parametrize("size", [0, 56, 1452, 30_000, 65_000])
def test_ping(ours: str, kernel: str, size: int) -> None:
    """Echo requests of all sizes are answered, fragmented in both directions where they do not fit."""
    with TapHost() as host:
        status, said = host.run("ping", "-c", "5", "-i", "0.02", "-s", str(size), "-W", "5", ours)
        assert status == 0, said
        assert "5 received, 0% packet loss" in said
        assert (host.stack.counters["fragments.sent"] > 0) is (size > 1472)


@pytest.mark.tool("tracepath")
@BOTH
def test_tracepath(ours: str, kernel: str) -> None:
    """Datagrams to a port where nobody is are answered with an ICMP error that the kernel believes."""
    with TapHost() as host:
        status, said = host.run("tracepath", "-n", ours)
        assert status == 0, said
        assert "reached" in said
        assert "pmtu 1500 hops 1 back 1" in said


@pytest.mark.tool("arping")
def test_arping() -> None:
    """ARP requests are answered, broadcast or not; a probe for our address too (RFC 5227 2.1.1)."""
    with TapHost() as host:
        status, said = host.run("arping", "-c", "2", "-I", host.name, OURS4)
        assert status == 0, said
        assert "Received 2 response" in said
        host.until(lambda: not any(own.checking for own in host.interface.addresses.values()))
        status, said = host.run("arping", "-D", "-c", "1", "-w", "2", "-I", host.name, OURS4)
        assert status == 1, "it was said to be free: " + said


@pytest.mark.tool("ndisc6")
def test_ndisc6() -> None:
    """Neighbour solicitations are answered with our address."""
    with TapHost() as host:
        status, said = host.run("ndisc6", "-1", OURS6, host.name)
        assert status == 0, said
        assert host.tap.mac.hex(":").upper() in said


@BOTH
@pytest.mark.parametrize("offload", [Offload.NONE, Offload.CHECKSUM])
@pytest.mark.parametrize("size", [0, 1, 1400, 20_001, 65_000])
def test_udp(ours: str, kernel: str, offload: Offload, size: int) -> None:
    """Datagrams arrive as they were sent, both ways, with and without checksum offload, fragmented or not."""
    family = socket.AF_INET if ours == OURS4 else socket.AF_INET6
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    with TapHost(offload=offload) as host, socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.bind((kernel, 7))
        peer.settimeout(5)
        endpoint = host.stack.bind(9, ours)
        peer.sendto(data, (ours, 9))
        host.until(lambda: endpoint.readable)
        datagram = endpoint.read()
        assert datagram is not None
        assert (datagram.data, datagram.port, datagram.hop_limit) == (data, 7, 64)
        endpoint.send(data, datagram.source, datagram.port, now=host.now)
        host.flush()
        assert peer.recvfrom(1 << 17)[0] == data


@BOTH
def test_nobody_at_the_port(ours: str, kernel: str) -> None:
    """The sender of a datagram to a port where nobody is learns so, on either side (RFC 1122 4.1.3.3)."""
    family = socket.AF_INET if ours == OURS4 else socket.AF_INET6
    with TapHost() as host, socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.connect((ours, 9))
        peer.send(b"anybody?")
        host.until(lambda: host.stack.counters["icmp.errors-sent"] > 0)
        with pytest.raises(ConnectionRefusedError):
            peer.send(b"hello?")
        endpoint = host.stack.bind(version=4 if ours == OURS4 else 6)
        endpoint.connect(peer.getsockname()[0] and socket.inet_pton(family, kernel), 1)
        endpoint.send(b"anybody?", now=host.now)
        host.until(lambda: endpoint.readable)
        assert re.match(r"nobody is at the port, says ", str(endpoint.take_error()))
        assert endpoint.take_error() is None
