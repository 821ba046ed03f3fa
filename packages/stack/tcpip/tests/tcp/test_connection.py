"""Two ends of a connection in virtual time: what RFC 9293 and its companions promise, seen from the application."""

from __future__ import annotations

from itertools import pairwise

import pytest
from mirage.tcpip.errors import (
    AddressInUse,
    ConnectionAborted,
    ConnectionRefused,
    ConnectionReset,
    ConnectionTimedOut,
    LimitReached,
    NotConnected,
)
from mirage.tcpip.ip.packet import ErrorKind, IcmpError
from mirage.tcpip.settings import Settings
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.tcp.state import State
from mirage.tcpip.tcp.timewait import TimeWait
from mirage.tcpip.wire.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN, Segment, parse, parse_options
from mirage.types import Offload
from pair import Host, Pair

ALL = Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6


def segments(pair: Pair, host: Host) -> list[Segment]:
    """What a host has sent so far."""
    return [parse(memoryview(f)[34:] if f[12] == 8 else memoryview(f)[54:]) for _, h, f in pair.log if h is host]


def lose_everything(host: Host, frame: bytes) -> list[float]:
    """A wire that was cut."""
    return []


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("offload", [Offload.NONE, Offload.CHECKSUM, ALL], ids=["none", "checksum", "all"])
def test_octets_arrive_both_ways(version: int, offload: Offload) -> None:
    """Over both versions of IP, with each kind of device."""
    pair = Pair(version=version, offload=offload)
    client, server = pair.connect()
    there, back = pair.random.randbytes(300_000), pair.random.randbytes(200_000)
    assert pair.transfer(client, server, there) == there
    assert pair.transfer(server, client, back) == back


def test_the_handshake_agrees_on_what_both_offer() -> None:
    """RFC 7323 2.2 and 3.2, RFC 2018 2: an option is in force only if both SYNs had it."""
    pair = Pair(left=Settings(), right=Settings(timestamps=False, sack=False, receive_buffer=60_000))
    client, server = pair.connect()
    assert not client.timestamps
    assert not server.timestamps
    assert not client.sender.sack
    assert client.scale == 0, "a small buffer needs no scale"
    assert server.scale == 7
    first = parse_options(segments(pair, pair.left)[0].options)
    assert (first.mss, first.window_scale, first.sack_permitted) == (1460, 7, True)
    answer = parse_options(segments(pair, pair.right)[0].options)
    assert answer.timestamps is None
    assert not answer.sack_permitted


def test_nobody_listens() -> None:
    """RFC 9293 3.10.7.1: a SYN to a closed port is answered by RST, which refuses the connection."""
    pair = Pair()
    client = pair.start(81)
    pair.run(lambda: client.state is State.CLOSED)
    assert isinstance(client.error, ConnectionRefused)
    assert pair.right.counters["tcp.no-listener"] == 1
    with pytest.raises(NotConnected, match="refused"):
        client.write(b"x")


def test_no_answer_at_all() -> None:
    """RFC 9293 3.8.3: SYNs are repeated with growing patience, then the connection is given up."""
    pair = Pair(left=Settings(syn_retries=3))
    pair.fate = lose_everything
    client = pair.start()
    pair.run(lambda: client.state is State.CLOSED)
    assert isinstance(client.error, ConnectionTimedOut)
    times = [at for at, _, _ in pair.log]
    assert [round(b - a) for a, b in pairwise(times)] == [1, 2, 4]


def test_a_lost_syn_ack_is_sent_again() -> None:
    """RFC 9293 3.5: either side's SYN may be lost."""
    pair = Pair()
    lost = []

    def fate(host: Host, frame: bytes) -> list[float]:
        if host is pair.right and not lost:
            lost.append(frame)
            return []
        return [pair.delay]

    pair.fate = fate
    client, server = pair.connect()
    assert client.state is server.state is State.ESTABLISHED
    assert lost


