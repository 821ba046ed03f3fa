"""TCP_INFO: laid out as `struct tcp_info`, which the kernel of this machine fills in for comparison."""

from __future__ import annotations

import socket
import struct
import sys

import pytest
from mirage.tcpip.tcp.info import LINUX_STATES, TCP_INFO_SIZE, TcpInfo

# Offsets of linux/tcp.h, of the fields that scripts ask for.
OFFSETS = {
    "rto": 8, "snd_mss": 16, "unacked": 24, "sacked": 28, "lost": 32, "retrans": 36, "pmtu": 60, "rtt": 68,
    "rttvar": 72, "snd_ssthresh": 76, "snd_cwnd": 80, "reordering": 88, "total_retrans": 100, "min_rtt": 148,
    "data_segs_out": 156, "snd_wnd": 228,
}  # fmt: skip


def at(packed: bytes, name: str) -> int:
    return int(struct.unpack_from("<I", packed, OFFSETS[name])[0])


def test_each_field_is_where_linux_has_it() -> None:
    """In Linux's units: microseconds, segments."""
    packed = TcpInfo(
        "ESTABLISHED", rto=0.25, snd_mss=1000, unacked=5, sacked=2, lost=1, retrans=3, pmtu=1500, rtt=0.1, rttvar=0.05,
        snd_ssthresh=7000, snd_cwnd=10000, total_retrans=4, min_rtt=0.09, data_segments_out=11, snd_wnd=65000,
    ).pack()  # fmt: skip
    assert len(packed) == TCP_INFO_SIZE == 232
    assert {name: at(packed, name) for name in OFFSETS} == {
        "rto": 250000, "snd_mss": 1000, "unacked": 5, "sacked": 2, "lost": 1, "retrans": 3, "pmtu": 1500,
        "rtt": 100000, "rttvar": 50000, "snd_ssthresh": 7, "snd_cwnd": 10, "reordering": 3, "total_retrans": 4,
        "min_rtt": 90000, "data_segs_out": 11, "snd_wnd": 65000,
    }  # fmt: skip
    assert struct.unpack_from("<Q", packed, 104)[0] == 2**64 - 1
    assert at(TcpInfo("LISTEN").pack(), "snd_ssthresh") == 0x7FFFFFFF


def test_options_and_scales() -> None:
    """Bits of the sixth octet, nibbles of the seventh."""
    packed = TcpInfo("SYN-SENT", timestamps=True, sack=True, ecn=True, snd_wscale=7, rcv_wscale=9, backoff=300).pack()
    assert packed[0] == 2
    assert packed[4] == 255
    assert packed[5] == 1 | 2 | 4 | 8
    assert packed[6] == 7 | 9 << 4


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel is not Linux")
def test_the_kernel_fills_it_in_alike() -> None:
    """A real connection over loopback: the same offsets hold values that are what they must be."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        peer, _ = server.accept()
        with peer:
            client.sendall(b"x" * 1000)
            assert peer.recv(2000)
            packed = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SIZE)
            mss = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    assert packed[0] == LINUX_STATES["ESTABLISHED"]
    assert at(packed, "snd_mss") == mss
    assert at(packed, "pmtu") >= mss + 40
    assert 200_000 <= at(packed, "rto") <= 3_000_000
    assert at(packed, "data_segs_out") == 1
    assert at(packed, "snd_wnd") > 1000
    assert at(packed, "snd_ssthresh") == 0x7FFFFFFF


def test_one_line() -> None:
    """What is at its default is not said."""
    assert str(TcpInfo("ESTABLISHED", rtt=0.1, unacked=2)) == "established unacked:2 rtt:0.1"
