"""The far end of packetdrill's ``--so_filename``: its system calls, its packets and its clock, served by a stack.

    python -m mirage.tcpip.testing.packetdrill --socket /tmp/pd.sock
    packetdrill --ip_version=ipv4 --local_ip=192.168.0.1 --gateway_ip=192.168.0.2 --tolerance_usecs=1000 \\
        --so_filename=shim.so --so_flags=/tmp/pd.sock x.pkt

(for IPv6 ``--local_ip=fd3d:fa7b:d17d::1 --gateway_ip=fd3d:fa7b:d17d::2``).
packetdrill loads a small shared object that forwards each call over a Unix socket as a request: ``op, length, a, b, c,
d`` (two 32-bit and four 64-bit numbers, little-endian) and `length` octets; the reply is ``result, errno, length, x``
and octets. All is in virtual time: it goes on when packetdrill sleeps or waits for a packet, and by one microsecond
each time that it is asked, for packetdrill spins on it. A call that blocks is answered when it can be, and packetdrill
makes such calls on a thread of its own, which has a connection of its own. As packetdrill closes what `accept` gave it
once more when a script is over, the shared object should keep a descriptor of the process under each of our numbers.

Each run of packetdrill has a new stack. There are TCP's sockets, and UDP's once they are connected: `read` and `write`
carry no addresses.
"""

from __future__ import annotations

import argparse
import errno
import ipaddress
import selectors
import socket
import struct
from collections import deque
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Final

from mirage.types import FrameMeta
from mirage.types.testing import SeededRandom

from ..errors import ConnectionAborted, ConnectionRefused, ConnectionReset, ConnectionTimedOut, TcpipError
from ..settings import Settings
from ..stack import Stack
from ..tcp.connection import Connection
from ..tcp.describe import describe
from ..tcp.listener import Listener
from ..tcp.state import State
from ..udp import UdpEndpoint

__all__ = ["Answer", "World", "main", "serve"]

REQUEST: Final = struct.Struct("<IIqqqq")
REPLY: Final = struct.Struct("<qiIq")
(SOCKET, BIND, LISTEN, ACCEPT, CONNECT, READ, WRITE, CLOSE, SHUTDOWN, GETOPT, SETOPT, POLL, FCNTL, IOCTL, NSEND, NRECV,
 USLEEP, GTOD) = range(1, 19)  # fmt: skip

_START_US: Final = 1_000_000_000
_OURS, _GATEWAY = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
_LOCAL = ("192.168.0.1/16", "fd3d:fa7b:d17d::1/48")
_GATEWAYS = ("192.168.0.2", "fd3d:fa7b:d17d::2")
"""What ``--local_ip`` and ``--gateway_ip`` have to say: packetdrill's own choice depends on its process."""
_NONBLOCK: Final = 0o4000
_DONTWAIT: Final = 0x40
_POLLIN, _POLLOUT, _POLLERR, _POLLHUP, _POLLRDHUP = 1, 4, 8, 16, 0x2000
_SOL_SOCKET, _TCP = 1, 6
_ERRNO: Final = {
    ConnectionRefused: errno.ECONNREFUSED,
    ConnectionReset: errno.ECONNRESET,
    ConnectionTimedOut: errno.ETIMEDOUT,
    ConnectionAborted: errno.ECONNABORTED,
}

Answer = tuple[int, int, bytes, int]
"""Result, errno, octets, and the time or the number that goes with it."""


def _fail(number: int) -> Answer:
    return -1, number, b"", 0


def _done(result: int = 0, data: bytes = b"", x: int = 0) -> Answer:
    return result, 0, data, x


class _Socket:
    """What a descriptor stands for."""

    def __init__(self, version: int, blocking: bool) -> None:
        self.version = version
        self.blocking = blocking
        self.local: tuple[bytes | None, int] = (None, 0)
        self.listener: Listener | None = None
        self.connection: Connection | None = None
        self.udp: UdpEndpoint | None = None
        self.options: dict[tuple[int, int], bytes] = {}
        self.error_taken = False
        self.read_shut = False

    @property
    def error(self) -> int:
        """The errno of what ended the connection, 0 for nothing."""
        found = self.connection.error if self.connection is not None else None
        if found is None or self.error_taken:
            return 0
        return next((number for kind, number in _ERRNO.items() if isinstance(found, kind)), errno.EHOSTUNREACH)


