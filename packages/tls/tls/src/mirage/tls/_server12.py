"""The server of TLS 1.2 from the ClientHello on: ECDHE with AEAD suites and the extended master secret, nothing else.

full:    ClientHello -> (our flight) -> Certificate? -> ClientKeyExchange -> CertificateVerify? -> CCS -> Finished
resumed: ClientHello -> (our flight, with Finished) -> CCS -> Finished
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mirage.crypto import InvalidKey, KeyShare, PublicKey

from . import _trust as trust
from ._alerts import Alert
from ._client13 import record_size_limit
from ._constants import TLS12, Ext, Msg, NamedGroup
from ._exchange12 import check_finished, check_signature, keys, master_secret_12, secrets, send_finished
from ._hellos import ClientHello, ServerHello, codes, write_alpn
from ._link import Message, ServerLink, State
from ._messages import (
    certificate_12,
    certificate_request_12,
    certificate_status,
    read_certificate_12,
    read_certificate_verify,
    server_key_exchange,
    ticket_12,
)
from ._proof import no_certificate
from ._server import acknowledges_name, choose_alpn, choose_identity, choose_suite, server_random
from ._server13 import still_trusted
from ._wire import Cursor, v8, v16
from ._wire import message as wire_message
from .errors import NothingInCommon, PeerMisbehaved
from .tickets import MAX_LIFETIME, ServerSession

__all__ = ["client_hello"]

_CLIENT, _SERVER = b"client finished", b"server finished"
_SCSV = 0x00FF


def client_hello(hello: ClientHello, message: Message, link: ServerLink) -> State[ServerLink]:
    """Resume the client's session, or begin a new one."""
    config, items = link.config, hello.extensions
    if Ext.EXTENDED_MASTER_SECRET not in items:
        raise NothingInCommon("the client has no extended master secret; it is too old to be spoken to")
    if Ext.RENEGOTIATION_INFO not in items and _SCSV not in hello.suites:
        raise NothingInCommon("the client does not renegotiate securely; it is too old to be spoken to")
    if Ext.POINT_FORMATS in items and b"\0" not in items[Ext.POINT_FORMATS][1:]:
        raise PeerMisbehaved("the client takes no uncompressed points")
    link.server_random = server_random(link)
    link.alpn = choose_alpn(hello, config)
    wants_ticket = config.tickets is not None and Ext.SESSION_TICKET in items
    session = _resume(hello, link) if wants_ticket else None
    if session is not None:
        return _resumed(session, hello, message, link)
    link.resumed = False

    offered = codes(items.get(Ext.GROUPS), "supported_groups")
    group = next((g for g in config.group_values if g.code in offered and not g.hybrid), None)
    if group is None:
        raise NothingInCommon("no group of the client's pleases us")
    # RFC 5246 7.4.1.4.1 has SHA-1 as the default, which is not spoken here
    schemes_offered = set(codes(items.get(Ext.SIGNATURE_ALGORITHMS), "signature_algorithms"))
    schemes = tuple(scheme for scheme in config.scheme_values if scheme.code in schemes_offered)
    kinds = tuple({suite.auth for suite in config.suites_12 if suite.code in hello.suites})
    if not kinds:
        raise NothingInCommon("no cipher suite of the client's pleases us")
    identity, scheme = choose_identity(link, schemes, TLS12, auths=kinds)
    suite = choose_suite(hello, config.suites_12, ("rsa" if identity.key.public.kind == "rsa" else "ecdsa",))
    assert suite is not None, "its kind is among them"
    link.suite, link.group, link.identity = suite, group, identity
    link.transcript.add(message.raw)
    link.transcript.choose(suite.hash, keep=True)
    status = identity.ocsp is not None and Ext.STATUS_REQUEST in items
    answer = _extensions(items, link, ticket=wants_ticket, status=status)
    link.send(ServerHello(TLS12, link.server_random, b"", suite.code, answer).encode())
    link.send(certificate_12(identity.chain))
    if status and identity.ocsp is not None:
        link.send(certificate_status(identity.ocsp))
    share = group.group.generate(link.random)
    parameters = b"\x03" + group.code.to_bytes(2, "big") + v8(share.public)
    signed = link.client_random + link.server_random + parameters
    link.send(server_key_exchange(parameters, scheme.code, identity.key.sign(scheme.scheme, signed)))
    ask = config.client_certificates != "no"
    if ask:
        if config.raw_public_keys == "only":
            raise NothingInCommon("raw public keys are for TLS 1.3 here", Alert.UNSUPPORTED_CERTIFICATE)
        authorities = b"".join([v16(name) for name in config.client_authorities])
        link.send(certificate_request_12(tuple(s.code for s in config.scheme_values), authorities))
    link.send(wire_message(Msg.SERVER_HELLO_DONE, b""))
    link.flush()
    facts = _Facts(group, share, wants_ticket)
    return WaitCertificate(facts) if ask else WaitKeyExchange(facts)


