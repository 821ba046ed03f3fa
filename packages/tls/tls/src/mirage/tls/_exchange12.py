"""What both roles of TLS 1.2 share: secrets, Finished, and signatures (RFC 5246, RFC 7627, RFC 8422)."""

from __future__ import annotations

from typing import Any

from mirage.crypto import CryptoError, PublicKey, equal

from ._alerts import Alert
from ._constants import TLS12, Scheme, Suite
from ._link import Link, Message
from ._messages import finished
from ._schedule import keys_12, prf
from .errors import PeerMisbehaved

__all__ = ["check_finished", "check_signature", "keys", "master_secret_12", "secrets", "send_finished"]


def master_secret_12(suite: Suite, shared: bytes, session_hash: bytes) -> bytes:
    """The master secret over the whole transcript (RFC 7627 4): no other form is spoken here."""
    return prf(suite.hash, shared, b"extended master secret", session_hash, 48)


def secrets(link: Link[Any], master: bytes) -> None:
    """The master secret is known."""
    link.exporter_secret = master
    link.log("CLIENT_RANDOM", master)


def keys(link: Link[Any]) -> tuple[Any, Any]:
    """The keys with which client and server write."""
    return keys_12(link.suite, link.exporter_secret, link.client_random, link.server_random)


def send_finished(link: Link[Any], label: bytes, own: Any) -> None:
    """ChangeCipherSpec, the new keys, and Finished (RFC 5246 7.4.9)."""
    verify = prf(link.suite.hash, link.exporter_secret, label, link.transcript.digest(), 12)
    link.send_ccs()
    link.write_keys(own)
    link.first_finished = link.first_finished or verify
    link.send(finished(verify))
    link.flush()


def check_finished(message: Message, link: Link[Any], label: bytes) -> None:
    """The peer's Finished. Raises `PeerMisbehaved`."""
    verify = prf(link.suite.hash, link.exporter_secret, label, link.transcript.digest(), 12)
    if not equal(message.body, verify):
        raise PeerMisbehaved("the peer's Finished is not right", Alert.DECRYPT_ERROR)
    link.first_finished = link.first_finished or verify
    link.transcript.add(message.raw)


def check_signature(link: Link[Any], key: PublicKey, code: int, signature: bytes, signed: bytes) -> Scheme:
    """A signature of the handshake. Raises `PeerMisbehaved`."""
    scheme: Scheme | None = link.config.schemes_by_code.get(code)
    if scheme is None or not scheme.fits(key, TLS12):
        raise PeerMisbehaved(f"a signature of the scheme {code:#06x}, which was not offered or is not of this key")
    try:
        key.verify(scheme.scheme, signature, signed)
    except CryptoError:
        raise PeerMisbehaved("the peer's signature is not right", Alert.DECRYPT_ERROR) from None
    return scheme