class World:
    """One run of packetdrill: a stack, its descriptors, and virtual time in microseconds."""

    def __init__(self, settings: Settings | None = None, *, local: tuple[str, ...] = _LOCAL, seed: int = 1) -> None:
        self.us = _START_US
        self.stack = Stack(
            random=SeededRandom(seed, predictable=True),
            now=self.now,
            settings=settings or Settings(duplicate_address_probes=0),
        )
        self._interface = self.stack.add_interface("tun0", _OURS, 1500)
        for address in local:
            parsed = ipaddress.ip_interface(address)
            self.stack.ip.add_address(self._interface, parsed.ip.packed, parsed.network.prefixlen)
        for gateway, everything in zip(_GATEWAYS, ("0.0.0.0/0", "::/0"), strict=True):
            network = ipaddress.ip_network(everything)
            self.stack.ip.add_route(network, ipaddress.ip_address(gateway).packed, self._interface)
        self._output: deque[tuple[int, bytes]] = deque()
        self._descriptors: dict[int, _Socket] = {}
        self._lowest = 500
        """packetdrill maps the numbers of a script to ours, and may close what it takes for descriptors of its own."""
        self._turn()
        self._output.clear()

    @property
    def now(self) -> float:
        """Seconds, as the stack counts them."""
        return self.us / 1e6

    # Time

    def _turn(self) -> None:
        """Let the stack do what is due; answer who asks for an Ethernet address."""
        while True:
            self.stack.take_news()
            self.stack.poll(self.now)
            frames = self._interface.take_output()
            if not frames:
                return
            answers = []
            for _, parts in frames:
                frame = b"".join(parts)
                if answer := _neighbour(frame):
                    answers.append((FrameMeta(), memoryview(answer)))
                elif frame[12:14] == b"\x08\0":
                    self._output.append((self.us, frame[14 : 14 + int.from_bytes(frame[16:18], "big")]))
                elif frame[12:14] == b"\x86\xdd" and not _is_local_chatter(frame):
                    self._output.append((self.us, frame[14 : 54 + int.from_bytes(frame[18:20], "big")]))
            if answers:
                self.stack.input(self._interface, answers, self.now)

    def _step(self, limit: int) -> bool:
        """Go on to the next deadline, if it is before `limit`."""
        due = self.stack.next_deadline()
        at = limit + 1 if due == inf else max(int(due * 1e6 + 0.999), self.us + 1)
        if at > limit:
            return False
        self.us = at
        self._turn()
        return True

    def sleep(self, us: int) -> None:
        """Let microseconds pass."""
        end = self.us + us
        while self._step(end):
            pass
        self.us = max(self.us, end)

    # Calls

    def call(self, op: int, a: int, b: int, c: int, d: int, data: bytes) -> Answer | None:
        """Do one call; None when it would block. Its effects are sent at once."""
        try:
            answer = self._call(op, a, b, c, data)
        except TcpipError as error:
            answer = _fail(next((number for kind, number in _ERRNO.items() if isinstance(error, kind)), errno.EINVAL))
        if op not in {NRECV, USLEEP, GTOD, POLL}:
            self._turn()
        return answer

    def _call(self, op: int, a: int, b: int, c: int, data: bytes) -> Answer | None:
        if op == GTOD:
            self.us += 1
            return _done(x=self.us)
        if op == USLEEP:
            self.sleep(a)
            return _done()
        if op == NSEND:
            return self._packet(data)
        if op == NRECV:
            while not self._output and self._step(self.us + 3_600_000_000):
                pass
            if not self._output:
                return _done(x=self.us)
            at, packet = self._output.popleft()
            return _done(0, packet, at)
        if op == SOCKET:
            return self._socket(a, b)
        if op == POLL:
            return self._poll(data, b)
        if op == 0:
            return _done()
        found = self._descriptors.get(a)
        if found is None:
            return _fail(errno.EBADF)
        if found.udp is not None and op in {BIND, CONNECT, READ, WRITE, CLOSE}:
            return self._datagram(found.udp, op, found, a, c if op == READ else b, data)
        if found.udp is not None and op in {LISTEN, ACCEPT, SHUTDOWN}:
            return _fail(errno.EOPNOTSUPP)
        calls: dict[int, Callable[[_Socket, int, int, int, bytes], Answer | None]] = {
            BIND: self._bind, LISTEN: self._listen, ACCEPT: self._accept, CONNECT: self._connect, READ: self._read,
            WRITE: self._write, CLOSE: self._close, SHUTDOWN: self._shutdown, GETOPT: self._getopt,
            SETOPT: self._setopt, FCNTL: self._fcntl, IOCTL: self._ioctl,
        }  # fmt: skip
        return calls[op](found, a, b, c, data) if op in calls else _fail(errno.ENOSYS)

    def _packet(self, data: bytes) -> Answer:
        kind = b"\x08\0" if data[0] >> 4 == 4 else b"\x86\xdd"
        frame = memoryview(_OURS + _GATEWAY + kind + data)
        self.stack.input(self._interface, [(FrameMeta(), frame)], self.now)
        return _done()

    def _new(self, found: _Socket) -> int:
        number = self._lowest
        while number in self._descriptors:
            number += 1
        self._descriptors[number] = found
        return number

    def _socket(self, domain: int, kind: int) -> Answer:
        if domain not in {socket.AF_INET, socket.AF_INET6}:
            return _fail(errno.EAFNOSUPPORT)
        made = _Socket(4 if domain == socket.AF_INET else 6, not kind & _NONBLOCK)
        if kind & 0xF == socket.SOCK_DGRAM:
            made.udp = self.stack.bind(version=made.version)
        elif kind & 0xF != socket.SOCK_STREAM:
            return _fail(errno.EPROTONOSUPPORT)
        return _done(self._new(made))

    def _datagram(
        self, udp: UdpEndpoint, op: int, found: _Socket, descriptor: int, flags: int, data: bytes
    ) -> Answer | None:
        """A call on a socket of UDP that is not the same for TCP's."""
        if op == BIND:
            address, port = _unpack_address(data)
            udp.close()
            found.udp = self.stack.bind(port, address if any(address) else None, version=found.version)
        elif op == CONNECT:
            udp.connect(*_unpack_address(data))
        elif op == CLOSE:
            udp.close()
            del self._descriptors[descriptor]
        elif (failed := udp.take_error()) is not None:
            return _fail(next((n for kind, n in _ERRNO.items() if isinstance(failed, kind)), errno.EHOSTUNREACH))
        elif op == WRITE:
            udp.send(data, now=self.now)
            return _done(len(data))
        elif (datagram := udp.read()) is not None:
            return _done(len(datagram.data), datagram.data)
        else:
            return None if found.blocking and not flags & _DONTWAIT else _fail(errno.EAGAIN)
        return _done()

    def _bind(self, found: _Socket, _: int, __: int, ___: int, data: bytes) -> Answer:
        address, port = _unpack_address(data)
        found.local = (address if any(address) else None, port)
        return _done()

    def _listen(self, found: _Socket, _: int, backlog: int, __: int, ___: bytes) -> Answer:
        address, port = found.local
        found.listener = self.stack.listen(port, address, version=found.version, backlog=max(backlog, 1))
        return _done()

    def _accept(self, found: _Socket, _: int, __: int, ___: int, ____: bytes) -> Answer | None:
        if found.listener is None:
            return _fail(errno.EINVAL)
        connection = found.listener.accept()
        if connection is None:
            return None if found.blocking else _fail(errno.EAGAIN)
        made = _Socket(found.version, True)
        made.connection = connection
        made.options = dict(found.options)
        self._apply_options(made)
        framer = connection.framer
        return _done(self._new(made), _pack_address(framer.path.remote, framer.remote_port))

    def _connect(self, found: _Socket, _: int, __: int, ___: int, data: bytes) -> Answer | None:
        if found.connection is None:
            address, port = _unpack_address(data)
            found.connection = self.stack.connect(
                address, port, local_address=found.local[0], local_port=found.local[1], now=self.now
            )
            self._apply_options(found)
            return None if found.blocking else _fail(errno.EINPROGRESS)
        if found.error:
            number, found.error_taken = found.error, True
            return _fail(number)
        if found.connection.state in {State.SYN_SENT, State.SYN_RECEIVED}:
            return None if found.blocking else _fail(errno.EALREADY)
        return _done() if found.blocking else _fail(errno.EISCONN)

    def _read(self, found: _Socket, _: int, size: int, flags: int, __: bytes) -> Answer | None:
        connection = found.connection
        if connection is None:
            return _fail(errno.ENOTCONN)
        if connection.readable:
            data = bytes(connection.read(size))
            return _done(len(data), data)
        if connection.eof or found.read_shut:
            return _done()
        if connection.state is State.CLOSED:
            number, found.error_taken = found.error, True
            return _fail(number) if number else _done()
        return None if found.blocking and not flags & _DONTWAIT else _fail(errno.EAGAIN)

    def _write(self, found: _Socket, _: int, flags: int, __: int, data: bytes) -> Answer | None:
        connection = found.connection
        if connection is None:
            return _fail(errno.ENOTCONN)
        if connection.error is not None or not connection.state.may_write or connection.sender.fin_queued:
            number, found.error_taken = found.error, True
            return _fail(number or errno.EPIPE)
        room = self.stack.settings.send_buffer - connection.queued - connection.unacknowledged
        if room < (len(data) if found.blocking else 1):
            return None if found.blocking and not flags & _DONTWAIT else _fail(errno.EAGAIN)
        connection.write(data[:room])
        return _done(min(len(data), room))

    def _close(self, found: _Socket, descriptor: int, _: int, __: int, ___: bytes) -> Answer:
        del self._descriptors[descriptor]
        if found.listener is not None:
            found.listener.close()
        if found.connection is not None:
            linger = found.options.get((_SOL_SOCKET, socket.SO_LINGER), b"")
            if len(linger) >= 8 and struct.unpack_from("<ii", linger) == (1, 0):
                found.connection.abort()
            else:
                found.connection.close()
        return _done()

    def _shutdown(self, found: _Socket, _: int, how: int, __: int, ___: bytes) -> Answer:
        if found.connection is None or found.connection.state is State.CLOSED:
            return _fail(errno.ENOTCONN)
        if how in {socket.SHUT_RD, socket.SHUT_RDWR}:
            found.read_shut = True
        if how in {socket.SHUT_WR, socket.SHUT_RDWR}:
            found.connection.shutdown()
        return _done()

    def _getopt(self, found: _Socket, _: int, level: int, option: int, __: bytes) -> Answer:
        connection = found.connection
        if (level, option) == (_SOL_SOCKET, socket.SO_ERROR):
            number, found.error_taken = found.error, True
            return _done(0, struct.pack("<i", number))
        if level == _TCP and option == socket.TCP_INFO and connection is not None:
            return _done(0, describe(connection, self.now).pack())
        if level == _TCP and option == socket.TCP_MAXSEG and connection is not None:
            return _done(0, struct.pack("<i", connection.sender.mss))
        return _done(0, found.options.get((level, option), bytes(4)))

    def _setopt(self, found: _Socket, _: int, level: int, option: int, data: bytes) -> Answer:
        if level == _SOL_SOCKET and option in {socket.SO_SNDBUF, socket.SO_RCVBUF} and len(data) >= 4:
            data = struct.pack("<i", 2 * int.from_bytes(data[:4], "little"))  # as Linux tells it afterwards
        found.options[level, option] = data
        self._apply_options(found)
        return _done()

    def _apply_options(self, found: _Socket) -> None:
        connection = found.connection
        if connection is None:
            return
        for (level, option), data in found.options.items():
            value = int.from_bytes(data[:4], "little") if len(data) >= 4 else 0
            if (level, option) == (_SOL_SOCKET, socket.SO_KEEPALIVE):
                connection.keepalive = bool(value)
            elif level == _TCP and option == socket.TCP_NODELAY:
                connection.nodelay = bool(value)
            elif level == _TCP and option == socket.TCP_KEEPIDLE:
                connection.keepalive_idle = float(value)
            elif level == _TCP and option == socket.TCP_KEEPINTVL:
                connection.keepalive_interval = float(value)
            elif level == _TCP and option == socket.TCP_KEEPCNT:
                connection.keepalive_limit = value
            elif level == _TCP and option == socket.TCP_USER_TIMEOUT and value:
                connection.user_timeout = value / 1000
        connection.schedule()
        connection.set_timer()

    def _fcntl(self, found: _Socket, _: int, command: int, value: int, __: bytes) -> Answer:
        if command == 3:  # F_GETFL
            return _done(2 | (0 if found.blocking else _NONBLOCK))
        if command == 4:  # F_SETFL
            found.blocking = not value & _NONBLOCK
        return _done()

    def _ioctl(self, found: _Socket, _: int, request: int, __: int, ___: bytes) -> Answer:
        connection = found.connection
        if connection is None:
            return _fail(errno.EINVAL)
        values = {0x541B: connection.readable, 0x5411: connection.queued + connection.unacknowledged,
                  0x894B: connection.queued}  # fmt: skip
        return _done(0, b"", values[request]) if request in values else _fail(errno.EINVAL)

    def _poll(self, data: bytes, timeout: int) -> Answer | None:
        """`timeout` in milliseconds, negative for ever; 0 does not wait. Who waits is asked again (`serve`)."""
        ready, entries = 0, bytearray(data)
        for at in range(0, len(data) - 7, 8):
            descriptor, events, _ = struct.unpack_from("<ihh", data, at)
            found = self._descriptors.get(descriptor)
            state = 0x20 if found is None else _readiness(found) & (events & 0xFFFF | _POLLERR | _POLLHUP)
            struct.pack_into("<H", entries, at + 6, state)
            ready += bool(state)
        return _done(ready, bytes(entries)) if ready or timeout == 0 else None


