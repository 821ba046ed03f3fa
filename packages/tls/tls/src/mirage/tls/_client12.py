"""The client of TLS 1.2 from the ServerHello on: ECDHE with AEAD suites and the extended master secret, nothing else.

full:    Certificate -> CertificateStatus? -> ServerKeyExchange -> CertificateRequest? -> ServerHelloDone
         -> (our flight) -> NewSessionTicket? -> CCS -> Finished
resumed: NewSessionTicket? -> CCS -> Finished -> (our CCS, Finished)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mirage.crypto import InvalidKey

from . import _trust as trust
from ._alerts import Alert
from ._client import Offer
from ._client13 import record_size_limit
from ._constants import TLS12, Ext, Msg, NamedGroup
from ._events import TicketReceived
from ._exchange12 import check_finished, check_signature, keys, master_secret_12, secrets, send_finished
from ._hellos import ServerHello, single_alpn
from ._link import ClientLink, Message, State
from ._messages import (
    certificate_12,
    certificate_verify,
    read_certificate_12,
    read_certificate_request_12,
    read_ocsp,
    read_server_key_exchange,
    read_ticket_12,
)
from ._wire import message as wire_message
from ._wire import v8
from .errors import NothingInCommon, PeerMisbehaved
from .identity import Identity
from .tickets import MAX_LIFETIME, Session

__all__ = ["server_hello"]

_CLIENT, _SERVER = b"client finished", b"server finished"
_ALLOWED = {
    *(Ext.SERVER_NAME, Ext.EXTENDED_MASTER_SECRET, Ext.RENEGOTIATION_INFO, Ext.POINT_FORMATS),
    *(Ext.ALPN, Ext.STATUS_REQUEST, Ext.SESSION_TICKET, Ext.RECORD_SIZE_LIMIT),
    Ext.GROUPS,  # some servers send theirs, where RFC 8422 5.2 has none: it says nothing
}
_EMPTY = (Ext.SERVER_NAME, Ext.EXTENDED_MASTER_SECRET, Ext.STATUS_REQUEST, Ext.SESSION_TICKET)


def server_hello(hello: ServerHello, message: Message, offer: Offer, link: ClientLink) -> State[ClientLink]:
    """What the server agreed to; a new session, or the one that was offered."""
    config, items = link.config, hello.extensions
    suite = config.suites_by_code.get(hello.suite)
    if suite is None or suite.version != TLS12:
        raise PeerMisbehaved(f"the server chose the suite {hello.suite:#06x}, which was not offered for TLS 1.2")
    for kind in items:
        if kind not in _ALLOWED:
            raise PeerMisbehaved(f"extension {kind}, which has no place in a ServerHello", Alert.UNSUPPORTED_EXTENSION)
        if kind in _EMPTY and items[kind]:
            raise PeerMisbehaved(f"extension {kind} of a ServerHello is not empty", Alert.DECODE_ERROR)
    if Ext.EXTENDED_MASTER_SECRET not in items:
        # RFC 7627 5.2: without it a session does not stand for its handshake (the triple handshake)
        raise NothingInCommon("the server has no extended master secret; it is too old to be spoken to")
    if items.get(Ext.RENEGOTIATION_INFO, b"") != v8(b""):
        # RFC 5746 3.4: absent, the server may be open to prefix injection; not empty, somebody did it
        raise NothingInCommon("the server does not renegotiate securely; it is too old to be spoken to")
    if Ext.POINT_FORMATS in items and b"\0" not in items[Ext.POINT_FORMATS][1:]:
        raise PeerMisbehaved("the server takes no uncompressed points")
    link.version, link.suite, link.server_random = TLS12, suite, hello.random
    link.server_name = link.name if Ext.SERVER_NAME in offer.hello.extensions else None
    link.alpn = single_alpn(items.get(Ext.ALPN), config.alpn)
    link.limit_records(record_size_limit(items.get(Ext.RECORD_SIZE_LIMIT)))
    link.transcript.choose(suite.hash, keep=True)
    link.transcript.add(message.raw)
    session = offer.session
    if hello.session_id and hello.session_id == offer.hello.session_id:
        if session is None or session.version != TLS12 or session.suite != suite.name:
            raise PeerMisbehaved("the server resumes a session that was not offered")
        link.resumed = True
        link.peer_chain, link.ocsp = session.peer_chain, session.ocsp
        secrets(link, session.secret)
        return WaitTicket(bool(items.get(Ext.SESSION_TICKET) is not None), resumed=True)
    facts = _Facts(Ext.SESSION_TICKET in items, Ext.STATUS_REQUEST in items)
    return WaitCertificate(facts)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the later states need of the earlier."""

    ticket: bool
    status: bool
    chain: tuple[Any, ...] = ()
    group: NamedGroup | None = None
    share: bytes = b""
    schemes: tuple[int, ...] | None = None
    """What a CertificateRequest takes; None without one."""


