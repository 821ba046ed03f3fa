"""Redirects are ignored, unless they are wanted and plausible."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from host import OURS4, OURS6, THEIRS4, Host, icmp4, icmp6, packed
from mirage.tcpip.settings import Settings
from mirage.tcpip.wire import ipv4

FAR4, FAR6 = packed("192.0.2.1"), packed("2001:db8::1")
ROUTER, BETTER, BETTER4 = packed("fe80::1"), packed("fe80::2"), packed("10.0.0.3")
WANTED = Settings(accept_redirects=True)


def host(settings: Settings | None) -> Host:
    host = Host(settings)
    host.ip.add_route(ip_network("::/0"), ROUTER, host.interface)
    host.ip.add_route(ip_network("0.0.0.0/0"), THEIRS4, host.interface)
    return host


def gateway(host: Host, address: bytes) -> bytes | None:
    return host.ip.routes.find(address, host.interface)[0].gateway


def redirect6(target: bytes = BETTER, far: bytes = FAR6, source: bytes = ROUTER, hop_limit: int = 255) -> bytes:
    body = bytes(4) + target + far + b"\2\1" + b"\2\0\0\0\0\x33"
    return icmp6(137, body, source=source, to=OURS6, hop_limit=hop_limit)


def redirect4(target: bytes = BETTER4, far: bytes = FAR4, source: bytes = THEIRS4, own: bytes = OURS4) -> bytes:
    return icmp4(5, 1, target, ipv4.build(8, 17, own, far, hop_limit=9) + bytes(8), source=source)


def test_off_by_default() -> None:
    h = host(None)
    h.give(redirect4(), redirect6())
    assert (gateway(h, FAR4), gateway(h, FAR6)) == (THEIRS4, ROUTER)
    assert h.counters["icmp.redirects-ignored"] == 2


def test_rfc4861_8_3_the_destination_goes_by_the_other_router() -> None:
    """Only that destination, and not for ever."""
    h = host(WANTED)
    path = h.ip.path(FAR6, 0.0)
    h.give(redirect4(), redirect6())
    assert (gateway(h, FAR4), gateway(h, FAR6)) == (BETTER4, BETTER)
    assert (gateway(h, packed("192.0.2.2")), gateway(h, packed("2001:db8::2"))) == (THEIRS4, ROUTER)
    assert path.refresh(0.0)
    assert path.header[:6] == b"\2\0\0\0\0\x33"
    h.give(redirect6(target=FAR6, source=BETTER))  # it is on the link itself
    assert gateway(h, FAR6) is None
    h.wait(601)
    assert (gateway(h, FAR4), gateway(h, FAR6)) == (THEIRS4, ROUTER)


@pytest.mark.parametrize(
    "frame",
    [
        redirect6(source=BETTER),  # not the router that is used
        redirect6(hop_limit=254),
        redirect6(target=packed("2001:db8::99")),
        redirect6(far=packed("ff02::5")),
        redirect6(far=OURS6),
        redirect4(source=BETTER4),
        redirect4(target=packed("172.16.0.1")),  # RFC 1122 3.2.2.2: not a neighbour
        redirect4(own=packed("10.0.0.77")),
        icmp4(5, 1, BETTER4, b"short"),
    ],
)
def test_rfc4861_8_1_implausible_ones_are_ignored(frame: bytes) -> None:
    h = host(WANTED)
    before = h.ip.routes.version
    h.give(frame)
    assert h.ip.routes.version == before


def test_they_are_bounded() -> None:
    h = host(WANTED)
    h.give(*(redirect4(far=bytes([192, 0, 2, n])) for n in range(200)))
    assert len(h.ip.routes.all()) <= 64 + 5
    h.ip.remove_interface(h.interface)
    assert h.ip.routes.all() == []
