"""Handing a connection from one stack to another: what has to be known to go on where the first one stopped.

`export` reads a connection, established or half-open, without changing it; `adopt` makes one like it in another stack,
with another clock and another congestion window. Between the two nobody may answer for the connection: the first
stack calls `Connection.vanish` when it has exported it. The value is of numbers and octets, and has a form in JSON.

What goes over: addresses and ports, sequence numbers, what was agreed on, data in both directions that is not done
with. What does not: round-trip times and congestion state, which belong to a path from another place.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from ..errors import WireError
from . import handshake, transmit
from .sent import Sent
from .state import State

if TYPE_CHECKING:
    from .connection import Connection
    from .tcp import Tcp

__all__ = ["ConnectionState", "adopt", "export"]

_STATES = {
    State.SYN_RECEIVED,
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSE_WAIT,
    State.CLOSING,
    State.LAST_ACK,
}
_M = 0xFFFFFFFF
_BYTES = ("local", "remote", "outgoing", "incoming")


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """A connection between two of its segments. Sequence numbers are as on the wire, sizes in octets."""

    local: bytes
    local_port: int
    remote: bytes
    remote_port: int
    state: str
    send_unacknowledged: int
    send_next: int
    send_window: int
    outgoing: bytes
    """From `send_unacknowledged` on: what was sent and not acknowledged, then what was not sent."""
    fin_queued: bool
    fin_sent: bool
    receive_next: int
    receive_edge: int
    incoming: bytes
    """What came in order and was not read."""
    eof: bool
    peer_mss: int
    send_scale: int
    receive_scale: int
    scaled: bool
    sack: bool
    ecn: bool
    timestamps: bool
    timestamp_recent: int
    timestamp_now: int
    """The connection's timestamp clock at the moment of the export, so that it goes on from there."""

    def to_json(self) -> str:
        """As a JSON object; octets in base64."""
        fields = asdict(self)
        for name in _BYTES:
            fields[name] = base64.b64encode(fields[name]).decode()
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> ConnectionState:
        """The reverse of `to_json`. Raises `WireError` for anything else."""
        try:
            fields: dict[str, Any] = json.loads(text)
            for name in _BYTES:
                fields[name] = base64.b64decode(fields[name], validate=True)
            state = cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise WireError(f"this is no exported connection: {error}") from None
        state.check()
        return state

    def check(self) -> None:
        """Raises `WireError` when this cannot be the state of a connection."""
        for field in fields(self):
            kind, wanted = type(getattr(self, field.name)).__name__, getattr(field.type, "__name__", field.type)
            if kind != wanted:
                raise WireError(f"`{field.name}` of an exported connection is a {kind}, and should be a {wanted}")
        numbers = (self.send_unacknowledged, self.send_next, self.receive_next, self.receive_edge)
        ports = (self.local_port, self.remote_port)
        if self.state not in {s.value for s in _STATES}:
            raise WireError(f"a connection in state {self.state!r} cannot be handed over")
        if len(self.local) not in {4, 16} or len(self.local) != len(self.remote):
            raise WireError("the addresses of an exported connection are of two versions, or of none")
        if not all(0 <= n <= _M for n in numbers) or not all(0 < p < 65536 for p in ports):
            raise WireError("a number of an exported connection is out of its range")
        if not (0 < self.peer_mss < 65536 and 0 <= self.timestamp_recent <= _M and 0 <= self.timestamp_now <= _M):
            raise WireError("a size or a timestamp of an exported connection is out of its range")
        if not 0 <= self.send_window <= 65535 << 14 or (self.receive_edge - self.receive_next) & _M > 65535 << 14:
            raise WireError("a window of an exported connection is larger than any can be (RFC 7323 2.3)")
        if not 0 <= self.send_scale <= 14 or not 0 <= self.receive_scale <= 14:
            raise WireError("a window scale of an exported connection is above 14 (RFC 7323 2.3)")
        flying = (self.send_next - self.send_unacknowledged) & _M
        if flying > len(self.outgoing) + self.fin_sent + (self.state == State.SYN_RECEIVED.value):
            raise WireError("an exported connection lacks octets that it has sent")