@dataclass(frozen=True, slots=True)
class WaitCertificate:
    """The server shows its certificate."""

    facts: _Facts
    expects: ClassVar[tuple[int, ...]] = (Msg.CERTIFICATE,)

    def receive(self, message: Message, link: ClientLink) -> State[ClientLink]:
        """RFC 5246 7.4.2."""
        chain = read_certificate_12(message.body)
        if not chain:
            raise PeerMisbehaved("the server shows no certificate", Alert.DECODE_ERROR)
        if link.config.raw_public_keys == "only":
            raise PeerMisbehaved(
                "the server shows certificates, and only raw public keys are taken", Alert.UNSUPPORTED_CERTIFICATE
            )
        link.transcript.add(message.raw)
        link.peer_chain = trust.read_chain(chain)
        return WaitKeyExchange(self.facts, status=self.facts.status)


@dataclass(frozen=True, slots=True)
class WaitKeyExchange:
    """The server gives its share, signed; before it perhaps an OCSP response."""

    facts: _Facts
    status: bool

    @property
    def expects(self) -> tuple[int, ...]:
        """RFC 6066 8: the response may be left out."""
        return (Msg.CERTIFICATE_STATUS, Msg.SERVER_KEY_EXCHANGE) if self.status else (Msg.SERVER_KEY_EXCHANGE,)

    def receive(self, message: Message, link: ClientLink) -> State[ClientLink]:
        """RFC 8422 5.4. The authenticator is asked here, where the OCSP response is known."""
        link.transcript.add(message.raw)
        if message.kind == Msg.CERTIFICATE_STATUS:
            link.ocsp = read_ocsp(message.body)
            return WaitKeyExchange(self.facts, status=False)
        config = link.config
        key = trust.judge(
            config.authenticator, link.peer_chain, name=link.name, role="server", now=link.now, ocsp=link.ocsp
        )
        if ("rsa" if key.kind == "rsa" else "ecdsa") != link.suite.auth:
            raise PeerMisbehaved("the server's key is not of the kind that its suite names")
        code, share, parameters, scheme, signature = read_server_key_exchange(message.body)
        group = config.groups_by_code.get(code)
        if group is None or group.hybrid:
            raise PeerMisbehaved(f"the server chose the group {code:#06x}, which was not offered")
        signed = link.client_random + link.server_random + parameters
        link.scheme = check_signature(link, key, scheme, signature, signed)
        link.group = group
        return WaitHelloDone(replace(self.facts, group=group, share=share))


