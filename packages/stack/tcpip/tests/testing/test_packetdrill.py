"""The far end of packetdrill: the calls one by one, and over its socket as packetdrill's shared object makes them."""

from __future__ import annotations

import errno
import socket
import struct
import threading
from pathlib import Path

import pytest
from mirage.tcpip.settings import Settings
from mirage.tcpip.testing import packetdrill as pd
from mirage.tcpip.wire.checksum import checksum, ones_sum
from mirage.tcpip.wire.tcp import ACK, FIN, PSH, RST, SYN, Segment, build, parse

PEER, HERE = bytes([192, 0, 2, 1]), bytes([192, 168, 0, 1])


def packet(flags: int, sequence: int, acknowledgment: int = 0, data: bytes = b"", window: int = 60000) -> bytes:
    """A packet from the peer's port 5000 to port 80."""
    body = bytearray(build(5000, 80, sequence, acknowledgment, flags, window) + data)
    body[16:18] = checksum(body, ones_sum(PEER + HERE) + 6 + len(body)).to_bytes(2, "big")
    head = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0x4000, 64, 6, 0, PEER, HERE))
    head[10:12] = checksum(head).to_bytes(2, "big")
    return bytes(head + body)


class Calls:
    """A `World` that is called like a function; the answer must be there at once."""

    def __init__(self, **settings: object) -> None:
        self.world = pd.World(Settings(duplicate_address_probes=0, delayed_ack=0.0, **settings))  # type: ignore[arg-type]

    def __call__(self, op: int, a: int = 0, b: int = 0, c: int = 0, data: bytes = b"") -> pd.Answer:
        answer = self.world.call(op, a, b, c, 0, data)
        assert answer is not None, "it blocks"
        return answer

    def sent(self) -> tuple[int, Segment]:
        """The next segment, and when it went out."""
        _, _, octets, at = self(pd.NRECV)
        return at, parse(memoryview(octets)[20:])

    def established(self) -> tuple[int, int]:
        """A descriptor with a connection, and the number that the stack sends next."""
        listener = self(pd.SOCKET, socket.AF_INET, socket.SOCK_STREAM)[0]
        address = struct.pack("<H", socket.AF_INET) + (80).to_bytes(2, "big") + bytes(12)
        assert self(pd.BIND, listener, data=address)[0] == 0
        assert self(pd.LISTEN, listener, 1)[0] == 0
        self(pd.FCNTL, listener, 4, 0o4000)
        assert self(pd.ACCEPT, listener)[:2] == (-1, errno.EAGAIN)
        self(pd.NSEND, data=packet(SYN, 1000))
        _, answer = self.sent()
        assert answer.flags == SYN | ACK
        assert answer.acknowledgment == 1001
        self(pd.NSEND, data=packet(ACK, 1001, answer.sequence + 1))
        descriptor, _, peer, _ = self(pd.ACCEPT, listener)
        assert peer[2:8] == (5000).to_bytes(2, "big") + PEER
        return descriptor, answer.sequence + 1


def test_read_write_and_three_timeouts_in_virtual_time() -> None:
    """What the first script of every packetdrill does; the timer expires after 0.2, 0.4 and 0.8 s on a fast path."""
    calls = Calls()
    descriptor, nxt = calls.established()
    calls(pd.NSEND, data=packet(ACK | PSH, 1001, nxt, b"question"))
    assert calls.sent()[1].acknowledgment == 1009
    assert calls(pd.READ, descriptor, 100)[:3] == (8, 0, b"question")
    assert calls(pd.WRITE, descriptor, data=b"answer")[0] == 6
    first, segment = calls.sent()
    assert bytes(segment.payload) == b"answer"
    waits = [calls.sent()[0] - first for _ in range(3)]
    assert waits[1] - waits[0] == pytest.approx(2 * waits[0], rel=0.01)
    assert waits[2] - waits[1] == pytest.approx(4 * waits[0], rel=0.01)
    info = calls(pd.GETOPT, descriptor, socket.IPPROTO_TCP, socket.TCP_INFO)[2]
    assert info[0] == 1
    assert info[4] == 3


