"""Programs that look at the stack over a TAP, routes of the kernel behind it, and a bridge that snoops on groups."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from mirage.net import TapNetwork
from mirage.tcpip.stack import packed
from mirage.types import Offload
from taphost import KERNEL4, KERNEL6, OURS4, OURS6, TapHost, ip, sysctl

pytestmark = [pytest.mark.root, pytest.mark.tool("ip"), pytest.mark.usefixtures("namespace"), pytest.mark.slow]

OURS, KERNEL = {4: OURS4, 6: OURS6}, {4: KERNEL4, 6: KERNEL6}
FAR = {4: "10.8.0.9", 6: "fd00:8::9"}
EVERYTHING = Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6 | Offload.ECN


@pytest.mark.tool("nmap")
@pytest.mark.parametrize("version", [4, 6])
def test_nmap(version: int) -> None:
    """A SYN scan finds the port that listens open and the others closed."""
    with TapHost() as host:
        host.stack.listen(80, version=version)
        words = ["nmap", *(["-6"] if version == 6 else []), "-n", "-sS", "-p", "75-85", OURS[version]]
        status, output = host.run(*words, patience=60)
        assert status == 0
        assert re.search(r"80/tcp\s+open", output), output
        assert re.search(r"Not shown: 10 closed|75/tcp\s+closed", output), output


@pytest.mark.tool("nmap")
def test_nmap_guesses() -> None:
    """Its questions for a fingerprint are answered or not, as each deserves; it finds no number that can be guessed."""
    with TapHost() as host:
        host.stack.listen(80, version=4)
        words = ["nmap", "-n", "-v", "-O", "--max-os-tries", "1", "-p", "80,81", OURS4]
        status, output = host.run(*words, patience=90)
        assert status == 0
        difficulty = re.search(r"TCP Sequence Prediction: Difficulty=(\d+)", output)
        assert difficulty, output
        assert int(difficulty[1]) > 240  # of about 260
        assert "IP ID Sequence Generation: All zeros" in output
        assert host.stack.counters["tcp.syn-with-fin"] > 0


@pytest.mark.tool("nmap")
def test_nmap_guesses_over_ipv6() -> None:
    """The same with what IPv6 has to ask about; the stack lives on."""
    with TapHost() as host:
        host.stack.listen(80, version=6)
        status, output = host.run("nmap", "-6", "-n", "-O", "--max-os-tries", "1", "-p", "80,81", OURS6, patience=90)
        assert (status, "80/tcp open" in output) == (0, True), output
        assert host.run("ping", "-c1", "-W9", OURS6)[0] == 0


@pytest.mark.tool("rdisc6")
def test_rdisc6() -> None:
    """Who asks for routers hears nothing of a host (RFC 4861 6.2.6), and who asks for its address does."""
    with TapHost() as host:
        status, output = host.run("rdisc6", "-1", "-r", "1", "-w", "500", host.name)
        assert status == 2
        assert "No response" in output
        assert host.run("ndisc6", "-1", OURS6, host.name)[0] == 0


@pytest.mark.tool("curl")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("offload", [Offload.NONE, EVERYTHING])
def test_curl(version: int, offload: Offload, tmp_path: Path) -> None:
    """A megabyte over HTTP."""
    body = bytes(range(256)) * 4096
    with TapHost(offload=offload) as host:
        listener = host.stack.listen(80, version=version)
        url = f"http://{OURS4}/" if version == 4 else f"http://[{OURS6}]/"
        served = []

        def serve() -> bool:
            while (connection := listener.accept()) is not None:
                connection.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
                connection.write(body)
                connection.shutdown()
                served.append(connection)
            return program.poll() is not None

        words = ["curl", "-sS", "--noproxy", "*", "-o", str(tmp_path / "body"), "-w", "%{http_code}", url]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as program:
            host.until(serve)
            assert program.stdout is not None
            assert program.stdout.read() == b"200"
    assert (tmp_path / "body").read_bytes() == body


@pytest.fixture
def far_link() -> Iterator[str]:
    """Another interface of the kernel's, with a cable in it."""
    tap = TapNetwork("far%d")
    yield tap.name
    tap.close()


def forward(host: TapHost, far_link: str, version: int) -> None:
    """The kernel is the router to a host on that link."""
    length, nodad = (24, []) if version == 4 else (64, ["nodad"])
    ip("link", "set", far_link, "mtu", "1300", "up")
    ip(f"-{version}", "address", "add", f"{FAR[version][:-1]}1/{length}", "dev", far_link, *nodad)
    ip(f"-{version}", "neighbour", "add", FAR[version], "lladdr", "02:00:00:00:00:99", "dev", far_link)
    sysctl("ipv4/ip_forward" if version == 4 else "ipv6/conf/all/forwarding", "1")
    network = ip_network(f"{FAR[version]}/{length}", strict=False)
    host.stack.ip.add_route(network, packed(KERNEL[version]), host.interface)


@pytest.mark.parametrize("version", [4, 6])
def test_a_path_with_a_small_mtu(far_link: str, version: int) -> None:
    """The kernel says that the link behind it carries 1300 octets; what we send then comes in fragments."""
    with TapHost() as host:
        forward(host, far_link, version)
        path = host.stack.ip.path(packed(FAR[version]), host.now)
        assert path.mtu == 1500
        endpoint = host.stack.bind(9, version=version)
        path.send(17, [bytes([0, 9, 0, 9, 5, 0x64, 0, 0]) + bytes(1372)], host.now, checksum_offset=6)
        host.until(lambda: path.mtu == 1300)
        endpoint.send(bytes(1400), packed(FAR[version]), 9, now=host.now)
        assert host.stack.counters["fragments.sent"] == 2


@pytest.mark.parametrize("version", [4, 6])
def test_a_hop_limit_runs_out(far_link: str, version: int) -> None:
    with TapHost() as host:
        forward(host, far_link, version)
        ping = host.stack.ping(FAR[version])
        ping.send(host.now, hop_limit=1)
        host.until(lambda: ping.readable)
        assert f"ran out, says {KERNEL[version]}" in str(ping.take_error())


@pytest.mark.tool("bridge")
def test_a_snooping_switch_learns_of_our_groups() -> None:
    """A bridge of Linux with a querier of IGMPv3 and MLDv2: on joining, on being asked, and on leaving."""
    groups = {"239.1.2.3", "ff05::123"}
    with TapHost() as host:
        quick = ["mcast_query_interval", "200", "mcast_query_response_interval", "50", "mcast_startup_query_interval"]
        ip("link", "add", "switch", "type", "bridge", "mcast_snooping", "1", "mcast_querier", "1",
           "mcast_igmp_version", "3", "mcast_mld_version", "2", *quick, "50")  # fmt: skip
        sysctl("ipv6/conf/switch/accept_dad", "0")
        ip("link", "set", host.name, "master", "switch")
        ip("address", "add", "10.9.0.9/24", "dev", "switch")
        ip("link", "set", "switch", "up")

        def known() -> set[str]:
            output = subprocess.run(["bridge", "mdb", "show"], check=True, capture_output=True, text=True).stdout
            lines = [line.split() for line in output.splitlines() if f"port {host.name}" in line]
            return groups & {words[words.index("grp") + 1] for words in lines}

        four, six = host.stack.bind(7000, version=4), host.stack.bind(7000, version=6)
        four.join(packed("239.1.2.3"))
        six.join(packed("ff05::123"))
        host.until(lambda: known() == groups)
        later = host.now + 5  # several queries
        host.until(lambda: host.now > later)
        assert known() == groups
        four.close()
        six.close()
        host.until(lambda: not known())
