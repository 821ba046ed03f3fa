"""IGMP and MLD: what is reported, when, and in whose words."""

from __future__ import annotations

import ipaddress

from lone import ALL_NODES, OURS4, PEER4, PEER_MAC, ROUTER, Lone, frame4, frame_icmp6
from mirage.tcpip.wire import ethernet, icmp, ipv6
from mirage.tcpip.wire.checksum import checksum, ones_sum

GROUP4 = ipaddress.ip_address("239.1.2.3").packed
GROUP6 = ipaddress.ip_address("ff05::abcd").packed


def reports4(frames: list[bytes]) -> list[tuple[int, bytes, bytes, bytes]]:
    """IGMP's type, the destination, the group, and for version 3 the kinds of records."""
    found = []
    for frame in frames:
        if frame[12:14] == b"\x08\0" and frame[23] == 2:
            start = 14 + (frame[14] & 15) * 4
            message = frame[start:]
            assert ones_sum(message) == 0
            assert frame[22] == 1, "IGMP does not leave the link"
            if message[0] == 0x22:
                records = [message[at : at + 8] for at in range(8, len(message), 8)]
                assert len(records) == int.from_bytes(message[6:8], "big")
                found += [(0x22, frame[30:34], record[4:], record[:1]) for record in records]
            else:
                found.append((message[0], frame[30:34], message[4:8], b""))
    return found


def reports6(frames: list[bytes]) -> list[tuple[int, bytes, bytes, bytes]]:
    found = []
    for frame in frames:
        if frame[12:14] != b"\x86\xdd" or frame[20] != 0:
            continue
        packet = memoryview(frame)[14:]
        assert ipv6.walk(packet, 0).protocol == 58
        assert bytes(packet[40:48]) == bytes.fromhex("3a00050200000100"), "RFC 3810 5: a router alert"
        assert packet[7] == 1
        message = bytes(packet[48:])
        assert (ones_sum(packet[8:40]) + ones_sum(message) + 58 + len(message)) % 65535 == 0
        if message[0] == 143:
            found += [
                (143, bytes(packet[24:40]), message[at + 4 : at + 20], message[at : at + 1])
                for at in range(8, len(message), 20)
            ]
        else:
            found.append((message[0], bytes(packet[24:40]), message[8:24], b""))
    return found


def query4(code: int = 100, group: bytes = bytes(4), third: bool = True) -> bytes:
    message = bytes([0x11, code, 0, 0]) + group + (b"\2\x7d\0\0" if third else b"")
    message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
    return frame4(2, message, PEER4, b"\xe0\0\0\1", ethernet.group_mac(b"\xe0\0\0\1"), hop_limit=1)


def query6(delay: int = 10_000, group: bytes = bytes(16), second: bool = True, hop_limit: int = 1) -> bytes:
    body = group + (b"\2\x7d\0\0" if second else b"")
    return frame_icmp6(130, delay.to_bytes(2, "big") + b"\0\0", body, ROUTER, ALL_NODES, hop_limit)


def test_rfc3376_5_1_joining_and_leaving() -> None:
    """Each is told at once and once more within a second, to 224.0.0.22."""
    host = Lone()
    host.wait(5)
    host.ip.join(host.interface, GROUP4)
    host.ip.join(host.interface, GROUP4)
    joined = host.wait(2)
    assert reports4([f for _, f in joined]) == 2 * [(0x22, b"\xe0\0\0\x16", GROUP4, b"\4")]
    assert [at for at, frame in joined if reports4([frame])][1] <= 1.001
    host.ip.leave(host.interface, GROUP4)
    assert reports4(host.out()) == [], "another member is left"
    host.ip.leave(host.interface, GROUP4)
    assert reports4([f for _, f in host.wait(2)]) == 2 * [(0x22, b"\xe0\0\0\x16", GROUP4, b"\3")]
    assert GROUP4 not in host.interface.groups


def test_rfc3376_5_1_the_newest_change_counts() -> None:
    """A group that is left again at once is not reported as joined any more."""
    host = Lone()
    host.wait(5)
    host.ip.join(host.interface, GROUP4)
    host.out()
    host.ip.leave(host.interface, GROUP4)
    assert reports4([f for _, f in host.wait(2)]) == 2 * [(0x22, b"\xe0\0\0\x16", GROUP4, b"\3")]


def test_rfc3810_6_1_joining_and_leaving() -> None:
    """The same of IPv6, to ff02::16; solicited-node groups are reported like all others, all-nodes is not."""
    host = Lone()
    told = reports6([f for _, f in host.wait(5)])
    assert {group[:13] for _, _, group, _ in told} == {bytes.fromhex("ff0200000000000000000001ff")}
    assert {to for _, to, _, _ in told} == {ipaddress.ip_address("ff02::16").packed}
    host.ip.join(host.interface, GROUP6)
    host.ip.join(host.interface, ALL_NODES)
    assert [r[2:] for r in reports6([f for _, f in host.wait(2)])] == 2 * [(GROUP6, b"\4")]
    host.ip.leave(host.interface, GROUP6)
    assert [r[2:] for r in reports6([f for _, f in host.wait(2)])] == 2 * [(GROUP6, b"\3")]