def _readiness(found: _Socket) -> int:
    if found.udp is not None:
        return _POLLOUT | (_POLLIN if found.udp.readable else 0)
    if found.listener is not None:
        return _POLLIN if found.listener.is_ready else 0
    connection = found.connection
    if connection is None:
        return _POLLHUP
    events = 0
    if connection.readable or connection.eof or found.read_shut:
        events |= _POLLIN
    if connection.eof:
        events |= _POLLRDHUP
    if connection.state.may_write and connection.state.synchronized:
        events |= _POLLOUT
    if connection.state is State.CLOSED:
        events |= _POLLHUP | _POLLIN | _POLLOUT
    if found.error:
        events |= _POLLERR
    return events


def _neighbour(frame: bytes) -> bytes | None:
    """The gateway's answer to a question for an Ethernet address: it has all of them."""
    if frame[12:14] == b"\x08\x06":
        if frame[20:22] != b"\0\1" or frame[28:32] == frame[38:42]:
            return None
        reply = _GATEWAY + frame[38:42] + frame[22:32]
        return frame[6:12] + _GATEWAY + b"\x08\x06\0\1\x08\0\6\4\0\2" + reply + bytes(18)
    if frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 135 and any(frame[22:38]):
        from .script import advertisement

        return advertisement(_OURS, _GATEWAY, frame[22:38], frame[62:78])
    return None


