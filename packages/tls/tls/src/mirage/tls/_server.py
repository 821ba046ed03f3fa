"""The server's first decision: the version, and what of the ClientHello matters in both versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ._alerts import Alert
from ._constants import DOWNGRADE_TLS12, TLS12, TLS13, Ext, Msg, Scheme, Suite
from ._hellos import ClientHello, alpn, codes, key_shares, one_octet_codes, psk_offer, server_name
from ._link import Message, ServerLink, State
from ._wire import Cursor
from .config import ServerConfig
from .errors import NothingInCommon, PeerMisbehaved
from .identity import Identity

__all__ = ["WaitClientHello", "choose_alpn", "choose_identity", "choose_suite", "server_random"]

_FALLBACK = 0x5600


@dataclass(frozen=True, slots=True)
class WaitClientHello:
    """The client speaks first."""

    expects: ClassVar[tuple[int, ...]] = (Msg.CLIENT_HELLO,)

    def receive(self, message: Message, link: ServerLink) -> State[ServerLink]:
        """RFC 8446 4.1.1, 4.2.1."""
        from . import _server12, _server13

        hello, config = ClientHello.decode(message.body), link.config
        check(hello)
        link.client_random = hello.random
        offered = hello.versions()
        mine = [version for version, has in ((TLS13, config.has_13), (TLS12, config.has_12)) if has]
        if config.versions[0] == "TLSv1.2":
            mine.reverse()
        version = next((version for version in mine if version in offered), None)
        if version is None:
            raise NothingInCommon(
                f"the client offers the versions {', '.join(f'{v:#06x}' for v in offered)}", Alert.PROTOCOL_VERSION
            )
        if _FALLBACK in hello.suites and version < max(mine) and Ext.SUPPORTED_VERSIONS not in hello.extensions:
            # RFC 7507 3: the client believes that we cannot do better, and we can
            raise PeerMisbehaved("somebody made the client fall back", Alert.INAPPROPRIATE_FALLBACK)
        link.version = version
        link.writer.version = TLS12
        link.server_name = server_name(hello.extensions.get(Ext.SERVER_NAME))
        if b"\0" not in hello.compressions or (version == TLS13 and hello.compressions != b"\0"):
            raise PeerMisbehaved("the client wants compression")  # RFC 8446 4.1.2
        if version == TLS13:
            return _server13.client_hello(hello, message, link)
        return _server12.client_hello(hello, message, link)


def check(hello: ClientHello) -> None:
    """Decode the extensions that the rest may not look at, so that what is malformed is refused in any case."""
    items = hello.extensions
    codes(items.get(Ext.GROUPS), "supported_groups")
    codes(items.get(Ext.SIGNATURE_ALGORITHMS), "signature_algorithms")
    codes(items.get(Ext.SIGNATURE_ALGORITHMS_CERT), "signature_algorithms_cert")
    alpn(items.get(Ext.ALPN))
    key_shares(items.get(Ext.KEY_SHARE))
    for kind in (Ext.POINT_FORMATS, Ext.PSK_MODES, Ext.CLIENT_CERTIFICATE_TYPE, Ext.SERVER_CERTIFICATE_TYPE):
        one_octet_codes(items.get(kind), f"extension {kind}")
    if Ext.PRE_SHARED_KEY in items and TLS13 in hello.versions():
        psk_offer(items[Ext.PRE_SHARED_KEY])
        if Ext.PSK_MODES not in items:
            raise PeerMisbehaved("pre_shared_key without psk_key_exchange_modes", Alert.MISSING_EXTENSION)
    if Ext.CERTIFICATE_AUTHORITIES in items:
        cursor = Cursor(items[Ext.CERTIFICATE_AUTHORITIES], "certificate_authorities")
        names = Cursor(cursor.vector(2, 3), "certificate_authorities")  # RFC 8446 4.2.4
        while names.more:
            names.vector(2, 1)
        cursor.done()
    for kind in (Ext.EXTENDED_MASTER_SECRET, Ext.EARLY_DATA):
        if items.get(kind):
            raise PeerMisbehaved(f"extension {kind} is not empty", Alert.DECODE_ERROR)
    if Ext.RENEGOTIATION_INFO in items and items[Ext.RENEGOTIATION_INFO] != b"\0":
        raise PeerMisbehaved("a first handshake with renegotiation data", Alert.HANDSHAKE_FAILURE)  # RFC 5746 3.6
    if Ext.STATUS_REQUEST in items:
        cursor = Cursor(items[Ext.STATUS_REQUEST], "status_request")
        if cursor.integer(1) == 1:
            cursor.vector(2)
            cursor.vector(2)
            cursor.done()


def choose_suite(hello: ClientHello, suites: tuple[Suite, ...], kinds: tuple[str, ...] = ("",)) -> Suite | None:
    """Our favourite of what the client has, for one of these kinds of keys."""
    offered = set(hello.suites)
    return next((suite for suite in suites if suite.code in offered and suite.auth in kinds), None)


def choose_alpn(hello: ClientHello, config: ServerConfig) -> str | None:
    """Our favourite application protocol of the client's (RFC 7301 3.2)."""
    if not config.alpn or Ext.ALPN not in hello.extensions:
        return None
    offered = alpn(hello.extensions[Ext.ALPN])
    chosen = next((name for name in config.alpn if name in offered), None)
    if chosen is None:
        raise NothingInCommon(
            f"the client speaks {', '.join(offered)}, and we speak {', '.join(config.alpn)}",
            Alert.NO_APPLICATION_PROTOCOL,
        )
    return chosen


def choose_identity(
    link: ServerLink, schemes: tuple[Scheme, ...], version: int, *, raw: bool = False, auths: tuple[str, ...] = ()
) -> tuple[Identity, Scheme]:
    """The identity to show and the scheme to sign with. Raises `NothingInCommon`."""
    config, name = link.config, link.server_name
    candidates = [identity for identity in config.identities if bool(identity.chain) != raw]
    named = [identity for identity in candidates if name and identity.matches(name)]
    if name and not named and config.strict_name and not raw:
        raise NothingInCommon(f"no certificate here is for {name}", Alert.UNRECOGNIZED_NAME)
    for identity in (*named, *candidates):
        scheme = identity.scheme_for(schemes, version)
        if scheme is not None and (not auths or ("rsa" if identity.key.public.kind == "rsa" else "ecdsa") in auths):
            return identity, scheme
    raise NothingInCommon("no key here goes with the client's signature schemes and suites")


def acknowledges_name(link: ServerLink) -> bool:
    """Whether the server's hello says that the client's name decided something (RFC 6066 3): not in a resumption."""
    name = link.server_name
    return not link.resumed and name is not None and any(one.matches(name) for one in link.config.identities)


def server_random(link: ServerLink) -> bytes:
    """32 octets; of a server that could do better they say so to a client that can (RFC 8446 4.1.3)."""
    if link.version == TLS12 and link.config.has_13:
        return link.random(24) + DOWNGRADE_TLS12
    return link.random(32)
