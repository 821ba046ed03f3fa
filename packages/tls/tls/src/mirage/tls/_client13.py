"""The client of TLS 1.3 from the ServerHello on (RFC 8446 A.1), one state for each message that it waits for.

ServerHello -> EncryptedExtensions -+-> CertificateRequest? -> Certificate -> CertificateVerify -+-> Finished
                                    +------------------- a pre-shared key ----------------------+
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mirage.crypto import InvalidKey, PublicKey, equal

from ._alerts import Alert
from ._client import Offer
from ._constants import SUITES, TLS13, Ext, Msg, Suite
from ._events import EarlyDataRejected, TicketReceived
from ._hellos import ServerHello, codes, single_alpn
from ._link import ClientLink, Message, State
from ._messages import (
    finished,
    read_certificate_request_13,
    read_encrypted_extensions,
    read_ticket_13,
)
from ._proof import RAW_PUBLIC_KEY, X509, check_verify, receive_certificate, send_certificate, send_verify
from ._schedule import (
    derive,
    early_secret,
    expand_label,
    finished_data,
    handshake_secret,
    master_secret,
)
from ._wire import Cursor
from ._wire import message as wire_message
from .errors import PeerMisbehaved
from .tickets import MAX_LIFETIME, Session

__all__ = ["Connected", "server_hello"]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the later states need of the earlier."""

    offer: Offer
    handshake: bytes
    client_secret: bytes
    server_secret: bytes
    psk: bool
    raw: bool = False
    """Whether the server shows a raw public key."""
    request: _Request | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    """A CertificateRequest."""

    context: bytes
    schemes: tuple[int, ...]
    algorithms: tuple[int, ...]
    raw: bool
    """Whether the server agreed to raw public keys of clients."""


def server_hello(
    hello: ServerHello, suite: Suite, message: Message, offer: Offer, link: ClientLink
) -> State[ClientLink]:
    """The keys of the handshake (RFC 8446 7.1)."""
    algorithm = suite.hash
    if set(hello.extensions) - {Ext.KEY_SHARE, Ext.PRE_SHARED_KEY, Ext.SUPPORTED_VERSIONS}:
        raise PeerMisbehaved("an extension that has no place in a ServerHello", Alert.UNSUPPORTED_EXTENSION)
    early: bytes | None = None
    selected = hello.extensions.get(Ext.PRE_SHARED_KEY)
    if selected is not None:
        session = offer.session
        if session is None or selected != b"\0\0" or SUITES[session.suite].hash != algorithm:
            raise PeerMisbehaved("the server chose a pre-shared key that was not offered for its suite")
        early = early_secret(algorithm, session.secret)
        link.resumed = True
        link.peer_chain, link.peer_key, link.ocsp = session.peer_chain, session.peer_key, session.ocsp
    share = hello.extensions.get(Ext.KEY_SHARE)
    if share is None:  # psk_ke was not offered
        raise PeerMisbehaved("no key share in the ServerHello", Alert.MISSING_EXTENSION)
    cursor = Cursor(share, "key_share")
    code, public = cursor.integer(2), cursor.vector(2, 1)
    cursor.done()
    finish = offer.finishers.get(code)
    if finish is None:
        raise PeerMisbehaved(f"the server answers with a share of the group {code:#06x}, which was not offered")
    try:
        shared = finish(public)
    except InvalidKey as error:
        raise PeerMisbehaved(str(error)) from None
    link.version, link.suite, link.group = TLS13, suite, link.config.groups_by_code[code]
    link.transcript.choose(algorithm)
    link.transcript.add(message.raw)
    secret = handshake_secret(algorithm, early, shared)
    digest = link.transcript.digest()
    client, server = (
        derive(algorithm, secret, "c hs traffic", digest),
        derive(algorithm, secret, "s hs traffic", digest),
    )
    link.log("CLIENT_HANDSHAKE_TRAFFIC_SECRET", client)
    link.log("SERVER_HANDSHAKE_TRAFFIC_SECRET", server)
    link.read_with(server)
    link.alert_secret = client
    return WaitEncryptedExtensions(_Facts(offer, secret, client, server, early is not None))


_ENCRYPTED = {
    *(Ext.SERVER_NAME, Ext.GROUPS, Ext.ALPN, Ext.RECORD_SIZE_LIMIT, Ext.EARLY_DATA),
    *(Ext.CLIENT_CERTIFICATE_TYPE, Ext.SERVER_CERTIFICATE_TYPE),
}


