"""The far end of packetdrill's ``--so_filename``: its system calls, its packets and its clock, served by a stack.

    cc -shared -fPIC -O2 -I PACKETDRILL/gtests/net/packetdrill -o shim.so \\
        $(python -m mirage.tcpip.testing.packetdrill --shim)
    python -m mirage.tcpip.testing.packetdrill --socket /tmp/pd.sock
    LD_PRELOAD=./shim.so packetdrill --ip_version=ipv4 --local_ip=192.168.0.1 --gateway_ip=192.168.0.2 \\
        --tolerance_usecs=1000 --so_filename=./shim.so --so_flags=/tmp/pd.sock x.pkt

(for IPv6 ``--local_ip=fd3d:fa7b:d17d::1 --gateway_ip=fd3d:fa7b:d17d::2``).
packetdrill loads a small shared object (``shim.c`` beside this file; its header comes with packetdrill) that forwards
each call over a Unix socket as a request: ``op, length, a, b, c, d`` (two 32-bit and four 64-bit numbers,
little-endian) and `length` octets; the reply is ``result, errno, length, x`` and octets. All is in virtual time: it
goes on when packetdrill sleeps or waits for a packet, and by one microsecond each time that it is asked, for
packetdrill spins on it. A call that blocks is answered when it can be, and packetdrill makes such calls on a thread of
its own, which has a connection of its own. As packetdrill closes what `accept` gave it once more when a script is over,
the shared object keeps a descriptor of the process under each of our numbers.

Each run of packetdrill has a new stack. There are sockets of TCP and UDP, poll, and epoll with its edges. Left out, and
answered with an error: pipes and `splice`; what a socket is told that only Linux has (MD5 signatures, zero copy, time
stamps of packets, Fast Open).
"""

from ._protocol import (
    ACCEPT,
    BIND,
    CLOSE,
    CONNECT,
    EPOLL_CREATE,
    EPOLL_CTL,
    EPOLL_WAIT,
    FCNTL,
    GETOPT,
    GTOD,
    IOCTL,
    LISTEN,
    NRECV,
    NSEND,
    POLL,
    READ,
    RECVMSG,
    REPLY,
    REQUEST,
    SENDMSG,
    SETOPT,
    SHUTDOWN,
    SOCKET,
    USLEEP,
    WRITE,
    Answer,
)
from ._serve import serve
from ._world import World

__all__ = [
    "ACCEPT",
    "BIND",
    "CLOSE",
    "CONNECT",
    "EPOLL_CREATE",
    "EPOLL_CTL",
    "EPOLL_WAIT",
    "FCNTL",
    "GETOPT",
    "GTOD",
    "IOCTL",
    "LISTEN",
    "NRECV",
    "NSEND",
    "POLL",
    "READ",
    "RECVMSG",
    "REPLY",
    "REQUEST",
    "SENDMSG",
    "SETOPT",
    "SHUTDOWN",
    "SOCKET",
    "USLEEP",
    "WRITE",
    "Answer",
    "World",
    "serve",
]
