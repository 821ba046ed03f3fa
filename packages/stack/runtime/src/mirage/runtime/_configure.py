"""How a program's network is set up: a device, addresses, routes and name servers; and `run`, which does it all."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import TYPE_CHECKING, Any, TypeVar

from mirage.net import DeviceNetwork, SocketNetwork, TapNetwork
from mirage.tcpip import Settings
from mirage.types import Network

from ._dhcp import DhcpClient, default_routes
from ._install import install as install_sockets
from ._install import uninstall
from ._loop import StackEventLoop
from ._names import DnsNames
from ._random import SystemRandom
from ._resolver import Resolver
from .errors import RuntimeMisuse

if TYPE_CHECKING:
    from mirage.tcpip.ip.interface import Interface

__all__ = ["Configuration", "add_arguments", "configured", "from_arguments", "open_device", "run"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What an interface is to have. IPv6 configures itself besides, from what routers advertise (RFC 4862)."""

    ipv4: IPv4Interface | None = None
    """The address with the length of its prefix. None: asked of a DHCP server, unless `dhcp` says no."""
    gateway: IPv4Address | None = None
    ipv6: IPv6Interface | None = None
    gateway6: IPv6Address | None = None
    dns: tuple[IPv4Address | IPv6Address, ...] = ()
    """Name servers. None: those that DHCP tells of."""
    search: tuple[str, ...] = ()
    """Domains in which short names are looked for."""
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Addresses by name, asked before any server."""
    dhcp: bool | None = None
    """Whether a DHCP server is asked. None: if there is no `ipv4`."""
    patience: float = 30.0
    """Seconds that a lease and the check for duplicate addresses may take."""

    @property
    def wants_dhcp(self) -> bool:
        """Whether a DHCP server is asked."""
        return self.dhcp if self.dhcp is not None else self.ipv4 is None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a program the boot arguments of a network."""
    group = parser.add_argument_group("network")
    group.add_argument(
        "--network", default="/dev/net0", metavar="DEVICE", help="/dev/net0, or tap:NAME on Linux (default: /dev/net0)"
    )
    group.add_argument("--ipv4", type=IPv4Interface, metavar="ADDRESS/LENGTH", help="IPv4 address (default: by DHCP)")
    group.add_argument("--gateway", type=IPv4Address, metavar="ADDRESS", help="IPv4 router")
    group.add_argument(
        "--ipv6", type=IPv6Interface, metavar="ADDRESS/LENGTH", help="IPv6 address besides automatic ones"
    )
    group.add_argument("--gateway6", type=IPv6Address, metavar="ADDRESS", help="IPv6 router")
    group.add_argument(
        "--dns",
        type=ipaddress.ip_address,
        action="append",
        default=[],
        metavar="ADDRESS",
        help="name server; repeatable",
    )
    group.add_argument(
        "--search", action="append", default=[], metavar="DOMAIN", help="domain of short names; repeatable"
    )


def from_arguments(arguments: argparse.Namespace) -> Configuration:
    """What those arguments say."""
    return Configuration(
        ipv4=arguments.ipv4,
        gateway=arguments.gateway,
        ipv6=arguments.ipv6,
        gateway6=arguments.gateway6,
        dns=tuple(arguments.dns),
        search=tuple(arguments.search),
    )


def open_device(text: str) -> Network:
    """The device that a boot argument names: ``tap:NAME``, a socket of frames as ``fd:NUMBER,mac=...`` (what
    `mirage-gateway run` gives to its command), or the path of a unikernel's device.

    Raises `mirage.net.NetworkUnavailable`.
    """
    kind, colon, name = text.partition(":")
    if colon and kind == "tap":
        return TapNetwork(name)
    if colon and kind == "fd":
        try:
            return SocketNetwork.parse(name)
        except ValueError as error:
            raise RuntimeMisuse(str(error)) from None
    if colon:
        raise RuntimeMisuse(
            f"{text!r} names no network: write tap:NAME, fd:NUMBER,mac=ADDRESS, or a path such as /dev/net0"
        )
    return DeviceNetwork(text)


@contextlib.asynccontextmanager
async def configured(
    loop: StackEventLoop, interface: Interface, configuration: Configuration, names: DnsNames | None = None
) -> AsyncIterator[DhcpClient | None]:
    """Set an interface up, and wait until its addresses may be used. Ends with the lease given back.

    Raises `TimeoutError` when no server gives a lease, or an address turns out to be somebody else's.
    """
    stack = loop.stack
    for name, addresses in configuration.hosts.items():
        loop.resolver.add_host(name, addresses)
    if names is not None and configuration.dns:
        names.configure(map(str, configuration.dns), configuration.search)
    for own, gateway in ((configuration.ipv4, configuration.gateway), (configuration.ipv6, configuration.gateway6)):
        if own is not None:
            stack.ip.add_address(interface, own.ip.packed, own.network.prefixlen)
        if gateway is not None:
            stack.ip.add_route(default_routes(gateway.version), gateway.packed, interface)
    client = None
    try:
        async with asyncio.timeout(configuration.patience):
            if configuration.wants_dhcp:
                client = DhcpClient(loop, stack, interface, SystemRandom(), names if not configuration.dns else None)
                await client.bound.wait()
            await _usable(interface)
        yield client
    finally:
        if client is not None:
            client.close()


async def _usable(interface: Interface) -> None:
    """Return when no address is being checked for duplicates any more."""
    while any(getattr(own, "tentative", False) for own in interface.addresses.values()):
        await asyncio.sleep(0.02)


def run(
    main: Coroutine[Any, Any, _T],
    *,
    network: Network | str = "/dev/net0",
    configuration: Configuration | None = None,
    settings: Settings | None = None,
    install: bool = True,
    on_resume: Callable[[Callable[[], object]], object] | None = None,
    debug: bool | None = None,
) -> _T:
    """Run a program on a network of its own, as `asyncio.run` does on the host's.

    `network` is a device, or what `open_device` takes; it is closed at the end. With `install`, `socket.socket` is the
    stack's meanwhile. `on_resume` registers what must happen when a guest goes on from a snapshot:
    `mirage.hvt.guest.on_resume`. Raises what `main` raises, `mirage.net.NetworkUnavailable`, and `TimeoutError` when there is no
    address to be had.
    """
    device = open_device(network) if isinstance(network, str) else network
    random = SystemRandom()
    names = DnsNames(random)

    def make() -> StackEventLoop:
        return StackEventLoop(random=random, settings=settings, resolver=Resolver(names))

    async def whole() -> _T:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, StackEventLoop)
        interface = loop.attach(device)
        async with configured(loop, interface, configuration or Configuration(), names) as client:
            if on_resume is not None:
                on_resume(loop.reseed)
                if client is not None:
                    on_resume(client.restart)
            if install:
                install_sockets(loop)
            try:
                return await main
            finally:
                if install:
                    uninstall()

    try:
        with asyncio.Runner(debug=debug, loop_factory=make) as runner:
            return runner.run(whole())
    finally:
        main.close()
        device.close()
