"""A socket of frames, with the two ends in one program."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.net import (
    HEADER_SIZE,
    BadOffload,
    NetworkUnavailable,
    SocketNetwork,
    build_header,
    build_offload_request,
    parse_offload_request,
)
from mirage.types import Checksum, FrameMeta, Offload, OffloadNetwork

MAC = b"\x02\0\0\0\0\x01"
FRAME = bytes(range(60))


def pair(**options: bool) -> tuple[SocketNetwork, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return SocketNetwork(ours, mac=MAC, **options), theirs


def test_frames_go_both_ways_behind_their_headers() -> None:
    """One message is one frame."""
    network, other = pair()
    assert isinstance(network, OffloadNetwork)
    assert network.send([FRAME[:14], FRAME[14:]])
    assert other.recv(9000) == bytes(HEADER_SIZE) + FRAME
    other.send(bytes(HEADER_SIZE) + FRAME)
    assert bytes(network.receive() or b"") == FRAME
    network.close()
    other.close()


def test_the_other_end_is_told_of_offloads() -> None:
    """There is no ioctl: a short message says what this end takes."""
    network, other = pair()
    wanted = Offload.CHECKSUM | Offload.TSO4
    assert network.enable_offload(wanted) == wanted
    assert parse_offload_request(other.recv(100)) == wanted
    meta = FrameMeta(Checksum.PARTIAL, 34, 16)
    assert network.send_many([(meta, [FRAME])]) == 1
    assert other.recv(9000) == build_header(meta) + FRAME
    network.close()
    other.close()


def test_without_leave_there_are_no_offloads() -> None:
    """A peer that knows plain frames only is sent nothing else."""
    network, other = pair(offload=False)
    assert network.enable_offload(Offload.CHECKSUM | Offload.TSO4) == Offload.NONE
    other.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.recv(100)
    with pytest.raises(BadOffload):
        network.send_many([(FrameMeta(Checksum.PARTIAL, 34, 16), [FRAME])])
    network.close()
    other.close()


def test_the_other_end_goes() -> None:
    """A socket that was closed is a device that is gone."""
    network, other = pair()
    other.close()
    with pytest.raises(NetworkUnavailable):
        network.receive_many()
    network.close()


@given(st.sampled_from([Offload.NONE, Offload.CHECKSUM, Offload.CHECKSUM | Offload.TSO6 | Offload.ECN]))
def test_requests_are_parsed_to_the_same(offload: Offload) -> None:
    """Building and parsing are a pair, and the message can be no frame."""
    assert parse_offload_request(build_offload_request(offload)) == offload
    assert len(build_offload_request(offload)) < HEADER_SIZE


@given(st.binary(max_size=12))
def test_other_short_messages_are_no_requests(octets: bytes) -> None:
    """Any octets may come; segmentation is never agreed on without the checksum that it builds on."""
    found = parse_offload_request(octets)
    assert found is None or (octets.startswith(b"OFFLOAD") and (found & Offload.CHECKSUM or found is Offload.NONE))


def test_a_socket_that_was_handed_over() -> None:
    """As text, which the words of a command can carry."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    network = SocketNetwork.parse(f"{ours.detach()},mac=02:00:00:00:00:01,mtu=9000,offload")
    assert (network.mac, network.mtu) == (MAC, 9000)
    assert network.enable_offload(Offload.CHECKSUM) == Offload.CHECKSUM
    network.close()
    theirs.close()


@pytest.mark.parametrize("text", ["", "x", "3", "3,mac=ff:ff:ff:ff:ff:ff", "3,mac=02:00:00:00:00:01,mtu=x", "3,what=1"])
def test_what_is_no_socket_is_refused(text: str) -> None:
    """Before anything is taken over."""
    with pytest.raises(ValueError, match=r"no socket of frames|no address of one station"):
        SocketNetwork.parse(text)
    with pytest.raises(NetworkUnavailable):
        SocketNetwork.parse("99999,mac=02:00:00:00:00:01")