def export(connection: Connection, now: float) -> ConnectionState:
    """What another stack needs to go on with a connection. Raises `WireError` in a state that cannot be handed over."""
    sender, receiver, framer = connection.sender, connection.receiver, connection.framer
    outgoing = [bytes(part) for record in sender.sent for part in record.parts]
    outgoing += [bytes(part) for part in sender.queue]
    state = ConnectionState(
        local=framer.path.local,
        local_port=framer.local_port,
        remote=framer.path.remote,
        remote_port=framer.remote_port,
        state=connection.state.value,
        send_unacknowledged=sender.una & _M,
        send_next=sender.nxt & _M,
        send_window=max(sender.edge - sender.una, 0),
        outgoing=b"".join(outgoing),
        fin_queued=sender.fin_queued,
        fin_sent=sender.fin_sent,
        receive_next=receiver.nxt & _M,
        receive_edge=receiver.edge & _M,
        incoming=b"".join(bytes(chunk) for chunk in receiver.chunks),
        eof=connection.eof,
        peer_mss=connection.peer_mss,
        send_scale=connection.scale,
        receive_scale=receiver.scale,
        scaled=connection.scaled,
        sack=sender.sack,
        ecn=connection.ecn,
        timestamps=connection.timestamps,
        timestamp_recent=connection.timestamp_recent,
        timestamp_now=transmit.timestamp(connection, now),
    )
    state.check()
    return state


def adopt(tcp: Tcp, state: ConnectionState, now: float) -> Connection:
    """Go on with a connection that another stack has exported; its local address must be this stack's.

    What was under way is sent again as the peer's acknowledgments, or the timer, ask for it. Raises `WireError`,
    `NoRoute`, `AddressInUse`, `LimitReached`.
    """
    state.check()
    path = tcp.ip.path(state.remote, now, local=state.local)
    connection = tcp.connect(path, state.remote_port, state.local_port, now)
    sender, receiver = connection.sender, connection.receiver
    connection.state = State(state.state)
    connection.syn_due = False
    connection.peer_mss = state.peer_mss
    connection.scale, connection.scaled = state.send_scale, state.scaled
    connection.ecn, connection.timestamps = state.ecn, state.timestamps
    connection.timestamp_recent = state.timestamp_recent
    connection.timestamp_offset = (state.timestamp_now - int(now * 1000)) & _M
    connection.receive_full = connection.receive_most = connection.receive_mss - (12 if state.timestamps else 0)
    connection.eof = state.eof
    connection.ecn_recover = sender.recover = sender.una = sender.iss = state.send_unacknowledged
    sender.nxt = sender.una + ((state.send_next - state.send_unacknowledged) & _M)
    sender.edge = sender.una + state.send_window
    connection.window = connection.max_window = state.send_window
    sender.sack = state.sack
    sender.fin_queued, sender.fin_sent = state.fin_queued, state.fin_sent
    receiver.scale = state.receive_scale
    receiver.start((state.receive_next - 1) & _M)
    receiver.edge = receiver.nxt + ((state.receive_edge - state.receive_next) & _M)
    connection.last_ack_sent = receiver.nxt
    if state.incoming:
        receiver.chunks.append(state.incoming)
        receiver.readable = len(state.incoming)
        connection.tell()
    handshake.update_mss(connection)
    _resume(connection, memoryview(state.outgoing), now)
    connection.schedule()
    connection.set_timer()
    return connection


def _resume(connection: Connection, outgoing: memoryview, now: float) -> None:
    """Sort what is outgoing into what was under way and what waits."""
    sender = connection.sender
    if connection.state is State.SYN_RECEIVED:
        connection.syn_tries = 1
        sender.arm_for_handshake(now)
        flying = 0
    else:
        flying = sender.nxt - sender.una
        if flying:
            data = outgoing[: flying - sender.fin_sent]
            sender.sent = [Sent(sender.una, sender.nxt, [data] if len(data) else [], sender.fin_sent, now)]
            sender.arm(now)
        flying -= sender.fin_sent
    rest = outgoing[flying:] if flying > 0 else outgoing
    if len(rest):
        sender.put(rest)
