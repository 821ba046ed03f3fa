"""Joining a network that another process makes (`mirage-gateway listen PATH`): the word that tells a guest who it is.

Guests have the addresses of the plan in the order in which they join, so the network says first which Ethernet address
is the guest's, and its MTU, in a message that is too short for a frame: whoever has an address of its own drops it.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from .errors import HostUnavailable

__all__ = ["build_welcome", "join", "parse_welcome"]

_WELCOME = struct.Struct(">7s6sH")
_WORD = b"WELCOME"
_PATIENCE = 10.0
"""Seconds; the gateway may be loading its stack still."""


def build_welcome(mac: bytes, mtu: int) -> bytes:
    """What a guest is told when it joins: its Ethernet address and the network's MTU in octets."""
    return _WELCOME.pack(_WORD, mac, mtu)


def parse_welcome(octets: bytes) -> tuple[bytes, int] | None:
    """The pair of `build_welcome`; None for anything else."""
    if len(octets) != _WELCOME.size:
        return None
    word, mac, mtu = _WELCOME.unpack(octets)
    return (mac, mtu) if word == _WORD else None


def join(path: Path) -> tuple[socket.socket, str]:
    """Connect to a network; the socket, and how it is named to a program. Raises `HostUnavailable`."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        sock.settimeout(_PATIENCE)
        sock.connect(str(path))
        told = sock.recv(_WELCOME.size + 1)
        sock.settimeout(None)
    except OSError as error:
        sock.close()
        reason = error.strerror or "nobody answers"
        raise HostUnavailable(f"{path} cannot be joined ({reason}): start  mirage-gateway listen {path}") from None
    welcome = parse_welcome(told)
    if welcome is None:
        sock.close()
        raise HostUnavailable(f"what listens at {path} is no mirage-gateway")
    mac, mtu = welcome
    return sock, f"fd:{sock.fileno()},mac={mac.hex(':')},mtu={mtu},offload"
