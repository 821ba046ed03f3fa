"""The asyncio shell of multicast DNS, on endpoints in memory."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address
from typing import Any, cast

import pytest
from mirage.dns.mdns import GROUP4, GROUP6, Factory, Found, Gone, Mdns, Named, Service, Settings
from mirage.types.testing import SeededRandom


class Endpoint(asyncio.DatagramTransport):
    """A member of a group; what is sent to the group comes to all members, and to an address to its owner."""

    def __init__(self, members: list[Endpoint], address: str, protocol: asyncio.DatagramProtocol) -> None:
        super().__init__()
        self.members = members
        self.address = address
        self.protocol = protocol
        self.closed = False
        members.append(self)

    def sendto(self, data: Any, addr: Any = None) -> None:
        loop = asyncio.get_running_loop()
        group = addr[0] in {str(GROUP4), str(GROUP6)}
        assert addr[1] == 5353
        for member in self.members:
            if not member.closed and (group or member.address == addr[0]):
                loop.call_soon(member.protocol.datagram_received, bytes(data), (self.address, 5353))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def member(members: list[Endpoint], address: str) -> Factory:
    async def make(protocol: Any) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
        made = protocol()
        return Endpoint(members, address, made), cast(asyncio.BaseProtocol, made)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("version", [4, 6])
def test_two_programs(version: int) -> None:
    """Named, found, gone; over either version of IP."""

    async def main() -> None:
        members: list[Endpoint] = []
        addresses: dict[str, IPv4Address | IPv6Address] = {
            "files": IPv4Address("192.0.2.1") if version == 4 else IPv6Address("fe80::1"),
            "reader": IPv4Address("192.0.2.2") if version == 4 else IPv6Address("fe80::2"),
        }
        shells = {}
        for number, (name, address) in enumerate(addresses.items()):
            settings = Settings(host=name, addresses=(address,))
            shells[name] = Mdns(settings, SeededRandom(number, predictable=True))
            await shells[name].add(member(members, str(address) + ("%eth0" if version == 6 else "")), version)
        files, reader = shells["files"], shells["reader"]
        files.start()
        service = Service("My files", "_http._tcp", 80)
        files.publish(service)
        reader.browse("_http._tcp")
        async for event in files.events():
            if isinstance(event, Named) and event.service is service and event.established:
                break
        async for event in reader.events():
            assert isinstance(event, Found)
            assert event.service.addresses == (addresses["files"],)
            break
        files.withdraw(service)
        files.close()
        async for event in reader.events():
            assert isinstance(event, Gone)
            break
        reader.close()
        assert all(each.closed for each in members)

    asyncio.run(asyncio.wait_for(main(), 30))
