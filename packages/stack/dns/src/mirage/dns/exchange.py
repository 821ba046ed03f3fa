"""One question, asked of servers until one answers, without I/O (RFC 1035 section 7, RFC 5452, RFC 6891).

    exchange = Exchange(question, settings, random, now)
    for send in exchange.poll(now): ...             # at the start, and whenever next_deadline() has come
    exchange.input(send.token, octets, now)         # what came back to that very endpoint or connection
    exchange.failed(send.token, now)                # that endpoint or connection failed
    exchange.done; exchange.result()                # the response, or an error

The rules: each server has its turn, for `timeout` seconds, in `attempts` rounds, each round twice as patient. A cut
response is asked for over TCP, of the same server. A server that fails (SERVFAIL, REFUSED, a closed port) ends its turn
at once, one that does not know EDNS is asked without. A response that does not match its question in id, name, type and
case is dropped, and the right one is waited for: anybody can send those. Late answers count.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from mirage.types import Random

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode

from .errors import DnsError, InvalidMessage, NoServers, ServersFailed, TimedOut
from .message import Name, build, parse, same_question
from .settings import NameServer, Settings

__all__ = ["Exchange", "Question", "Send"]


class Question(NamedTuple):
    """What is asked for, in class IN."""

    name: Name
    rdtype: int


class Send(NamedTuple):
    """A message to send, from a new endpoint or over a new connection."""

    token: int
    server: NameServer
    payload: bytes
    tcp: bool
    source_port: int
    """0: any."""


@dataclass(slots=True)
class _Asked:
    server: NameServer
    id: int
    name: Name
    tcp: bool
    edns: bool
    alive: bool = True


class Exchange:
    """See the module."""

    def __init__(self, question: Question, settings: Settings, random: Random, now: float, *, first: int = 0) -> None:
        """Begin at `now`, with the server of index `first`. Raises `NoServers`."""
        if not settings.servers:
            raise NoServers(f"no name server is known, so {question.name} cannot be asked for; name some in Settings")
        self.question = question
        self.counters: Counter[str] = Counter()
        self._settings = settings
        self._random = random
        self._first = first
        self._turn = -1
        self._deadline = now
        self._output: list[Send] = []
        self._asked: list[_Asked] = []
        self._without_edns: set[NameServer] = set()
        self._trouble = ""
        self._reply: dns.message.Message | None = None
        self._error: DnsError | None = None

    @property
    def done(self) -> bool:
        """Whether there is a result."""
        return self._reply is not None or self._error is not None

    def result(self) -> dns.message.Message:
        """The response: NOERROR or NXDOMAIN. Raises `TimedOut`, `ServersFailed`."""
        if self._error is not None:
            raise self._error
        assert self._reply is not None
        return self._reply

    def next_deadline(self) -> float | None:
        """When `poll` has something to do; None when all is done."""
        if self.done:
            return None
        return -math.inf if self._output else self._deadline

    def poll(self, now: float) -> list[Send]:
        """Go on to the next server if it is time; and what is to be sent."""
        if not self.done and now >= self._deadline:
            self._next(now)
        output, self._output = self._output, []
        return [] if self.done else output

    def _next(self, now: float) -> None:
        self._turn += 1
        servers = self._settings.servers
        rounds, index = divmod(self._turn, len(servers))
        if rounds >= self._settings.attempts:
            text = f"{self.question.name} was asked for {self._turn} times"
            if self._trouble:
                self._error = ServersFailed(f"{text}; the last answer was {self._trouble}")
            else:
                self._error = TimedOut(f"{text}, and nobody answered")
            return
        self._deadline = now + self._settings.timeout * 2.0**rounds
        self._ask(servers[(index + self._first) % len(servers)], tcp=False, last=rounds + 1 == self._settings.attempts)

    def _ask(self, server: NameServer, *, tcp: bool, last: bool = False) -> None:
        name = self.question.name
        if self._settings.mix_case and not last:
            name = self._mixed(name)
        edns = self._settings.edns and server not in self._without_edns
        query = dns.message.make_query(
            name,
            dns.rdatatype.RdataType.make(self.question.rdtype),
            id=int.from_bytes(self._random.generate(2), "big"),
            use_edns=0 if edns else False,
            payload=self._settings.payload,
        )
        asked = _Asked(server, query.id, name, tcp, edns)
        self._asked.append(asked)
        self.counters["sent.tcp" if tcp else "sent.udp"] += 1
        self._output.append(Send(len(self._asked) - 1, server, build(query), tcp, 0 if tcp else self._port()))

    def _port(self) -> int:
        if self._settings.source_ports is None:
            return 0
        low, high = self._settings.source_ports
        return low + int.from_bytes(self._random.generate(4), "big") % (high - low + 1)

    def _mixed(self, name: Name) -> Name:
        """The same name with letters in random case (the "0x20 bit")."""
        coins = int.from_bytes(self._random.generate(32), "big")
        labels = []
        for label in name.labels:
            octets = bytearray(label.lower())
            for at, octet in enumerate(octets):
                if 97 <= octet <= 122 and coins & 1:
                    octets[at] = octet - 32
                coins >>= 1
            labels.append(bytes(octets))
        return dns.name.Name(labels)

    def failed(self, token: int, now: float) -> None:
        """The endpoint or connection of `token` cannot carry an answer any more."""
        asked = self._asked[token]
        if self.done or not asked.alive:
            return
        asked.alive = False
        self.counters["failed"] += 1
        self._trouble = self._trouble or f"that {asked.server.address} port {asked.server.port} cannot be reached"
        self._pass_on(token, now)

    def _pass_on(self, token: int, now: float) -> None:
        """End the turn of a server, if it is that server's turn."""
        if token == len(self._asked) - 1:
            self._deadline = now

    def input(self, token: int, octets: bytes | bytearray | memoryview, now: float) -> None:
        """Take what came back to the endpoint or connection of `token`: one whole message."""
        asked = self._asked[token]
        if self.done or not asked.alive:
            return
        try:
            reply = parse(octets)
        except InvalidMessage:
            self.counters["dropped.invalid"] += 1
            return
        if not self._fits(asked, reply):
            self.counters["dropped.not-ours"] += 1
            return
        asked.alive = False
        rcode = reply.rcode()
        if rcode in {dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS} and asked.edns:
            # RFC 6891 section 7: a server that does not know EDNS may answer so.
            self._without_edns.add(asked.server)
            self._ask(asked.server, tcp=asked.tcp)
        elif reply.flags & dns.flags.TC and not asked.tcp:
            self.counters["truncated"] += 1
            self._ask(asked.server, tcp=True)
        elif rcode in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
            self._reply = reply
        else:
            self._trouble = f"{dns.rcode.to_text(rcode)} by {asked.server.address}"
            self._pass_on(token, now)

    def _fits(self, asked: _Asked, reply: dns.message.Message) -> bool:
        """RFC 5452 section 9.1: id and question must be those that were sent; the shell sees to the addresses."""
        if reply.id != asked.id or not reply.flags & dns.flags.QR or reply.opcode() != dns.opcode.QUERY:
            return False
        if not reply.question:
            return reply.rcode() in {dns.rcode.FORMERR, dns.rcode.NOTIMP}
        # With a name as it was given, a server may change its case (RFC 4343).
        mixed = asked.name.labels != self.question.name.labels
        return same_question(reply.question, asked.name, self.question.rdtype, exact_case=mixed)