def test_ends_and_errors() -> None:
    """The peer's FIN reads as nothing, and a RST as an error, once."""
    calls = Calls()
    descriptor, nxt = calls.established()
    assert calls(pd.FCNTL, descriptor, 4, 0o4000)[0] == 0
    assert calls(pd.READ, descriptor, 10)[:2] == (-1, errno.EAGAIN)
    calls(pd.NSEND, data=packet(ACK | FIN, 1001, nxt))
    assert calls(pd.READ, descriptor, 10)[0] == 0
    calls(pd.NSEND, data=packet(RST, 1002))
    assert calls(pd.WRITE, descriptor, data=b"x")[:2] == (-1, errno.ECONNRESET)
    assert calls(pd.WRITE, descriptor, data=b"x")[:2] == (-1, errno.EPIPE)
    assert calls(pd.CLOSE, descriptor)[0] == 0
    assert calls(pd.CLOSE, descriptor)[:2] == (-1, errno.EBADF)


def test_poll_tells_what_can_be_done() -> None:
    """Writing at once, reading when there is something; and a call that waits is not answered before its time."""
    calls = Calls()
    descriptor, nxt = calls.established()

    def poll(events: int, timeout: int = 0) -> pd.Answer | None:
        return calls.world.call(pd.POLL, 1, timeout, 0, 0, struct.pack("<ihh", descriptor, events, 0))

    assert poll(4) == (1, 0, struct.pack("<ihh", descriptor, 4, 4), 0)
    assert poll(1) == (0, 0, struct.pack("<ihh", descriptor, 1, 0), 0)
    assert poll(1, -1) is None
    calls(pd.NSEND, data=packet(ACK | PSH, 1001, nxt, b"x"))
    assert poll(1, -1) == (1, 0, struct.pack("<ihh", descriptor, 1, 1), 0)


def datagram(data: bytes, kind: int = 17) -> bytes:
    """A packet of UDP from the peer's port 5000 to port 80, or what ICMP says about one that went the other way."""
    body = struct.pack(">HHHH", 5000, 80, 8 + len(data), 0) + data
    if kind == 1:
        body = struct.pack(">BBHI", 3, 3, 0, 0) + data
        body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    head = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0x4000, 64, kind, 0, PEER, HERE))
    head[10:12] = checksum(head).to_bytes(2, "big")
    return bytes(head + body)


def test_a_connected_socket_of_udp() -> None:
    """Datagrams both ways, each by itself; and a port that nobody has is an error of the next call, once."""
    calls = Calls()
    descriptor = calls(pd.SOCKET, socket.AF_INET, socket.SOCK_DGRAM | 0o4000)[0]
    here, there = (
        struct.pack("<H", socket.AF_INET) + port.to_bytes(2, "big") + address + bytes(8)
        for port, address in ((80, bytes(4)), (5000, PEER))
    )
    assert calls(pd.WRITE, descriptor, data=b"too early")[0] == -1
    assert calls(pd.BIND, descriptor, data=here)[0] == 0
    assert calls(pd.CONNECT, descriptor, data=there)[0] == 0
    assert calls(pd.LISTEN, descriptor, 1)[:2] == (-1, errno.EOPNOTSUPP)
    assert calls(pd.WRITE, descriptor, data=b"question")[0] == 8
    sent = calls(pd.NRECV)[2]
    assert (sent[9], sent[16:20], sent[20:24], sent[28:]) == (17, PEER, b"\0\x50\x13\x88", b"question")
    assert calls(pd.READ, descriptor, 100)[:2] == (-1, errno.EAGAIN)
    for data in (b"one", b"", b"three"):
        calls(pd.NSEND, data=datagram(data))
    assert [calls(pd.READ, descriptor, 100)[:3] for _ in range(3)] == [(3, 0, b"one"), (0, 0, b""), (5, 0, b"three")]
    calls(pd.NSEND, data=datagram(sent, 1))
    assert calls(pd.WRITE, descriptor, data=b"x")[:2] == (-1, errno.ECONNREFUSED)
    assert calls(pd.WRITE, descriptor, data=b"x")[0] == 1
    assert calls(pd.CLOSE, descriptor)[0] == 0
    assert not calls.world.stack.udp.endpoints


