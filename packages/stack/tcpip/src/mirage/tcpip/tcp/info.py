"""What is going on in a connection, as Linux's TCP_INFO tells it: for people, for tests and for packetdrill's scripts.

`TcpInfo.pack` lays it out as `struct tcp_info` of `linux/tcp.h` (the first 104 octets, which every version has, and the
later fields up to `tcpi_snd_wnd`), so that a script which asserts `tcpi_unacked` reads it there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from typing import Final

__all__ = ["LINUX_STATES", "TCP_INFO_SIZE", "TcpInfo"]

LINUX_STATES: Final = {
    "ESTABLISHED": 1,
    "SYN-SENT": 2,
    "SYN-RECEIVED": 3,
    "FIN-WAIT-1": 4,
    "FIN-WAIT-2": 5,
    "TIME-WAIT": 6,
    "CLOSED": 7,
    "CLOSE-WAIT": 8,
    "LAST-ACK": 9,
    "LISTEN": 10,
    "CLOSING": 11,
}
"""RFC 9293's names, and the numbers of `linux/tcp_states.h`."""

_TIMESTAMPS, _SACK, _WSCALE, _ECN, _ECN_SEEN = 1, 2, 4, 8, 16

# Eight octets; 24 of 32 bits; four of 64; two of 32; one of 32, two of 32; five of 64; two of 32; two of 64;
# then dsack_dups, reord_seen, rcv_ooopack, snd_wnd.
_LAYOUT: Final = struct.Struct("<8B24I4Q6I4Q2I2Q4I")
TCP_INFO_SIZE: Final = _LAYOUT.size
"""232 octets: up to and including `tcpi_snd_wnd` (Linux 5.4)."""


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """Times in seconds, sizes in octets, rates in octets per second; counts of segments say so."""

    state: str
    """RFC 9293's name: ``ESTABLISHED``, ``FIN-WAIT-1``."""
    ca_state: int = 0
    """0 open, 1 disorder, 2 window reduced, 3 recovery, 4 loss."""
    retransmits: int = 0
    """Timeouts in a row that were not answered yet."""
    probes: int = 0
    """Window or keep-alive probes that were not answered yet."""
    backoff: int = 0
    timestamps: bool = False
    sack: bool = False
    ecn: bool = False
    ecn_seen: bool = False
    """Whether a packet with ECT or CE came in."""
    snd_wscale: int | None = None
    rcv_wscale: int | None = None
    """None: window scaling is not in use."""
    application_limited: bool = False
    rto: float = 0.0
    delayed_ack: float = 0.0
    snd_mss: int = 0
    rcv_mss: int = 0
    advertised_mss: int = 0
    unacked: int = 0
    """Segments in flight."""
    sacked: int = 0
    lost: int = 0
    retrans: int = 0
    """Segments that were sent again and are not acknowledged yet."""
    last_data_sent: float = 0.0
    """How long ago."""
    last_data_received: float = 0.0
    last_ack_received: float = 0.0
    pmtu: int = 0
    rcv_ssthresh: int = 0
    rtt: float = 0.0
    """Smoothed."""
    rttvar: float = 0.0
    min_rtt: float = 0.0
    rcv_rtt: float = 0.0
    snd_ssthresh: int | None = None
    """None: there was no loss yet."""
    snd_cwnd: int = 0
    reordering: int = 3
    """Segments."""
    rcv_space: int = 0
    total_retrans: int = 0
    """Segments."""
    pacing_rate: int | None = None
    max_pacing_rate: int | None = None
    bytes_acked: int = 0
    bytes_received: int = 0
    segments_out: int = 0
    segments_in: int = 0
    unsent: int = 0
    """Octets written and not sent yet."""
    data_segments_in: int = 0
    data_segments_out: int = 0
    delivery_rate: int = 0
    busy_time: float = 0.0
    """How long there was something to send or unacknowledged."""
    rwnd_limited: float = 0.0
    sndbuf_limited: float = 0.0
    delivered: int = 0
    """Segments."""
    delivered_ce: int = 0
    bytes_sent: int = 0
    """Of data, with what was sent again."""
    bytes_retrans: int = 0
    dsack_duplicates: int = 0
    reordering_seen: int = 0
    out_of_order: int = 0
    """Segments received out of order."""
    snd_wnd: int = 0
    """The window that the peer offers."""

    def pack(self) -> bytes:
        """As Linux's `struct tcp_info`, little-endian, `TCP_INFO_SIZE` octets: times in microseconds (in milliseconds
        those that say how long ago), windows in segments, "infinite" as the largest number."""
        options = (
            self.timestamps * _TIMESTAMPS
            | self.sack * _SACK
            | (self.snd_wscale is not None) * _WSCALE
            | self.ecn * _ECN
            | self.ecn_seen * _ECN_SEEN
        )
        scales = (self.snd_wscale or 0) & 15 | ((self.rcv_wscale or 0) & 15) << 4
        mss = self.snd_mss or 1
        ssthresh = 0x7FFFFFFF if self.snd_ssthresh is None else self.snd_ssthresh // mss
        return _LAYOUT.pack(
            LINUX_STATES[self.state],
            self.ca_state,
            _u(self.retransmits, 8),
            _u(self.probes, 8),
            _u(self.backoff, 8),
            options,
            scales,
            int(self.application_limited),
            *(_u(value, 32) for value in (
                _us(self.rto), _us(self.delayed_ack), self.snd_mss, self.rcv_mss,
                self.unacked, self.sacked, self.lost, self.retrans, 0,
                _ms(self.last_data_sent), 0, _ms(self.last_data_received), _ms(self.last_ack_received),
                self.pmtu, self.rcv_ssthresh, _us(self.rtt), _us(self.rttvar), ssthresh, self.snd_cwnd // mss,
                self.advertised_mss, self.reordering, _us(self.rcv_rtt), self.rcv_space, self.total_retrans,
            )),
            *(_u(-1 if value is None else value, 64) for value in (
                self.pacing_rate, self.max_pacing_rate, self.bytes_acked, self.bytes_received,
            )),
            *(_u(value, 32) for value in (
                self.segments_out, self.segments_in, self.unsent, _us(self.min_rtt),
                self.data_segments_in, self.data_segments_out,
            )),
            *(_u(value, 64) for value in (
                self.delivery_rate, _us(self.busy_time), _us(self.rwnd_limited), _us(self.sndbuf_limited),
            )),
            _u(self.delivered, 32),
            _u(self.delivered_ce, 32),
            _u(self.bytes_sent, 64),
            _u(self.bytes_retrans, 64),
            *(_u(value, 32) for value in (
                self.dsack_duplicates, self.reordering_seen, self.out_of_order, self.snd_wnd,
            )),
        )  # fmt: skip

    def __str__(self) -> str:
        """One line, of what is not at its default: as `ss -ti` prints it."""
        told = [self.state.lower()]
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value != field.default:
                told.append(f"{field.name}:{value:g}" if isinstance(value, float) else f"{field.name}:{value}")
        return " ".join(told)


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def _ms(seconds: float) -> int:
    return round(seconds * 1e3)


def _u(value: int, bits: int) -> int:
    """-1 is the largest number, "unlimited"; what is too large for the field is the largest, too."""
    top = (1 << bits) - 1
    return top if value < 0 or value > top else value
