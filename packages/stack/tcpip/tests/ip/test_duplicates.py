"""Duplicate address detection of both versions, in virtual time."""

from __future__ import annotations

import itertools
from dataclasses import replace

from lone import MAC, OURS4, OURS6, PEER4, PEER6, PEER_MAC, QUIET, Lone, frame_arp, frame_icmp6, kind_of, kinds
from mirage.tcpip import Settings
from mirage.tcpip.ip.discovery import solicited_node
from mirage.tcpip.wire import ndp

CAREFUL = Settings(optimistic_addresses=False, router_solicitations=0, temporary_addresses=False)
OPTIMISTIC = replace(CAREFUL, optimistic_addresses=True)


def times(sent: list[tuple[float, bytes]], kind: str) -> list[float]:
    return [at for at, frame in sent if kind_of(frame) == kind]


def probe6(address: bytes, nonce: bytes = b"") -> bytes:
    return frame_icmp6(ndp.SOLICITATION, bytes(4), address + nonce, bytes(16), solicited_node(address), hop_limit=255)


def test_rfc5227_2_1_1_probing_an_address() -> None:
    """Three probes at random times, one to two seconds apart, then two announcements two seconds apart."""
    host = Lone(CAREFUL, addresses=False)
    own = host.ip.add_address(host.interface, OURS4, 24)
    sent = host.wait(15)
    probes, announcements = times(sent, "arp probe"), times(sent, "arp announcement")
    assert len(probes) == 3
    assert 0 <= probes[0] <= 1
    assert all(1 <= b - a <= 2.001 for a, b in itertools.pairwise(probes))
    assert len(announcements) == 2
    assert abs(announcements[0] - probes[2] - 2) < 0.001
    assert abs(announcements[1] - announcements[0] - 2) < 0.001
    assert not own.tentative


def test_rfc5227_2_1_1_nothing_is_sent_from_a_tentative_address() -> None:
    """Nor is it answered for."""
    host = Lone(CAREFUL, addresses=False)
    host.ip.add_address(host.interface, OURS4, 24)
    assert not host.ip.is_local(OURS4)
    assert "arp reply" not in kinds(host.give(frame_arp(1, PEER_MAC, PEER4, OURS4)))
    host.wait(15)
    assert kinds(host.give(frame_arp(1, PEER_MAC, PEER4, OURS4))) == ["arp reply"]


def test_rfc5227_2_1_1_somebody_has_it() -> None:
    """An answer to the probe, or somebody else's probe, ends it: the address is not ours."""
    for conflict in (frame_arp(2, PEER_MAC, OURS4, bytes(4), MAC), frame_arp(1, PEER_MAC, bytes(4), OURS4)):
        host = Lone(CAREFUL, addresses=False)
        taken: list[bytes] = []
        host.ip.on_duplicate.append(lambda _, address, taken=taken: taken.append(address))
        host.ip.add_address(host.interface, OURS4, 24)
        host.wait(2)
        host.give(conflict)
        assert OURS4 not in host.interface.addresses
        assert taken == [OURS4]
        assert host.counters["ip4.duplicate-addresses"] == 1
        assert times(host.wait(20), "arp announcement") == []


def test_our_own_probe_comes_back() -> None:
    """A link that reflects frames takes nobody's address."""
    host = Lone(CAREFUL, addresses=False)
    host.ip.add_address(host.interface, OURS4, 24)
    host.ip.add_address(host.interface, OURS6, 64)
    for _, frame in host.wait(3):
        host.give(frame)
    host.wait(20)
    assert host.ip.is_local(OURS4)
    assert host.ip.is_local(OURS6)


def test_rfc5227_2_4_defence() -> None:
    """An address in use is kept and announced, at most once in ten seconds."""
    host = Lone(OPTIMISTIC)
    host.wait(20)
    conflict = frame_arp(1, PEER_MAC, OURS4, PEER4)
    assert kinds(host.give(conflict)) == ["arp announcement"]
    assert kinds(host.give(conflict)) == []
    host.wait(10.1)
    assert kinds(host.give(conflict)) == ["arp announcement"]
    assert host.counters["ip4.address-conflicts"] == 3
    assert host.ip.is_local(OURS4)