def test_both_open_at_once() -> None:
    """RFC 9293 3.5, figure 7: two SYNs cross, and one connection comes of it."""
    pair = Pair()
    left = pair.left.tcp.connect(pair.left.ip.path(pair.right.ip.address, 0.0), 2000, 1000, 0.0)  # type: ignore[arg-type]
    right = pair.right.tcp.connect(pair.right.ip.path(pair.left.ip.address, 0.0), 1000, 2000, 0.0)  # type: ignore[arg-type]
    pair.run(lambda: left.state is right.state is State.ESTABLISHED)
    assert pair.transfer(left, right, b"ping") == b"ping"
    assert pair.transfer(right, left, b"pong") == b"pong"


def test_a_clean_end() -> None:
    """RFC 9293 3.6: who closes first waits in TIME-WAIT; the other is gone at once; every octet arrives before."""
    pair = Pair()
    client, server = pair.connect()
    client.write(b"last words")
    client.shutdown()
    pair.run(lambda: server.eof)
    pair.wait(0.1)
    assert server.read() == b"last words"
    assert client.state is State.FIN_WAIT_2
    server.write(b"the same to you")
    server.close()
    pair.run(lambda: client.state is State.TIME_WAIT and server.state is State.CLOSED)
    assert client.read() == b"the same to you"
    assert client.error is server.error is None
    assert pair.right.tcp.connections == {}
    pair.wait(61)
    assert pair.left.tcp.connections == {}
    assert pair.left.tcp.open == pair.right.tcp.open == 0


def test_both_close_at_once() -> None:
    """RFC 9293 3.6, figure 13: both go through CLOSING into TIME-WAIT."""
    pair = Pair()
    client, server = pair.connect()
    client.close()
    server.close()
    pair.run(lambda: client.state is server.state is State.TIME_WAIT)
    pair.wait(61)
    assert pair.left.tcp.connections == pair.right.tcp.connections == {}


def test_a_half_closed_connection_goes_on_the_other_way() -> None:
    """RFC 9293 3.6: after a FIN data still flows against it."""
    pair = Pair()
    client, server = pair.connect()
    client.shutdown()
    pair.run(lambda: server.eof)
    data = pair.random.randbytes(500_000)
    assert pair.transfer(server, client, data) == data
    with pytest.raises(NotConnected, match="shut down"):
        client.write(b"no")


def test_abort_resets_the_peer() -> None:
    """RFC 9293 3.10.5."""
    pair = Pair()
    client, server = pair.connect()
    client.abort()
    pair.run(lambda: server.state is State.CLOSED)
    assert isinstance(server.error, ConnectionReset)
    assert isinstance(client.error, ConnectionAborted)
    assert pair.left.tcp.connections == pair.right.tcp.connections == {}


def test_data_for_an_application_that_has_gone_resets() -> None:
    """RFC 9293 3.6.1, RFC 2525 2.17: the peer must not believe that somebody reads."""
    pair = Pair()
    client, server = pair.connect()
    server.close()
    pair.run(lambda: client.eof)
    client.write(b"anybody there?")
    pair.run(lambda: client.state is State.CLOSED)
    assert isinstance(client.error, ConnectionReset)


def test_closing_with_unread_data_resets() -> None:
    """RFC 2525 2.17."""
    pair = Pair()
    client, server = pair.connect()
    client.write(b"unread")
    pair.run(lambda: server.readable == 6)
    server.close()
    pair.run(lambda: client.state is State.CLOSED)
    assert isinstance(client.error, ConnectionReset)


def test_fin_wait_2_ends_when_the_application_has_gone() -> None:
    """A peer that never closes cannot hold a closed connection for ever."""
    pair = Pair(left=Settings(fin_wait_2=10.0))
    client, _ = pair.connect()
    client.close()
    pair.wait(1)
    assert client.state is State.FIN_WAIT_2
    pair.wait(10)
    assert client.state is State.CLOSED


def test_a_peer_that_vanished_is_given_up() -> None:
    """RFC 9293 3.8.3: data that stays unacknowledged for the user timeout ends the connection."""
    pair = Pair(left=Settings(user_timeout=20.0))
    client, _ = pair.connect()
    pair.fate = lose_everything
    client.write(b"hello?")
    started = pair.now
    pair.run(lambda: client.state is State.CLOSED)
    assert isinstance(client.error, ConnectionTimedOut)
    assert 20 <= pair.now - started <= 50


