"""`StackEventLoop`: asyncio's own loop, with the stack in the place of the kernel's TCP, UDP and resolver.

One iteration of the loop is one turn of the stack: what came in is handed to the protocols while the iteration runs;
when it ends, the stack is polled and what is to be sent goes to the devices in one batch, so that the answers of an
iteration go out together and acknowledgments ride on data.

What is overridden are the places where `asyncio.SelectorEventLoop` makes a socket or wraps one in a transport; all the
rest (address lists, happy eyeballs, servers, TLS, subprocesses, signals, Unix sockets, pipes) is asyncio's own.
Sockets of the kernel still work where one is passed.
"""

from __future__ import annotations

import asyncio
import errno
import select
import selectors
import socket
import threading
from asyncio import base_events, constants, sslproto
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from mirage.tcpip import Settings
from mirage.tcpip.stack import Stack
from mirage.types import Network, Offload, OffloadNetwork, Random

from ._addresses import SocketAddress
from ._datagram import DatagramTransport
from ._driver import Driver
from ._random import SystemRandom
from ._resolver import AddressInfo, Resolver, numbered, ordered
from ._server import Acceptor, is_side
from ._socket import StackSocket
from ._stream import StreamTransport
from ._turn import Turn
from ._upgrade import start_tls
from ._watch import Watchers
from .errors import plain

if TYPE_CHECKING:
    from mirage.tcpip.ip.interface import Interface

__all__ = ["StackEventLoop"]

_T = TypeVar("_T")
_ALL = Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6 | Offload.ECN


class StackEventLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop on a TCP/IP stack of its own."""

    def __init__(
        self,
        *,
        random: Random | None = None,
        settings: Settings | None = None,
        resolver: Resolver | None = None,
        selector: selectors.BaseSelector | None = None,
    ) -> None:
        """A loop whose stack has no interface yet: see `attach`. `random` seeds it, the system's by default."""
        self._watchers = Watchers(self)  # asked as soon as asyncio adds its own reader
        super().__init__(selector)
        self.resolver = resolver or Resolver()
        self._random = random or SystemRandom()
        self._stack = Stack(random=self._random, now=self.time(), settings=settings)
        self.turn = Turn(self)
        """What drives the stack, and knows its devices."""
        self.turn.stacks.append(self._stack)

    # The stack and its devices

    @property
    def stack(self) -> Stack:
        """The stack that new sockets belong to."""
        return self._stack

    def attach(
        self, device: Network, name: str = "", *, offload: Offload = _ALL, stack: Stack | None = None
    ) -> Interface:
        """Plug a device into the stack, with as much of `offload` as it can do. The device stays its owner's to close.

        The interface has no IPv4 address yet: see `mirage.runtime.configured`, or `stack.ip.add_address`.
        """
        stack = stack or self.stack
        agreed, longest = Offload.NONE, None
        if isinstance(device, OffloadNetwork):
            agreed = device.enable_offload(offload)
            longest = device.max_frame
        interface = stack.add_interface(
            name or f"eth{len(self.turn.drivers)}", device.mac, device.mtu, offload=agreed, max_frame=longest
        )
        self.turn.drivers.append(Driver(self, self.turn, stack, interface, device))
        return interface

    def detach(self, interface: Interface) -> None:
        """Unplug a device again."""
        for driver in self.turn.drivers:
            if driver.interface is interface:
                driver.close()
                driver.stack.ip.remove_interface(interface)
                self.turn.drivers.remove(driver)
                return

    def reseed(self) -> None:
        """Draw new secrets: for a guest that goes on from a snapshot, as others may. Open connections go on."""
        for stack in self.turn.stacks:
            stack.ip.reseed(self._random)
            stack.tcp.reseed(self._random)

    def interface_of(self, address: Sequence[Any]) -> Interface | None:
        """The interface that the scope of an IPv6 socket address names, None when it names none."""
        return self.interface_at(address[3]) if len(address) == 4 else None

    def interface_at(self, index: int) -> Interface | None:
        """The interface with a number; None for 0, which names none. Raises `OSError` where there is no such."""
        if not index:
            return None
        for interface in self.stack.interfaces.values():
            if interface.index == index:
                return interface
        raise plain(errno.ENODEV)

    def scope_of(self, address: bytes, interface: Interface | None) -> int:
        """The scope for a socket address: the interface's number, for link-local IPv6 addresses only."""
        if interface is not None and len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80:
            return interface.index
        return 0

    # The turn

    def _run_once(self) -> None:
        self._watchers.queue_ready()
        super()._run_once()  # type: ignore[misc]  # one iteration of asyncio's loop
        self.turn.end()

    def run_forever(self) -> None:
        """See `asyncio`. What was written before is sent first."""
        if not self.is_closed():
            self.turn.end()
        super().run_forever()

    def close(self) -> None:
        """Unplug the devices and close the loop; connections end without a word."""
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if not self.is_closed():
            for driver in self.turn.drivers:
                driver.close()
            self.turn.drivers.clear()
        super().close()

    def block(self, attempt: Callable[[], _T], timeout: float | None) -> _T:
        """Drive the stack, and nothing else, until `attempt` raises no `BlockingIOError`: for blocking sockets.

        Raises `TimeoutError` after `timeout` seconds. The news of others are told when the loop goes on.
        """
        if threading.get_ident() != getattr(self, "_thread_id", None) and self.is_running():
            raise RuntimeError("a blocking socket of the stack works in the thread of its event loop only")
        limit = inf if timeout is None else self.time() + timeout
        while True:
            for stack in self.turn.stacks:
                stack.poll(self.time())
                self.turn.deferred += stack.take_news()
            for driver in self.turn.drivers:
                driver.transmit()
            try:
                return attempt()
            except BlockingIOError:
                pass
            now = self.time()
            if now >= limit:
                raise TimeoutError(errno.ETIMEDOUT, "timed out")
            self._wait_for_frames(min(limit, *(stack.next_deadline() for stack in self.turn.stacks)) - now)

    def _wait_for_frames(self, seconds: float) -> None:
        files: list[Any] = [driver.device for driver in self.turn.drivers if hasattr(driver.device, "fileno")]
        ready, _, _ = select.select(files, [], [], None if seconds == inf else max(seconds, 0.0))
        for driver in self.turn.drivers:
            if driver.device in ready:
                driver.stack.input(driver.interface, driver.device.receive_many(), self.time())  # type: ignore[attr-defined]

    # Names

    async def getaddrinfo(  # type: ignore[override]  # wider than typeshed's
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - as in `socket`
        proto: int = 0,
        flags: int = 0,
    ) -> list[AddressInfo]:
        """As `socket.getaddrinfo`, by the stack's resolver; what is best tried comes first (RFC 6724)."""
        return ordered(self, await self.resolver.getaddrinfo(numbered(self, host), port, family, type, proto, flags))

    async def getnameinfo(self, sockaddr: SocketAddress, flags: int = 0) -> tuple[str, str]:
        """As `socket.getnameinfo`, by the stack's resolver."""
        return await self.resolver.getnameinfo(sockaddr, flags)

    # Where asyncio makes sockets

    async def _connect_sock(
        self, exceptions: list[list[OSError]], addr_info: Any, local_addr_infos: Any = None
    ) -> StackSocket:
        """One socket that is connected, for `create_connection`, which tries several."""
        mine: list[OSError] = []
        exceptions.append(mine)
        family, kind, proto, _, address = addr_info
        sock = StackSocket(self, family, kind | socket.SOCK_NONBLOCK, proto)
        try:
            if local_addr_infos is not None:
                self._bind_first(sock, family, local_addr_infos)
            await self.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            mine.append(error)
            raise
        except BaseException:
            sock.close()
            raise
        return sock

    def _bind_first(self, sock: StackSocket, family: int, infos: Any) -> None:
        """Bind to the first local address of the family that can be had."""
        failed: OSError | None = None
        for candidate, _, _, _, address in infos:
            if candidate == family:
                try:
                    sock.bind(address)
                except OSError as error:
                    failed = _bind_error(error, address)
                else:
                    return
        raise failed or OSError(f"no matching local address with {family=} found")

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: Any = None,
        backlog: int = 100,
        ssl: Any = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> asyncio.Server:
        """Listen; see `asyncio`. For `host` None or ``''``, both versions of IP listen, at the same port.

        `ssl` may also be a `mirage.tls.ServerConfig`, or any `mirage.conduit.Side`.
        """
        more: dict[str, Any] = {
            "ssl_handshake_timeout": ssl_handshake_timeout,
            "ssl_shutdown_timeout": ssl_shutdown_timeout,
        }
        if sock is not None and not isinstance(sock, StackSocket):
            return await super().create_server(
                protocol_factory, sock=sock, backlog=backlog, ssl=ssl, start_serving=start_serving, **more
            )
        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        if ssl is None and (ssl_handshake_timeout is not None or ssl_shutdown_timeout is not None):
            raise ValueError("ssl_handshake_timeout and ssl_shutdown_timeout are only meaningful with ssl")
        if reuse_port:
            raise ValueError("reuse_port is not supported: one stack has one listener at an address")
        if sock is not None:
            if host is not None or port is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            if sock.type != socket.SOCK_STREAM:
                raise ValueError(f"A Stream Socket was expected, got {sock!r}")
            sockets = [sock]
        elif host is None and port is None:
            raise ValueError("Neither host/port nor sock were specified")
        else:
            sockets = await self._listeners(host, port, family, flags)
        if keep_alive:
            for each in sockets:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        server: Any = base_events.Server(
            self,
            sockets,  # type: ignore[arg-type]
            protocol_factory,
            ssl,
            backlog,
            ssl_handshake_timeout,
            ssl_shutdown_timeout,
        )
        if start_serving:
            server._start_serving()
            await asyncio.sleep(0)
        return server  # type: ignore[no-any-return]

    async def _listeners(
        self, host: str | Sequence[str] | None, port: int | None, family: int, flags: int
    ) -> list[StackSocket]:
        """A bound socket for each address of each host. Raises `OSError`, and then none stays bound."""
        hosts: Iterable[str | None] = (
            [None] if host is None or host == "" else [host] if isinstance(host, str) else host
        )
        infos: dict[AddressInfo, None] = {}
        for each in hosts:
            found = await self.getaddrinfo(each, port, family=family, type=socket.SOCK_STREAM, flags=flags)
            infos.update(dict.fromkeys(found))
        sockets: list[StackSocket] = []
        try:
            for kind, _, _, _, address in infos:
                if not address[1] and sockets:  # one port for all of them
                    address = (address[0], sockets[0].getsockname()[1], *address[2:])
                sock = StackSocket(self, kind, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                sockets.append(sock)
                try:
                    sock.bind(address)
                except OSError as error:
                    raise _bind_error(error, address) from None
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        return sockets

    async def create_datagram_endpoint(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        local_addr: Any = None,
        remote_addr: Any = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: Any = None,
    ) -> tuple[asyncio.DatagramTransport, asyncio.BaseProtocol]:
        """A UDP endpoint; see `asyncio`."""
        if sock is not None:
            if any((local_addr, remote_addr, family, proto, flags, reuse_port, allow_broadcast)):
                raise ValueError("socket modifier keyword arguments can not be used when sock is specified.")
            if not isinstance(sock, StackSocket):
                return await super().create_datagram_endpoint(protocol_factory, sock=sock)
            if sock.type != socket.SOCK_DGRAM:
                raise ValueError(f"A datagram socket was expected, got {sock!r}")
        elif family == getattr(socket, "AF_UNIX", None) and family:
            return await super().create_datagram_endpoint(protocol_factory, local_addr, remote_addr, family=family)
        else:
            sock = await self._datagram_socket(local_addr, remote_addr, family, proto, flags, bool(reuse_port))
            if allow_broadcast:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        protocol = protocol_factory()
        waiter = self.create_future()
        transport = DatagramTransport(self, sock, protocol)
        self.call_soon(transport.start, waiter)
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    async def _datagram_socket(
        self, local_addr: Any, remote_addr: Any, family: int, proto: int, flags: int, reuse: bool
    ) -> StackSocket:
        if not (local_addr or remote_addr):
            if not family:
                raise ValueError("unexpected address family")
            return StackSocket(self, family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, proto)
        found: list[dict[int, SocketAddress]] = []
        for address in (local_addr, remote_addr):
            if address is None:
                found.append({})
                continue
            infos = await self.getaddrinfo(
                *address[:2], family=family, type=socket.SOCK_DGRAM, proto=proto, flags=flags
            )
            found.append({info[0]: info[4] for info in reversed(infos)})
        local, remote = found
        failed: OSError | None = None
        for kind in sorted({*local, *remote}, reverse=True):
            if (local_addr and kind not in local) or (remote_addr and kind not in remote):
                continue
            sock = StackSocket(self, kind, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            try:
                if reuse:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if local_addr:
                    sock.bind(local[kind])
                if remote_addr:
                    sock.connect(remote[kind])
            except OSError as error:
                sock.close()
                failed = error
            else:
                return sock
        raise failed or ValueError("can not get address information")

    async def start_tls(
        self, transport: Any, protocol: Any, sslcontext: Any, *, server_hostname: str | None = None, **more: Any
    ) -> Any:
        """See `asyncio`; a side of `mirage.conduit` is taken as well, and knows itself which end it is."""
        if not is_side(sslcontext):
            return await super().start_tls(transport, protocol, sslcontext, server_hostname=server_hostname, **more)
        limits = (more.get("ssl_handshake_timeout"), more.get("ssl_shutdown_timeout"))
        return await start_tls(self, transport, protocol, sslcontext, server_hostname, *limits)

    # Where asyncio wraps sockets

    def _make_socket_transport(
        self, sock: Any, protocol: Any, waiter: Any = None, *, extra: Any = None, server: Any = None
    ) -> Any:
        if not isinstance(sock, StackSocket):
            return super()._make_socket_transport(sock, protocol, waiter, extra=extra, server=server)  # type: ignore[misc]
        transport = StreamTransport(self, sock.take_connection(), protocol, sock=sock, server=server, extra=extra)
        self.call_soon(transport.start, waiter)
        return transport

    def _make_ssl_transport(
        self,
        rawsock: Any,
        protocol: Any,
        sslcontext: Any,
        waiter: Any = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: Any = None,
        server: Any = None,
        ssl_handshake_timeout: float | None = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: float | None = constants.SSL_SHUTDOWN_TIMEOUT,
        **more: Any,
    ) -> Any:
        if not isinstance(rawsock, StackSocket):
            return super()._make_ssl_transport(  # type: ignore[misc]
                rawsock,
                protocol,
                sslcontext,
                waiter,
                server_side=server_side,
                server_hostname=server_hostname,
                extra=extra,
                server=server,
                ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout,
                **more,
            )
        secure: Any
        if is_side(sslcontext):
            secure = sslcontext.wrap(
                protocol,
                loop=self,
                waiter=waiter,
                server_hostname=server_hostname,
                handshake_timeout=ssl_handshake_timeout,
                shutdown_timeout=ssl_shutdown_timeout,
            )
            self._make_socket_transport(rawsock, secure, extra=extra, server=server)
            return secure.transport
        secure = sslproto.SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,  # type: ignore[arg-type]
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            **more,
        )
        self._make_socket_transport(rawsock, secure, extra=extra, server=server)
        return secure._app_transport

    def _start_serving(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sock: Any,
        sslcontext: Any = None,
        server: Any = None,
        backlog: int = 100,
        *timeouts: Any,
        **more: Any,
    ) -> None:
        if not isinstance(sock, StackSocket):
            super()._start_serving(  # type: ignore[misc]
                protocol_factory, sock, sslcontext, server, backlog, *timeouts, **more
            )
            return
        Acceptor(self, sock, protocol_factory, sslcontext, server, timeouts)

    def _stop_serving(self, sock: Any) -> None:
        if not isinstance(sock, StackSocket):
            super()._stop_serving(sock)  # type: ignore[misc]
            return
        Acceptor.stop(sock)

    # Sockets by hand

    async def sock_recv(self, sock: Any, nbytes: int) -> bytes:
        """See `asyncio`."""
        if not isinstance(sock, StackSocket):
            return await super().sock_recv(sock, nbytes)
        return await self._until(sock, lambda: sock.recv(nbytes))

    async def sock_recv_into(self, sock: Any, buf: Any) -> int:
        """See `asyncio`."""
        if not isinstance(sock, StackSocket):
            return await super().sock_recv_into(sock, buf)
        return await self._until(sock, lambda: sock.recv_into(buf))

    async def sock_recvfrom(self, sock: Any, bufsize: int) -> tuple[bytes, Any]:
        """See `asyncio`."""
        if not isinstance(sock, StackSocket):
            return await super().sock_recvfrom(sock, bufsize)
        return await self._until(sock, lambda: sock.recvfrom(bufsize))

    async def sock_recvfrom_into(self, sock: Any, buf: Any, nbytes: int = 0) -> tuple[int, Any]:
        """See `asyncio`."""
        if not isinstance(sock, StackSocket):
            return await super().sock_recvfrom_into(sock, buf, nbytes)
        return await self._until(sock, lambda: sock.recvfrom_into(buf, nbytes))

    async def sock_sendall(self, sock: Any, data: Any) -> None:
        """See `asyncio`."""
        if not isinstance(sock, StackSocket):
            await super().sock_sendall(sock, data)
            return
        view = memoryview(data).cast("B")
        while view:
            view = view[await self._until(sock, lambda rest=view: sock.send(rest)) :]  # type: ignore[misc]

    async def sock_sendto(self, sock: Any, data: Any, address: Any) -> int:
        """See `asyncio`."""
        if not isinstance(sock, StackSocket):
            return await super().sock_sendto(sock, data, address)
        return await self._until(sock, lambda: sock.sendto(data, address))

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """See `asyncio`; a name is resolved first."""
        if not isinstance(sock, StackSocket):
            await super().sock_connect(sock, address)
            return
        if self.resolver.known(str(address[0]) or None, 0) is None or address[0] == "localhost":
            infos = await self.getaddrinfo(*address[:2], family=sock.family, type=sock.type, proto=sock.proto)
            address = infos[0][4]
        self._check_nonblocking(sock)
        number = sock.connect_ex(address)
        if number == errno.EINPROGRESS:
            try:
                await self._until(sock, sock.finish_connect)
            except OSError as error:
                raise OSError(error.errno, f"Connect call failed {address}: {error.strerror}") from error
        elif number:
            raise OSError(number, f"Connect call failed {address}: {plain(number).strerror}")

    async def sock_accept(self, sock: Any) -> tuple[Any, Any]:
        """See `asyncio`."""
        if not isinstance(sock, StackSocket):
            return await super().sock_accept(sock)
        accepted, address = await self._until(sock, sock.accept)
        accepted.setblocking(False)
        return accepted, address

    async def sock_sendfile(
        self, sock: Any, file: Any, offset: int = 0, count: int | None = None, *, fallback: bool | None = True
    ) -> int:
        """See `asyncio`; for the stack's sockets the file is read and sent, since there is no kernel to do it."""
        if not isinstance(sock, StackSocket):
            return await super().sock_sendfile(sock, file, offset, count, fallback=fallback)
        if not fallback:
            raise asyncio.SendfileNotAvailableError("a socket of the stack has no sendfile system call")
        return await self._sock_sendfile_fallback(sock, file, offset, count)  # type: ignore[attr-defined, no-any-return]

    async def _until(self, sock: StackSocket, attempt: Callable[[], _T]) -> _T:
        self._check_nonblocking(sock)
        while True:
            try:
                return attempt()
            except BlockingIOError:
                await sock.changed()

    def _check_nonblocking(self, sock: StackSocket) -> None:
        if sock.gettimeout() != 0.0:
            raise ValueError("the socket must be non-blocking")

    # Descriptors of our sockets

    def know(self, descriptor: int, sock: StackSocket) -> None:
        """A socket of the stack has got a descriptor."""
        self._watchers.know(descriptor, sock)

    def unknow(self, descriptor: int) -> None:
        """The descriptor is going away."""
        self._watchers.unknow(descriptor)

    def _add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> Any:
        if (sock := self._watchers.socket(fd)) is not None:
            return self._watchers.add(sock, selectors.EVENT_READ, callback, args)
        return super()._add_reader(fd, callback, *args)  # type: ignore[misc]

    def _add_writer(self, fd: Any, callback: Callable[..., Any], *args: Any) -> Any:
        if (sock := self._watchers.socket(fd)) is not None:
            return self._watchers.add(sock, selectors.EVENT_WRITE, callback, args)
        return super()._add_writer(fd, callback, *args)  # type: ignore[misc]

    def _remove_reader(self, fd: Any) -> bool:
        if (sock := self._watchers.socket(fd)) is not None:
            return self._watchers.remove(sock, selectors.EVENT_READ)
        return super()._remove_reader(fd)  # type: ignore[misc, no-any-return]

    def _remove_writer(self, fd: Any) -> bool:
        if (sock := self._watchers.socket(fd)) is not None:
            return self._watchers.remove(sock, selectors.EVENT_WRITE)
        return super()._remove_writer(fd)  # type: ignore[misc, no-any-return]


def _bind_error(error: OSError, address: SocketAddress) -> OSError:
    """What asyncio says of an address that cannot be had."""
    text = f"error while attempting to bind on address {address!r}: {str(error.strerror).lower()}"
    return OSError(error.errno, text)