def test_rfc4862_5_4_2_probing_an_address() -> None:
    """One solicitation from the unspecified address to the solicited-node group, then it is ours after a second."""
    host = Lone(CAREFUL, addresses=False)
    host.wait(3)
    own = host.ip.add_address(host.interface, OURS6, 64)
    (probe,) = [frame for frame in host.out() if kind_of(frame) == "icmp6 135"]
    assert probe[22:38] == bytes(16)
    assert probe[38:54] == solicited_node(OURS6)
    assert probe[62:78] == OURS6
    assert own.tentative
    host.wait(0.99)
    assert own.tentative
    host.wait(0.02)
    assert not own.tentative


def test_rfc4862_5_4_3_and_5_4_4_somebody_has_it() -> None:
    """A probe or an advertisement for it from another host ends it."""
    advertisement = frame_icmp6(
        ndp.ADVERTISEMENT,
        b"\x20\0\0\0",
        OURS6 + ndp.build_link(2, PEER_MAC),
        OURS6,
        bytes.fromhex("ff020000000000000000000000000001"),
        255,
    )
    for conflict in (probe6(OURS6, ndp.build_nonce(b"theirs")), probe6(OURS6), advertisement):
        host = Lone(CAREFUL, addresses=False)
        host.ip.add_address(host.interface, OURS6, 64)
        host.wait(0.5)
        host.give(conflict)
        assert OURS6 not in host.interface.addresses
        assert host.counters["ip6.duplicate-addresses"] == 1


def test_rfc7527_4_2_a_looped_probe() -> None:
    """Our own nonce from elsewhere is our own probe that some bridge has sent back."""
    host = Lone(CAREFUL, addresses=False)
    host.ip.add_address(host.interface, OURS6, 64)
    probe = next(frame for frame in host.out() if kind_of(frame) == "icmp6 135" and frame[62:78] == OURS6)
    host.give(probe[:6] + PEER_MAC + probe[12:])
    assert host.counters["ip6.looped-probes"] == 1
    host.wait(2)
    assert host.ip.is_local(OURS6)


def test_rfc4429_3_3_optimistic_addresses() -> None:
    """They answer at once, without the override flag; with it once they are sure."""
    host = Lone(OPTIMISTIC)
    solicitation = frame_icmp6(ndp.SOLICITATION, bytes(4), OURS6 + ndp.build_link(1, PEER_MAC), PEER6, OURS6, 255)
    (answer,) = [frame for frame in host.give(solicitation) if kind_of(frame) == "icmp6 136"]
    assert answer[58] == 0x40
    host.wait(5)
    (answer,) = [frame for frame in host.give(solicitation) if kind_of(frame) == "icmp6 136"]
    assert answer[58] == 0x60


def test_rfc4862_5_4_3_somebody_probes_for_what_we_have() -> None:
    """He is told, at all nodes, because he has no address yet."""
    host = Lone(QUIET)
    host.wait(5)
    (answer,) = host.give(probe6(OURS6))
    assert kind_of(answer) == "icmp6 136"
    assert answer[38:54] == bytes.fromhex("ff020000000000000000000000000001")
    assert answer[58] == 0x20


def test_no_probes_where_none_are_wanted() -> None:
    """`Settings.duplicate_address_probes` 0: an address is announced and that is all."""
    host = Lone(QUIET, addresses=False)
    host.wait(5)
    host.ip.add_address(host.interface, OURS4, 24)
    assert set(kinds([frame for _, frame in host.wait(20)])) == {"arp announcement"}


def test_a_duplicate_link_local_address_has_a_successor() -> None:
    """RFC 7217 6: the next of the sequence, as often as that is sensible."""
    host = Lone(CAREFUL, addresses=False)
    seen = []
    for _ in range(6):
        if not host.interface.addresses:
            break
        (address,) = host.interface.addresses
        seen.append(address)
        host.give(probe6(address))
    assert len(set(seen)) == len(seen) > 1
    assert not host.interface.addresses
    assert host.counters["ip6.autoconfiguration-given-up"] == 1
