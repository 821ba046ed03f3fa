"""The IP layer with Linux as its neighbour: echo, errors, fragments, paths, UDP, and programs that look at a host."""

from __future__ import annotations

import re
import socket
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from mirage.net import TapNetwork
from mirage.tcpip.ip.packet import ErrorKind
from mirage.tcpip.stack import packed
from tapdriver import KERNEL4, KERNEL6, OURS4, OURS6, Driver, ip, sysctl

pytestmark = [pytest.mark.root, pytest.mark.tool("ip"), pytest.mark.slow, pytest.mark.usefixtures("namespace")]
OURS, KERNEL = {4: OURS4, 6: OURS6}, {4: KERNEL4, 6: KERNEL6}


@pytest.fixture(params=[False, True], ids=["plain", "offload"])
def driver(request: pytest.FixtureRequest, namespace: None) -> Iterator[Driver]:
    """A stack on a TAP."""
    driver = Driver(offload=request.param)
    yield driver
    driver.close()


@pytest.fixture
def plain(namespace: None) -> Iterator[Driver]:
    """The same, where offload makes no difference."""
    driver = Driver()
    yield driver
    driver.close()


@pytest.fixture
def far_link(plain: Driver) -> Iterator[str]:
    """Another interface of the kernel's, with a cable in it."""
    tap = TapNetwork("far%d")
    yield tap.name
    tap.close()


@pytest.mark.tool("ping")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [56, 1452, 30_000, 65_000])
def test_ping(driver: Driver, version: int, size: int) -> None:
    """Twenty echoes, the large ones in fragments both ways; none is lost."""
    # With -w it waits for twenty answers, however late they are on a busy machine; one that is lost leaves a gap.
    output = driver.run(
        "ping", f"-{version}", "-c", "20", "-w", "30", "-i", "0.01", "-s", str(size), OURS[version]
    )  # fmt: skip
    assert [int(n) for n in re.findall(r"icmp_seq=(\d+)", output)] == list(range(1, 21)), output
    assert bool(driver.stack.counters["fragments.sent"]) == (size > 1472)


@pytest.mark.tool("ping")
@pytest.mark.parametrize("target", ["224.0.0.1", "ff02::1"])
def test_ping_of_a_group(plain: Driver, target: str) -> None:
    """RFC 1122 3.2.2.6: of IPv4 not answered; of IPv6 answered by all nodes."""
    output = plain.run("ping", "-c", "2", "-i", "0.2", "-W", "1", "-I", plain.tap.name, target, code=None)
    assert (f"from {plain.link_local}" in output) == (target == "ff02::1")


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [0, 1400, 20_000, 65_000])
def test_we_ping_the_kernel(driver: Driver, version: int, size: int) -> None:
    ping, answers = driver.stack.ping(version), []
    ping.owner = lambda: answers.append(ping.read())
    ping.send(packed(KERNEL[version]), bytes(size), now=time.monotonic())
    driver.until(lambda: bool(answers))
    (echo,) = answers
    assert echo is not None
    assert (echo.data, echo.error) == (bytes(size), None)
    assert 0 < echo.seconds < 5


@pytest.mark.tool("tracepath")
@pytest.mark.parametrize("version", [4, 6])
def test_tracepath(plain: Driver, version: int) -> None:
    """The port-unreachable errors that it lives by arrive."""
    output = plain.run("tracepath", f"-{version}", "-n", OURS[version])
    assert re.search(rf"1:\s+{OURS[version]}.*reached", output), output
    assert "pmtu 1500" in output


@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_hears_that_a_port_is_closed(plain: Driver, version: int) -> None:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        udp.connect((OURS[version], 99))
        udp.send(b"x")
        plain.until(lambda: bool(plain.stack.counters["icmp.errors-sent"]))
        plain.wait(0.05)
        with pytest.raises(ConnectionRefusedError):
            udp.send(b"x")