def _is_local_chatter(frame: bytes) -> bool:
    """Neighbour discovery and group membership: what packetdrill has no notion of."""
    return frame[38] == 0xFF or (frame[20] == 58 and 130 <= frame[54] <= 143)


def _unpack_address(data: bytes) -> tuple[bytes, int]:
    family, port = struct.unpack_from("<H", data)[0], int.from_bytes(data[2:4], "big")
    return (data[4:8] if family == socket.AF_INET else data[8:24]), port


def _pack_address(address: bytes, port: int) -> bytes:
    if len(address) == 4:
        return struct.pack("<H", socket.AF_INET) + port.to_bytes(2, "big") + address + bytes(8)
    return struct.pack("<H", socket.AF_INET6) + port.to_bytes(2, "big") + bytes(4) + address + bytes(4)


class _Client:
    """One connection of packetdrill: one of its threads."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.buffer = b""
        self.waiting: tuple[int, int, int, int, int, bytes] | None = None
        self.deadline: int | None = None


def serve(
    path: Path,
    runs: int | None = None,
    make: Callable[[], World] = World,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve so many runs of packetdrill (None: for ever) on a Unix socket at `path`, one after the other. `ready` is
    called once they may come."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        listener.bind(str(path))
        listener.listen(8)
        ready()
        selector.register(listener, selectors.EVENT_READ)
        clients: dict[socket.socket, _Client] = {}
        world: World | None = None
        finished = 0
        while runs is None or finished < runs:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    accepted = listener.accept()[0]
                    clients[accepted] = _Client(accepted)
                    selector.register(accepted, selectors.EVENT_READ)
                    world = world or make()
                    continue
                assert isinstance(key.fileobj, socket.socket)
                assert world is not None
                client = clients[key.fileobj]
                received = client.socket.recv(1 << 17)
                if received:
                    client.buffer += received
                    _requests(world, client)
                    _retry(world, clients)
                else:
                    selector.unregister(client.socket)
                    client.socket.close()
                    del clients[client.socket]
                    if not clients:
                        world, finished = None, finished + 1
        for client in clients.values():
            client.socket.close()


def _requests(world: World, client: _Client) -> None:
    while client.waiting is None and len(client.buffer) >= REQUEST.size:
        op, size, a, b, c, d = REQUEST.unpack_from(client.buffer)
        end = REQUEST.size + size
        if len(client.buffer) < end:
            return
        request = (op, a, b, c, d, client.buffer[REQUEST.size : end])
        client.buffer = client.buffer[end:]
        answer = world.call(*request)
        if answer is None:
            client.waiting = request
            client.deadline = world.us + b * 1000 if op == POLL and b > 0 else None
        else:
            _reply(client, answer)


def _retry(world: World, clients: dict[socket.socket, _Client]) -> None:
    """Answer those who wait and need not any more."""
    for client in clients.values():
        if client.waiting is None:
            continue
        answer = world.call(*client.waiting)
        if answer is None and client.deadline is not None and world.us >= client.deadline:
            answer = _done(0, client.waiting[5])
        if answer is not None:
            client.waiting = None
            _reply(client, answer)
            _requests(world, client)


def _reply(client: _Client, answer: Answer) -> None:
    result, number, data, x = answer
    client.socket.sendall(REPLY.pack(result, number, len(data), x) + data)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m mirage.tcpip.testing.packetdrill", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="where packetdrill's shared object connects")
    parser.add_argument("--runs", type=int, help="end after so many runs of packetdrill")
    parser.add_argument("--congestion", default="reno", help="cubic, reno or westwood; most scripts expect reno")
    parser.add_argument("--delayed-ack", type=float, default=0.0, help="seconds; most scripts expect quick ones")
    parser.add_argument("--ecn", action="store_true", help="offer and accept ECN")
    options = parser.parse_args()
    settings = Settings(
        duplicate_address_probes=0,
        congestion_control=options.congestion,
        delayed_ack=options.delayed_ack,
        ecn=options.ecn,
        plpmtud=False,
        receive_buffer=15 << 20,  # whose scale, 8, is the one that scripts expect
    )
    serve(options.socket, options.runs, lambda: World(settings))


if __name__ == "__main__":
    main()
