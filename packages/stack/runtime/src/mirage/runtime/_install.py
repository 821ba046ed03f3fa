"""Puts the stack in the place of the kernel's sockets for programs that make their sockets themselves.

`install` replaces `socket.socket` and the functions of the `socket` module that make or resolve Internet sockets, and
`uninstall` puts everything back. Unix sockets, socket pairs and sockets made from a descriptor stay the kernel's.
A module that has done `from socket import socket` before keeps what it has: install first, import later.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._addresses import SocketAddress
from ._resolver import numbered, ordered
from ._socket import StackSocket
from .errors import RuntimeMisuse

if TYPE_CHECKING:
    from ._loop import StackEventLoop
    from ._resolver import AddressInfo

__all__ = ["install", "installed", "uninstall"]

_NAMES = (
    "socket",
    "SocketType",
    "create_connection",
    "create_server",
    "getaddrinfo",
    "getnameinfo",
    "gethostbyname",
    "has_dualstack_ipv6",
    "if_nameindex",
    "if_nametoindex",
    "if_indextoname",
)
_KERNEL: dict[str, Any] = {name: getattr(socket, name) for name in _NAMES}
_KernelSocket: type[socket.socket] = _KERNEL["socket"]
_loop: StackEventLoop | None = None


class _Meta(type):
    """`isinstance(sock, socket.socket)` holds for sockets of both kinds."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, (StackSocket, _KernelSocket))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, (StackSocket, _KernelSocket))


class _Socket(metaclass=_Meta):
    """What `socket.socket` is while the stack is installed."""

    def __new__(cls, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> Any:  # noqa: A002 - as in `socket`
        if fileno is not None or family not in (-1, socket.AF_INET, socket.AF_INET6):
            return _KernelSocket(family, type, proto, fileno)
        return StackSocket(
            _current(),
            socket.AF_INET if family == -1 else family,
            socket.SOCK_STREAM if type == -1 else type,
            max(proto, 0),
        )


def install(loop: StackEventLoop) -> None:
    """Have `socket.socket` and its like make sockets of this loop's stack. Raises `RuntimeMisuse` when it is done."""
    global _loop
    if _loop is not None:
        raise RuntimeMisuse("a stack is installed already: call uninstall() first")
    _loop = loop
    for name, value in {
        "socket": _Socket,
        "SocketType": _Socket,
        "create_connection": _create_connection,
        "create_server": _create_server,
        "getaddrinfo": _getaddrinfo,
        "getnameinfo": _getnameinfo,
        "gethostbyname": _gethostbyname,
        "has_dualstack_ipv6": lambda: False,
        "if_nameindex": _if_nameindex,
        "if_nametoindex": _if_nametoindex,
        "if_indextoname": _if_indextoname,
    }.items():
        setattr(socket, name, value)


def uninstall() -> None:
    """Put the kernel's sockets back."""
    global _loop
    _loop = None
    for name, value in _KERNEL.items():
        setattr(socket, name, value)


@contextmanager
def installed(loop: StackEventLoop) -> Iterator[None]:
    """`install` for the length of a ``with`` block."""
    install(loop)
    try:
        yield
    finally:
        uninstall()


def _current() -> StackEventLoop:
    if _loop is None:
        raise RuntimeMisuse("no stack is installed any more")
    return _loop


def _create_connection(
    address: tuple[Any, int],
    timeout: Any = socket._GLOBAL_DEFAULT_TIMEOUT,  # type: ignore[attr-defined]  # the default of what this replaces
    source_address: SocketAddress | None = None,
    *,
    all_errors: bool = False,
) -> StackSocket:
    failed: list[OSError] = []
    for family, kind, proto, _, target in _getaddrinfo(*address[:2], 0, socket.SOCK_STREAM):
        sock = StackSocket(_current(), family, kind, proto)
        try:
            if timeout is not socket._GLOBAL_DEFAULT_TIMEOUT:  # type: ignore[attr-defined]
                sock.settimeout(timeout)
            if source_address:
                sock.bind(source_address)
            sock.connect(target)
        except OSError as error:
            failed.append(error)
            sock.close()
        else:
            return sock
    if all_errors:
        raise ExceptionGroup("create_connection failed", failed)
    raise failed[0]


def _create_server(
    address: SocketAddress,
    *,
    family: int = socket.AF_INET,
    backlog: int | None = None,
    reuse_port: bool = False,
    dualstack_ipv6: bool = False,
) -> StackSocket:
    if dualstack_ipv6 or reuse_port:
        raise ValueError("a socket of the stack has one version of IP and its port to itself: make two")
    sock = StackSocket(_current(), family)
    try:
        sock.bind(address)
        sock.listen(128 if backlog is None else backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _getaddrinfo(
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,  # noqa: A002 - as in `socket`
    proto: int = 0,
    flags: int = 0,
) -> list[AddressInfo]:
    loop = _current()
    return ordered(loop, loop.resolver.getaddrinfo_now(numbered(loop, host), port, family, type, proto, flags))


def _getnameinfo(sockaddr: SocketAddress, flags: int) -> tuple[str, str]:
    return _current().resolver.getnameinfo_now(sockaddr, flags)


def _gethostbyname(host: str) -> str:
    return str(_getaddrinfo(host, 0, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])


def _if_nameindex() -> list[tuple[int, str]]:
    return [(interface.index, interface.name) for interface in _current().stack.interfaces.values()]


def _if_nametoindex(name: str) -> int:
    for index, known in _if_nameindex():
        if known == name:
            return index
    raise OSError(errno.ENODEV, f"no interface is called {name}")


def _if_indextoname(wanted: int) -> str:
    for index, name in _if_nameindex():
        if index == wanted:
            return name
    raise OSError(errno.ENXIO, f"no interface has the number {wanted}")
