"""The states of a connection (RFC 9293 3.3.2), and which of them may do what.

                              send data   receive data   our FIN is    peer's FIN came
    SYN_SENT, SYN_RECEIVED    queued      -              -             -
    ESTABLISHED               yes         yes            -             -
    FIN_WAIT_1                -           yes            sent          -
    FIN_WAIT_2                -           yes            acknowledged  -
    CLOSE_WAIT                yes         -              -             yes
    CLOSING                   -           -              sent          yes
    LAST_ACK                  -           -              sent          yes
    TIME_WAIT                 -           -              acknowledged  yes
    CLOSED                    -           -              -             -

LISTEN is no state of a connection here: a `Listener` makes connections in SYN_RECEIVED.
"""

from __future__ import annotations

import enum

__all__ = ["State"]


class State(enum.Enum):
    """The state of a connection."""

    CLOSED = "CLOSED"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"

    def __init__(self, _: str) -> None:
        self.may_write = False
        """Whether the application may still give data to be sent."""
        self.synchronized = False
        """Whether both sequence numbers are known (RFC 9293 3.5.2)."""
        self.may_receive = False
        """Whether data may still come."""


for _state in (State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT):
    _state.may_write = True
for _state in (State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2):
    _state.may_receive = True
for _state in State:
    _state.synchronized = _state not in {State.CLOSED, State.SYN_SENT, State.SYN_RECEIVED}
