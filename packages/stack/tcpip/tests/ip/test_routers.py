"""Real routers and real group members: radvd and the kernel configure the stack, and hear what it joins."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirage.tcpip import MessageTooLong, Settings
from mirage.tcpip.ip.interface import InterfaceAddress
from taphost import KERNEL4, KERNEL6, OURS4, OURS6, TapHost, ip, sysctl

pytestmark = [pytest.mark.root, pytest.mark.tool("ip"), pytest.mark.usefixtures("namespace"), pytest.mark.slow]

STABLE = Settings(temporary_addresses=False)
GROUP4, GROUP6 = "239.7.7.7", "ff05::7:7"

CONFIGURATION = """
interface {name} {{
  AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvDefaultLifetime {lifetime};
  AdvCurHopLimit 61; AdvLinkMTU {mtu}; AdvReachableTime 20000; AdvOtherConfigFlag on;
  {prefixes}
  RDNSS 2001:db8::53 {{ AdvRDNSSLifetime 600; }};
  DNSSL example.org {{ AdvDNSSLLifetime 600; }};
}};
"""
PREFIX = "prefix {} {{ AdvOnLink on; AdvAutonomous on; AdvValidLifetime {}; AdvPreferredLifetime {}; }};"


class Radvd:
    """The daemon, which can be told something else."""

    def __init__(self, host: TapHost, folder: Path) -> None:
        self.host = host
        self.file = folder / "radvd.conf"
        self.pid = folder / "radvd.pid"
        self.log = folder / "radvd.log"
        self.process: subprocess.Popen[bytes] | None = None

    def tell(self, *prefixes: tuple[str, int, int], lifetime: int = 1800, mtu: int = 1400) -> None:
        """Start it, or start it anew, with these prefixes, their valid and preferred lifetimes."""
        self.stop()
        listed = "\n  ".join(PREFIX.format(*prefix) for prefix in prefixes)
        self.file.write_text(CONFIGURATION.format(name=self.host.name, lifetime=lifetime, mtu=mtu, prefixes=listed))
        words = ["radvd", "-n", "-C", str(self.file), "-p", str(self.pid), "-m", "logfile", "-l", str(self.log)]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        """End it at once, so that it cannot take back what it has said."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.pid.unlink(missing_ok=True)
            self.process = None


@contextlib.contextmanager
def router(tmp_path: Path, settings: Settings) -> Iterator[tuple[TapHost, Radvd]]:
    with TapHost(settings=settings, addresses=()) as host:
        sysctl(f"ipv6/conf/{host.name}/forwarding", "1")
        sysctl("ipv6/conf/all/forwarding", "1")
        radvd = Radvd(host, tmp_path)
        try:
            yield host, radvd
        finally:
            radvd.stop()


def automatic(host: TapHost, prefix: str) -> list[InterfaceAddress]:
    network = ipaddress.ip_network(prefix)
    return [
        own
        for own in host.interface.addresses.values()
        if own.automatic and len(own.address) == 16 and ipaddress.ip_address(own.address) in network
    ]


@pytest.mark.tool("radvd")
@pytest.mark.tool("ping")
def test_radvd(tmp_path: Path) -> None:
    """An address of the prefix, a default route, hop limit, MTU and DNS; the kernel reaches us at that address."""
    with router(tmp_path, STABLE) as (host, radvd):
        ip("-6", "address", "add", "2001:db8:1::1/64", "dev", host.name, "nodad")
        radvd.tell(("2001:db8:1::/64", 3600, 1800))
        host.until(lambda: len(automatic(host, "2001:db8:1::/64")) == 1)
        (own,) = automatic(host, "2001:db8:1::/64")
        interface = host.interface
        assert (interface.hop_limit, interface.mtu6, interface.other, interface.managed) == (61, 1400, True, False)
        assert 10 <= interface.reachable_time <= 30
        assert [str(server) for server in interface.dns_servers] == ["2001:db8::53"]
        assert list(interface.dns_domains) == ["example.org"]
        host.until(lambda: not own.checking)
        address = str(ipaddress.ip_address(own.address))
        status, said = host.run("ping", "-c", "2", "-i", "0.1", "-s", "3000", address)
        assert status == 0, said
        ping = host.stack.ping("2001:db8:ffff::1")  # by the default route, to which the kernel knows no further way
        ping.send(host.now)
        host.until(lambda: ping.readable)
        assert re.search("cannot be reached", str(ping.take_error()))