def test_linger_of_zero_resets() -> None:
    """SO_LINGER with a time of 0."""
    calls = Calls()
    descriptor, _ = calls.established()
    calls(pd.SETOPT, descriptor, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("<ii", 1, 0))
    calls(pd.CLOSE, descriptor)
    assert calls.sent()[1].flags & RST


def test_a_blocking_call_is_answered_when_it_can_be(tmp_path: Path) -> None:
    """Over the socket: one thread waits in accept while another one's packets make it return."""
    path = tmp_path / "s"
    ready = threading.Event()
    server = threading.Thread(target=pd.serve, args=(path, 1, pd.World, ready.set), daemon=True)
    server.start()
    assert ready.wait(20)

    def connect() -> socket.socket:
        end = socket.socket(socket.AF_UNIX)
        end.settimeout(20)
        end.connect(str(path))
        return end

    def ask(end: socket.socket, op: int, a: int = 0, b: int = 0, data: bytes = b"") -> None:
        end.sendall(pd.REQUEST.pack(op, len(data), a, b, 0, 0) + data)

    def hear(end: socket.socket) -> tuple[int, bytes]:
        result, _, size, _ = pd.REPLY.unpack(end.recv(pd.REPLY.size, socket.MSG_WAITALL))
        return result, end.recv(size, socket.MSG_WAITALL) if size else b""

    with connect() as one, connect() as other:
        ask(one, pd.SOCKET, socket.AF_INET, socket.SOCK_STREAM)
        listener = hear(one)[0]
        ask(one, pd.BIND, listener, data=struct.pack("<H", socket.AF_INET) + (80).to_bytes(2, "big") + bytes(12))
        assert hear(one)[0] == 0
        ask(one, pd.LISTEN, listener, 1)
        assert hear(one)[0] == 0
        ask(other, pd.ACCEPT, listener)
        ask(one, pd.NSEND, data=packet(SYN, 1000))
        assert hear(one)[0] == 0
        ask(one, pd.NRECV, 2000)
        answer = parse(memoryview(hear(one)[1])[20:])
        ask(one, pd.NSEND, data=packet(ACK, 1001, answer.sequence + 1))
        assert hear(one)[0] == 0
        descriptor, peer = hear(other)
        assert descriptor > listener
        assert peer[4:8] == PEER
    server.join(20)
    assert not server.is_alive()


IN, OUT, HUP, RDHUP, ET, ONESHOT = 1, 4, 0x10, 0x2000, 1 << 31, 1 << 30
ADD, DEL, MOD = 1, 2, 3


