"""What a stack knows of itself, as values that JSON can hold: interfaces, routes, neighbours, connections, counters.

For people who look into a running program (`mirage net`), and for tests. Reading changes nothing; what is told at once
is bounded by `limit`, for a stack may have a hundred thousand connections. Times are in seconds, sizes in octets.
"""

from __future__ import annotations

import ipaddress
import itertools
from dataclasses import fields
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from .tcp.connection import Connection
from .tcp.describe import describe

if TYPE_CHECKING:
    from .ip.interface import Interface
    from .ip.neighbours import Neighbour
    from .ip.routes import Route
    from .stack import Stack
    from .tcp.timewait import TimeWait

__all__ = ["LIMIT", "connections", "counters", "interfaces", "neighbours", "routes"]

LIMIT = 1000
"""How many of each kind are told of unless somebody asks for more."""


def interfaces(stack: Stack, now: float) -> list[dict[str, Any]]:
    """The interfaces, the loopback first: their addresses, and what has passed."""
    return [_interface(interface, now) for interface in (stack.ip.loopback, *stack.interfaces.values())]


def routes(stack: Stack, now: float, limit: int = LIMIT) -> list[dict[str, Any]]:
    """The routing table, by interface and prefix."""
    found = stack.ip.routes.all()
    found.sort(key=lambda route: (len(route.prefix), -route.length, route.prefix, route.metric))
    return [_route(route, now) for route in found[:limit]]


def neighbours(stack: Stack, limit: int = LIMIT) -> list[dict[str, Any]]:
    """Who is known on the links, and whether they can be reached (RFC 4861 7.3.2)."""
    return [_neighbour(one) for one in itertools.islice(stack.ip.neighbours.known.values(), limit)]


def counters(stack: Stack) -> dict[str, int]:
    """Every counter that is not zero, by its name in order: the protocol is before the first dot."""
    return {name: count for name, count in sorted(stack.counters.items()) if count}


def connections(stack: Stack, now: float, limit: int = LIMIT) -> dict[str, Any]:
    """Endpoints of TCP and UDP. An established connection has `info`, what Linux calls TCP_INFO, without its defaults.

    ``total`` says how many there are of each kind, of which at most `limit` are in the lists.
    """
    tcp, udp = stack.tcp, stack.udp
    endpoints = udp.endpoints
    return {
        "total": {"listeners": len(tcp.listeners), "tcp": len(tcp.connections), "udp": len(endpoints)},
        "listeners": [
            {
                "local": _socket(one.address, one.version, one.port),
                "half-open": one.half_open,
                "waiting": one.waiting,
                "backlog": one.backlog,
            }
            for one in itertools.islice(tcp.listeners.values(), limit)
        ],
        "tcp": [_connection(one, now) for one in itertools.islice(tcp.connections.values(), limit)],
        "udp": [
            {
                "local": _socket(one.local, one.version, one.port),
                "remote": _socket(one.remote[0], one.version, one.remote[1]) if one.remote else None,
                "waiting": one.waiting,
            }
            for one in endpoints[:limit]
        ],
    }


def _interface(interface: Interface, now: float) -> dict[str, Any]:
    return {
        "name": interface.name,
        "mac": interface.mac.hex(":"),
        "mtu": interface.mtu,
        "offload": [flag.name.lower() for flag in type(interface.offload) if flag in interface.offload and flag.name],
        "addresses": [
            {
                "address": f"{ipaddress.ip_address(own.address)}/{own.prefix}",
                "state": "tentative" if own.tentative else "deprecated" if own.preferred_until <= now else "preferred",
                "temporary": own.temporary,
                "valid": _left(own.valid_until, now),
            }
            for own in interface.addresses.values()
        ],
        "groups": [str(ipaddress.ip_address(group)) for group in interface.groups],
        "in": {"frames": interface.frames_in, "octets": interface.octets_in},
        "out": {"frames": interface.frames_out, "octets": interface.octets_out},
    }


def _route(route: Route, now: float) -> dict[str, Any]:
    return {
        "to": str(ipaddress.ip_network((route.prefix, route.length), strict=False)),
        "by": None if route.gateway is None else str(ipaddress.ip_address(route.gateway)),
        "interface": route.interface.name,
        "metric": route.metric,
        "expires": _left(route.expires, now),
    }


def _neighbour(one: Neighbour) -> dict[str, Any]:
    return {
        "address": str(ipaddress.ip_address(one.address)),
        "interface": one.interface.name,
        "mac": one.mac.hex(":") or None,
        "state": one.state.value,
        "router": one.router,
    }


def _connection(one: Connection | TimeWait, now: float) -> dict[str, Any]:
    size = 4 if len(one.key) == 12 else 16
    remote_port, local_port = (int.from_bytes(one.key[at : at + 2], "big") for at in (2 * size, 2 * size + 2))
    told: dict[str, Any] = {
        "local": _socket(one.key[size : 2 * size], size, local_port),
        "remote": _socket(one.key[:size], size, remote_port),
    }
    if not isinstance(one, Connection):
        return told | {"state": "TIME-WAIT", "unread": 0, "unsent": 0, "info": {}}
    info = describe(one, now)
    given = {field.name: getattr(info, field.name) for field in fields(info)[1:]}
    plain = {field.name: field.default for field in fields(info)}
    return told | {
        "state": info.state,
        "unread": one.receiver.readable,
        "unsent": info.unsent,
        "info": {name: _number(value) for name, value in given.items() if value != plain[name]},
    }


def _socket(address: bytes | None, version: int, port: int) -> str:
    """As `ss` writes it: IPv6 in brackets, * for any address."""
    if address is None:
        return f"*:{port}" if version == 4 else f"[*]:{port}"
    text = str(ipaddress.ip_address(address))
    return f"[{text}]:{port}" if len(address) == 16 else f"{text}:{port}"


def _left(until: float, now: float) -> float | None:
    """Seconds until then; None for ever."""
    return None if until == inf else round(max(until - now, 0.0), 3)


def _number(value: Any) -> Any:
    """JSON has no infinity, and microseconds are exact enough."""
    if isinstance(value, float):
        return round(value, 6) if isfinite(value) else None
    return value