@pytest.mark.tool("radvd")
def test_radvd_changes_its_prefixes(tmp_path: Path) -> None:
    """A new prefix gives a second address; one that is no longer preferred is not used for anything new; a router
    that is none any more is no way out."""
    with router(tmp_path, STABLE) as (host, radvd):
        radvd.tell(("2001:db8:1::/64", 3600, 1800))
        host.until(lambda: len(automatic(host, "2001:db8:1::/64")) == 1)
        far = ipaddress.ip_address("2001:db8:ffff::1").packed
        (first,) = automatic(host, "2001:db8:1::/64")
        assert host.stack.ip.path(far, host.now).local == first.address
        radvd.tell(("2001:db8:1::/64", 3600, 0), ("2001:db8:2::/64", 3600, 1800), mtu=1300)
        host.until(lambda: len(automatic(host, "2001:db8:2::/64")) == 1)
        (second,) = automatic(host, "2001:db8:2::/64")
        host.until(lambda: first.deprecated)
        assert host.stack.ip.path(far, host.now).local == second.address
        assert first.address in host.interface.addresses
        assert host.interface.mtu6 == 1300
        radvd.tell(("2001:db8:2::/64", 3, 2), lifetime=0)
        host.until(lambda: not host.stack.ip.routes.find(far))
        # RFC 4862 5.5.3 e: three seconds of validity are not believed of an address that had an hour
        assert second.valid_until - host.now > 3500


@pytest.mark.tool("radvd")
def test_addresses_go_with_their_lifetime(tmp_path: Path) -> None:
    """What was advertised for a few seconds is gone after these; temporary addresses are not made for so little."""
    with router(tmp_path, Settings()) as (host, radvd):
        radvd.tell(("2001:db8:3::/64", 5, 4), ("2001:db8:4::/64", 3600, 1800))
        host.until(lambda: len(automatic(host, "2001:db8:4::/64")) == 2)
        assert {own.temporary for own in automatic(host, "2001:db8:4::/64")} == {False, True}
        (short,) = automatic(host, "2001:db8:3::/64")
        assert not short.temporary
        radvd.stop()
        host.until(lambda: not automatic(host, "2001:db8:3::/64"))
        assert host.now >= short.valid_until
        assert len(automatic(host, "2001:db8:4::/64")) == 2


def test_the_kernel_has_our_address() -> None:
    """It answers the probes of both versions: the address is not taken."""
    with TapHost(addresses=(f"{KERNEL4}/24", f"{KERNEL6}/64")) as host:
        taken: list[str] = []
        host.stack.ip.on_duplicate.append(lambda _, address: taken.append(str(ipaddress.ip_address(address))))
        host.until(lambda: len(taken) == 2)
        assert sorted(taken) == sorted([KERNEL4, KERNEL6])
        assert [len(a) for a in host.interface.addresses] == [16], "the link-local address is left"


def test_the_kernel_probes_for_our_address() -> None:
    """It finds that it is taken (RFC 4862 5.4.4)."""
    with TapHost() as host:
        host.until(lambda: not any(own.checking for own in host.interface.addresses.values()))
        sysctl(f"ipv6/conf/{host.name}/accept_dad", "1")
        sysctl(f"ipv6/conf/{host.name}/dad_transmits", "1")
        ip("-6", "address", "add", f"{OURS6}/64", "dev", host.name)
        host.until(lambda: "dadfailed" in ip("-6", "address", "show", "dev", host.name))


