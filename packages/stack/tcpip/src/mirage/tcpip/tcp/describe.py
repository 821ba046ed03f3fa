"""A connection's `TcpInfo`, from what it knows of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .congestion import UNLIMITED
from .info import TcpInfo
from .sender import Phase

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["describe"]

_CA_STATES = {Phase.OPEN: 0, Phase.RECOVERY: 3, Phase.LOSS: 4}
_DISORDER, _REDUCED = 1, 2


def describe(connection: Connection, now: float) -> TcpInfo:
    """What is going on in a connection. Counts of segments are of full ones: octets divided by the segment size."""
    sender, receiver, framer = connection.sender, connection.receiver, connection.framer
    rtt, congestion, mss = sender.rtt, sender.congestion, sender.mss
    state = _CA_STATES[sender.phase]
    if state == 0 and (sender.sacked or sender.duplicates):
        state = _DISORDER
    elif sender.marked and sender.phase is Phase.RECOVERY:
        state = _REDUCED

    def segments(octets: int) -> int:
        return -(-octets // mss)

    return TcpInfo(
        connection.state.value,
        ca_state=state,
        retransmits=rtt.backoff if sender.phase is Phase.LOSS else 0,
        backoff=rtt.backoff,
        probes=connection.keepalive_tries,
        timestamps=connection.timestamps,
        sack=sender.sack,
        ecn=connection.ecn,
        snd_wscale=connection.scale if connection.scaled else None,
        rcv_wscale=receiver.scale if connection.scaled else None,
        application_limited=not sender.queued,
        rto=rtt.rto,
        delayed_ack=connection.delayed_ack,
        snd_mss=mss,
        rcv_mss=connection.receive_mss,
        advertised_mss=connection.receive_mss,
        unacked=sum(max(segments(record.end - record.start), 1) for record in sender.sent),
        sacked=segments(sender.sacked),
        lost=segments(sender.lost),
        retrans=sum(1 for record in sender.sent if record.times > 1 and not record.lost and not record.sacked),
        last_data_sent=now - connection.last_sent,
        last_data_received=now - connection.last_heard,
        last_ack_received=now - connection.last_heard,
        pmtu=framer.path.mtu,
        rcv_ssthresh=receiver.capacity,
        rtt=rtt.srtt,
        rttvar=rtt.rttvar,
        min_rtt=rtt.min_rtt(now),
        snd_ssthresh=None if congestion.ssthresh >= UNLIMITED else congestion.ssthresh,
        snd_cwnd=congestion.cwnd,
        rcv_space=receiver.capacity,
        total_retrans=sender.retransmissions,
        bytes_acked=max(sender.una - sender.iss - 1, 0),
        bytes_received=max(receiver.nxt - receiver.irs - 1, 0),
        unsent=sender.queued,
        snd_wnd=max(sender.edge - sender.una, 0),
    )
