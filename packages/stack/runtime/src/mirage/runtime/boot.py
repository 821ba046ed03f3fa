"""What a generated main.py calls: `run` with the network's boot arguments as they were typed.

Every argument is text, because it comes from a command line; what is wrong with one is said with its name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from mirage.net import SocketNetwork
from mirage.types import Network

from ._configure import Configuration, open_device
from ._configure import run as run_configured
from .errors import RuntimeMisuse

__all__ = ["configuration", "device", "run"]

_T = TypeVar("_T")
_NONE, _AUTO, _DHCP = "none", "auto", "dhcp"


def run(
    main: Coroutine[Any, Any, _T],
    network: str,
    *,
    ipv4: str = _DHCP,
    ipv6: str = _AUTO,
    gateway: str = "",
    dns: str = "",
) -> _T:
    """Run a program on a TCP/IP stack of its own, until it is done.

    Raises what `main` raises, `RuntimeMisuse` for an argument that cannot be, `mirage.net.NetworkUnavailable`, and
    `TimeoutError` when nobody gives an address.
    """
    try:
        chosen = configuration(ipv4=ipv4, ipv6=ipv6, gateway=gateway, dns=dns)
        opened = device(network)
    except BaseException:
        main.close()
        raise
    return run_configured(main, network=opened, configuration=chosen)


def configuration(*, ipv4: str = _DHCP, ipv6: str = _AUTO, gateway: str = "", dns: str = "") -> Configuration:
    """The configuration that these texts describe. Raises `RuntimeMisuse`."""
    return Configuration(
        ipv4=None if ipv4 in {_DHCP, _NONE} else _parsed("ipv4", ipv4, ipaddress.IPv4Interface, "10.0.0.2/24"),
        dhcp=ipv4 == _DHCP,
        ipv6=None if ipv6 in {_AUTO, _NONE} else _parsed("ipv6", ipv6, ipaddress.IPv6Interface, "fd00::2/64"),
        gateway=_parsed("gateway", gateway, ipaddress.IPv4Address, "10.0.0.1") if gateway else None,
        dns=tuple(_parsed("dns", each.strip(), ipaddress.ip_address, "10.0.0.1") for each in dns.split(",") if each),
    )


def _parsed(name: str, text: str, kind: Callable[[str], _T], example: str) -> _T:
    try:
        return kind(text)
    except ValueError as error:
        raise RuntimeMisuse(f"--{name} {text!r} is no address: {error}; write one like {example}") from None


def device(network: str) -> Network:
    """The device that a boot argument names: ``/dev/net0``, ``tap:NAME``, or an open socket of frames,
    ``fd:NUMBER,mac=ADDRESS[,mtu=OCTETS][,offload]``, which `mirage-gateway run` writes for ``{net}``.

    Raises `RuntimeMisuse`.
    """
    kind, _, rest = network.partition(":")
    if kind != "fd":
        return open_device(network)
    number, *words = rest.split(",")
    options = dict(word.partition("=")[::2] for word in words)
    try:
        mac = bytes.fromhex(options["mac"].replace(":", ""))
        mtu = int(options.get("mtu", "1500"))
        return SocketNetwork(int(number), mac=mac, mtu=mtu, offload="offload" in options)
    except (ValueError, KeyError, OSError) as error:
        raise RuntimeMisuse(f"{network!r} is no socket of frames, as in fd:3,mac=02:00:00:00:00:01: {error}") from None