def test_rfc3376_5_2_general_queries() -> None:
    """All groups in one report, after some time within what the query allows."""
    host = Lone()
    groups = [GROUP4[:3] + bytes([n]) for n in range(4)]
    for group in groups:
        host.ip.join(host.interface, group)
    host.wait(5)
    assert host.give(query4(code=50)) == []
    answered = host.wait(5.001)
    assert [(group, kind) for _, _, group, kind in reports4([f for _, f in answered])] == [(g, b"\2") for g in groups]
    assert len([f for _, f in answered if reports4([f])]) == 1
    assert reports4([f for _, f in host.wait(60)]) == []


def test_rfc3376_5_2_queries_for_one_group() -> None:
    """Only that group is reported, and only if it was joined."""
    host = Lone()
    host.ip.join(host.interface, GROUP4)
    host.ip.join(host.interface, b"\xef\1\2\4")
    host.wait(5)
    host.give(query4(group=GROUP4))
    assert [group for _, _, group, _ in reports4([f for _, f in host.wait(11)])] == [GROUP4]
    host.give(query4(group=b"\xef\1\2\5"))
    assert reports4([f for _, f in host.wait(11)]) == []


def test_rfc3376_7_2_older_routers() -> None:
    """After a query of version 2 or 1, the words are those of that version, for 260 seconds."""
    host = Lone()
    host.ip.join(host.interface, GROUP4)
    host.wait(5)
    host.give(query4(third=False))
    assert reports4([f for _, f in host.wait(11)]) == [(0x16, GROUP4, GROUP4, b"")]
    host.ip.leave(host.interface, GROUP4)
    assert (0x17, b"\xe0\0\0\2", GROUP4, b"") in reports4([f for _, f in host.wait(3)])
    host.ip.join(host.interface, GROUP4)
    host.wait(3)
    host.give(query4(code=0, third=False))
    assert reports4([f for _, f in host.wait(11)]) == [(0x12, GROUP4, GROUP4, b"")]
    host.wait(261)
    host.give(query4())
    assert [r[0] for r in reports4([f for _, f in host.wait(11)])] == [0x22]


def test_rfc3810_8_2_1_older_routers() -> None:
    """MLDv1's reports go to the group, and its Done to all routers."""
    host = Lone()
    host.ip.join(host.interface, GROUP6)
    host.wait(5)
    host.give(query6(second=False, group=GROUP6))
    assert reports6([f for _, f in host.wait(11)]) == [(131, GROUP6, GROUP6, b"")]
    host.ip.leave(host.interface, GROUP6)
    assert (132, ipaddress.ip_address("ff02::2").packed, GROUP6, b"") in reports6([f for _, f in host.wait(3)])


def test_rfc3810_6_2_queries_from_beyond_the_link() -> None:
    """They are not answered."""
    host = Lone()
    host.wait(5)
    host.give(query6(hop_limit=64))
    assert reports6([f for _, f in host.wait(11)]) == []
    host.give(query6())
    assert len(reports6([f for _, f in host.wait(11)])) > 0


def test_many_groups_share_few_packets() -> None:
    """RFC 3376 4.2.16: as many records as fit, then another report."""
    host = Lone()
    host.wait(5)
    groups = [b"\xef\2" + n.to_bytes(2, "big") for n in range(400)]
    for group in groups:
        host.ip.join(host.interface, group)
    frames = host.out()
    assert len(frames) == 3
    assert max(map(len, frames)) <= 1514
    assert sorted(group for _, _, group, _ in reports4(frames)) == groups


def test_a_group_is_heard_only_while_it_is_joined() -> None:
    """RFC 1112 7.2: frames for other groups are not for us."""
    host = Lone()
    host.wait(5)
    endpoint = host.stack.bind(9, version=4)
    datagram = frame4(17, bytes.fromhex("0007 0009 000a 0000 6869"), PEER4, GROUP4, ethernet.group_mac(GROUP4))
    host.give(datagram)
    assert host.counters["ip4.not-for-us"] == 1
    endpoint.join(GROUP4)
    host.give(datagram)
    read = endpoint.read()
    assert read is not None
    assert (read.data, read.local) == (b"hi", GROUP4)
    other = host.stack.bind(10, version=4)
    host.give(datagram.replace(bytes.fromhex("0007 0009"), bytes.fromhex("0007 000a")))
    assert other.read() is None, "it has not joined the group itself"
    endpoint.close()
    host.wait(3)
    host.give(datagram)
    assert host.counters["ip4.not-for-us"] == 2


def test_rfc1122_3_2_2_no_errors_about_groups() -> None:
    """Nobody is told that a port is not there when the datagram came to a group or a broadcast."""
    host = Lone()
    host.meet()
    host.ip.join(host.interface, GROUP4)
    host.wait(3)
    udp = bytes.fromhex("0007 0009 000a 0000 6869")
    assert host.give(frame4(17, udp, PEER4, GROUP4, ethernet.group_mac(GROUP4))) == []
    assert host.give(frame4(17, udp, PEER4, b"\xff" * 4, ethernet.BROADCAST)) == []
    assert host.give(frame4(17, udp, PEER4, b"\x0a\x09\0\xff", ethernet.BROADCAST)) == []
    assert host.give(frame4(17, udp, PEER4, OURS4, ethernet.BROADCAST)) == []
    assert len(host.give(frame4(17, udp, PEER4, OURS4))) == 1
    assert host.counters["udp.no-port"] == 5
    echo = icmp.build4(icmp.ECHO_REQUEST4, 0, b"\0\1\0\1", b"")
    assert host.give(frame4(1, echo, PEER4, b"\xff" * 4, ethernet.BROADCAST)) == []
    assert host.give(frame4(1, echo, PEER4, OURS4))[0][:6] == PEER_MAC
