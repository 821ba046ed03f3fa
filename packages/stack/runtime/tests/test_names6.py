"""Name servers that a network of IPv6 tells of: by router advertisements, by DHCPv6, and both from dnsmasq."""

from __future__ import annotations

import asyncio
import contextvars
import ipaddress
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnsmasq import dnsmasq
from mirage import dhcp
from mirage.dhcp.client6 import build6, parse6
from mirage.net import TapNetwork
from mirage.runtime import run
from mirage.runtime._names import DnsNames
from mirage.runtime._names6 import RouterNames
from mirage.runtime.testing import SimHost, SimLoop
from mirage.tcpip.ip import discovery
from mirage.tcpip.wire import ethernet, ndp
from mirage.types.testing import SeededRandom

ALL_NODES = ipaddress.ip_address("ff02::1").packed
AGENTS = ipaddress.ip_address("ff02::1:2").packed
SERVERS = [ipaddress.ip_address(f"2001:db8::{number}") for number in (1, 2, 3)]


def advertise(router: SimHost, **fields: object) -> None:
    """What a router says to everybody."""
    interface = router.stack.interfaces["eth0"]
    source = interface.link_local()
    assert source is not None
    body = ndp.build_router_advertisement(ndp.RouterAdvertisement(lifetime=1800, **fields))  # type: ignore[arg-type]
    mac = ethernet.group_mac(ALL_NODES)
    discovery.send(router.stack.ip, interface, source, ALL_NODES, mac, ndp.ROUTER_ADVERTISEMENT, body)


class Informs:
    """A stateless server of DHCPv6: the owner of a host's port 547."""

    def __init__(self, host: SimHost) -> None:
        self.context = contextvars.copy_context()
        self.asked = 0
        self._endpoint = host.stack.bind(547, version=6)
        self._endpoint.join(AGENTS)
        self._endpoint.owner = self

    def news(self) -> None:
        """A question has come."""
        while (datagram := self._endpoint.read()) is not None:
            self.asked += 1
            _, xid, options = parse6(datagram.data)
            told = [
                (dhcp.Option6.CLIENT_ID, options[dhcp.Option6.CLIENT_ID][0]),
                (dhcp.Option6.SERVER_ID, dhcp.duid(bytes(6))),
                (dhcp.Option6.DNS_SERVERS, SERVERS[2].packed),
                (dhcp.Option6.DOMAIN_LIST, b"\5local\4test\0"),
            ]
            self._endpoint.send(build6(7, xid, told), datagram.source, datagram.port)


@pytest.mark.parametrize("flag", ["", "other", "managed"])
def test_they_come_and_go(loop: SimLoop, hosts: tuple[SimHost, SimHost], flag: str) -> None:
    """Servers and domains with their lifetimes; DHCPv6 is asked only where a router says so (RFC 4861 4.2)."""
    router, host = hosts
    informs = Informs(router)
    names = DnsNames(SeededRandom(1, predictable=True))
    routers = RouterNames(loop, host.stack, host.stack.interfaces["eth0"], SeededRandom(2, predictable=True), names)

    def known() -> tuple[list[str], list[str]]:
        settings = names.resolver.settings
        return [str(server.address) for server in settings.servers], [str(name) for name in settings.search]

    async def test() -> None:
        await asyncio.sleep(5)
        rdnss = (ndp.Rdnss(60, tuple(server.packed for server in SERVERS[:2])),)
        flags = {flag: True} if flag else {}
        advertise(router, rdnss=rdnss, dnssl=(ndp.Dnssl(30, ("example.org", "bad\\999.test")),), **flags)
        await asyncio.sleep(10)
        more = ([str(SERVERS[2])], ["local.test."]) if flag else ([], [])
        assert known() == ([str(server) for server in SERVERS[:2]] + more[0], ["example.org.", *more[1]])
        await asyncio.sleep(30)
        assert known()[1] == more[1]
        await asyncio.sleep(30)
        assert known() == more
        assert informs.asked == bool(flag)

    loop.run_until_complete(host.spawn(test()))
    routers.close()
    assert host.stack.ip.on_advertised == []


@pytest.mark.root
@pytest.mark.tool("ip", "dnsmasq")
@pytest.mark.slow
class TestDnsmasq:
    """A network of IPv6 alone."""

    @pytest.fixture
    def tap(self, namespace: None) -> Iterator[TapNetwork]:
        """A TAP that is up, the kernel's end with an address."""
        tap = TapNetwork("names%d")
        subprocess.run(["ip", "address", "add", "fd09::1/64", "dev", tap.name, "nodad"], check=True)
        subprocess.run(["ip", "link", "set", tap.name, "up"], check=True)
        yield tap
        tap.close()

    def test_a_name_is_found(self, tap: TapNetwork, tmp_path: Path) -> None:
        """Address, route and server come from the network; nothing was configured."""
        hosts = "fd09::1 kernel.example.test\n"

        async def main() -> str:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(60):
                while True:
                    try:
                        infos = await loop.getaddrinfo("kernel.example.test", 80, type=socket.SOCK_STREAM)
                    except socket.gaierror:
                        await asyncio.sleep(0.2)
                    else:
                        return str(infos[0][4][0])

        with dnsmasq(tap, tmp_path, hosts, "--dhcp-range=fd09::,ra-stateless,64,2m", "--enable-ra"):
            assert run(main(), tap, ipv4="none") == "fd09::1"
