"""The client's first flight, and what the server's answer to it decides: the version, and perhaps a second try."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from mirage.crypto import HashAlgorithm

from . import _compression as compression
from ._alerts import Alert
from ._constants import DOWNGRADE_TLS11, DOWNGRADE_TLS12, SUITES, TLS12, TLS13, Ext, Msg, Suite, grease_code
from ._hellos import ClientHello, PskOffer, ServerHello, write_alpn, write_server_name
from ._link import ClientLink, Message, State
from ._proof import RAW_PUBLIC_KEY, X509
from ._schedule import derive, early_secret, empty_hash, finished_data
from ._wire import Cursor, u16s, v8, v16
from .config import ClientConfig
from .errors import NothingInCommon, PeerMisbehaved
from .tickets import Session

__all__ = ["Offer", "WaitServerHello", "is_address", "start"]

_PSK_DHE_KE = b"\x01\x01"


def is_address(name: str) -> bool:
    """Whether a name is an IP address, which has no place in SNI (RFC 6066 3)."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Offer:
    """What the client has said, and keeps until the server has answered."""

    hello: ClientHello
    finishers: dict[int, Callable[[bytes], bytes]]
    """For each group of a share, what makes the secret."""
    session: Session | None
    early: bytes = b""
    """Early data that is under way."""
    early_keys: bytes = b""
    """The traffic secret of it."""
    retry_suite: int = 0
    """The suite of a HelloRetryRequest; 0 before one."""


def start(link: ClientLink, session: Session | None, early: bytes) -> State[ClientLink]:
    """Send the ClientHello."""
    config = link.config
    link.session = session = session if session and _resumable(link, session) else None
    resume_13 = session if session is not None and session.version == TLS13 else None
    finishers: dict[int, Callable[[bytes], bytes]] = {}
    shares, grease = b"", grease_code(link.random) if config.grease else 0
    if config.has_13:
        if grease:
            shares += grease.to_bytes(2, "big") + v16(b"\0")
        for group in config.share_values:
            public, finishers[group.code] = group.offer(link.random)
            shares += group.code.to_bytes(2, "big") + v16(public)
    link.client_random = link.random(32)
    extensions = _extensions(link, session, v16(shares), bool(early and resume_13), grease)
    suites = [suite.code for suite in (*config.suites_13, *config.suites_12)]
    if config.grease:
        suites.insert(0, grease_code(link.random))
    # RFC 8446 D.4: an identifier, so that it looks like a resumption of TLS 1.2; RFC 5077 3.4: or is one
    session_id = link.random(32) if config.has_13 or session else b""
    hello = ClientHello(TLS12, link.client_random, session_id, tuple(suites), b"\0", extensions)
    offer = Offer(hello, finishers, session, early if resume_13 else b"")
    offer = _send(link, offer)
    link.flush()
    link.writer.version = TLS12
    if offer.early:
        assert resume_13 is not None
        offer = _begin_early(link, offer, resume_13)
    return WaitServerHello(offer)


def _begin_early(link: ClientLink, offer: Offer, session: Session) -> Offer:
    """From here on what is sent is early data, under its own keys (RFC 8446 7.1)."""
    suite = SUITES[session.suite]
    digest = link.transcript.with_tail(suite.hash, b"")
    secret = early_secret(suite.hash, session.secret)
    traffic = derive(suite.hash, secret, "c e traffic", digest)
    link.early_exporter_secret = derive(suite.hash, secret, "e exp master", digest)
    link.log("CLIENT_EARLY_TRAFFIC_SECRET", traffic)
    link.send_compatibility_ccs()
    link.suite = suite
    link.write_with(traffic)
    return replace(offer, early_keys=traffic)


def _resumable(link: ClientLink, session: Session) -> bool:
    """A session is offered for the server that it came from, and only to an authenticator that accepted it."""
    config = link.config
    suite = SUITES.get(session.suite)
    allowed = suite in (config.suites_13 if session.version == TLS13 else config.suites_12)
    same = session.name == (link.name or "") and session.policy is config.authenticator
    return config.resume and allowed and same and session.is_fresh(link.now)


