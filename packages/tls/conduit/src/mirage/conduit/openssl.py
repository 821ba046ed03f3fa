"""TLS by OpenSSL, through the standard library's `ssl`.

Who the peer is, our own authenticator decides, as with the native implementation:

* A client has OpenSSL check nothing but the handshake's signatures, and hands the chain that the server sent to the
  authenticator before the application hears of the connection. `ssl` gives that chain out since Python 3.13
  (`get_unverified_chain`); before, its inner object has the same call. Where neither exists, the connection fails.
* A server can ask for a client's certificate only by having OpenSSL verify it (`ssl` has no hook of its own for that),
  so the authenticator must be a chain of trust: OpenSSL checks against its anchors, and the authenticator after it.
  Any other one is refused when the side is made: the native implementation can do it.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, cast

from mirage.types import Buffer, MirageError
from mirage.x509 import Certificate, ChainOfTrust, X509Error

from .engine import Info, Received
from .errors import ConfigurationError, PeerRefused, TlsFailure, Truncated

if TYPE_CHECKING:
    from .sides import Authenticator, ClientTls, ServerTls

__all__ = ["client", "server"]

_VERSIONS: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
_PIECE: Final = 1 << 16


def client(side: ClientTls) -> Callable[[str | None], Engine]:
    """What makes an engine for each connection to a server of a given name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the authenticator does it, and knows more; see the module
    _prepare(context, side)
    if side.identity is not None:
        _load(context, side.identity.to_pem())
    authenticator = cast("Authenticator", side.authenticator)

    def make(name: str | None) -> Engine:
        return Engine(context, name, authenticator, server_side=False)

    return make


