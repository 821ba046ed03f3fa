"""How a program's network is set up: a device, addresses, routes and name servers; and `run`, which does it all."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mirage.net import DeviceNetwork, SocketNetwork, TapNetwork
from mirage.tcpip import Settings
from mirage.types import Network

from ._addresses import default_routes
from ._install import install as install_sockets
from ._install import uninstall
from ._loop import StackEventLoop
from ._names import DnsNames
from ._names6 import RouterNames
from ._random import SystemRandom
from ._resolver import Resolver
from .errors import NoAddress, RuntimeMisuse

if TYPE_CHECKING:
    from mirage.tcpip.ip.interface import Interface

    from ._dhcp import DhcpClient

__all__ = ["Configuration", "configured", "open_device", "run"]

_T = TypeVar("_T")
_OFTEN = 0.02


class Guest(Protocol):
    """What `mirage.hvt.guest` has for a program in a virtual machine."""

    def on_resume(self, callback: Callable[[], object], /) -> None:
        """Call this in every guest that goes on from a snapshot."""

    def snapshot(self) -> int:
        """Save this guest. Raises `OSError` where its tender was given no file."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What an interface is to have. IPv6 configures itself besides, from what routers advertise (RFC 4862)."""

    ipv4: IPv4Interface | None = None
    """The address with the length of its prefix."""
    gateway: IPv4Address | None = None
    ipv6: IPv6Interface | None = None
    gateway6: IPv6Address | None = None
    dns: tuple[IPv4Address | IPv6Address, ...] = ()
    """Name servers; those that DHCP tells of where there are none here."""
    search: tuple[str, ...] = ()
    """Domains in which short names are looked for."""
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Addresses by name, asked before any server."""
    dhcp: bool = False
    """Whether a DHCP server is asked for an IPv4 address and what goes with it."""
    patience: float = 30.0
    """Seconds that a lease and the check for duplicate addresses may take."""

    @classmethod
    def parse(cls, *, ipv4: str = "dhcp", ipv6: str = "auto", gateway: str = "", dns: str = "") -> Configuration:
        """What boot arguments say.

        `ipv4` is ``dhcp``, ``none`` or an address like 10.0.0.2/24; `ipv6` is ``auto`` or an address like fd00::2/64;
        `gateway` is a router, or one of each version, and `dns` name servers, joined by commas. Raises `RuntimeMisuse`.
        """
        routers = {router.version: router for router in _addresses("gateway", gateway)}
        return cls(
            ipv4=None if ipv4 in {"dhcp", "none"} else _interface("ipv4", ipv4, IPv4Interface),
            gateway=routers.get(4),  # type: ignore[arg-type]  # its version says so
            ipv6=None if ipv6 == "auto" else _interface("ipv6", ipv6, IPv6Interface),
            gateway6=routers.get(6),  # type: ignore[arg-type]  # the same
            dns=_addresses("dns", dns),
            dhcp=ipv4 == "dhcp",
        )


def _interface(name: str, text: str, kind: Callable[[str], _T]) -> _T:
    try:
        if "/" not in text:
            raise ValueError(f"{text!r} has no length of a prefix, as in {text}/24")  # noqa: TRY301 - one place for errors
        return kind(text)
    except ValueError as error:
        raise RuntimeMisuse(f"{name}: {error}") from None


def _addresses(name: str, text: str) -> tuple[IPv4Address | IPv6Address, ...]:
    try:
        return tuple(ipaddress.ip_address(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise RuntimeMisuse(f"{name}: {error}; several are joined by commas") from None


def open_device(text: str) -> Network:
    """The device that a boot argument names: ``tap:NAME``, a socket of frames as ``fd:NUMBER,mac=...`` (what
    `mirage-gateway run` gives to its command), or the path of a unikernel's device.

    Raises `RuntimeMisuse`, `mirage.net.NetworkUnavailable`.
    """
    kind, colon, name = text.partition(":")
    if colon and kind in {"tap", "fd"}:
        try:
            return TapNetwork(name) if kind == "tap" else SocketNetwork.parse(name)
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

    Raises `NoAddress`, which is a `TimeoutError` too, when no server gives a lease, or an address turns out to be
    somebody else's.
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
    if names is not None and not configuration.dns:
        routers = RouterNames(loop, stack, interface, SystemRandom(), names)
    else:
        routers = None
    try:
        try:
            async with asyncio.timeout(configuration.patience):
                if configuration.dhcp:
                    from ._dhcp import DhcpClient  # a program with an address of its own starts without it

                    names = names if not configuration.dns else None
                    client = DhcpClient(loop, stack, interface, SystemRandom(), names)
                    await client.bound.wait()
                await _usable(interface)
        except TimeoutError:
            raise NoAddress(_why_none(client, configuration.patience)) from None
        yield client
    finally:
        if routers is not None:
            routers.close()
        if client is not None:
            client.close()


def _why_none(client: DhcpClient | None, patience: float) -> str:
    if client is not None and not client.bound.is_set():
        return (
            f"no DHCP server gave an address within {patience:g} s: say which one to use, as in --ipv4 10.0.0.2/24, "
            "or --ipv4 none for IPv6 alone"
        )
    return f"no address could be used within {patience:g} s: another host of this network answers at it"


async def _save(guest: Guest, loop: StackEventLoop, but: int | None) -> None:
    """Save the guest once somebody can connect to it, at another port than `but`; nothing where its tender has no file
    for it."""
    while all(port == but for _, _, port in loop.stack.tcp.listeners):
        await asyncio.sleep(_OFTEN)
    await asyncio.sleep(_OFTEN)  # whoever listens may have a word to say about it
    with contextlib.suppress(OSError):
        guest.snapshot()


def _port_of(inspect: str) -> int | None:
    """See `mirage.runtime._inspector`, which only programs load that may be looked into."""
    if not inspect:
        return None
    from ._inspector import port_of

    return port_of(inspect)


def _answering(loop: StackEventLoop, inspect: str) -> contextlib.AbstractAsyncContextManager[None]:
    """The same."""
    if not inspect:
        return contextlib.nullcontext()
    from ._inspector import inspected

    return inspected(loop, inspect)


async def _usable(interface: Interface) -> None:
    """Return when no address is being checked for duplicates any more."""
    while any(getattr(own, "tentative", False) for own in interface.addresses.values()):
        await asyncio.sleep(0.02)


def run(
    main: Coroutine[Any, Any, _T],
    network: Network | str = "/dev/net0",
    *,
    ipv4: str = "dhcp",
    ipv6: str = "auto",
    gateway: str = "",
    dns: str = "",
    configuration: Configuration | None = None,
    settings: Settings | None = None,
    install: bool = True,
    guest: Guest | None = None,
    inspect: str = "",
    debug: bool | None = None,
) -> _T:
    """Run a program on a network of its own, as `asyncio.run` does on the host's.

    `network` is a device, or what `open_device` takes; it is closed at the end. The addresses are as
    `Configuration.parse` has them, or a whole `configuration` takes their place. With `install`, `socket.socket` is the
    stack's meanwhile. `guest` is the module `mirage.hvt.guest` in a virtual machine: once the program listens, it is
    saved, if its tender was given a file for that; whoever goes on from there draws new secrets and asks for its lease
    again. `inspect` is where a running program may be asked about its stack (`mirage net`): the path of a Unix socket,
    or the number of a TCP port of the stack. Raises what `main` raises, `RuntimeMisuse`,
    `mirage.net.NetworkUnavailable`, and `NoAddress` when there is no address to be had.
    """
    try:
        asked_at = _port_of(inspect)
        wanted = configuration or Configuration.parse(ipv4=ipv4, ipv6=ipv6, gateway=gateway, dns=dns)
        device = open_device(network) if isinstance(network, str) else network
    except BaseException:
        main.close()
        if not isinstance(network, str):
            network.close()
        raise
    random = SystemRandom()
    names = DnsNames(random)

    def make() -> StackEventLoop:
        return StackEventLoop(random=random, settings=settings, resolver=Resolver(names))

    async def whole() -> _T:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, StackEventLoop)
        interface = loop.attach(device)
        async with configured(loop, interface, wanted, names) as client, _answering(loop, inspect):
            saving = None
            if guest is not None:
                guest.on_resume(loop.reseed)
                if client is not None:
                    guest.on_resume(client.restart)
                saving = loop.create_task(_save(guest, loop, asked_at))
            if install:
                install_sockets(loop)
            try:
                return await main
            finally:
                if saving is not None:
                    saving.cancel()
                if install:
                    uninstall()

    try:
        with asyncio.Runner(debug=debug, loop_factory=make) as runner:
            return runner.run(whole())
    finally:
        main.close()
        device.close()