@pytest.mark.parametrize("version", [4, 6])
def test_we_hear_that_a_port_is_closed(plain: Driver, version: int) -> None:
    endpoint = plain.stack.bind(0, version=version)
    endpoint.connect(packed(KERNEL[version]), 99)
    endpoint.send(b"x", now=time.monotonic())
    plain.until(lambda: endpoint.readable)
    assert "nobody is at the port" in str(endpoint.take_error())


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [0, 1, 1472, 9000, 60_000])
def test_udp_both_ways(driver: Driver, version: int, size: int) -> None:
    """A datagram to the kernel's socket and back, octet by octet the same."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        udp.bind((KERNEL[version], 7000))
        endpoint = driver.stack.bind(7001, version=version)
        data = bytes(n * 7 & 0xFF for n in range(size))
        endpoint.send(data, packed(KERNEL[version]), 7000, now=time.monotonic())
        got: list[tuple[bytes, tuple[str, int]]] = []

        def receive() -> bool:
            try:
                got.append(udp.recvfrom(70_000))
            except BlockingIOError:
                return False
            return True

        driver.until(receive)
        assert (got[0][0], got[0][1][:2]) == (data, (OURS[version], 7001))
        udp.sendto(data, got[0][1])
        driver.until(lambda: endpoint.readable)
        datagram = endpoint.read()
        assert datagram is not None
        assert (datagram.data, datagram.port, datagram.source) == (data, 7000, packed(KERNEL[version]))


@pytest.mark.parametrize("version", [4, 6])
def test_broadcast_and_groups(plain: Driver, version: int) -> None:
    """The kernel sends to a group that we joined, and to the broadcast address; we send to a group that it joined."""
    name, group = plain.tap.name, "239.1.2.3" if version == 4 else "ff05::123"
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    endpoint = plain.stack.bind(7000, version=version)
    endpoint.join(packed(group))
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        udp.bind(("", 7000))
        if version == 4:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(KERNEL4))
            udp.setsockopt(
                socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton(KERNEL4)
            )
            udp.sendto(b"all", ("10.9.0.255", 7000))
        else:
            index = socket.if_nametoindex(name)
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            request = packed(group) + index.to_bytes(4, sys.byteorder)
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        udp.sendto(b"group", (group, 7000))
        plain.until(lambda: endpoint.readable)
        plain.wait(0.1)
        got = {d.data for d in iter(endpoint.read, None)}
        assert got == ({b"all", b"group"} if version == 4 else {b"group"})
        endpoint.send(b"ours", packed(group), 7000, now=time.monotonic(), interface=plain.interface)
        heard: set[bytes] = set()

        def receive() -> bool:
            try:
                heard.add(udp.recv(100))
            except BlockingIOError:
                return False
            return b"ours" in heard

        plain.until(receive)


@pytest.mark.parametrize("version", [4, 6])
def test_a_path_with_a_small_mtu(plain: Driver, far_link: str, version: int) -> None:
    """The kernel routes to a link of 1300 octets and says so; what we send then arrives in fragments."""
    far = "10.8.0.9" if version == 4 else "fd00:8::9"
    ip("link", "set", far_link, "mtu", "1300", "up")
    length = 24 if version == 4 else 64
    ip(
        f"-{version}",
        "address",
        "add",
        (far[:-1] + "1") + f"/{length}",
        "dev",
        far_link,
        *(["nodad"] if version == 6 else []),
    )
    ip(f"-{version}", "neighbour", "add", far, "lladdr", "02:00:00:00:00:99", "dev", far_link)
    sysctl("ipv4/ip_forward" if version == 4 else "ipv6/conf/all/forwarding", 1)
    plain.stack.ip.add_route(ip_network(far + f"/{length}", strict=False),
                             packed(KERNEL[version]), plain.interface)  # fmt: skip
    path = plain.stack.ip.path(packed(far), time.monotonic())
    connection = plain.stack.connect(far, 80, now=time.monotonic())
    endpoint = plain.stack.bind(0, version=version)
    assert path.mtu == 1500
    path.send(17, [bytes([0, 9, 0, 9, 5, 0x64, 0, 0]) + bytes(1372)], time.monotonic(), checksum_offset=6)
    plain.until(lambda: path.mtu == 1300)
    endpoint.send(bytes(1400), packed(far), 9, now=time.monotonic())
    assert plain.stack.counters["fragments.sent"] == 2
    connection.abort()


@pytest.mark.parametrize("version", [4, 6])
def test_a_hop_limit_runs_out(plain: Driver, far_link: str, version: int) -> None:
    far = "10.8.0.9" if version == 4 else "fd00:8::9"
    ip("link", "set", far_link, "up")
    ip(f"-{version}", "route", "add", f"{far}/{32 if version == 4 else 128}", "dev", far_link)
    sysctl("ipv4/ip_forward" if version == 4 else "ipv6/conf/all/forwarding", 1)
    plain.stack.ip.add_route(ip_network(far), packed(KERNEL[version]), plain.interface)
    ping = plain.stack.ping(version)
    ping.send(packed(far), b"hello", now=time.monotonic(), hop_limit=1)
    answers = []
    ping.owner = lambda: answers.append(ping.read())
    plain.until(lambda: bool(answers))
    assert answers[0] is not None
    assert (answers[0].error, answers[0].source) == (ErrorKind.TIME_EXCEEDED, packed(KERNEL[version]))


@pytest.mark.tool("arping")
def test_arping(plain: Driver) -> None:
    output = plain.run("arping", "-c", "3", "-w", "5", "-I", plain.tap.name, OURS4)
    assert plain.tap.mac.hex(":").lower() in output.lower()
    assert "3 response" in output


@pytest.mark.tool("ndisc6")
def test_ndisc6(plain: Driver) -> None:
    for target in (OURS6, plain.link_local):
        output = plain.run("ndisc6", "-1", target, plain.tap.name)
        assert plain.tap.mac.hex(":").lower() in output.lower()


@pytest.mark.tool("nmap")
@pytest.mark.parametrize("version", [4, 6])
def test_nmap(plain: Driver, version: int) -> None:
    """The listening port is found open, the others closed, by SYN scan."""
    plain.stack.listen(80, version=version)
    six = ["-6"] if version == 6 else []
    output = plain.run("nmap", *six, "-n", "-sS", "-p", "75-85", OURS[version])
    assert re.search(r"80/tcp\s+open", output), output
    assert re.search(r"Not shown: 10 closed|75/tcp\s+closed", output), output


@pytest.mark.tool("curl")
@pytest.mark.parametrize("version", [4, 6])
def test_curl(driver: Driver, version: int) -> None:
    """A megabyte over HTTP."""
    listener = driver.stack.listen(80, version=version)
    body = bytes(range(256)) * 4096

    def accept() -> None:
        while (connection := listener.accept()) is not None:
            connection.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            connection.write(body)
            connection.shutdown()
            connection.owner = connection.read

    listener.owner = accept
    host = OURS4 if version == 4 else f"[{OURS6}]"
    output = driver.run("curl", "-sS", "--noproxy", "*", "-w", "%{http_code} %{size_download}", "-o",
                        "/dev/null", f"http://{host}/")  # fmt: skip
    assert output.endswith(f"200 {len(body)}")
