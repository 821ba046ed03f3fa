"""The state machine of a connection, as one table.

Rules:

1. Everything that decides what may happen next is in this file. `Connection` only asks.
2. Each side has its own state. An event of a side moves that side along `TRANSITIONS`; an event that is not in its row
   is forbidden: misuse when we send it, misbehaviour when they do.
3. What happens to one side and moves the other is in `joint`, and nowhere else:
   a. a request that starts makes the server owe a response (IDLE -> RESPOND);
   b. without keep-alive, a side that is DONE must close; so must the server once the client has closed.
4. A cycle is one request with its response. `next_cycle` starts another when both sides are DONE.
5. A side that broke the rules is in ERROR for good.

    client   IDLE --RequestHead--> BODY --EndOfMessage--> DONE --(3b)--> MUST_CLOSE --ConnectionClosed--> CLOSED
    server   IDLE --(3a)--> RESPOND --ResponseHead--> BODY --EndOfMessage--> DONE --(3b)--> MUST_CLOSE --> CLOSED
"""

from __future__ import annotations

import enum
from typing import ClassVar, Final

from ._events import ConnectionClosed, Data, EndOfMessage, Event, InformationalHead, RequestHead, ResponseHead

__all__ = ["START", "TRANSITIONS", "Pair", "Role", "State", "joint"]


class Role(enum.Enum):
    """Which end of the connection."""

    __hash__ = object.__hash__  # as below

    CLIENT = "client"
    SERVER = "server"


class State(enum.Enum):
    """Where one side stands in its message."""

    __hash__ = object.__hash__  # members are equal only to themselves; Enum's own hash is a call into Python

    IDLE = "between messages"
    RESPOND = "owes the head of a response"
    BODY = "has sent a head, not yet the end of the message"
    DONE = "has sent its message of this cycle"
    MUST_CLOSE = "has sent its last message"
    CLOSED = "has closed its direction"
    ERROR = "broke the rules"


_CLOSABLE: dict[type[Event], State] = {ConnectionClosed: State.CLOSED}
_BODY: dict[type[Event], State] = {Data: State.BODY, EndOfMessage: State.DONE}

TRANSITIONS: Final[dict[Role, dict[State, dict[type[Event], State]]]] = {
    Role.CLIENT: {
        State.IDLE: {RequestHead: State.BODY, **_CLOSABLE},
        State.RESPOND: {},
        State.BODY: _BODY,
        State.DONE: {**_CLOSABLE},
        State.MUST_CLOSE: {**_CLOSABLE},
        State.CLOSED: {**_CLOSABLE},
        State.ERROR: {},
    },
    Role.SERVER: {
        # A response without a request: RFC 9110 15.5.9, a 408 or 400 for a request that never became one.
        State.IDLE: {ResponseHead: State.BODY, **_CLOSABLE},
        State.RESPOND: {InformationalHead: State.RESPOND, ResponseHead: State.BODY},
        State.BODY: _BODY,
        State.DONE: {**_CLOSABLE},
        State.MUST_CLOSE: {**_CLOSABLE},
        State.CLOSED: {**_CLOSABLE},
        State.ERROR: {},
    },
}


def joint(client: State, server: State, keep_alive: bool) -> tuple[State, State]:
    """The states after rule 3 has been applied to both sides."""
    if server is State.IDLE and client in (State.BODY, State.DONE):
        server = State.RESPOND
    if not keep_alive:
        client = State.MUST_CLOSE if client is State.DONE else client
        server = State.MUST_CLOSE if server is State.DONE else server
    if client is State.CLOSED and server in (State.IDLE, State.DONE):
        server = State.MUST_CLOSE
    return client, server


class Pair:
    """Both sides' states and whether the connection may be kept: the table above, compiled into a graph.

    There is one `Pair` for each combination that can be reached; a step along the graph is one look-up in `by_client`
    or `by_server`.
    """

    __slots__ = ("by_client", "by_server", "client", "keep_alive", "server")
    _all: ClassVar[dict[tuple[State, State, bool], Pair]] = {}

    def __init__(self, client: State, server: State, keep_alive: bool) -> None:
        self.client = client
        self.server = server
        self.keep_alive = keep_alive
        self.by_client: dict[type[Event], Pair] = {}
        """Where each permitted event of the client leads."""
        self.by_server: dict[type[Event], Pair] = {}
        """Where each permitted event of the server leads."""

    @classmethod
    def of(cls, client: State, server: State, keep_alive: bool) -> Pair:
        """The one pair for these states, rule 3 applied, with all that can be reached from it."""
        client, server = joint(client, server, keep_alive)
        key = (client, server, keep_alive)
        if key not in cls._all:
            pair = cls._all[key] = cls(client, server, keep_alive)
            for kind, state in TRANSITIONS[Role.CLIENT][client].items():
                pair.by_client[kind] = cls.of(state, server, keep_alive)
            for kind, state in TRANSITIONS[Role.SERVER][server].items():
                pair.by_server[kind] = cls.of(client, state, keep_alive)
        return cls._all[key]

    def last(self) -> Pair:
        """The same without keep-alive."""
        return Pair.of(self.client, self.server, False)

    def broken(self, role: Role) -> Pair:
        """Rule 5: that side is in ERROR."""
        client = State.ERROR if role is Role.CLIENT else self.client
        return Pair.of(client, State.ERROR if role is Role.SERVER else self.server, self.keep_alive)

    @property
    def may_start_next_cycle(self) -> bool:
        """Rule 4."""
        return self.client is State.DONE and self.server is State.DONE


START: Final = Pair.of(State.IDLE, State.IDLE, True)
