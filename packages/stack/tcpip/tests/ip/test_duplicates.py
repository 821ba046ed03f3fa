"""Addresses that are checked before they are used (RFC 4862 5.4, RFC 5227)."""

from __future__ import annotations

import pytest
from host import MAC, PEER, Host, arp_frame, icmp4, icmp6, messages6, packed
from mirage.tcpip.errors import AddressUnavailable, NoRoute
from mirage.tcpip.ip.ndp import solicited_node
from mirage.tcpip.settings import Settings

NEW4, NEW6 = packed("10.0.0.50"), packed("fd00::50")


def test_rfc4862_5_4_an_address_that_is_free() -> None:
    """One solicitation from `::`; a second later the address may be used, and not before."""
    host = Host()
    own = host.ip.add_address(host.interface, NEW6, 64, check=True)
    ((source, to, message),) = messages6(host.give())
    assert (source, to, message[8:24]) == (bytes(16), solicited_node(NEW6), NEW6)
    assert b"\1\1" + MAC not in message  # RFC 4861 4.3: none from the unspecified address
    assert own.tentative
    assert host.give(icmp6(128, bytes(4), to=NEW6)) == []
    with pytest.raises(AddressUnavailable):
        host.stack.bind(1, "fd00::50")
    host.wait(1.0)
    assert not own.tentative
    assert [m[0] for m in messages6(host.give(icmp6(128, bytes(4), to=NEW6)))] == [NEW6]


@pytest.mark.parametrize("how", ["advertisement", "solicitation"])
def test_rfc4862_5_4_an_address_that_is_taken(how: str) -> None:
    host = Host()
    host.ip.add_address(host.interface, NEW6, 64, check=True)
    host.give()
    if how == "advertisement":
        answer = icmp6(136, b"\x20\0\0\0" + NEW6 + b"\2\1" + PEER, source=NEW6, to=packed("ff02::1"),
                       mac=b"\x33\x33\0\0\0\1")  # fmt: skip
    else:
        answer = icmp6(135, bytes(4) + NEW6, source=bytes(16), to=solicited_node(NEW6), mac=b"\x33\x33\xff\0\0\x50")
    host.give(answer)
    assert NEW6 not in host.interface.addresses
    assert host.counters["ip6.duplicate-addresses"] == 1
    assert host.wait(10) == []


def test_rfc7527_our_own_question_that_comes_back_is_no_answer() -> None:
    host = Host()
    own = host.ip.add_address(host.interface, NEW6, 64, check=True)
    host.give(*host.give())
    host.wait(1.0)
    assert not own.tentative


def test_rfc5227_2_1_1_ipv4_probes_and_announcements() -> None:
    host = Host()
    own = host.ip.add_address(host.interface, NEW4, 24, check=True)
    assert host.give(icmp4(8, 0, bytes(4), b"", to=NEW4)) == []
    sent, at = [], []
    for _ in range(100):
        frames = host.wait(0.1)
        sent += frames
        at += [host.now] * len(frames)
    assert [f[28:32] for f in sent] == [bytes(4)] * 3 + [NEW4] * 2
    assert all(f[38:42] == NEW4 and f[20:22] == b"\0\1" and f[:6] == b"\xff" * 6 for f in sent)
    assert 2.0 <= at[2] - at[0] + 0.2 <= 4.4
    assert not own.tentative


@pytest.mark.parametrize("sender", [NEW4, bytes(4)])
def test_rfc5227_2_1_1_an_ipv4_address_that_is_taken(sender: bytes) -> None:
    """By one who uses it, or by one who tries it at the same time; what we sent ourselves does not count."""
    host = Host()
    host.ip.add_address(host.interface, NEW4, 24, check=True)
    host.wait(1.0)
    host.give(arp_frame(1, sender, NEW4, to=b"\xff" * 6, mac=MAC))
    assert NEW4 in host.interface.addresses
    assert host.give(arp_frame(1, sender, NEW4, to=b"\xff" * 6)) == []
    assert NEW4 not in host.interface.addresses
    assert host.counters["ip4.duplicate-addresses"] == 1


def test_switched_off() -> None:
    host = Host(Settings(duplicate_address_probes=0))
    assert not host.ip.add_address(host.interface, NEW6, 64, check=True).tentative
    assert host.wait(5) == []


def test_an_address_that_goes_while_it_is_checked() -> None:
    host = Host()
    host.ip.add_address(host.interface, NEW6, 64, check=True)
    host.ip.remove_interface(host.interface)
    assert host.wait(5) == []
    with pytest.raises(NoRoute):
        host.ip.path(NEW6, host.now)