@pytest.mark.parametrize(
    ("family", "group", "ours"), [(socket.AF_INET, GROUP4, OURS4), (socket.AF_INET6, GROUP6, OURS6)], ids=["4", "6"]
)
def test_groups_both_ways(family: socket.AddressFamily, group: str, ours: str) -> None:
    """What the kernel sends to a group reaches who has joined it, and the other way round."""
    with TapHost() as host, socket.socket(family, socket.SOCK_DGRAM) as peer:
        index = socket.if_nametoindex(host.name)
        octets = socket.inet_pton(family, group)
        peer.bind((group, 77))
        peer.settimeout(5)
        if family == socket.AF_INET:
            peer.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, octets + struct.pack("=4si", bytes(4), index))
            peer.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", bytes(4), bytes(4), index))
        else:
            peer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, octets + struct.pack("=i", index))
            peer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        endpoint = host.stack.bind(77, version=4 if family == socket.AF_INET else 6)
        endpoint.join(octets)
        endpoint.multicast_loop = False
        host.flush()
        peer.sendto(b"from the kernel", (group, 77))
        host.until(lambda: endpoint.readable)
        read = endpoint.read()
        assert read is not None
        assert (read.data, read.local, read.hop_limit) == (b"from the kernel", octets, 1)
        endpoint.send(b"to the kernel", octets, 77, now=host.now)
        host.flush()
        while (got := peer.recvfrom(100))[0] == b"from the kernel":
            pass
        assert got[0] == b"to the kernel"
        assert got[1][0].startswith(ours) or got[1][0].startswith("fe80")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["4", "6"])
def test_the_kernel_sends_too_large_packets(family: socket.AddressFamily) -> None:
    """A smaller MTU on the far side: fragments of ours are put together, and those of the kernel by us."""
    ours, kernel = (OURS4, KERNEL4) if family == socket.AF_INET else (OURS6, KERNEL6)
    with TapHost(mtu=1280) as host, socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.bind((kernel, 7))
        peer.settimeout(5)
        endpoint = host.stack.bind(9, ours)
        data = bytes(range(250)) * 240
        peer.sendto(data, (ours, 9))
        host.until(lambda: endpoint.readable)
        read = endpoint.read()
        assert read is not None
        assert read.data == data
        endpoint.send(data, socket.inet_pton(family, kernel), 7, now=host.now)
        host.flush()
        assert peer.recv(1 << 17) == data


@pytest.mark.parametrize("version", [4, 6])
def test_a_narrow_link_behind_the_kernel(version: int) -> None:
    """The kernel as a router says that a packet is too big (RFC 1191, RFC 8201); the next one is made to fit."""
    network, far, gateway = ("10.8.0.0/24", "10.8.0.9", KERNEL4) if version == 4 else ("fd08::/64", "fd08::9", KERNEL6)
    with TapHost() as host:
        sysctl("ipv4/ip_forward", "1")
        sysctl("ipv6/conf/all/forwarding", "1")
        ip("link", "add", "narrow", "type", "veth", "peer", "name", "beyond")
        ip("link", "set", "beyond", "up")
        ip("link", "set", "narrow", "mtu", "1300", "up")
        ip("route", "add", network, "dev", "narrow")
        ip("neighbour", "add", far, "lladdr", "02:00:00:00:00:99", "dev", "narrow")
        host.stack.ip.add_route(ipaddress.ip_network(network), ipaddress.ip_address(gateway), host.interface)
        remote = ipaddress.ip_address(far).packed
        endpoint = host.stack.bind(version=version)
        endpoint.dont_fragment = True
        path = host.stack.ip.path(remote, host.now)
        endpoint.send(bytes(1400), remote, 9, now=host.now)
        host.until(lambda: path.mtu == 1300)
        with pytest.raises(MessageTooLong):
            endpoint.send(bytes(1400), remote, 9, now=host.now)
        endpoint.dont_fragment = False
        heard = host.stack.counters["icmp.errors-heard"]
        endpoint.send(bytes(1400), remote, 9, now=host.now)
        assert host.stack.counters["fragments.sent"] == 2
        ping = host.stack.ping(gateway_octets := ipaddress.ip_address(gateway).packed)
        ping.send(host.now)  # its answer comes after an error about the fragments would
        host.until(lambda: ping.readable)
        reply = ping.read()
        assert reply is not None
        assert reply.source == gateway_octets
        assert host.stack.counters["icmp.errors-heard"] == heard
