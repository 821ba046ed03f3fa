"""The server of TLS 1.3 from the ClientHello on (RFC 8446 A.2), one state for each message that it waits for.

ClientHello -(HelloRetryRequest -> ClientHello)?-> EndOfEarlyData? -> Certificate? -> CertificateVerify? -> Finished
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mirage.crypto import InvalidKey, PublicKey, equal

from . import _compression as compression
from . import _trust as trust
from ._alerts import Alert
from ._client13 import record_size_limit
from ._constants import HRR_RANDOM, TLS12, TLS13, Ext, Msg, NamedGroup, Scheme, Suite, grease_code
from ._hellos import ClientHello, PskOffer, ServerHello, codes, key_shares, one_octet_codes, psk_offer, write_alpn
from ._link import Message, ServerLink, State
from ._messages import Ticket13, certificate_request_13, encrypted_extensions, finished, ticket_13
from ._proof import (
    RAW_PUBLIC_KEY,
    X509,
    check_verify,
    no_certificate,
    receive_certificate,
    send_certificate,
    send_verify,
)
from ._schedule import (
    derive,
    early_secret,
    empty_hash,
    expand_label,
    finished_data,
    handshake_secret,
    master_secret,
)
from ._server import acknowledges_name, check, choose_alpn, choose_identity, choose_suite, server_random
from ._wire import Cursor, u16s, v8, v16
from .errors import Failure, NothingInCommon, PeerMisbehaved
from .identity import Identity
from .tickets import MAX_LIFETIME, ServerSession

__all__ = ["client_hello", "still_trusted"]

_PSK_DHE_KE = 1


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the later states need of the earlier."""

    handshake: bytes
    client_secret: bytes
    psk: bool
    ask: bool = False
    """Whether the client was asked for a certificate."""
    raw: bool = False
    """Whether it shows a raw public key."""
    application: tuple[bytes, bytes] = (b"", b"")
    """The first traffic secrets of client and server."""
    master: bytes = b""


def client_hello(hello: ClientHello, message: Message, link: ServerLink) -> State[ServerLink]:
    """The first ClientHello: go on, or ask for another share."""
    suite, group, share = _negotiate(hello, link)
    if share is not None:
        return _answer(hello, message, link, suite, group, share)
    link.transcript.add(message.raw)
    link.transcript.retry(suite.hash)
    items = {Ext.SUPPORTED_VERSIONS: b"\x03\x04", Ext.KEY_SHARE: group.code.to_bytes(2, "big")}
    link.send(ServerHello(TLS12, HRR_RANDOM, hello.session_id, suite.code, items).encode())
    link.flush()
    if hello.session_id:
        link.send_compatibility_ccs()
    link.retried = True
    if Ext.EARLY_DATA in hello.extensions:
        link.reader.skip_early(_skip(link))
    return WaitSecondHello(hello, suite, group)


def _skip(link: ServerLink) -> int:
    """Octets of refused early data that are dropped, as a server of any configuration must take them."""
    return max(link.config.early_data, 16_384) + 16_384


def _negotiate(hello: ClientHello, link: ServerLink) -> tuple[Suite, NamedGroup, bytes | None]:
    """Suite, group, and the client's share of that group if it sent one. Raises `Failure`."""
    items, config = hello.extensions, link.config
    for kind in (Ext.GROUPS, Ext.KEY_SHARE):  # RFC 8446 9.2; psk_ke alone is not spoken here
        if kind not in items:
            raise PeerMisbehaved(f"no extension {kind} in the ClientHello", Alert.MISSING_EXTENSION)
    if Ext.SIGNATURE_ALGORITHMS not in items and Ext.PRE_SHARED_KEY not in items:
        raise PeerMisbehaved("no signature_algorithms in the ClientHello", Alert.MISSING_EXTENSION)
    suite = choose_suite(hello, config.suites_13)
    if suite is None:
        raise NothingInCommon("no cipher suite of the client's pleases us")
    groups, shares = codes(items[Ext.GROUPS], "supported_groups"), key_shares(items[Ext.KEY_SHARE])
    for code in shares:
        if code not in groups:
            raise PeerMisbehaved(f"a key share for the group {code:#06x}, which the client does not have")
    common = [group for group in config.group_values if group.code in groups]
    if not common:
        raise NothingInCommon("no group of the client's pleases us")
    for group in common:  # a share that is here saves a round trip
        if group.code in shares:
            return suite, group, shares[group.code]
    return suite, common[0], None