def _extensions(link: ClientLink, session: Session | None, shares: bytes, early: bool, grease: int) -> dict[int, bytes]:
    config = link.config
    found: dict[int, bytes] = {}
    if grease:
        found[grease_code(link.random)] = b""
    if link.name and not is_address(link.name):
        found[Ext.SERVER_NAME] = write_server_name(link.name)
    groups = [group.code for group in config.group_values if config.has_13 or not group.hybrid]
    found[Ext.GROUPS] = v16(u16s([grease, *groups] if grease else groups))
    schemes = [scheme.code for scheme in config.scheme_values]
    found[Ext.SIGNATURE_ALGORITHMS] = v16(u16s([grease_code(link.random), *schemes] if grease else schemes))
    if config.alpn:
        found[Ext.ALPN] = write_alpn(config.alpn)
    if config.ocsp:
        found[Ext.STATUS_REQUEST] = b"\x01" + v16(b"") + v16(b"")
    if config.has_12:
        found[Ext.EXTENDED_MASTER_SECRET] = b""
        found[Ext.RENEGOTIATION_INFO] = v8(b"")
        found[Ext.POINT_FORMATS] = v8(b"\0")
        if config.resume:
            found[Ext.SESSION_TICKET] = session.ticket if session and session.version == TLS12 else b""
    if config.has_13:
        versions = [TLS13, TLS12] if config.versions[0] == "TLSv1.3" else [TLS12, TLS13]
        versions = [v for v in versions if v == TLS13 or config.has_12]
        found[Ext.SUPPORTED_VERSIONS] = v8(u16s([grease_code(link.random), *versions] if grease else versions))
        found[Ext.KEY_SHARE] = shares
        if config.resume:
            found[Ext.PSK_MODES] = _PSK_DHE_KE
        if config.certificate_compression:
            algorithms = [compression.ALGORITHMS[name] for name in config.certificate_compression]
            found[Ext.COMPRESS_CERTIFICATE] = v8(u16s(algorithms))
        types = bytes((X509, RAW_PUBLIC_KEY))
        if config.raw_public_keys != "no":
            found[Ext.SERVER_CERTIFICATE_TYPE] = v8(types if config.raw_public_keys == "allow" else types[1:])
        if any(not identity.chain for identity in config.identities):
            found[Ext.CLIENT_CERTIFICATE_TYPE] = v8(_own_types(config))
    if config.record_size_limit is not None:
        found[Ext.RECORD_SIZE_LIMIT] = config.record_size_limit.to_bytes(2, "big")
    if early:
        found[Ext.EARLY_DATA] = b""
    if session is not None and session.version == TLS13:
        suite = SUITES[session.suite]
        age = (int((link.now - session.received) * 1000) + session.age_add) & 0xFFFFFFFF
        binder = bytes(suite.hash.digest_size)  # its place; the rest of the message must be known first
        found[Ext.PRE_SHARED_KEY] = PskOffer(((session.ticket, age),), (binder,)).encode()
    return found


def _own_types(config: ClientConfig) -> bytes:
    kinds = (RAW_PUBLIC_KEY if not identity.chain else X509 for identity in config.identities)
    return bytes(dict.fromkeys(kinds))


def _send(link: ClientLink, offer: Offer) -> Offer:
    """Send the hello of an offer; its binder is made now that the transcript is known (RFC 8446 4.2.11.2)."""
    hello, session = offer.hello, offer.session
    if session is not None and Ext.PRE_SHARED_KEY in hello.extensions:
        suite = SUITES[session.suite]
        algorithm = suite.hash
        truncated = hello.encode()[: -(3 + algorithm.digest_size)]
        digest = link.transcript.with_tail(algorithm, truncated)
        key = derive(algorithm, early_secret(algorithm, session.secret), "res binder", empty_hash(algorithm))
        binder = finished_data(algorithm, key, digest)
        data = hello.extensions[Ext.PRE_SHARED_KEY]
        items = {**hello.extensions, Ext.PRE_SHARED_KEY: data[: -len(binder)] + binder}
        hello = replace(hello, extensions=items)
        offer = replace(offer, hello=hello)
    link.send(hello.encode())
    return offer