@dataclass(frozen=True, slots=True)
class WaitHelloDone:
    """The server ends its flight, and may ask for our certificate before."""

    facts: _Facts

    @property
    def expects(self) -> tuple[int, ...]:
        """At most one CertificateRequest."""
        done = (Msg.SERVER_HELLO_DONE,)
        return done if self.facts.schemes is not None else (Msg.CERTIFICATE_REQUEST, *done)

    def receive(self, message: Message, link: ClientLink) -> State[ClientLink]:
        """Our flight (RFC 5246 7.4.6 to 7.4.9)."""
        link.transcript.add(message.raw)
        if message.kind == Msg.CERTIFICATE_REQUEST:
            return WaitHelloDone(replace(self.facts, schemes=read_certificate_request_12(message.body)))
        if message.body:
            raise PeerMisbehaved("ServerHelloDone is not empty", Alert.DECODE_ERROR)
        facts = self.facts
        assert facts.group is not None
        proof = None
        if facts.schemes is not None:
            proof = self._identity(facts.schemes, link)
            link.send(certificate_12(proof[0].chain if proof else ()))
        public, finish = facts.group.offer(link.random)
        try:
            shared = finish(facts.share)
        except InvalidKey as error:
            raise PeerMisbehaved(str(error)) from None
        link.send(wire_message(Msg.CLIENT_KEY_EXCHANGE, v8(public)))
        secrets(link, master_secret_12(link.suite, shared, link.transcript.digest()))
        if proof:
            identity, scheme = proof
            signature = identity.key.sign(scheme.scheme, link.transcript.messages())
            link.send(certificate_verify(scheme.code, signature))
        send_finished(link, _CLIENT, keys(link)[0])
        return WaitTicket(facts.ticket, resumed=False)

    @staticmethod
    def _identity(codes: tuple[int, ...], link: ClientLink) -> tuple[Identity, Any] | None:
        known = link.config.schemes_by_code
        schemes = [known[code] for code in codes if code in known]
        for identity in link.config.identities:
            scheme = identity.scheme_for(schemes, TLS12) if identity.chain else None
            if scheme is not None:
                return identity, scheme
        return None


@dataclass(frozen=True, slots=True)
class WaitTicket:
    """The server sends a ticket if it said so, then ChangeCipherSpec."""

    ticket: bool
    resumed: bool
    received: tuple[int, bytes] | None = None

    @property
    def expects(self) -> tuple[int, ...]:
        """RFC 5077 3.3."""
        return (Msg.NEW_SESSION_TICKET,) if self.ticket else ()

    def receive(self, message: Message, link: ClientLink) -> State[ClientLink]:
        """A ticket."""
        link.transcript.add(message.raw)
        return WaitTicket(False, self.resumed, read_ticket_12(message.body))

    def change_cipher_spec(self, link: ClientLink) -> State[ClientLink]:
        """The server's keys begin (RFC 5246 7.1)."""
        if self.ticket:
            raise PeerMisbehaved("the server promised a ticket and sent none", Alert.UNEXPECTED_MESSAGE)
        own, theirs = keys(link)
        link.read_keys(theirs)
        return WaitFinished(own if self.resumed else None, self.received)


@dataclass(frozen=True, slots=True)
class WaitFinished:
    """The server confirms the handshake."""

    own: Any
    """Our keys, where our Finished comes after the server's."""
    ticket: tuple[int, bytes] | None
    expects: ClassVar[tuple[int, ...]] = (Msg.FINISHED,)

    def receive(self, message: Message, link: ClientLink) -> State[ClientLink]:
        """RFC 5246 7.4.9."""
        check_finished(message, link, _SERVER)
        if self.own is not None:
            send_finished(link, _CLIENT, self.own)
        link.finish()
        if self.ticket is not None and self.ticket[1] and link.config.resume:
            lifetime, ticket = self.ticket
            link.events.append(TicketReceived(_session(link, lifetime or 3600, ticket)))
        return Connected()


def _session(link: ClientLink, lifetime: int, ticket: bytes) -> Session:
    return Session(
        version=TLS12,
        suite=link.suite.name,
        secret=link.exporter_secret,
        ticket=ticket,
        name=link.name or "",
        received=link.now,
        lifetime=min(lifetime, MAX_LIFETIME),
        alpn=link.alpn,
        peer_chain=link.peer_chain,
        ocsp=link.ocsp,
        policy=link.config.authenticator,
    )


@dataclass(frozen=True, slots=True)
class Connected:
    """After the handshake nothing is expected; the connection refuses renegotiation."""

    expects: ClassVar[tuple[int, ...]] = ()

    def receive(self, message: Message, link: ClientLink) -> State[ClientLink]:
        """Nothing is expected."""
        raise PeerMisbehaved("a message after the handshake", Alert.UNEXPECTED_MESSAGE)