@dataclass(frozen=True, slots=True)
class WaitSecondHello:
    """The client says it again, with the share that it was asked for."""

    first: ClientHello
    suite: Suite
    group: NamedGroup
    expects: ClassVar[tuple[int, ...]] = (Msg.CLIENT_HELLO,)

    def receive(self, message: Message, link: ServerLink) -> State[ServerLink]:
        """RFC 8446 4.1.2: nothing but what a HelloRetryRequest allows may have changed."""
        hello, first = ClientHello.decode(message.body), self.first
        check(hello)
        link.reader.skip_early(-1)
        free = {Ext.KEY_SHARE, Ext.EARLY_DATA, Ext.COOKIE, Ext.PRE_SHARED_KEY, 21}  # 21: padding

        def fixed(of: ClientHello) -> tuple[object, ...]:
            items = {kind: data for kind, data in of.extensions.items() if kind not in free}
            return of.version, of.random, of.session_id, of.suites, of.compressions, items

        if fixed(hello) != fixed(first):
            raise PeerMisbehaved("the second ClientHello differs from the first")
        if Ext.EARLY_DATA in hello.extensions:
            raise PeerMisbehaved("early data after a HelloRetryRequest")
        suite, group, share = _negotiate(hello, link)
        if suite is not self.suite or group is not self.group or share is None:
            raise PeerMisbehaved("the client did not send the share that it was asked for")
        if list(key_shares(hello.extensions[Ext.KEY_SHARE])) != [group.code]:
            raise PeerMisbehaved("more shares than the one that was asked for")
        return _answer(hello, message, link, suite, group, share)


def _answer(
    hello: ClientHello, message: Message, link: ServerLink, suite: Suite, group: NamedGroup, share: bytes
) -> State[ServerLink]:
    """The whole flight of the server, from ServerHello to Finished."""
    config, algorithm, transcript = link.config, suite.hash, link.transcript
    items = hello.extensions
    link.suite, link.group = suite, group
    link.client_resumes = _PSK_DHE_KE in one_octet_codes(items.get(Ext.PSK_MODES), "psk_key_exchange_modes")
    link.alpn = choose_alpn(hello, config)
    psk = _resume(hello, message, link)
    raw = _server_type(items, link)
    schemes = _schemes(items, link)
    proof = None if psk is not None else choose_identity(link, schemes, TLS13, raw=raw)
    try:
        public, shared = group.answer(share, link.random)
    except InvalidKey as error:
        raise PeerMisbehaved(str(error)) from None

    transcript.add(message.raw)
    transcript.choose(algorithm)
    early = None if psk is None else early_secret(algorithm, psk.secret)
    early_traffic = b""
    if early is not None and link.early_data:
        digest = transcript.digest()
        early_traffic = derive(algorithm, early, "c e traffic", digest)
        link.early_exporter_secret = derive(algorithm, early, "e exp master", digest)
        link.log("CLIENT_EARLY_TRAFFIC_SECRET", early_traffic)
    link.server_random = server_random(link)
    answer = {Ext.SUPPORTED_VERSIONS: b"\x03\x04", Ext.KEY_SHARE: group.code.to_bytes(2, "big") + v16(public)}
    if psk is not None:
        answer[Ext.PRE_SHARED_KEY] = b"\0\0"
    link.send(ServerHello(TLS12, link.server_random, hello.session_id, suite.code, answer).encode())
    secret = handshake_secret(algorithm, early, shared)
    digest = transcript.digest()
    client, server = (
        derive(algorithm, secret, "c hs traffic", digest),
        derive(algorithm, secret, "s hs traffic", digest),
    )
    link.log("CLIENT_HANDSHAKE_TRAFFIC_SECRET", client)
    link.log("SERVER_HANDSHAKE_TRAFFIC_SECRET", server)
    link.flush()
    if hello.session_id:
        link.send_compatibility_ccs()
    link.write_with(server)

    ask = psk is None and config.client_certificates != "no"
    client_raw = ask and _client_type(items, link)
    _encrypted(hello, link, raw=raw, client_raw=client_raw, ask=ask)
    if proof is not None:
        _prove(items, link, *proof, raw=raw, ask=ask)
    link.send(finished(finished_data(algorithm, server, transcript.digest())))
    link.flush()
    digest = transcript.digest()
    master = master_secret(algorithm, secret)
    application = derive(algorithm, master, "c ap traffic", digest), derive(algorithm, master, "s ap traffic", digest)
    link.exporter_secret = derive(algorithm, master, "exp master", digest)
    link.log("CLIENT_TRAFFIC_SECRET_0", application[0])
    link.log("SERVER_TRAFFIC_SECRET_0", application[1])
    link.log("EXPORTER_SECRET", link.exporter_secret)
    link.write_with(application[1])
    link.reader.plain_alerts = True  # of a client that did not like our ServerHello
    facts = _Facts(secret, client, psk is not None, ask, client_raw, application, master)
    if link.early_data:
        link.read_with(early_traffic)
        link.reading_early = True
        return WaitEndOfEarlyData(facts)
    link.read_with(client)
    if Ext.EARLY_DATA in items:
        link.reader.skip_early(_skip(link))
    return WaitCertificate(facts) if ask else WaitFinished(facts)