@dataclass(frozen=True, slots=True)
class WaitServerHello:
    """The server answers with a ServerHello, or once with a HelloRetryRequest."""

    offer: Offer
    expects: ClassVar[tuple[int, ...]] = (Msg.SERVER_HELLO,)

    def receive(self, message: Message, link: ClientLink) -> State[ClientLink]:
        """The version is decided here."""
        from . import _client12, _client13

        offer, config = self.offer, link.config
        hello = ServerHello.decode(message.body)
        chosen = hello.extensions.get(Ext.SUPPORTED_VERSIONS)
        for kind in hello.extensions:
            if kind not in offer.hello.extensions and not (kind == Ext.COOKIE and hello.is_retry):
                raise PeerMisbehaved(f"extension {kind}, which was not offered", Alert.UNSUPPORTED_EXTENSION)
        if chosen is None and not hello.is_retry:
            if hello.version != TLS12 or not config.has_12:
                raise NothingInCommon(f"the server chose the version {hello.version:#06x}", Alert.PROTOCOL_VERSION)
            if config.has_13 and hello.random[-8:] in (DOWNGRADE_TLS11, DOWNGRADE_TLS12):
                raise PeerMisbehaved("the server speaks TLS 1.3, and somebody made it choose less")  # RFC 8446 4.1.3
            if offer.retry_suite or offer.early:
                raise PeerMisbehaved("the server went back to TLS 1.2", Alert.PROTOCOL_VERSION)
            return _client12.server_hello(hello, message, offer, link)
        if chosen != b"\x03\x04" or not config.has_13 or hello.version != TLS12:
            raise PeerMisbehaved("the server chose a version that was not offered")
        if hello.session_id != offer.hello.session_id:
            raise PeerMisbehaved("the server did not repeat the session identifier")
        suite = config.suites_by_code.get(hello.suite)
        if suite is None or suite.version != TLS13:
            raise PeerMisbehaved(f"the server chose the suite {hello.suite:#06x}, which was not offered")
        if hello.is_retry:
            return self._retry(hello, suite, message, link)
        if offer.retry_suite not in (0, hello.suite):
            raise PeerMisbehaved("the server chose another suite than in its HelloRetryRequest")  # RFC 8446 4.1.4
        return _client13.server_hello(hello, suite, message, offer, link)

    def _retry(self, hello: ServerHello, suite: Suite, message: Message, link: ClientLink) -> State[ClientLink]:
        """RFC 8446 4.1.4: say again what the server wants to hear."""
        offer = self.offer
        if offer.retry_suite:
            raise PeerMisbehaved("a second HelloRetryRequest", Alert.UNEXPECTED_MESSAGE)
        items = dict(offer.hello.extensions)
        finishers = offer.finishers
        psk = items.pop(Ext.PRE_SHARED_KEY, None)
        items.pop(Ext.EARLY_DATA, None)
        wanted = hello.extensions.get(Ext.KEY_SHARE)
        if wanted is None and Ext.COOKIE not in hello.extensions:
            raise PeerMisbehaved("a HelloRetryRequest that would change nothing")
        if set(hello.extensions) - {Ext.KEY_SHARE, Ext.COOKIE, Ext.SUPPORTED_VERSIONS}:
            raise PeerMisbehaved("an extension that has no place here", Alert.UNSUPPORTED_EXTENSION)
        if wanted is not None:
            cursor = Cursor(wanted, "key_share")
            code = cursor.integer(2)
            cursor.done()
            group = link.config.groups_by_code.get(code)
            if group is None or code in finishers:
                raise PeerMisbehaved(f"the server asks for the group {code:#06x}, which it has or was not offered")
            public, finish = group.offer(link.random)
            finishers = {code: finish}
            items[Ext.KEY_SHARE] = v16(code.to_bytes(2, "big") + v16(public))
        if Ext.COOKIE in hello.extensions:
            cursor = Cursor(hello.extensions[Ext.COOKIE], "cookie")
            cursor.vector(2, 1)
            cursor.done()
            items[Ext.COOKIE] = hello.extensions[Ext.COOKIE]
        session = offer.session
        link.transcript.retry(suite.hash)
        link.transcript.add(message.raw)
        if psk is not None:
            assert session is not None
            if _hash_of(session) == suite.hash:
                age = (int((link.now - session.received) * 1000) + session.age_add) & 0xFFFFFFFF
                binder = bytes(suite.hash.digest_size)
                items[Ext.PRE_SHARED_KEY] = PskOffer(((session.ticket, age),), (binder,)).encode()
            else:
                session = None  # its binder would need another hash
        link.writer.keys = None
        link.send_compatibility_ccs()
        link.retried = True
        again = Offer(replace(offer.hello, extensions=items), finishers, session, offer.early, b"", hello.suite)
        again = _send(link, again)
        link.flush()
        return WaitServerHello(again)


def _hash_of(session: Session) -> HashAlgorithm:
    return SUITES[session.suite].hash