class Watch:
    """An epoll instance, and what it says about one descriptor."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.number = calls(pd.EPOLL_CREATE, 1)[0]

    def control(self, what: int, descriptor: int, events: int = 0) -> tuple[int, int]:
        return self.calls.world.call(pd.EPOLL_CTL, self.number, what, descriptor, events, b"whose...")[:2]

    def wait(self, most: int = 1) -> list[int]:
        count, error, data, _ = self.calls(pd.EPOLL_WAIT, self.number, most)
        assert error == 0
        entries = [struct.unpack_from("<I8s", data, 12 * n) for n in range(count)]
        assert all(whose == b"whose..." for _, whose in entries)
        return [events for events, _ in entries]


def test_epoll_by_level() -> None:
    """It tells as long as it is so; what is not watched is not told of; what is closed is forgotten."""
    calls = Calls()
    descriptor, nxt = calls.established()
    watch = Watch(calls)
    assert watch.control(ADD, descriptor, IN) == (0, 0)
    assert watch.control(ADD, descriptor, IN) == (-1, errno.EEXIST)
    assert watch.wait() == []
    calls(pd.NSEND, data=packet(ACK | PSH, 1001, nxt, b"data"))
    assert watch.wait() == watch.wait() == [IN]
    assert watch.control(MOD, descriptor, OUT) == (0, 0)
    assert watch.wait() == [OUT]
    assert watch.control(MOD, descriptor, IN | RDHUP) == (0, 0)
    assert calls(pd.READ, descriptor, 10)[0] == 4
    assert watch.wait() == []
    calls(pd.NSEND, data=packet(ACK | FIN, 1005, nxt))
    assert watch.wait() == [IN | RDHUP]
    assert watch.control(DEL, descriptor) == (0, 0)
    assert watch.control(DEL, descriptor) == (-1, errno.ENOENT)
    assert watch.control(ADD, 77) == (-1, errno.EBADF)
    assert watch.control(ADD, descriptor, IN) == (0, 0)
    calls(pd.CLOSE, descriptor)
    assert watch.wait() == []
    assert calls(pd.CLOSE, watch.number)[0] == 0
    assert calls(pd.EPOLL_WAIT, watch.number, 1)[:2] == (-1, errno.EBADF)


def test_epoll_by_edge_and_once() -> None:
    """An edge is told of once: new data, whether the old was read or not; room, after there was too little."""
    calls = Calls(send_buffer=30_000)
    descriptor, nxt = calls.established()
    calls(pd.FCNTL, descriptor, 4, 0o4000)
    watch = Watch(calls)
    watch.control(ADD, descriptor, IN | OUT | ET)
    assert watch.wait() == [OUT]
    assert watch.wait() == []
    for at in (1001, 1005):
        calls(pd.NSEND, data=packet(ACK | PSH, at, nxt, b"data"))
        assert watch.wait() == [IN | OUT]
        assert watch.wait() == []
    assert calls(pd.READ, descriptor, 2)[0] == 2
    assert watch.wait() == []
    assert calls(pd.WRITE, descriptor, data=bytes(40_000))[0] == 30_000
    assert watch.wait() == []
    for acked in (536, 5360):
        calls(pd.NSEND, data=packet(ACK, 1009, nxt + acked))
        assert watch.wait() == []
    calls(pd.NSEND, data=packet(ACK, 1009, nxt + 12_000))
    assert watch.wait() == [IN | OUT]
    assert watch.wait() == []
    watch.control(MOD, descriptor, IN | ONESHOT)
    assert watch.wait() == [IN]
    calls(pd.NSEND, data=packet(ACK | PSH, 1009, nxt + 12_000, b"data"))
    assert watch.wait() == []
    watch.control(MOD, descriptor, IN | ONESHOT)
    assert watch.wait() == [IN]


def test_epoll_sees_who_comes() -> None:
    """A listener, by edge: each new connection, also after one was taken. A timeout in virtual time."""
    calls = Calls()
    descriptor, _ = calls.established()
    listener = descriptor - 1
    watch = Watch(calls)
    watch.control(ADD, listener, IN | ET)
    assert watch.wait() == []
    assert calls.world.call(pd.EPOLL_WAIT, watch.number, 1, -1, 0, b"") is None
    assert calls.world.late(pd.EPOLL_WAIT, 1, -1, b"") is None
    assert calls.world.late(pd.EPOLL_WAIT, 1, 250, b"") == (250_000, (0, 0, b"", 0))
    for port in (5001, 5002):
        syn = bytearray(packet(SYN, 1))
        syn[20:22] = port.to_bytes(2, "big")
        syn[36:38] = bytes(2)
        syn[36:38] = checksum(syn[20:], ones_sum(PEER + HERE) + 26).to_bytes(2, "big")
        calls(pd.NSEND, data=bytes(syn))
        answer = calls.sent()[1]
        ack = bytearray(packet(ACK, 2, answer.sequence + 1))
        ack[20:22] = port.to_bytes(2, "big")
        ack[36:38] = bytes(2)
        ack[36:38] = checksum(ack[20:], ones_sum(PEER + HERE) + 26).to_bytes(2, "big")
        calls(pd.NSEND, data=bytes(ack))
        assert watch.wait() == [IN]
        assert watch.wait() == []
        assert calls(pd.ACCEPT, listener)[0] > 0


def message(answer: pd.Answer) -> tuple[bytes, bytes, bytes, int]:
    """Address, control messages, data and flags of what `recvmsg` gives."""
    result, error, data, flags = answer
    assert error == 0
    name, control = struct.unpack_from("<II", data)
    rest = data[8:]
    assert len(rest) - name - control == result
    return rest[:name], rest[name : name + control], rest[name + control :], flags


def test_messages_of_a_stream() -> None:
    """`recvmsg` tells what is left (TCP_INQ); MSG_PEEK leaves it; `sendmsg` with MSG_MORE holds it back."""
    calls = Calls()
    descriptor, nxt = calls.established()
    assert calls(pd.SETOPT, descriptor, socket.IPPROTO_TCP, 36, struct.pack("<i", 1))[0] == 0
    calls(pd.NSEND, data=packet(ACK | PSH | FIN, 1001, nxt, b"question"))
    calls.sent()
    assert calls(pd.READ, descriptor, 3, socket.MSG_PEEK)[2] == b"que"
    inq = struct.pack("<Qii", 20, 6, 36)
    assert message(calls(pd.RECVMSG, descriptor, 5)) == (b"", inq + struct.pack("<i4x", 3), b"quest", 0)
    assert message(calls(pd.RECVMSG, descriptor, 5)) == (b"", inq + struct.pack("<i4x", 1), b"ion", 0)
    assert calls(pd.SENDMSG, descriptor, socket.MSG_MORE, data=bytes(4) + b"ans")[0] == 3
    assert calls(pd.SENDMSG, descriptor, 0, data=bytes(4) + b"wer")[0] == 3
    assert bytes(calls.sent()[1].payload) == b"answer"
    assert calls(pd.SETOPT, descriptor, socket.IPPROTO_TCP, socket.TCP_CORK, struct.pack("<i", 1))[0] == 0
    assert calls(pd.WRITE, descriptor, data=b"cor")[0] == 3
    assert calls(pd.WRITE, descriptor, data=b"ked")[0] == 3
    calls(pd.NSEND, data=packet(ACK, 1010, nxt + 6))
    assert calls(pd.SETOPT, descriptor, socket.IPPROTO_TCP, socket.TCP_CORK, bytes(4))[0] == 0
    assert bytes(calls.sent()[1].payload) == b"corked"


def test_datagrams_to_and_from_anybody() -> None:
    """A socket of UDP that is not connected says and hears to whom and from where; what is cut off is told."""
    calls = Calls()
    descriptor = calls(pd.SOCKET, socket.AF_INET, socket.SOCK_DGRAM | 0o4000)[0]
    here, there = (
        struct.pack("<H", socket.AF_INET) + port.to_bytes(2, "big") + address + bytes(8)
        for port, address in ((80, bytes(4)), (5000, PEER))
    )
    assert calls(pd.BIND, descriptor, data=here)[0] == 0
    assert calls(pd.SENDMSG, descriptor, 0, data=struct.pack("<I", 16) + there + b"question")[0] == 8
    assert calls(pd.NRECV)[2][28:] == b"question"
    calls(pd.NSEND, data=datagram(b"a long answer"))
    assert message(calls(pd.RECVMSG, descriptor, 6)) == (there, b"", b"a long", socket.MSG_TRUNC)
    assert calls(pd.RECVMSG, descriptor, 6)[:2] == (-1, errno.EAGAIN)
    assert calls(pd.SENDMSG, descriptor, 0, data=bytes(4) + b"to whom?")[:2] == (-1, errno.EDESTADDRREQ)