def _schemes(items: dict[int, bytes], link: ServerLink) -> tuple[Scheme, ...]:
    """The client's signature schemes that we know, in our order."""
    offered = set(codes(items.get(Ext.SIGNATURE_ALGORITHMS), "signature_algorithms"))
    return tuple(scheme for scheme in link.config.scheme_values if scheme.code in offered)


def _server_type(items: dict[int, bytes], link: ServerLink) -> bool:
    """Whether we show a raw public key: the client wants one, and we have one (RFC 7250 4.2)."""
    offered = one_octet_codes(items.get(Ext.SERVER_CERTIFICATE_TYPE), "server_certificate_type") or bytes((X509,))
    for kind in offered:
        has = any(bool(identity.chain) == (kind == X509) for identity in link.config.identities)
        if kind in (X509, RAW_PUBLIC_KEY) and has:
            return kind == RAW_PUBLIC_KEY
    raise NothingInCommon("the client takes no type of certificate that we have", Alert.UNSUPPORTED_CERTIFICATE)


def _client_type(items: dict[int, bytes], link: ServerLink) -> bool:
    """Whether the client shows a raw public key."""
    offered = one_octet_codes(items.get(Ext.CLIENT_CERTIFICATE_TYPE), "client_certificate_type") or bytes((X509,))
    taken = {"no": (X509,), "allow": (X509, RAW_PUBLIC_KEY), "only": (RAW_PUBLIC_KEY,)}[link.config.raw_public_keys]
    kind = next((kind for kind in offered if kind in taken), None)
    if kind is None:
        raise NothingInCommon("the client has no type of certificate that we take", Alert.UNSUPPORTED_CERTIFICATE)
    return kind == RAW_PUBLIC_KEY


def _encrypted(hello: ClientHello, link: ServerLink, *, raw: bool, client_raw: bool, ask: bool) -> None:
    """Send EncryptedExtensions (RFC 8446 4.3.1)."""
    items = hello.extensions
    found: dict[int, bytes] = {}
    if acknowledges_name(link):
        found[Ext.SERVER_NAME] = b""
    if link.alpn is not None:
        found[Ext.ALPN] = write_alpn((link.alpn,))
    limit = record_size_limit(items.get(Ext.RECORD_SIZE_LIMIT))
    if limit is not None:
        found[Ext.RECORD_SIZE_LIMIT] = (link.config.record_size_limit or 16_385).to_bytes(2, "big")
        link.limit_records(limit)
    if raw:
        found[Ext.SERVER_CERTIFICATE_TYPE] = bytes((RAW_PUBLIC_KEY,))
    if ask and Ext.CLIENT_CERTIFICATE_TYPE in items:
        found[Ext.CLIENT_CERTIFICATE_TYPE] = bytes((RAW_PUBLIC_KEY if client_raw else X509,))
    if link.early_data:
        found[Ext.EARLY_DATA] = b""
    link.send(encrypted_extensions(found))