def test_keep_alive_finds_a_dead_peer_and_leaves_a_living_one() -> None:
    """RFC 9293 3.8.4."""
    pair = Pair()
    client, server = pair.connect()
    client.keepalive, client.keepalive_idle, client.keepalive_interval, client.keepalive_limit = True, 10.0, 1.0, 3
    client.set_timer()
    pair.wait(100)
    assert client.state is State.ESTABLISHED
    assert pair.left.counters["tcp.keepalive-probes"] >= 9
    pair.fate = lose_everything
    pair.wait(15)
    assert client.state is State.CLOSED
    assert isinstance(client.error, ConnectionTimedOut)
    assert server.state is State.ESTABLISHED


def test_a_closed_window_is_probed_until_it_opens() -> None:
    """RFC 9293 3.8.6.1: even when the update that opens it is lost."""
    pair = Pair(right=Settings(receive_buffer=8192))
    client, server = pair.connect()
    client.write(bytes(50_000))
    pair.wait(30)
    assert server.readable == 8192
    assert client.sender.edge == client.sender.nxt
    assert pair.left.counters["tcp.window-probes"] >= 3
    assert pair.right.counters["tcp.resets-sent"] == 0
    pair.fate = lambda host, frame: [] if host is pair.right else [pair.delay]
    got = len(server.read())
    pair.wait(1)  # the update is lost
    pair.fate = lambda host, frame: [pair.delay]
    while got < 50_000:
        assert pair.step(pair.now + 300)
        got += len(server.read())


def test_nagle_holds_crumbs_back_unless_told_not_to() -> None:
    """RFC 9293 3.7.4."""
    for nodelay, expected in ((False, 2), (True, 20)):
        pair = Pair()
        client, server = pair.connect()
        client.nodelay = nodelay
        before = len(segments(pair, pair.left))
        for _ in range(20):
            client.write(b"x")
            pair.step(pair.now)
        pair.run(lambda server=server: server.readable == 20)
        sent = [s for s in segments(pair, pair.left)[before:] if len(s.payload)]
        assert len(sent) == expected


def test_acknowledgments_wait_for_data_to_ride_on() -> None:
    """RFC 9293 3.8.6.3: an answer within the delay carries the ACK; without one it comes after the delay."""
    pair = Pair()
    client, server = pair.connect()
    before = len(segments(pair, pair.right))
    client.write(b"question")
    pair.run(lambda: server.readable == 8)
    server.read()
    server.write(b"answer")
    pair.run(lambda: client.readable == 6)
    assert [bytes(s.payload) for s in segments(pair, pair.right)[before:]] == [b"answer"]
    client.read()
    asked = pair.now
    client.write(b"again")
    pair.run(lambda: server.readable == 5)
    pair.run(lambda: client.unacknowledged == 0)
    assert pair.now - asked == pytest.approx(2 * pair.delay + 0.04, abs=0.002)


