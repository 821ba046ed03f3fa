"""Datagrams to groups and to everybody, by socket options that programs set as they do on the kernel's sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from typing import Any

import pytest
from mirage.runtime import StackSocket
from mirage.runtime.testing import SimHost, SimLoop

GROUPS = {4: "224.0.0.251", 6: "ff02::fb"}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def joining(loop: SimLoop, version: int, port: int = 5353) -> StackSocket:
    """A member of the group, as mDNS programs make it: joined before it is bound."""
    sock = StackSocket(loop, FAMILIES[version], socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    group = socket.inet_pton(FAMILIES[version], GROUPS[version])
    if version == 4:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + bytes(4))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, struct.pack("B", 255))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, b"\0")
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("@I", 1))
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    sock.bind(("", port))
    return sock


@pytest.mark.parametrize("version", [4, 6])
def test_a_group(loop: SimLoop, hosts: tuple[SimHost, SimHost], version: int) -> None:
    """A member hears it, until it leaves; who sends does not hear itself where it has said so."""
    server, client = hosts

    async def member() -> tuple[bytes, bytes]:
        sock = joining(loop, version)
        assert sock.endpoint is not None
        first, address = await loop.sock_recvfrom(sock, 100)
        await loop.sock_sendto(sock, b"heard", address)
        group = socket.inet_pton(FAMILIES[version], GROUPS[version])
        level, option = (
            (socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP)
            if version == 4
            else (socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP)
        )
        more = bytes(4) if version == 4 else struct.pack("@I", 1)
        sock.setsockopt(level, option, group + more)
        with pytest.raises(OSError, match=os.strerror(errno.EADDRNOTAVAIL)):
            sock.setsockopt(level, option, group + more)
        last, _ = await loop.sock_recvfrom(sock, 100)
        sock.close()
        return first, last

    async def asker() -> bytes:
        await asyncio.sleep(1)
        sock = joining(loop, version)
        to = (GROUPS[version], 5353) if version == 4 else (GROUPS[version], 5353, 0, 1)
        await loop.sock_sendto(sock, b"who?", to)
        answer, source = await loop.sock_recvfrom(sock, 100)
        await loop.sock_sendto(sock, b"to the group", to)
        await asyncio.sleep(1)
        await loop.sock_sendto(sock, b"to you", source)
        sock.close()
        return answer

    hears = server.spawn(member())
    assert loop.run_until_complete(client.spawn(asker())) == b"heard"
    assert loop.run_until_complete(hears) == (b"who?", b"to you")
    interface = server.stack.interfaces["eth0"]
    assert socket.inet_pton(FAMILIES[version], GROUPS[version]) not in interface.groups


@pytest.mark.parametrize("allowed", [False, True])
def test_a_broadcast(loop: SimLoop, hosts: tuple[SimHost, SimHost], allowed: bool) -> None:
    """With `allow_broadcast`, and only with it (RFC 1122 3.3.6)."""
    server, client = hosts

    async def listener() -> bytes:
        sock = StackSocket(loop, socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind(("", 9))
        return await loop.sock_recv(sock, 100)

    class Sender(asyncio.DatagramProtocol):
        errors: list[Exception] = []  # noqa: RUF012 - one object of it

        def connection_made(self, transport: Any) -> None:
            transport.sendto(b"all", ("10.0.0.255", 9))

        def error_received(self, exc: Exception) -> None:
            self.errors.append(exc)

    async def sender() -> list[Exception]:
        await asyncio.sleep(1)
        _, protocol = await loop.create_datagram_endpoint(
            Sender, family=socket.AF_INET, allow_broadcast=allowed or None
        )
        await asyncio.sleep(1)
        errors, Sender.errors = Sender.errors, []
        assert isinstance(protocol, Sender)
        return errors

    hears = server.spawn(listener())
    errors = loop.run_until_complete(client.spawn(sender()))
    assert bool(errors) is not allowed
    assert hears.done() is allowed
    if allowed:
        assert hears.result() == b"all"


def test_a_protocol_that_fails_at_once(loop: SimLoop, hosts: tuple[SimHost, SimHost]) -> None:
    """`create_datagram_endpoint` raises what `connection_made` did, and gives the port back; it does not wait."""

    class Fails(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            raise RuntimeError("no")

    async def test() -> None:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no"):
                await loop.create_datagram_endpoint(Fails, ("10.0.0.1", 77))
        await asyncio.sleep(0)

    loop.run_until_complete(hosts[0].spawn(test()))


def test_what_the_wire_carries(loop: SimLoop, hosts: tuple[SimHost, SimHost]) -> None:
    """Hop limits and traffic classes that were set stand in the packets."""
    server, client = hosts
    seen: list[tuple[int, int]] = []
    server.stack.interfaces["eth0"].tap = lambda way, _, parts, __: (
        seen.append((parts[0][15], parts[0][22])) if way == "in" and parts[0][12:14] == b"\x08\0" else None
    )

    async def test() -> None:
        sock = StackSocket(loop, socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 7)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB8)
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 7
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 1
        sock.sendto(b"x", ("10.0.0.1", 9))
        stream = StackSocket(loop, socket.AF_INET, socket.SOCK_STREAM)
        stream.setblocking(False)
        stream.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x28)
        with pytest.raises(ConnectionRefusedError):
            await loop.sock_connect(stream, ("10.0.0.1", 9))
        for option, value in ((socket.IP_TTL, 256), (socket.IP_MULTICAST_TTL, -2)):
            with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
                sock.setsockopt(socket.IPPROTO_IP, option, value)

    loop.run_until_complete(client.spawn(test()))
    assert (0xB8, 7) in seen
    assert (0x28, 64) in seen