def _prove(
    items: dict[int, bytes], link: ServerLink, identity: Identity, scheme: Scheme, *, raw: bool, ask: bool
) -> None:
    """Send CertificateRequest if clients are asked, Certificate and CertificateVerify."""
    config = link.config
    if ask:
        asked: dict[int, bytes] = {}
        schemes = [scheme.code for scheme in config.scheme_values]
        if config.grease:  # RFC 8701 3.2
            asked[grease_code(link.random)] = b""
            schemes.insert(0, grease_code(link.random))
        asked[Ext.SIGNATURE_ALGORITHMS] = v16(u16s(schemes))
        if config.client_authorities:
            asked[Ext.CERTIFICATE_AUTHORITIES] = v16(b"".join([v16(name) for name in config.client_authorities]))
        if config.certificate_compression:
            algorithms = [compression.ALGORITHMS[name] for name in config.certificate_compression]
            asked[Ext.COMPRESS_CERTIFICATE] = v8(u16s(algorithms))
        link.send(certificate_request_13(b"", asked))
    link.identity = identity
    algorithms_taken: tuple[int, ...] = ()
    if Ext.COMPRESS_CERTIFICATE in items:
        cursor = Cursor(items[Ext.COMPRESS_CERTIFICATE], "compress_certificate")
        algorithms_taken = cursor.u16s(1)
        cursor.done()
    ocsp = Ext.STATUS_REQUEST in items
    send_certificate(link, identity, b"", raw=raw, ocsp=ocsp, algorithms=algorithms_taken)
    send_verify(link, identity, scheme, server=True)


def _resume(hello: ClientHello, message: Message, link: ServerLink) -> ServerSession | None:
    """The session of the first identity, if its ticket is ours and its binder right (RFC 8446 4.2.11)."""
    config, items = link.config, hello.extensions
    if config.tickets is None or Ext.PRE_SHARED_KEY not in items:
        return None
    if _PSK_DHE_KE not in one_octet_codes(items[Ext.PSK_MODES], "psk_key_exchange_modes"):
        return None
    offer = psk_offer(items[Ext.PRE_SHARED_KEY])
    ticket, obfuscated = offer.identities[0]
    session = config.tickets.open(ticket, link.now)
    if session is None or not _fits(session, link):
        return None
    algorithm = link.suite.hash
    binders = len(offer.encode_binders())
    digest = link.transcript.with_tail(algorithm, message.raw[:-binders])
    key = derive(algorithm, early_secret(algorithm, session.secret), "res binder", empty_hash(algorithm))
    if not equal(offer.binders[0], finished_data(algorithm, key, digest)):
        raise PeerMisbehaved("the binder of a session is not right", Alert.DECRYPT_ERROR)
    if session.peer and not still_trusted(session, link):
        return None
    link.resumed = True
    if Ext.EARLY_DATA in items and not link.retried:
        link.early_data = _accept_early(session, obfuscated, offer, link)
    return session


def _fits(session: ServerSession, link: ServerLink) -> bool:
    config = link.config
    suite = config.suites_by_code.get(session.suite)
    if session.version != TLS13 or suite is None or suite.hash != link.suite.hash:
        return False
    if session.scope != config.scope or session.name != (link.server_name or ""):
        return False
    if config.client_certificates == "require" and not session.peer:
        return False
    return link.now + 1 - session.created >= 0 and link.now - session.created < MAX_LIFETIME


def still_trusted(session: ServerSession, link: ServerLink) -> bool:
    """The client's certificate is judged again: it may have expired, or another authenticator may be asked now."""
    authenticator = link.config.authenticator
    if authenticator is None:
        return False
    try:
        if session.peer_is_key:
            trust.judge_key(authenticator, session.peer[0], name=None, role="client", now=link.now)
            link.peer_key = session.peer[0]
        else:
            chain = trust.read_chain(list(session.peer))
            trust.judge(authenticator, chain, name=None, role="client", now=link.now, ocsp=None)
            link.peer_chain = chain
    except Failure:
        return False
    return True


def _accept_early(session: ServerSession, obfuscated: int, offer: PskOffer, link: ServerLink) -> bool:
    """RFC 8446 4.2.10, 8.3: the same suite and protocol, a fresh hello, and one that was not seen before."""
    config = link.config
    guard = config.replay_guard
    if not config.early_data or not session.early_data or guard is None:
        return False
    if session.suite != link.suite.code or session.alpn != (link.alpn or ""):
        return False
    claimed = ((obfuscated - session.age_add) & 0xFFFFFFFF) / 1000
    if abs(claimed - (link.now - session.created)) > guard.window:
        return False
    return guard.first_time(offer.binders[0], link.now)


