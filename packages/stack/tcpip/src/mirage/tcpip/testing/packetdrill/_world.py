"""One run of packetdrill: a stack, its descriptors, and virtual time."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

from mirage.types import FrameMeta
from mirage.types.testing import SeededRandom

from ...errors import TcpipError
from ...settings import Settings
from ...stack import Stack
from ...tcp.describe import describe
from ...tcp.state import State
from ...udp import UdpEndpoint
from ..script import advertisement
from ._protocol import (
    ACCEPT,
    BIND,
    CLOSE,
    CONNECT,
    DONTWAIT,
    EPOLL_CREATE,
    EPOLL_CTL,
    EPOLL_WAIT,
    FCNTL,
    GETOPT,
    GTOD,
    IOCTL,
    LISTEN,
    MORE,
    NONBLOCK,
    NRECV,
    NSEND,
    PEEK,
    POLL,
    READ,
    RECVMSG,
    SENDMSG,
    SETOPT,
    SHUTDOWN,
    SOCKET,
    TRUNC,
    USLEEP,
    WRITE,
    Answer,
    done,
    fail,
    number_of,
    pack_address,
    unpack_address,
    unpack_message,
)
from ._sockets import POLLERR, POLLHUP, POLLNVAL, Epoll, Socket

__all__ = ["World"]

_START_US: Final = 1_000_000_000
_OURS, _GATEWAY = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
_LOCAL = ("192.168.0.1/16", "fd3d:fa7b:d17d::1/48")
_GATEWAYS = ("192.168.0.2", "fd3d:fa7b:d17d::2")
"""What ``--local_ip`` and ``--gateway_ip`` have to say: packetdrill's own choice depends on its process."""
_SOL_SOCKET, _TCP = socket.SOL_SOCKET, socket.IPPROTO_TCP
_CM_INQ: Final = 36
_CC_INFO: Final = 26
_INFO_ROOM: Final = 512
_MEMINFO: Final = 55


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
        self._descriptors: dict[int, Socket] = {}
        self._epolls: dict[int, Epoll] = {}
        self.alarm: Callable[[], float] = lambda: inf
        """When somebody who waits must be answered, in microseconds. Asked after each step of time."""
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
                break
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
        for found in self._descriptors.values():
            found.look()

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
        """Let microseconds pass; fewer, if somebody else who waits is to be answered before."""
        end = self.us + us
        while (alarm := self.alarm()) > self.us:
            if not self._step(int(min(end, alarm))):
                self.us = int(max(self.us, min(end, alarm)))
                return

    # Calls

    def call(self, op: int, a: int, b: int, c: int, d: int, data: bytes) -> Answer | None:
        """Do one call; None when it would block. Its effects are sent at once."""
        try:
            answer = self._call(op, a, b, c, d, data)
        except TcpipError as error:
            answer = fail(number_of(error, errno.EINVAL))
        if op not in {NRECV, USLEEP, GTOD, POLL, EPOLL_WAIT}:
            self._turn()
        return answer

    def late(self, op: int, b: int, c: int, data: bytes) -> tuple[int, Answer] | None:
        """When a call that waits has waited long enough, in microseconds from now, and what it is answered then."""
        milliseconds = {POLL: b, EPOLL_WAIT: c}.get(op, -1)
        if milliseconds < 0:
            return None
        return milliseconds * 1000, done(0, data if op == POLL else b"")

    def _call(self, op: int, a: int, b: int, c: int, d: int, data: bytes) -> Answer | None:
        if op in {GTOD, USLEEP, NSEND, NRECV}:
            return self._time_and_packets(op, a, data)
        if op == SOCKET:
            return self._socket(a, b)
        if op == POLL:
            return self._poll(data, b)
        if op in {EPOLL_CREATE, EPOLL_CTL, EPOLL_WAIT} or a in self._epolls:
            return self._epoll(op, a, b, c, d, data)
        if op == 0:
            return done()
        found = self._descriptors.get(a)
        if found is None:
            return fail(errno.EBADF)
        if found.udp is not None and op in {BIND, CONNECT, READ, WRITE, RECVMSG, SENDMSG, CLOSE}:
            return self._datagram(found.udp, op, found, a, b, c, data)
        if found.udp is not None and op in {LISTEN, ACCEPT, SHUTDOWN}:
            return fail(errno.EOPNOTSUPP)
        calls: dict[int, Callable[[Socket, int, int, int, bytes], Answer | None]] = {
            BIND: self._bind, LISTEN: self._listen, ACCEPT: self._accept, CONNECT: self._connect, READ: self._read,
            WRITE: self._write, CLOSE: self._close, SHUTDOWN: self._shutdown, GETOPT: self._getopt,
            SETOPT: self._setopt, FCNTL: self._fcntl, IOCTL: self._ioctl, RECVMSG: self._receive_message,
            SENDMSG: self._send_message,
        }  # fmt: skip
        return calls[op](found, a, b, c, data) if op in calls else fail(errno.ENOSYS)

    def _time_and_packets(self, op: int, a: int, data: bytes) -> Answer:
        if op == GTOD:
            self.us += 1
            return done(x=self.us)
        if op == USLEEP:
            self.sleep(a)
            return done()
        if op == NSEND:
            return self._packet(data)
        while not self._output and self._step(self.us + 3_600_000_000):
            pass
        if not self._output:
            return done(x=self.us)
        at, packet = self._output.popleft()
        return done(0, packet, at)

    def _packet(self, data: bytes) -> Answer:
        kind = b"\x08\0" if data[0] >> 4 == 4 else b"\x86\xdd"
        frame = memoryview(_OURS + _GATEWAY + kind + data)
        self.stack.input(self._interface, [(FrameMeta(), frame)], self.now)
        return done()

    def _free(self) -> int:
        number = self._lowest
        while number in self._descriptors or number in self._epolls:
            number += 1
        return number

    def _new(self, found: Socket) -> int:
        number = self._free()
        self._descriptors[number] = found
        return number

    def _socket(self, domain: int, kind: int) -> Answer:
        if domain not in {socket.AF_INET, socket.AF_INET6}:
            return fail(errno.EAFNOSUPPORT)
        made = Socket(4 if domain == socket.AF_INET else 6, not kind & NONBLOCK, self.stack.settings)
        if kind & 0xF == socket.SOCK_DGRAM:
            made.udp = self.stack.bind(version=made.version)
        elif kind & 0xF != socket.SOCK_STREAM:
            return fail(errno.EPROTONOSUPPORT)
        return done(self._new(made))

    def _datagram(
        self, udp: UdpEndpoint, op: int, found: Socket, descriptor: int, b: int, c: int, data: bytes
    ) -> Answer | None:
        """A call on a socket of UDP that is not the same for TCP's."""
        if op == BIND:
            address, port = unpack_address(data)
            udp.close()
            found.udp = self.stack.bind(port, address if any(address) else None, version=found.version)
            return done()
        if op == CONNECT:
            udp.connect(*unpack_address(data))
            return done()
        if op == CLOSE:
            udp.close()
            del self._descriptors[descriptor]
            return done()
        if (failed := udp.take_error()) is not None:
            return fail(number_of(failed, errno.EHOSTUNREACH))
        if op in {WRITE, SENDMSG}:
            to, data = unpack_message(data) if op == SENDMSG else (None, data)
            udp.send(data, *(to or ()), now=self.now)
            return done(len(data))
        datagram = udp.read()
        if datagram is None:
            return None if found.blocking and not c & DONTWAIT else fail(errno.EAGAIN)
        taken = datagram.data[:b]
        if op == READ:
            return done(len(datagram.data) if c & TRUNC else len(taken), taken)
        flags = TRUNC if len(taken) < len(datagram.data) else 0
        return _message(taken, flags, pack_address(datagram.source, datagram.port))

    def _bind(self, found: Socket, _: int, __: int, ___: int, data: bytes) -> Answer:
        address, port = unpack_address(data)
        found.local = (address if any(address) else None, port)
        return done()

    def _listen(self, found: Socket, _: int, backlog: int, __: int, ___: bytes) -> Answer:
        address, port = found.local
        found.listener = self.stack.listen(port, address, version=found.version, backlog=max(backlog, 1))
        return done()

    def _accept(self, found: Socket, _: int, __: int, ___: int, ____: bytes) -> Answer | None:
        if found.listener is None:
            return fail(errno.EINVAL)
        connection = found.listener.accept()
        if connection is None:
            return None if found.blocking else fail(errno.EAGAIN)
        made = Socket(found.version, True, self.stack.settings)
        made.connection = connection
        made.options = dict(found.options)
        self._apply_options(made)
        framer = connection.framer
        return done(self._new(made), pack_address(framer.path.remote, framer.remote_port))

    def _connect(self, found: Socket, _: int, __: int, ___: int, data: bytes) -> Answer | None:
        if found.connection is None:
            address, port = unpack_address(data)
            found.connection = self.stack.connect(
                address, port, local_address=found.local[0], local_port=found.local[1], now=self.now
            )
            self._apply_options(found)
            return None if found.blocking else fail(errno.EINPROGRESS)
        if found.error:
            number, found.error_taken = found.error, True
            return fail(number)
        if found.connection.state in {State.SYN_SENT, State.SYN_RECEIVED}:
            return None if found.blocking else fail(errno.EALREADY)
        return done() if found.blocking else fail(errno.EISCONN)

    def _read(self, found: Socket, _: int, size: int, flags: int, __: bytes) -> Answer | None:
        connection = found.connection
        if connection is None:
            return fail(errno.ENOTCONN)
        if connection.readable:
            data = b"".join(connection.peek())[:size] if flags & PEEK else bytes(connection.read(size))
            return done(len(data), data)
        if connection.eof or found.read_shut:
            return done()
        if connection.state is State.CLOSED:
            number, found.error_taken = found.error, True
            return fail(number) if number else done()
        return None if found.blocking and not flags & DONTWAIT else fail(errno.EAGAIN)

    def _receive_message(self, found: Socket, descriptor: int, size: int, flags: int, _: bytes) -> Answer | None:
        answer = self._read(found, descriptor, size, flags, b"")
        if answer is None or answer[0] < 0:
            return answer
        control = b""
        if found.tells_what_is_left and found.connection is not None:
            left = found.connection.readable or int(found.connection.eof)
            control = struct.pack("<Qiii4x", 20, _TCP, _CM_INQ, left)
        return _message(answer[2], 0, b"", control)

    def _write(self, found: Socket, _: int, flags: int, __: int, data: bytes) -> Answer | None:
        connection = found.connection
        if connection is None:
            return fail(errno.ENOTCONN)
        if connection.error is not None or not connection.state.may_write or connection.sender.fin_queued:
            number, found.error_taken = found.error, True
            return fail(number or errno.EPIPE)
        room = max(found.room, 0)
        if room < (len(data) if found.blocking else min(1, len(data))):
            found.wrote(False)
            return None if found.blocking and not flags & DONTWAIT else fail(errno.EAGAIN)
        found.wrote(len(data) <= room)
        connection.write(data[:room])
        connection.more = bool(flags & MORE)
        return done(min(len(data), room))

    def _send_message(self, found: Socket, descriptor: int, flags: int, _: int, data: bytes) -> Answer | None:
        return self._write(found, descriptor, flags, 0, unpack_message(data)[1])

    def _close(self, found: Socket, descriptor: int, _: int, __: int, ___: bytes) -> Answer:
        del self._descriptors[descriptor]
        if found.listener is not None:
            found.listener.close()
        if found.connection is not None:
            linger = found.options.get((_SOL_SOCKET, socket.SO_LINGER), b"")
            if len(linger) >= 8 and struct.unpack_from("<ii", linger) == (1, 0):
                found.connection.abort()
            else:
                found.connection.close()
        return done()

    def _shutdown(self, found: Socket, _: int, how: int, __: int, ___: bytes) -> Answer:
        if found.connection is None or found.connection.state is State.CLOSED:
            return fail(errno.ENOTCONN)
        if how in {socket.SHUT_RD, socket.SHUT_RDWR}:
            found.read_shut = True
        if how in {socket.SHUT_WR, socket.SHUT_RDWR}:
            found.connection.shutdown()
        return done()

    def _getopt(self, found: Socket, _: int, level: int, option: int, __: bytes) -> Answer:
        connection = found.connection
        if (level, option) == (_SOL_SOCKET, socket.SO_ERROR):
            number, found.error_taken = found.error, True
            return done(0, struct.pack("<i", number))
        if level == _TCP and option == socket.TCP_INFO and connection is not None:
            # A packetdrill that knows more fields asks for more octets; it has no notion of a kernel that has fewer.
            return done(0, describe(connection, self.now).pack().ljust(_INFO_ROOM, b"\0"))
        if level == _TCP and option == socket.TCP_MAXSEG and connection is not None:
            return done(0, struct.pack("<i", connection.sender.mss))
        if level == _TCP and option == _CC_INFO:
            return done()
        if level == _SOL_SOCKET and option == _MEMINFO and connection is not None:
            memory = (
                connection.readable,
                connection.receiver.capacity,
                connection.queued,
                self.stack.settings.send_buffer,
            )
            return done(0, struct.pack("<9I", *memory, *bytes(5)))
        return done(0, found.options.get((level, option), bytes(4)))

    def _setopt(self, found: Socket, _: int, level: int, option: int, data: bytes) -> Answer:
        if level == _SOL_SOCKET and option in {socket.SO_SNDBUF, socket.SO_RCVBUF} and len(data) >= 4:
            data = struct.pack("<i", 2 * int.from_bytes(data[:4], "little"))  # as Linux tells it afterwards
        found.options[level, option] = data
        self._apply_options(found)
        connection = found.connection
        if (level, option) == (_TCP, socket.TCP_NODELAY) and connection is not None and connection.corked:
            connection.corked = False  # it takes the cork out for once
            self._turn()
            connection.corked = True
        return done()

    def _apply_options(self, found: Socket) -> None:
        connection = found.connection
        if connection is None:
            return
        for (level, option), data in found.options.items():
            value = int.from_bytes(data[:4], "little") if len(data) >= 4 else 0
            if (level, option) == (_SOL_SOCKET, socket.SO_KEEPALIVE):
                connection.keepalive = bool(value)
            elif level == _TCP and option == socket.TCP_NODELAY:
                connection.nodelay = bool(value)
            elif level == _TCP and option == socket.TCP_CORK:
                connection.corked = bool(value)
            elif level == _TCP and option == socket.TCP_MAXSEG and value:
                connection.limit_segments(value)
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

    def _fcntl(self, found: Socket, _: int, command: int, value: int, __: bytes) -> Answer:
        if command == 3:  # F_GETFL
            return done(2 | (0 if found.blocking else NONBLOCK))
        if command == 4:  # F_SETFL
            found.blocking = not value & NONBLOCK
        return done()

    def _ioctl(self, found: Socket, _: int, request: int, __: int, ___: bytes) -> Answer:
        connection = found.connection
        if connection is None:
            return fail(errno.EINVAL)
        values = {0x541B: connection.readable, 0x5411: connection.queued + connection.unacknowledged,
                  0x894B: connection.queued}  # fmt: skip
        return done(0, b"", values[request]) if request in values else fail(errno.EINVAL)

    def _poll(self, data: bytes, timeout: int) -> Answer | None:
        """`timeout` in milliseconds, negative for ever; 0 does not wait. Who waits is asked again (`serve`)."""
        ready, entries = 0, bytearray(data)
        for at in range(0, len(data) - 7, 8):
            descriptor, events, _ = struct.unpack_from("<ihh", data, at)
            found = self._descriptors.get(descriptor)
            state = POLLNVAL if found is None else found.events & (events & 0xFFFF | POLLERR | POLLHUP)
            struct.pack_into("<H", entries, at + 6, state)
            ready += bool(state)
        return done(ready, bytes(entries)) if ready or timeout == 0 else None

    def _epoll(self, op: int, descriptor: int, b: int, c: int, events: int, data: bytes) -> Answer | None:
        if op == EPOLL_CREATE:
            number = self._free()
            self._epolls[number] = Epoll()
            return done(number)
        found = self._epolls.get(descriptor)
        if found is None:
            return fail(errno.EINVAL if descriptor in self._descriptors else errno.EBADF)
        if op == CLOSE:
            del self._epolls[descriptor]
            return done()
        if op == EPOLL_CTL:
            if c not in self._descriptors:
                return fail(errno.EBADF)
            number = found.control(b, c, events, data)
            return fail(number) if number else done()
        if op != EPOLL_WAIT:
            return fail(errno.EINVAL)
        if b <= 0:
            return fail(errno.EINVAL)
        told = found.wait(self._descriptors, b)
        if not told and c != 0:
            return None
        return done(len(told), b"".join(struct.pack("<I", ready) + whose for ready, whose in told))


def _message(data: bytes, flags: int, name: bytes, control: bytes = b"") -> Answer:
    """What `recvmsg` gives: two lengths, an address and control messages, and what was received."""
    return done(len(data), struct.pack("<II", len(name), len(control)) + name + control + data, flags)


def _neighbour(frame: bytes) -> bytes | None:
    """The gateway's answer to a question for an Ethernet address: it has all of them."""
    if frame[12:14] == b"\x08\x06":
        if frame[20:22] != b"\0\1" or frame[28:32] == frame[38:42]:
            return None
        reply = _GATEWAY + frame[38:42] + frame[22:32]
        return frame[6:12] + _GATEWAY + b"\x08\x06\0\1\x08\0\6\4\0\2" + reply + bytes(18)
    if frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 135 and any(frame[22:38]):
        return advertisement(_OURS, _GATEWAY, frame[22:38], frame[62:78])
    return None


def _is_local_chatter(frame: bytes) -> bool:
    """Neighbour discovery and group membership: what packetdrill has no notion of."""
    return frame[38] == 0xFF or (frame[20] == 58 and 130 <= frame[54] <= 143)
