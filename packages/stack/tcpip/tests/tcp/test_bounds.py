"""What bad luck and bad peers may cost: no timer that spins, no table that grows, no answer to each forgery."""

from __future__ import annotations

from mirage.tcpip.settings import Settings
from mirage.tcpip.tcp.state import State
from mirage.tcpip.wire.tcp import ACK, RST, Options, build_options
from pair import Host, Pair


def lose_everything(host: Host, frame: bytes) -> list[float]:
    """A wire that was cut."""
    return []


def test_keep_alive_waits_while_data_is_under_way() -> None:
    """RFC 9293 3.8.4: what is sent again asks already; the timer of keep-alive must not spin meanwhile."""
    pair = Pair(left=Settings(user_timeout=30))
    client, _ = pair.connect()
    client.keepalive, client.keepalive_idle, client.keepalive_interval = True, 1.0, 1.0
    pair.fate = lose_everything
    client.write(b"into the void")
    for _ in range(200):
        if not pair.step(pair.now + 100):
            break
    assert client.state is State.CLOSED
    assert 30 < pair.now < 200


def test_the_heap_of_timers_holds_each_connection_once() -> None:
    """A near deadline that comes and goes a thousand times leaves nothing of the distant one behind."""
    pair = Pair(delay=0.001)
    client, server = pair.connect()
    client.keepalive = server.keepalive = True
    for _ in range(400):
        client.write(b"a")
        pair.wait(0.1)
        server.read()
    assert len(pair.left.tcp._heap) < 100
    assert len(pair.right.tcp._heap) < 100


def test_a_connection_that_is_over_is_not_kept_by_its_timer() -> None:
    """Of connections with keep-alive, which would ask in two hours, few are left once they have been closed."""
    pair = Pair(delay=0.001, left=Settings(time_wait=1))
    listener = pair.right.tcp.listen(4, None, 80, 16)
    for _ in range(120):
        client = pair.start()
        server = pair.accept(listener)
        assert server is not None
        client.keepalive = server.keepalive = True
        client.write(b"a")
        pair.wait(0.1)
        server.read()
        client.close()
        server.close()
        pair.wait(2)
    for host in (pair.left, pair.right):
        assert len({id(connection) for _, _, connection in host.tcp._heap}) < 80


def test_two_ends_that_have_lost_each_other_do_not_answer_each_other_for_ever() -> None:
    """RFC 9293 3.10.7.4 has each ACK beyond the window answered by an ACK: after forged data at both ends, or a
    snapshot that goes on too late, that would never end."""
    pair = Pair(delay=0.001)
    client, server = pair.connect()
    pair.wait(1)
    for connection in (client, server):
        connection.receiver.nxt += 100_000_000
        connection.receiver.edge += 100_000_000
    pair.log.clear()
    client._acknowledge_now()
    pair.wait(60)
    assert 4 <= len(pair.log) <= 2 * 10 * 13
    assert pair.left.counters["tcp.answers-withheld"] + pair.right.counters["tcp.answers-withheld"] > 0


def test_one_connection_does_not_tell_of_another() -> None:
    """CVE-2016-5696: a flood of forgeries at one connection changes nothing in how others are answered."""
    pair = Pair(delay=0.001)
    listener = pair.right.tcp.listen(4, None, 80, 16)
    pairs = []
    for _ in range(2):
        client = pair.start()
        server = pair.accept(listener)
        assert server is not None
        pairs.append((client, server))
    nothing = memoryview(b"")
    for client, server in pairs:
        for _ in range(200):
            at = (server.receiver.nxt + 1000) & 0xFFFFFFFF
            server.segment(at, client.receiver.nxt & 0xFFFFFFFF, RST, 0, nothing, nothing, False, pair.now)
        assert server.answered == 200
        assert server.ack_due
    assert pair.right.counters["tcp.challenge-acks"] == 20


def test_a_peer_that_keeps_its_window_closed_does_not_keep_what_was_closed() -> None:
    """RFC 6429 2: while the application has a connection it may wait for ever for a closed window; what it has closed
    is given up when nothing of it was taken for as long as data may stay unacknowledged."""
    pair = Pair(left=Settings(user_timeout=60), right=Settings(receive_buffer=20_000))
    client, _ = pair.connect()
    client.write(bytes(100_000))
    pair.wait(600)
    assert client.state is State.ESTABLISHED, "the peer answers, and the application waits"
    client.close()
    pair.wait(600)
    assert client.state is State.CLOSED
    assert not pair.left.tcp.connections


def test_crumbs_that_nobody_reads_do_not_take_more_than_they_carry() -> None:
    """A segment of one octet costs its octet, not a buffer's object each."""
    pair = Pair(delay=0.0001)
    client, server = pair.connect()
    client.nodelay = True
    sent = bytearray()
    for number in range(1000):
        sent += bytes([number & 0xFF])
        client.write(bytes([number & 0xFF]))
        pair._collect()
    pair.wait(1)
    assert server.readable == 1000
    assert len(server.receiver.chunks) < 200
    assert bytes(server.read(1)) + bytes(server.read()) == bytes(sent)


def test_selective_acknowledgments_of_single_octets_do_not_cut_records_up() -> None:
    """CVE-2019-11478: a peer reports whole segments; who reports crumbs has no list of a million pieces looked through
    for each acknowledgment."""
    pair = Pair(left=Settings(initial_window=100))
    client, _ = pair.connect()
    pair.fate = lambda host, frame: [] if host is pair.left else [pair.delay]
    client.write(bytes(100_000))
    pair.wait(0.001)
    sender = client.sender
    mss = sender.mss
    sender.on_ack(sender.una, [(sender.una + mss, sender.una + 3 * mss)], True, None, False, False, pair.now)
    assert sender.sacked == 2 * mss
    for at in range(sender.una + 1, sender.nxt, 40):
        sender.on_ack(sender.una, [(at, at + 1)], True, None, False, False, pair.now)
    assert len(sender.sent) < 300
    sender.on_ack(sender.una, [(sender.una + mss, sender.nxt)], True, None, False, False, pair.now)
    assert sender.sacked >= sender.nxt - sender.una - mss, "and what is told later counts as before"


def test_pieces_beyond_a_gap_are_capped_and_counted() -> None:
    """Segments of one octet with holes between them take no more places than there are, and what is dropped shows."""
    pair = Pair()
    _, server = pair.connect()
    stamps = memoryview(build_options(Options(timestamps=(server.timestamp_recent, 0))))
    for number in range(3000):
        at = (server.receiver.nxt + 1 + 2 * number) & 0xFFFFFFFF
        acknowledgment = server.sender.nxt & 0xFFFFFFFF
        server.segment(at, acknowledgment, ACK, 1000, memoryview(b"x"), stamps, False, pair.now)
    assert len(server.receiver.ranges) == 2048
    assert pair.right.counters["tcp.pieces-dropped"] == 3000 - 2048