@pytest.mark.parametrize("limit", [1460, 1200, 548])
@pytest.mark.parametrize("fast", [True, False])
def test_every_second_full_segment_is_acknowledged(limit: int, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9293 3.8.6.3, MUST-59; what the peer's full segments carry may be less than our MSS lets them."""
    monkeypatch.setattr(Connection, "fast", fast)
    pair = Pair()
    client, server = pair.connect()
    client.limit_segments(limit)
    data = bytes(400_000)
    free = [0.0]

    def one_by_one(host: Host, frame: bytes) -> list[float]:
        free[0] = max(free[0], pair.now) + 0.0001
        return [free[0] - pair.now + pair.delay]

    pair.fate = one_by_one
    before = len(segments(pair, pair.right))
    assert pair.transfer(client, server, data) == data
    acks = len(segments(pair, pair.right)) - before
    full = limit - 12
    assert server.receive_full == full
    assert len(data) / full / 2 <= acks <= len(data) / full / 2 + 24


def test_a_larger_segment_says_at_once_what_a_full_one_carries() -> None:
    """A smaller one must come twice: the last of a message is no full one."""
    pair = Pair()
    client, server = pair.connect()
    client.nodelay = True
    for size, full in [(700, 1448), (800, 1448), (700, 1448), (700, 700), (500, 700), (500, 700), (900, 900)]:
        assert pair.transfer(client, server, bytes(size)) == bytes(size)
        assert server.receive_full == full


def test_an_old_duplicate_is_acknowledged_and_not_delivered() -> None:
    """RFC 9293 3.10.7.4: and the ACK says that it was one (RFC 2883)."""
    pair = Pair()
    client, server = pair.connect()
    client.write(b"once")
    pair.run(lambda: server.readable == 4)
    frame = next(f for _, h, f in reversed(pair.log) if h is pair.left and f.endswith(b"once"))
    pair.wait(1)
    before = len(segments(pair, pair.right))
    from mirage.types import FrameMeta

    pair.right.frame(FrameMeta(), memoryview(frame), pair.now)
    pair.wait(0.1)
    assert server.read() == b"once"
    answers = segments(pair, pair.right)[before:]
    assert len(answers) == 1
    assert len(parse_options(answers[0].options).sack) == 1


@pytest.mark.parametrize("nodelay", [False, True])
def test_time_wait_gives_way_to_a_newer_connection(nodelay: bool) -> None:
    """RFC 6191: the same ports again, while the old connection is in TIME-WAIT."""
    pair = Pair()
    listener = pair.right.tcp.listen(4, None, 80, 8)
    path = pair.left.ip.path(pair.right.ip.address, pair.now)
    for _ in range(3):
        client = pair.left.tcp.connect(path, 80, 4000, pair.now)  # type: ignore[arg-type]
        server = pair.accept(listener)
        assert server is not None
        client.nodelay = nodelay
        assert pair.transfer(client, server, b"hi") == b"hi"
        server.close()
        pair.run(lambda client=client: client.eof)
        client.close()
        pair.wait(0.5)
        assert isinstance(next(iter(pair.right.tcp.connections.values())), TimeWait)


@pytest.mark.parametrize("ends_first", ["client", "server"])
def test_a_newer_connection_begins_above_what_the_old_one_sent(ends_first: str) -> None:
    """RFC 9293 3.10.7.4, RFC 6191: also where more was sent than the clock of initial numbers has gone on by."""
    pair = Pair(delay=0.0001)
    listener = pair.right.tcp.listen(4, None, 80, 8)
    path = pair.left.ip.path(pair.right.ip.address, pair.now)
    old = 0
    for again in (False, True):
        client = pair.left.tcp.connect(path, 80, 4000, pair.now)  # type: ignore[arg-type]
        server = pair.accept(listener)
        assert server is not None
        first, second = (client, server) if ends_first == "client" else (server, client)
        if again:
            assert 0 < (first.sender.iss - old) & 0xFFFFFFFF < 0x80000000
        data = bytes(3_000_000)
        assert pair.transfer(first, second, data) == data
        first.close()
        pair.run(lambda second=second: second.eof)
        second.close()
        pair.wait(0.5)
        old = first.sender.nxt & 0xFFFFFFFF


def test_a_second_listener_is_refused() -> None:
    """One address and port, one listener; any address overlaps each."""
    pair = Pair()
    pair.right.tcp.listen(4, None, 80, 8)
    with pytest.raises(AddressInUse):
        pair.right.tcp.listen(4, pair.right.ip.address, 80, 8)
    pair.right.tcp.listen(6, None, 80, 8)


def test_a_closed_listener_resets_what_nobody_accepted() -> None:
    """RFC 9293 3.10.4."""
    pair = Pair()
    listener = pair.right.tcp.listen(4, None, 80, 8)
    client = pair.start()
    pair.run(lambda: client.state is State.ESTABLISHED)
    pair.wait(0.1)
    listener.close()
    pair.run(lambda: client.state is State.CLOSED)
    assert isinstance(client.error, ConnectionReset)


def test_cookies_make_whole_connections() -> None:
    """RFC 4987 3.6: with nothing kept between SYN and ACK, options and all are agreed on."""
    pair = Pair(right=Settings(max_half_open=0))
    client, server = pair.connect()
    assert pair.right.counters["tcp.cookies-accepted"] == 1
    assert server.scale == 7
    assert server.sender.sack
    assert server.ecn
    data = pair.random.randbytes(300_000)
    assert pair.transfer(client, server, data) == data
    assert pair.transfer(server, client, data) == data


def test_a_forged_cookie_is_refused() -> None:
    """An ACK out of the blue gets a RST, and no connection."""
    pair = Pair(right=Settings(max_half_open=0))
    client, server = pair.connect()
    frame = bytearray(next(f for _, h, f in pair.log if h is pair.left and f[47] == ACK))
    frame[42] ^= 1
    frame[35] ^= 1  # another port: another connection
    del pair.right.tcp.connections[server.key]
    from mirage.types import Checksum, FrameMeta

    pair.right.frame(FrameMeta(Checksum.VERIFIED), memoryview(bytes(frame)), pair.now)
    pair.wait(0.001)
    assert segments(pair, pair.right)[-1].flags == RST
    assert client.state is State.ESTABLISHED


def test_half_open_connections_are_capped() -> None:
    """A flood of SYNs takes bounded memory, and a real client is still served."""
    pair = Pair(right=Settings(max_half_open=16))
    listener = pair.right.tcp.listen(4, None, 80, 100)
    pair.fate = lambda host, frame: [pair.delay] if host is pair.left else []
    for _ in range(200):
        pair.start()
    pair.wait(0.5)
    assert pair.right.tcp.half_open == 16
    assert pair.right.tcp.open == 16
    assert pair.right.counters["tcp.cookies-sent"] >= 184
    pair.fate = lambda host, frame: [pair.delay]
    pair.wait(5)
    accepted = 0
    while listener.accept():
        accepted += 1
    assert accepted == 100, "as many as the backlog holds"


def test_connections_are_capped() -> None:
    """`Settings.max_connections` is a hard limit on both sides."""
    pair = Pair(left=Settings(max_connections=3), right=Settings(max_connections=2))
    pair.right.tcp.listen(4, None, 80, 8)
    clients = [pair.start() for _ in range(3)]
    with pytest.raises(LimitReached, match="max_connections"):
        pair.start()
    pair.wait(0.5)
    assert sum(c.state is State.ESTABLISHED for c in clients) == 2
    assert pair.right.counters["tcp.too-many-connections"] >= 1


def test_congestion_is_answered_before_anything_is_lost() -> None:
    """RFC 3168 6.1: a mark is echoed until CWR, and halves the window once for each window of data."""
    pair = Pair(delay=0.05)
    client, server = pair.connect()
    assert client.ecn
    assert server.ecn
    marked = []

    def fate(host: Host, frame: bytes) -> list[float]:
        if host is pair.left and len(frame) > 500 and len(marked) < 1 and pair.now > 0.5:
            marked.append(pair.now)
            assert frame[15] & 3 == 2, "new data is ECN-capable"
        return [pair.delay]

    pair.fate = fate
    data = bytes(2_000_000)
    client.write(data)
    original = pair.right.frame

    def mark(meta: object, frame: memoryview, now: float) -> None:
        copy = bytearray(frame)
        if marked and len(marked) == 1 and len(copy) > 500:
            marked.append(now)
            copy[15] |= 3
            copy[24:26] = b"\0\0"
            from mirage.tcpip.wire.checksum import checksum

            copy[24:26] = checksum(copy[14:34]).to_bytes(2, "big")
        original(meta, memoryview(bytes(copy)), now)  # type: ignore[arg-type]

    pair.right.frame = mark  # type: ignore[method-assign]
    got = 0
    while got < len(data):
        assert pair.step()
        got += len(server.read())
    echoes = [s for s in segments(pair, pair.right) if s.flags & ECE and not s.flags & SYN]
    answers = [s for s in segments(pair, pair.left) if s.flags & CWR and not s.flags & SYN]
    assert echoes
    assert len(answers) == 1
    assert pair.left.counters["tcp.retransmitted"] == 0


def test_a_smaller_path_is_taken_at_once() -> None:
    """RFC 1191 6.4, RFC 8201 5.4: what was too big goes again in smaller segments, and no congestion is to blame."""
    pair = Pair()
    client, server = pair.connect()
    data = pair.random.randbytes(100_000)

    def fate(host: Host, frame: bytes) -> list[float]:
        if len(frame) - 14 > 1000:
            error = IcmpError(
                ErrorKind.PACKET_TOO_BIG, b"\x0a\0\0\x09", frame[26:30], frame[30:34], 6, memoryview(frame)[34:], 1000
            )
            pair.later(0.001, lambda: pair.left.tcp.icmp_error(error, pair.now))
            return []
        return [pair.delay]

    pair.fate = fate
    window = client.sender.congestion.ssthresh
    assert pair.transfer(client, server, data) == data
    assert client.sender.mss == 1000 - 52
    assert client.sender.congestion.ssthresh == window
    assert pair.left.counters["tcp.timeouts"] == 0


def test_icmp_errors_about_nothing_that_was_sent_are_ignored() -> None:
    """RFC 5927 4.1: the quoted sequence number must be under way."""
    pair = Pair()
    client, _ = pair.connect()
    key = client.key
    quoted = key[10:12] + key[8:10] + (client.sender.nxt + 5000 & 0xFFFFFFFF).to_bytes(4, "big")
    for kind in ErrorKind:
        error = IcmpError(kind, b"\x0a\0\0\x09", key[4:8], key[:4], 6, memoryview(quoted), 600)
        pair.left.tcp.icmp_error(error, pair.now)
    assert client.state is State.ESTABLISHED
    assert client.sender.mss == 1448
    assert pair.left.counters["tcp.icmp-ignored"] == len(ErrorKind)


def test_a_port_unreachable_ends_only_an_opening_connection() -> None:
    """RFC 1122 4.2.3.9 and RFC 5927 4: hard while it is being opened, a hint afterwards."""
    pair = Pair()
    pair.fate = lose_everything
    client = pair.start()
    pair.wait(0.01)
    quoted = client.key[10:12] + client.key[8:10] + client.sender.iss.to_bytes(4, "big")
    error = IcmpError(
        ErrorKind.PORT_UNREACHABLE, b"\x0a\0\0\x09", client.key[4:8], client.key[:4], 6, memoryview(quoted), 0
    )
    pair.left.tcp.icmp_error(error, pair.now)
    assert isinstance(client.error, ConnectionRefused)


def test_flags_that_go_with_data() -> None:
    """PSH ends what was written; FIN rides on the last segment (RFC 9293 3.9.1)."""
    pair = Pair()
    client, server = pair.connect()
    client.write(bytes(3000))
    client.shutdown()
    pair.run(lambda: server.eof)
    flags = [s.flags for s in segments(pair, pair.left) if len(s.payload)]
    assert flags == [ACK, ACK, ACK | PSH | FIN]


def test_a_black_hole_is_found_and_left_again() -> None:
    """RFC 4821 7.7, RFC 8899 4.3: large packets vanish and no ICMP says so; later the path mends."""
    pair = Pair()
    client, server = pair.connect()
    limit = [1200]
    pair.fate = lambda host, frame: [pair.delay] if len(frame) - 14 <= limit[0] else []
    data = pair.random.randbytes(200_000)
    assert pair.transfer(client, server, data) == data
    assert client.sender.mss < 1200
    assert pair.left.counters["tcp.black-holes"] == 1
    limit[0] = 1500
    pair.wait(700)
    for _ in range(20):
        assert pair.transfer(client, server, data) == data
        pair.wait(2)
    assert client.sender.mss >= 1440
    assert pair.left.counters["tcp.mtu-probes-acked"] >= 1


def test_a_lost_probe_is_no_congestion() -> None:
    """RFC 4821 7.6.1: the window stays when a probe alone is lost."""
    pair = Pair()
    client, server = pair.connect()
    pair.fate = lambda host, frame: [pair.delay] if len(frame) - 14 <= 1200 else []
    data = pair.random.randbytes(200_000)
    assert pair.transfer(client, server, data) == data
    threshold = client.sender.congestion.ssthresh
    for _ in range(40):
        assert pair.transfer(client, server, data) == data
        pair.wait(2)
    assert pair.left.counters["tcp.mtu-probes-lost"] >= 1
    assert client.sender.congestion.ssthresh >= threshold
    assert 1100 <= client.sender.mss <= 1200 - 52
