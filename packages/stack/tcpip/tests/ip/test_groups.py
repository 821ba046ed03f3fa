"""Reports of multicast groups: IGMPv3 and MLDv2, and what is spoken with older queriers."""

from __future__ import annotations

import pytest
from host import OURS6, Host, frame4, frame6, icmp6, messages6, packed
from mirage.tcpip.ip.ndp import solicited_node
from mirage.tcpip.wire import groups
from mirage.tcpip.wire.checksum import checksum, ones_sum

GROUP4, GROUP6, ROUTER = packed("239.1.2.3"), packed("ff05::123"), packed("fe80::1")


class Member(Host):
    def __init__(self) -> None:
        super().__init__(reports=True)
        self.first = self.wait(20)

    def join(self) -> None:
        self.four, self.six = self.stack.bind(5, version=4), self.stack.bind(5, version=6)
        self.four.join(GROUP4)
        self.six.join(GROUP6)


def records(frames: list[bytes]) -> list[tuple[int, bytes]]:
    """Kind and group of all records in reports of version 3 and 2."""
    found = []
    for frame in frames:
        if frame[12:14] == b"\x08\0" and frame[23] == 2:
            assert (frame[14], frame[22], frame[34:38]) == (0x46, 1, b"\x94\x04\0\0")  # router alert
            assert (frame[:6], frame[30:34]) == (b"\1\0\x5e\0\0\x16", packed("224.0.0.22"))
            assert ones_sum(frame[38:]) == 0
            message = frame[38:]
        else:
            ((source, to, message),) = messages6([frame], 143)
            assert (frame[20:22], frame[54:62]) == (b"\0\1", bytes([58, 0, 5, 2, 0, 0, 1, 0]))
            assert (source[0] == 0xFE or not any(source), to) == (True, packed("ff02::16"))
        count, size = int.from_bytes(message[6:8], "big"), 4 if frame[12] == 8 else 16
        assert len(message) == 8 + count * (4 + size)
        for at in range(8, len(message), 4 + size):
            assert message[at + 1 : at + 4] == bytes(3)
            found.append((message[at], message[at + 4 : at + 4 + size]))
    return found


def query4(group: bytes = bytes(4), code: int = 10, old: bool = False) -> bytes:
    message = bytearray(bytes([0x11, code, 0, 0]) + group + (b"" if old else bytes([3, 125, 0, 0])))
    message[2:4] = checksum(message).to_bytes(2, "big")
    to = group if any(group) else packed("224.0.0.1")
    return frame4(bytes(message), 2, to=to, mac=b"\1\0\x5e" + to[1:], hop_limit=1)


def query6(
    group: bytes = bytes(16), code: int = 1000, old: bool = False, hop_limit: int = 1, source: bytes = ROUTER
) -> bytes:
    body = code.to_bytes(2, "big") + bytes(2) + group + (b"" if old else bytes([3, 125, 0, 0]))
    to = group if any(group) else packed("ff02::1")
    return icmp6(130, body, source=source, to=to, mac=b"\x33\x33" + to[12:], hop_limit=hop_limit)


def test_addresses_are_reported_by_their_solicited_node_groups() -> None:
    """Twice, within a second; not the group of all nodes."""
    host = Member()
    wanted = {solicited_node(OURS6), solicited_node(host.link_local)}
    found = records(host.first)
    assert {group for _, group in found} == wanted
    assert [kind for kind, _ in found] == [4] * 4
    host.ip.join(host.interface, packed("ff02::1"))
    host.ip.join(host.interface, packed("224.0.0.1"))
    assert host.wait(10) == []


def test_rfc3376_5_1_joining_and_leaving() -> None:
    host = Member()
    host.join()
    for seconds in (0.0, 1.0):
        assert sorted(records(host.wait(seconds))) == [(4, GROUP4), (4, GROUP6)]
    again = host.stack.bind(6)
    again.join(GROUP4)
    again.close()
    assert host.wait(10) == []
    host.four.close()
    host.six.leave(GROUP6)
    assert sorted(records(host.wait(10))) == sorted([(3, GROUP4), (3, GROUP6)] * 2)


def test_rfc3376_5_2_general_queries_are_answered_in_their_time() -> None:
    """After a delay within what is allowed, with one report about all; several queries get one answer."""
    host = Member()
    host.join()
    host.wait(10)
    assert host.give(query4(), query6(), query4(), query6()) == []
    assert host.stack.next_deadline() <= host.now + 1
    answers = records(host.wait(1.0))
    assert sorted(answers) == sorted([(2, GROUP4), *((2, g) for g in host.interface.groups if len(g) == 16)])
    assert host.wait(100) == []


@pytest.mark.parametrize("version", [4, 6])
def test_queries_about_one_group(version: int) -> None:
    host = Member()
    host.join()
    host.wait(10)
    mine, other = (GROUP4, packed("239.9.9.9")) if version == 4 else (GROUP6, packed("ff05::999"))
    ask = query4 if version == 4 else query6
    host.give(ask(mine), ask(other))
    assert records(host.wait(2)) == [(2, mine)]


@pytest.mark.parametrize("version", [4, 6])
def test_with_an_older_querier_its_version_is_spoken(version: int) -> None:
    """RFC 3376 7.2.1, RFC 3810 8.2.1: for 260 seconds."""
    host = Member()
    host.join()
    host.wait(10)
    host.give(query4(old=True) if version == 4 else query6(old=True))
    sent = host.wait(2)
    (host.four if version == 4 else host.six).close()
    left = host.wait(0.0)
    if version == 4:
        assert [(f[30:34], f[38], f[42:46]) for f in sent] == [(GROUP4, 0x16, GROUP4)]
        assert [(f[30:34], f[38], f[42:46]) for f in left] == [(packed("224.0.0.2"), 0x17, GROUP4)]
    else:
        assert {(to, m[0], m[8:24]) for _, to, m in messages6(sent)} == {
            (g, 131, g) for g in (GROUP6, solicited_node(OURS6), solicited_node(host.link_local))
        }
        assert [(to, m[0], m[8:24]) for _, to, m in messages6(left)] == [(packed("ff02::2"), 132, GROUP6)]
    host.wait(300)
    host.stack.bind(0, version=version).join(GROUP4 if version == 4 else GROUP6)
    host.give(query4() if version == 4 else query6())
    assert records(host.wait(2))


def test_queries_that_are_not_believed() -> None:
    host = Member()
    bad = bytearray(query4())
    bad[-1] ^= 1
    host.give(
        query6(hop_limit=2),
        query6(source=packed("2001:db8::1")),
        bytes(bad),
        frame4(b"\x11\0", 2, to=packed("224.0.0.1"), mac=b"\1\0\x5e\0\0\1"),
        frame6(bytes(4), 58, to=packed("ff02::1"), mac=b"\x33\x33\0\0\0\1"),
    )
    assert host.wait(20) == []
    assert host.counters["igmp.malformed"] == 2


@pytest.mark.parametrize(
    ("code", "bits", "expected"),
    [(127, 8, 127), (0x80, 8, 128), (0xFF, 8, 31744), (0x7FFF, 16, 32767), (0xFFFF, 16, 8387584)],
)
def test_rfc3376_4_1_1_times_are_a_kind_of_floating_point(code: int, bits: int, expected: int) -> None:
    assert groups._exponential(code, bits) == expected


def test_nothing_is_left_of_an_interface_that_goes() -> None:
    host = Member()
    host.join()
    host.ip.remove_interface(host.interface)
    assert host.wait(10) == []