@dataclass(frozen=True, slots=True)
class WaitEndOfEarlyData:
    """Early data comes until the client says that it was all."""

    facts: _Facts
    expects: ClassVar[tuple[int, ...]] = (Msg.END_OF_EARLY_DATA,)

    def receive(self, message: Message, link: ServerLink) -> State[ServerLink]:
        """RFC 8446 4.5."""
        if message.body:
            raise PeerMisbehaved("EndOfEarlyData is not empty", Alert.DECODE_ERROR)
        link.transcript.add(message.raw)
        link.reading_early = False
        link.read_with(self.facts.client_secret)
        return WaitFinished(self.facts)


@dataclass(frozen=True, slots=True)
class WaitCertificate:
    """The client shows its certificate, or that it has none."""

    facts: _Facts
    expects: ClassVar[tuple[int, ...]] = (Msg.CERTIFICATE, Msg.COMPRESSED_CERTIFICATE)

    def receive(self, message: Message, link: ServerLink) -> State[ServerLink]:
        """RFC 8446 4.4.2."""
        key = receive_certificate(message, link, b"", server=False, raw=self.facts.raw, ocsp=False)
        if key is not None:
            return WaitCertificateVerify(self.facts, key)
        if link.config.client_certificates == "require":
            raise no_certificate()
        return WaitFinished(self.facts)


@dataclass(frozen=True, slots=True)
class WaitCertificateVerify:
    """The client proves that it has the key."""

    facts: _Facts
    key: PublicKey
    expects: ClassVar[tuple[int, ...]] = (Msg.CERTIFICATE_VERIFY,)

    def receive(self, message: Message, link: ServerLink) -> State[ServerLink]:
        """RFC 8446 4.4.3."""
        check_verify(message, link, self.key, server=False)
        return WaitFinished(self.facts)


@dataclass(frozen=True, slots=True)
class WaitFinished:
    """The client confirms the handshake; tickets follow."""

    facts: _Facts
    expects: ClassVar[tuple[int, ...]] = (Msg.FINISHED,)

    def receive(self, message: Message, link: ServerLink) -> State[ServerLink]:
        """RFC 8446 4.4.4."""
        facts, algorithm = self.facts, link.suite.hash
        if not equal(message.body, finished_data(algorithm, facts.client_secret, link.transcript.digest())):
            raise PeerMisbehaved("the client's Finished is not right", Alert.DECRYPT_ERROR)
        link.transcript.add(message.raw)
        link.reader.skip_early(-1)
        link.read_with(facts.application[0])
        link.finish()
        if link.config.tickets is not None and link.client_resumes:
            secret = derive(algorithm, facts.master, "res master", link.transcript.digest())
            for number in range(1 if link.resumed else link.config.ticket_count):
                _send_ticket(number, secret, link)
            link.flush()
        return Connected()


def _send_ticket(number: int, resumption: bytes, link: ServerLink) -> None:
    """RFC 8446 4.6.1."""
    config, algorithm = link.config, link.suite.hash
    assert config.tickets is not None
    peer = (link.peer_key,) if link.peer_key else tuple([one.der for one in link.peer_chain])
    if sum(map(len, peer)) > 16_000:
        return  # it would not fit a ticket
    nonce = number.to_bytes(1, "big")
    session = ServerSession(
        version=TLS13,
        suite=link.suite.code,
        secret=expand_label(algorithm, resumption, "resumption", nonce, algorithm.digest_size),
        created=link.now,
        age_add=int.from_bytes(link.random(4), "big"),
        name=link.server_name or "",
        alpn=link.alpn or "",
        early_data=config.early_data,
        peer=peer,
        peer_is_key=link.peer_key is not None,
        scope=config.scope,
    )
    ticket = config.tickets.seal(session, link.now, link.random)
    lifetime = config.tickets.lifetime(session.created, link.now)
    extra = {grease_code(link.random): b""} if config.grease else {}
    link.send_unhashed(ticket_13(Ticket13(lifetime, session.age_add, nonce, ticket, config.early_data), extra))


@dataclass(frozen=True, slots=True)
class Connected:
    """After the handshake no message of a client's is expected but KeyUpdate, the connection's own matter."""

    expects: ClassVar[tuple[int, ...]] = ()

    def receive(self, message: Message, link: ServerLink) -> State[ServerLink]:
        """Nothing is expected."""
        raise PeerMisbehaved("a message after the handshake", Alert.UNEXPECTED_MESSAGE)