@dataclass(frozen=True, slots=True)
class WaitEncryptedExtensions:
    """The server says what else it agreed to."""

    facts: _Facts
    expects: ClassVar[tuple[int, ...]] = (Msg.ENCRYPTED_EXTENSIONS,)

    def receive(self, message: Message, link: ClientLink) -> State[ClientLink]:
        """RFC 8446 4.3.1."""
        facts, offered = self.facts, self.facts.offer.hello.extensions
        items = read_encrypted_extensions(message.body)
        for kind in items:
            if kind not in offered:
                raise PeerMisbehaved(f"extension {kind}, which was not offered", Alert.UNSUPPORTED_EXTENSION)
            if kind not in _ENCRYPTED:
                raise PeerMisbehaved(f"extension {kind}, which has no place in EncryptedExtensions")
        link.server_name = link.name if Ext.SERVER_NAME in offered else None
        if items.get(Ext.SERVER_NAME):
            raise PeerMisbehaved("the server's server_name is not empty", Alert.DECODE_ERROR)
        if Ext.GROUPS in items:
            codes(items[Ext.GROUPS], "supported_groups")
        link.alpn = single_alpn(items.get(Ext.ALPN), link.config.alpn)
        link.limit_records(record_size_limit(items.get(Ext.RECORD_SIZE_LIMIT)))
        self._early(items, link)
        raw = certificate_type(items.get(Ext.SERVER_CERTIFICATE_TYPE)) == RAW_PUBLIC_KEY
        if raw and link.config.raw_public_keys == "no":
            raise PeerMisbehaved("the server chose a raw public key, which was not offered")
        if link.config.raw_public_keys == "only" and not raw and not facts.psk:
            raise PeerMisbehaved(
                "the server shows certificates, and only raw public keys are taken", Alert.UNSUPPORTED_CERTIFICATE
            )
        own_raw = certificate_type(items.get(Ext.CLIENT_CERTIFICATE_TYPE)) == RAW_PUBLIC_KEY
        link.transcript.add(message.raw)
        known = _Facts(facts.offer, facts.handshake, facts.client_secret, facts.server_secret, facts.psk, raw)
        if facts.psk:
            return WaitFinished(known)
        return WaitCertificate(known, own_raw)

    def _early(self, items: dict[int, bytes], link: ClientLink) -> None:
        offer = self.facts.offer
        if Ext.EARLY_DATA in items:
            session = offer.session
            assert session is not None
            if items[Ext.EARLY_DATA]:
                raise PeerMisbehaved("the server's early_data is not empty", Alert.DECODE_ERROR)
            if not self.facts.psk or link.suite.name != session.suite or link.alpn != session.alpn:
                raise PeerMisbehaved("the server took early data and not the session that it was for")
            link.early_data = True
        elif offer.early:
            link.events.append(EarlyDataRejected())
            link.writer.keys = None  # nothing more is sent with them


def record_size_limit(data: bytes | None) -> int | None:
    """RFC 8449 4."""
    if data is None:
        return None
    cursor = Cursor(data, "record_size_limit")
    found = cursor.integer(2)
    cursor.done()
    if found < 64:
        raise PeerMisbehaved(f"a record size limit of {found}")
    return found


def certificate_type(data: bytes | None) -> int:
    """The type of certificate that the server chose (RFC 7250 4.2)."""
    if data is None:
        return X509
    cursor = Cursor(data, "certificate_type")
    found = cursor.integer(1)
    cursor.done()
    if found not in (X509, RAW_PUBLIC_KEY):
        raise PeerMisbehaved(f"the certificate type {found}, which was not offered")
    return found


@dataclass(frozen=True, slots=True)
class WaitCertificate:
    """The server shows its certificate, and may ask for ours before."""

    facts: _Facts
    own_raw: bool
    expects: ClassVar[tuple[int, ...]] = (Msg.CERTIFICATE_REQUEST, Msg.CERTIFICATE, Msg.COMPRESSED_CERTIFICATE)

    def receive(self, message: Message, link: ClientLink) -> State[ClientLink]:
        """RFC 8446 4.3.2, 4.4.2."""
        facts = self.facts
        if message.kind == Msg.CERTIFICATE_REQUEST:
            if facts.request is not None:
                raise PeerMisbehaved("a second CertificateRequest", Alert.UNEXPECTED_MESSAGE)
            context, items = read_certificate_request_13(message.body)
            if context:
                raise PeerMisbehaved("a CertificateRequest of the handshake has no context")
            if Ext.SIGNATURE_ALGORITHMS not in items:
                raise PeerMisbehaved("a CertificateRequest without signature_algorithms", Alert.MISSING_EXTENSION)
            schemes = codes(items[Ext.SIGNATURE_ALGORITHMS], "signature_algorithms")
            algorithms = items.get(Ext.COMPRESS_CERTIFICATE)
            compressions: tuple[int, ...] = ()
            if algorithms is not None:
                cursor = Cursor(algorithms, "compress_certificate")
                compressions = cursor.u16s(1)
                cursor.done()
            link.transcript.add(message.raw)
            request = _Request(context, schemes, compressions, self.own_raw)
            return WaitCertificate(
                _Facts(
                    facts.offer, facts.handshake, facts.client_secret, facts.server_secret, False, facts.raw, request
                ),
                self.own_raw,
            )
        if message.kind == Msg.COMPRESSED_CERTIFICATE and Ext.COMPRESS_CERTIFICATE not in facts.offer.hello.extensions:
            raise PeerMisbehaved("a compressed certificate, which was not offered", Alert.UNEXPECTED_MESSAGE)
        key = receive_certificate(message, link, b"", server=True, raw=facts.raw, ocsp=link.config.ocsp)
        if key is None:
            raise PeerMisbehaved("the server shows no certificate", Alert.DECODE_ERROR)
        return WaitCertificateVerify(facts, key)