def server(side: ServerTls) -> Callable[[], Engine]:
    """What makes an engine for each connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _prepare(context, side)
    _load(context, side.identity.to_pem())
    context.sni_callback = _remember
    if side.authenticator is not None:
        if not isinstance(side.authenticator, ChainOfTrust):
            raise ConfigurationError(
                "as a server, OpenSSL judges clients by a chain of trust only; take chain_of_trust as authenticator, "
                "or the native implementation"
            )
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=b"".join(anchor.der for anchor in side.authenticator.anchors))

    def make() -> Engine:
        return Engine(context, None, side.authenticator, server_side=True)

    return make


def _prepare(context: ssl.SSLContext, side: ClientTls | ServerTls) -> None:
    versions = [_VERSIONS[version] for version in side.versions]
    context.minimum_version, context.maximum_version = min(versions), max(versions)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if side.alpn:
        context.set_alpn_protocols(list(side.alpn))


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """`ssl` reads keys from files only: this one is in memory, and gone when it is closed."""
    descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"OpenSSL does not take the certificate with its key: {error}") from None
    finally:
        os.close(descriptor)


class Engine:
    """One connection, over OpenSSL's memory buffers."""

    half_close = False

    def __init__(
        self, context: ssl.SSLContext, name: str | None, authenticator: Authenticator | None, *, server_side: bool
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._server_side = server_side
        self._name = name
        # RFC 6066 section 3: addresses are not names, and do not go into server_name.
        asked = None if server_side or name is None or _is_address(name) else name
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side, asked)
        self._authenticator = authenticator
        self._done = False
        self._peer_closed = False
        self._closed = False
        self.info: Info = cast(Info, None)
        self._server_name: str | None = asked

    def start(self, now: float) -> bytes:
        """The client's first flight."""
        return b"" if self._server_side else self.receive(b"", now).output

    def receive(self, data: Buffer, now: float) -> Received:
        """See `mirage.conduit.engine`."""
        if data:
            self._incoming.write(data)
        received = Received()
        pieces: list[bytes] = []
        try:
            if not self._done:
                self._object.do_handshake()
                self._done = True
                self._judge(now)
                received.done = True
            if self._closed:
                self._read_on_to_the_end()
                received.closed = self._peer_closed
            elif not self._peer_closed:
                while piece := self._object.read(_PIECE):
                    pieces.append(piece)
                self._peer_closed = received.closed = True
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._peer_closed = received.closed = True
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).replace("_", " ").lower()
            raise TlsFailure(f"OpenSSL: {reason}", self._outgoing.read(), tuple(pieces)) from None
        except ValueError as error:  # the peer's chain is not what ssl could give out
            raise TlsFailure(f"OpenSSL: {error}", self._outgoing.read()) from None
        received.data = pieces
        received.output = self._outgoing.read()
        return received

    def take(self, data: Buffer) -> bytes:
        """See `mirage.conduit.engine`; OpenSSL knows no shorter way."""
        return b""

    def _read_on_to_the_end(self) -> None:
        """After our close_notify: what comes before the peer's is nobody's any more."""
        while self._object.read(_PIECE):
            pass
        self._peer_closed = True

    def _judge(self, now: float) -> None:
        chain: tuple[Certificate, ...] = ()
        try:
            chain = tuple(Certificate.decode(der) for der in _peer_chain(self._object))
            if self._authenticator is not None:
                role = "client" if self._server_side else "server"
                self._authenticator(chain, name=self._name, role=role, now=now, ocsp=None)
        except X509Error as error:
            raise PeerRefused(f"the peer is refused: {error}", b"", str(getattr(error, "reason", ""))) from None
        except MirageError as error:
            raise PeerRefused(f"the peer's certificate cannot be used: {error}") from None
        cipher = self._object.cipher()
        self.info = Info(
            "openssl",
            self._object.version() or "",
            _iana(cipher[0]) if cipher else "",
            _asked(self._object) if self._server_side else self._server_name,
            self._object.selected_alpn_protocol(),
            chain,
            bool(self._object.session_reused),
        )

    def eof(self) -> None:
        """See `mirage.conduit.engine`."""
        if not self._peer_closed:
            raise Truncated("the connection ended without the peer's close_notify: what arrived may be a part only")

    def send(self, data: Buffer) -> Buffer:
        """See `mirage.conduit.engine`."""
        view = memoryview(data).cast("B")
        sent = 0
        while sent < len(view):
            sent += self._object.write(view[sent:])
        return self._outgoing.read()

    def close(self) -> bytes:
        """See `mirage.conduit.engine`."""
        if self._closed or not self._done:
            return b""
        self._closed = True
        # It waits for the peer's, or the peer is beyond talking to: ours is written where it could be.
        with contextlib.suppress(ssl.SSLError):
            self._object.unwrap()
        return self._outgoing.read()


def _peer_chain(connection: ssl.SSLObject) -> list[bytes]:
    """What the peer sent, in DER; see the module."""
    public = getattr(connection, "get_unverified_chain", None)
    if public is not None:
        return [bytes(der) for der in public() or ()]
    inner: Any = getattr(connection, "_sslobj", None)
    if not hasattr(inner, "get_unverified_chain"):
        raise TlsFailure("this Python's ssl does not give out the peer's chain; use Python 3.13, or the native TLS")
    import _ssl

    return [certificate.public_bytes(_ssl.ENCODING_DER) for certificate in inner.get_unverified_chain() or ()]


def _remember(connection: Any, name: str | None, _: ssl.SSLContext) -> None:
    """Keeps the name that a client asks for where `_asked` finds it."""
    connection.asked_for = name


def _asked(connection: ssl.SSLObject) -> str | None:
    return getattr(connection, "asked_for", None)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _iana(name: str) -> str:
    """OpenSSL's own names of TLS 1.2 suites as the registry has them; those of 1.3 are the registry's already."""
    if name.startswith("TLS_"):
        return name
    words = (
        name.replace("CHACHA20-POLY1305", "CHACHA20-POLY1305-SHA256")
        .replace("AES128", "AES_128")
        .replace("AES256", "AES_256")
    )
    exchange, sign, *rest = words.replace("-", "_").split("_")
    return f"TLS_{exchange}_{sign}_WITH_{'_'.join(rest)}"