def _extensions(items: dict[int, bytes], link: ServerLink, *, ticket: bool, status: bool) -> dict[int, bytes]:
    found = {Ext.RENEGOTIATION_INFO: v8(b""), Ext.EXTENDED_MASTER_SECRET: b""}
    if acknowledges_name(link):
        found[Ext.SERVER_NAME] = b""
    if Ext.POINT_FORMATS in items:
        found[Ext.POINT_FORMATS] = v8(b"\0")
    if link.alpn is not None:
        found[Ext.ALPN] = write_alpn((link.alpn,))
    if ticket:
        found[Ext.SESSION_TICKET] = b""
    if status:
        found[Ext.STATUS_REQUEST] = b""
    limit = record_size_limit(items.get(Ext.RECORD_SIZE_LIMIT))
    if limit is not None:
        found[Ext.RECORD_SIZE_LIMIT] = min(link.config.record_size_limit or 16_384, 16_384).to_bytes(2, "big")
        link.limit_records(limit)
    return found


def _resume(hello: ClientHello, link: ServerLink) -> ServerSession | None:
    """The session in the ticket (RFC 5077 3.1), if everything still is as it was."""
    config = link.config
    assert config.tickets is not None
    ticket = hello.extensions[Ext.SESSION_TICKET]
    session = config.tickets.open(ticket, link.now) if ticket else None
    if session is None or session.version != TLS12 or session.suite not in hello.suites:
        return None
    if session.suite not in config.suites_by_code or session.scope != config.scope:
        return None
    if session.name != (link.server_name or "") or session.alpn != (link.alpn or ""):
        return None
    if not -1 <= link.now - session.created < MAX_LIFETIME:
        return None
    if config.client_certificates == "require" and not session.peer:
        return None
    return session if not session.peer or still_trusted(session, link) else None


def _resumed(session: ServerSession, hello: ClientHello, message: Message, link: ServerLink) -> State[ServerLink]:
    """The abbreviated handshake (RFC 5077 3.1): our Finished comes first."""
    link.resumed = True
    link.suite = link.config.suites_by_code[session.suite]
    link.transcript.add(message.raw)
    link.transcript.choose(link.suite.hash, keep=True)
    answer = _extensions(hello.extensions, link, ticket=True, status=False)
    link.send(ServerHello(TLS12, link.server_random, hello.session_id, link.suite.code, answer).encode())
    secrets(link, session.secret)
    theirs, own = keys(link)
    _send_ticket(link, session.created)
    send_finished(link, _SERVER, own)
    return WaitChange(theirs, None)


def _send_ticket(link: ServerLink, created: float) -> None:
    """RFC 5077 3.3. A session that is resumed keeps its age, so it ends some time."""
    tickets = link.config.tickets
    assert tickets is not None
    peer = tuple([one.der for one in link.peer_chain])
    if sum(map(len, peer)) > 16_000:
        link.send(ticket_12(0, b""))  # it would not fit: no ticket after all
        return
    session = ServerSession(
        version=TLS12,
        suite=link.suite.code,
        secret=link.exporter_secret,
        created=created,
        name=link.server_name or "",
        alpn=link.alpn or "",
        peer=peer,
        scope=link.config.scope,
    )
    link.send(ticket_12(tickets.lifetime(created, link.now), tickets.seal(session, link.now, link.random)))


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the later states need of the earlier."""

    group: NamedGroup
    share: KeyShare
    ticket: bool
    key: PublicKey | None = None
    """The client's, from its certificate."""