@dataclass(frozen=True, slots=True)
class WaitCertificateVerify:
    """The server proves that it has the key."""

    facts: _Facts
    key: PublicKey
    expects: ClassVar[tuple[int, ...]] = (Msg.CERTIFICATE_VERIFY,)

    def receive(self, message: Message, link: ClientLink) -> State[ClientLink]:
        """RFC 8446 4.4.3."""
        check_verify(message, link, self.key, server=True)
        return WaitFinished(self.facts)


@dataclass(frozen=True, slots=True)
class WaitFinished:
    """The server confirms the handshake; our last flight answers."""

    facts: _Facts
    expects: ClassVar[tuple[int, ...]] = (Msg.FINISHED,)

    def receive(self, message: Message, link: ClientLink) -> State[ClientLink]:
        """RFC 8446 4.4.4, 7.1."""
        facts, algorithm, transcript = self.facts, link.suite.hash, link.transcript
        if not equal(message.body, finished_data(algorithm, facts.server_secret, transcript.digest())):
            raise PeerMisbehaved("the server's Finished is not right", Alert.DECRYPT_ERROR)
        transcript.add(message.raw)
        digest = transcript.digest()
        master = master_secret(algorithm, facts.handshake)
        client, server = (
            derive(algorithm, master, "c ap traffic", digest),
            derive(algorithm, master, "s ap traffic", digest),
        )
        link.exporter_secret = derive(algorithm, master, "exp master", digest)
        link.log("CLIENT_TRAFFIC_SECRET_0", client)
        link.log("SERVER_TRAFFIC_SECRET_0", server)
        link.log("EXPORTER_SECRET", link.exporter_secret)

        link.send_compatibility_ccs()
        if link.early_data:
            link.send(wire_message(Msg.END_OF_EARLY_DATA, b""))
        link.write_with(facts.client_secret)
        if facts.request is not None:
            self._answer(facts.request, link)
        link.send(finished(finished_data(algorithm, facts.client_secret, transcript.digest())))
        link.flush()
        link.resumption_secret = derive(algorithm, master, "res master", transcript.digest())
        link.read_with(server)
        link.write_with(client)
        link.finish()
        return Connected()

    @staticmethod
    def _answer(request: _Request, link: ClientLink) -> None:
        """Our certificate: the first identity that goes with what the server takes, or none."""
        schemes = [link.config.schemes_by_code[code] for code in request.schemes if code in link.config.schemes_by_code]
        for identity in link.config.identities:
            if bool(identity.chain) == request.raw:
                continue
            scheme = identity.scheme_for(schemes, TLS13)
            if scheme is not None:
                send_certificate(link, identity, request.context, raw=request.raw, algorithms=request.algorithms)
                send_verify(link, identity, scheme, server=False)
                return
        send_certificate(link, None, request.context)


@dataclass(frozen=True, slots=True)
class Connected:
    """After the handshake: tickets. KeyUpdate is the connection's own matter."""

    tickets: int = 0
    expects: ClassVar[tuple[int, ...]] = (Msg.NEW_SESSION_TICKET,)

    def receive(self, message: Message, link: ClientLink) -> State[ClientLink]:
        """RFC 8446 4.6.1."""
        ticket = read_ticket_13(message.body)
        if self.tickets == 32:
            raise PeerMisbehaved("the server sends tickets without end", Alert.UNEXPECTED_MESSAGE)
        if ticket.lifetime > MAX_LIFETIME:
            raise PeerMisbehaved(f"a ticket for {ticket.lifetime} s; a week is the most")
        if ticket.lifetime and link.config.resume:
            algorithm = link.suite.hash
            size = algorithm.digest_size
            session = Session(
                version=TLS13,
                suite=link.suite.name,
                secret=expand_label(algorithm, link.resumption_secret, "resumption", ticket.nonce, size),
                ticket=ticket.ticket,
                name=link.name or "",
                received=link.now,
                lifetime=ticket.lifetime,
                age_add=ticket.age_add,
                alpn=link.alpn,
                early_data=ticket.early_data,
                peer_chain=link.peer_chain,
                peer_key=link.peer_key,
                ocsp=link.ocsp,
                policy=link.config.authenticator,
            )
            link.events.append(TicketReceived(session))
        return Connected(self.tickets + 1)
