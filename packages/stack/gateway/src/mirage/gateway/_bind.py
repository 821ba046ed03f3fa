"""The host's sockets of a publication. Apart from the rest, because a port that is taken should be said at once.

A connection through the gateway costs the process one descriptor, and of these it has 1024 on many hosts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import stat

from .errors import HostUnavailable
from .publish import LOCALHOST, UNIX, Publication

__all__ = ["AGAIN", "bind", "bind_file", "raise_limit"]

AGAIN = 1.0
"""Seconds without accepting, after there was no descriptor for a connection: it waits in the kernel meanwhile, which
would say so at once and for ever."""
_NO_IPV6 = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_ATTEMPTS = 8
"""For a free port of IPv4 that is free for IPv6 too."""


def bind(publication: Publication) -> list[socket.socket]:
    """The sockets of a publication, bound to the host's port: one for each version of IP that the address means.

    Raises `HostUnavailable`.
    """
    if publication.host.startswith(UNIX):
        return [bind_file(publication.host[len(UNIX) :], socket.SOCK_STREAM)]
    ipv4, ipv6 = {LOCALHOST: ("127.0.0.1", "::1"), "*": ("0.0.0.0", "::")}.get(  # noqa: S104 - somebody wrote *
        publication.host, (None, None)
    )
    if ipv4 is None or ipv6 is None:
        return [_bind(publication, publication.host, publication.port)]
    for attempt in range(_ATTEMPTS):
        first = _bind(publication, ipv4, publication.port)
        try:
            return [first, _bind(publication, ipv6, first.getsockname()[1])]
        except HostUnavailable as error:
            reason = error.__context__
            if isinstance(reason, OSError) and reason.errno in _NO_IPV6:
                return [first]  # the host has just the other
            first.close()
            if publication.port or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt has returned or raised")


def raise_limit() -> None:
    """Have as many descriptors as the host's administrator permits this user (RLIMIT_NOFILE).

    Programs that were started before keep the limit that they have.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def bind_file(path: str, kind: int) -> socket.socket:
    """A socket of the file system, its owner's only. One that a gateway which was killed has left gives way, one where
    somebody listens and any other file do not. Raises `HostUnavailable`."""
    sock = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(path).st_mode) and _left_over(path, kind):
                os.unlink(path)
        sock.bind(path)
    except OSError as error:
        sock.close()
        raise HostUnavailable(f"a socket cannot be made at {path} ({error.strerror or error}); take another") from None
    finally:
        os.umask(before)
    return sock


def _left_over(path: str, kind: int) -> bool:
    with socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK) as probe:
        return probe.connect_ex(path) == errno.ECONNREFUSED


def _bind(publication: Publication, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, (socket.SOCK_DGRAM if publication.udp else socket.SOCK_STREAM) | socket.SOCK_CLOEXEC)
    try:
        if not publication.udp:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        kind = "UDP" if publication.udp else "TCP"
        raise HostUnavailable(
            f"{kind} port {port} of {host} cannot be had ({error.strerror}); publish another, or 0 for any"
        ) from None
    return sock