@dataclass(frozen=True, slots=True)
class WaitCertificate:
    """The client shows its certificate, or that it has none."""

    facts: _Facts
    expects: ClassVar[tuple[int, ...]] = (Msg.CERTIFICATE,)

    def receive(self, message: Message, link: ServerLink) -> State[ServerLink]:
        """RFC 5246 7.4.6."""
        chain = read_certificate_12(message.body)
        link.transcript.add(message.raw)
        if not chain:
            if link.config.client_certificates == "require":
                failure = no_certificate()
                failure.alert = Alert.HANDSHAKE_FAILURE  # certificate_required is TLS 1.3's
                raise failure
            return WaitKeyExchange(self.facts)
        link.peer_chain = trust.read_chain(chain)
        authenticator = link.config.authenticator
        assert authenticator is not None, "or clients are not asked"
        key = trust.judge(authenticator, link.peer_chain, name=None, role="client", now=link.now, ocsp=None)
        return WaitKeyExchange(replace(self.facts, key=key))


@dataclass(frozen=True, slots=True)
class WaitKeyExchange:
    """The client gives its share."""

    facts: _Facts
    expects: ClassVar[tuple[int, ...]] = (Msg.CLIENT_KEY_EXCHANGE,)

    def receive(self, message: Message, link: ServerLink) -> State[ServerLink]:
        """RFC 8422 5.7."""
        cursor = Cursor(message.body, "ClientKeyExchange")
        public = cursor.vector(1, 1)
        cursor.done()
        try:
            shared = self.facts.share.exchange(public)
        except InvalidKey as error:
            raise PeerMisbehaved(str(error)) from None
        link.transcript.add(message.raw)
        secrets(link, master_secret_12(link.suite, shared, link.transcript.digest()))
        if self.facts.key is not None:
            return WaitCertificateVerify(self.facts, self.facts.key)
        return WaitChange(keys(link)[0], self.facts)


@dataclass(frozen=True, slots=True)
class WaitCertificateVerify:
    """The client proves that it has the key."""

    facts: _Facts
    key: PublicKey
    expects: ClassVar[tuple[int, ...]] = (Msg.CERTIFICATE_VERIFY,)

    def receive(self, message: Message, link: ServerLink) -> State[ServerLink]:
        """RFC 5246 7.4.8."""
        code, signature = read_certificate_verify(message.body)
        link.scheme = check_signature(link, self.key, code, signature, link.transcript.messages())
        link.transcript.add(message.raw)
        return WaitChange(keys(link)[0], self.facts)


@dataclass(frozen=True, slots=True)
class WaitChange:
    """The client changes to its keys. `facts` is None where our Finished has been sent."""

    keys: Any
    facts: _Facts | None
    expects: ClassVar[tuple[int, ...]] = ()

    def receive(self, message: Message, link: ServerLink) -> State[ServerLink]:
        """No message is expected, but ChangeCipherSpec."""
        raise PeerMisbehaved("a message in the place of ChangeCipherSpec", Alert.UNEXPECTED_MESSAGE)

    def change_cipher_spec(self, link: ServerLink) -> State[ServerLink]:
        """RFC 5246 7.1."""
        link.read_keys(self.keys)
        return WaitFinished(self.facts)


@dataclass(frozen=True, slots=True)
class WaitFinished:
    """The client confirms the handshake."""

    facts: _Facts | None
    expects: ClassVar[tuple[int, ...]] = (Msg.FINISHED,)

    def receive(self, message: Message, link: ServerLink) -> State[ServerLink]:
        """RFC 5246 7.4.9."""
        check_finished(message, link, _CLIENT)
        if self.facts is not None:
            if self.facts.ticket:
                _send_ticket(link, link.now)
            send_finished(link, _SERVER, keys(link)[1])
        link.finish()
        return Connected()


@dataclass(frozen=True, slots=True)
class Connected:
    """After the handshake nothing is expected; the connection refuses renegotiation."""

    expects: ClassVar[tuple[int, ...]] = ()

    def receive(self, message: Message, link: ServerLink) -> State[ServerLink]:
        """Nothing is expected."""
        raise PeerMisbehaved("a message after the handshake", Alert.UNEXPECTED_MESSAGE)
