"""How a side proves who it is in TLS 1.3: Certificate and CertificateVerify (RFC 8446 4.4), the same in both roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mirage.crypto import CryptoError, PublicKey

from . import _compression as compression
from . import _trust as trust
from ._alerts import Alert
from ._constants import TLS13, Ext, Msg, Scheme
from ._link import Link, Message
from ._messages import (
    certificate_13,
    certificate_verify,
    compressed_certificate,
    read_certificate_13,
    read_certificate_verify,
    read_compressed_certificate,
    read_ocsp,
    write_ocsp,
)
from .errors import PeerMisbehaved, PeerUntrusted

if TYPE_CHECKING:
    from .identity import Identity

__all__ = ["RAW_PUBLIC_KEY", "X509", "check_verify", "receive_certificate", "send_certificate", "send_verify"]

X509, RAW_PUBLIC_KEY = 0, 2
"""Types of certificates (RFC 7250 3)."""

_CONTEXT = {
    True: b" " * 64 + b"TLS 1.3, server CertificateVerify\0",
    False: b" " * 64 + b"TLS 1.3, client CertificateVerify\0",
}


def send_certificate(
    link: Link[Any],
    identity: Identity | None,
    context: bytes,
    *,
    raw: bool = False,
    ocsp: bool = False,
    algorithms: tuple[int, ...] = (),
) -> None:
    """Send the Certificate of an identity, an empty one without, compressed if the peer takes it so."""
    entries: list[tuple[bytes, dict[int, bytes]]] = []
    if identity is not None and raw:
        entries = [(identity.key.public.spki(), {})]
    elif identity is not None:
        entries = [(der, {}) for der in identity.chain]
        if ocsp and identity.ocsp is not None:
            entries[0][1][Ext.STATUS_REQUEST] = write_ocsp(identity.ocsp)
    plain = certificate_13(context, entries)
    for name in link.config.certificate_compression if entries and not raw else ():
        code = compression.ALGORITHMS[name]
        if code in algorithms:
            body = plain[4:]
            link.send(compressed_certificate(code, len(body), compression.compress(name, body)))
            return
    link.send(plain)


def send_verify(link: Link[Any], identity: Identity, scheme: Scheme, *, server: bool) -> None:
    """Send the CertificateVerify over the transcript so far."""
    signed = _CONTEXT[server] + link.transcript.digest()
    link.send(certificate_verify(scheme.code, identity.key.sign(scheme.scheme, signed)))


def receive_certificate(
    message: Message, link: Link[Any], context: bytes, *, server: bool, raw: bool, ocsp: bool
) -> PublicKey | None:
    """The key in the peer's Certificate, or None if it has none to show; the facts of the link are set.

    The authenticator is asked before the signature is checked: both must be right before anything is believed.
    """
    link.transcript.add(message.raw)
    body = message.body
    if message.kind == Msg.COMPRESSED_CERTIFICATE:
        code, length, data = read_compressed_certificate(body)
        algorithm = compression.NAMES.get(code, "")
        if algorithm not in link.config.certificate_compression:
            raise PeerMisbehaved("a certificate compressed in a way that was not offered")
        body = compression.decompress(algorithm, data, length, link.config.max_handshake)
    found, entries = read_certificate_13(body)
    if found != context:
        raise PeerMisbehaved("a Certificate with another context than was asked for")
    if not entries:
        return None
    for index, (_, items) in enumerate(entries):
        if any(kind != Ext.STATUS_REQUEST or not ocsp for kind in items):
            raise PeerMisbehaved("an extension with a certificate that was not asked for", Alert.UNSUPPORTED_EXTENSION)
        if items and not index:
            link.ocsp = read_ocsp(items[Ext.STATUS_REQUEST])
    config, role = link.config, "server" if server else "client"
    name = link.name if server else None
    if raw:
        if len(entries) != 1:
            raise PeerMisbehaved("one raw public key is sent, not several")
        link.peer_key = entries[0][0]
        return trust.judge_key(config.authenticator, link.peer_key, name=name, role=role, now=link.now)
    link.peer_chain = trust.read_chain([der for der, _ in entries])
    return trust.judge(config.authenticator, link.peer_chain, name=name, role=role, now=link.now, ocsp=link.ocsp)


def check_verify(message: Message, link: Link[Any], key: PublicKey, *, server: bool) -> None:
    """The peer has signed the transcript with the key of its certificate. Raises `PeerMisbehaved`."""
    code, signature = read_certificate_verify(message.body)
    scheme = link.config.schemes_by_code.get(code)
    if scheme is None or not scheme.fits(key, TLS13):
        raise PeerMisbehaved(f"a signature of the scheme {code:#06x}, which was not offered or is not of this key")
    try:
        key.verify(scheme.scheme, signature, _CONTEXT[server] + link.transcript.digest())
    except CryptoError:
        raise PeerMisbehaved("the peer's signature is not right", Alert.DECRYPT_ERROR) from None
    link.scheme = scheme
    link.transcript.add(message.raw)


def no_certificate() -> PeerUntrusted:
    """The failure for a client that had to show a certificate, and has none (RFC 8446 4.4.2.4)."""
    return PeerUntrusted("the client has no certificate, and must show one", Alert.CERTIFICATE_REQUIRED, "missing")
