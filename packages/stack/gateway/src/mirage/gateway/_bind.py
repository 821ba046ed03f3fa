"""The host's sockets of a publication. Apart from the rest, because a port that is taken should be said at once."""

from __future__ import annotations

import contextlib
import os
import socket
import stat

from .errors import HostUnavailable
from .publish import LOCALHOST, UNIX, Publication

__all__ = ["bind"]


def bind(publication: Publication) -> list[socket.socket]:
    """The sockets of a publication, bound to the host's port: one for each version of IP that the address means.

    Raises `HostUnavailable`.
    """
    if publication.host.startswith(UNIX):
        return [_bind_file(publication.host[len(UNIX) :])]
    ipv4, ipv6 = {LOCALHOST: ("127.0.0.1", "::1"), "*": ("0.0.0.0", "::")}.get(  # noqa: S104 - somebody wrote *
        publication.host, (None, None)
    )
    if ipv4 is None or ipv6 is None:
        return [_bind(publication, publication.host, publication.port)]
    first = _bind(publication, ipv4, publication.port)
    found = [first]
    # A host without IPv6 has just the other.
    with contextlib.suppress(HostUnavailable):
        found.append(_bind(publication, ipv6, first.getsockname()[1]))
    return found


def _bind_file(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(path).st_mode):  # left over from a gateway that was killed
                os.unlink(path)
        sock.bind(path)
    except OSError as error:
        sock.close()
        raise HostUnavailable(f"a socket cannot be made at {path} ({error.strerror}); publish another") from None
    finally:
        os.umask(before)
    return sock


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
