"""The one place that speaks to `mirage.x509`: certificates are read here, and the authenticator is asked."""

from __future__ import annotations

from collections.abc import Sequence

from mirage.crypto import SHA256, SHA384, SHA512, CryptoError, PublicKey
from mirage.x509 import Authenticator, Certificate, ChainOfTrust, ValidationError, X509Error

from ._alerts import Alert
from .errors import ConfigurationError, PeerMisbehaved, PeerUntrusted

__all__ = ["dns_names", "end_point", "judge", "judge_key", "needs_name", "read_chain", "read_own_chain"]

_ALERTS = {
    "certificate-required": Alert.CERTIFICATE_REQUIRED,
    "expired": Alert.CERTIFICATE_EXPIRED,
    "not-yet-valid": Alert.CERTIFICATE_EXPIRED,
    "unknown-issuer": Alert.UNKNOWN_CA,
    "revoked": Alert.CERTIFICATE_REVOKED,
    "revocation-unknown": Alert.BAD_CERTIFICATE_STATUS_RESPONSE,
    "bad-purpose": Alert.UNSUPPORTED_CERTIFICATE,
    "weak-key": Alert.UNSUPPORTED_CERTIFICATE,
    "weak-signature": Alert.UNSUPPORTED_CERTIFICATE,
    "policy": Alert.CERTIFICATE_UNKNOWN,
    "fingerprint-mismatch": Alert.CERTIFICATE_UNKNOWN,
}
"""For a reason of `ValidationError` what the peer is told; bad_certificate for the rest."""


def read_own_chain(chain: Sequence[bytes]) -> list[Certificate]:
    """Certificates of ours. Raises `ConfigurationError`."""
    try:
        return [Certificate.decode(der) for der in chain]
    except X509Error as error:
        raise ConfigurationError(f"the chain has octets that are no certificate: {error}") from None


def dns_names(certificate: Certificate) -> tuple[str, ...]:
    """The DNS names of a certificate, in lower case."""
    try:
        return tuple(name.lower() for name in certificate.dns_names)
    except X509Error as error:
        raise ConfigurationError(f"the certificate's names cannot be read: {error}") from None


def read_chain(chain: Sequence[bytes]) -> tuple[Certificate, ...]:
    """The peer's certificates. Raises `PeerMisbehaved`."""
    try:
        return tuple([Certificate.decode(der) for der in chain])
    except X509Error as error:
        raise PeerMisbehaved(f"the peer's certificate cannot be read: {error}", Alert.BAD_CERTIFICATE) from None


def needs_name(authenticator: Authenticator) -> bool:
    """Whether an authenticator is of no use to a client without the server's name."""
    return isinstance(authenticator, ChainOfTrust)


def judge(
    authenticator: Authenticator,
    chain: Sequence[Certificate],
    *,
    name: str | None,
    role: str,
    now: float,
    ocsp: bytes | None,
) -> PublicKey:
    """The key that the peer must prove to have, once the authenticator has accepted it. Raises `PeerUntrusted`."""
    try:
        found = authenticator(chain, name=name, role=role, now=now, ocsp=ocsp).public_key
        if found != chain[0].public_key:
            raise ConfigurationError(f"{authenticator!r} accepts another key than the first certificate's; repair it")
    except ValidationError as error:
        alert = _ALERTS.get(error.reason, Alert.BAD_CERTIFICATE)
        raise PeerUntrusted(str(error), alert, error.reason) from None
    except X509Error as error:
        raise PeerUntrusted(str(error), Alert.BAD_CERTIFICATE, "bad-certificate") from None
    return found


def judge_key(authenticator: Authenticator, spki: bytes, *, name: str | None, role: str, now: float) -> PublicKey:
    """The same for a raw public key (RFC 7250)."""
    try:
        key = PublicKey.from_spki(spki)
    except CryptoError as error:
        raise PeerMisbehaved(f"the peer's key cannot be read: {error}", Alert.BAD_CERTIFICATE) from None
    try:
        authenticator(key, name=name, role=role, now=now, ocsp=None)
    except X509Error as error:
        reason = error.reason if isinstance(error, ValidationError) else "bad-certificate"
        raise PeerUntrusted(str(error), _ALERTS.get(reason, Alert.BAD_CERTIFICATE), reason) from None
    return key


def end_point(certificate: Certificate) -> bytes:
    """The hash of a server's certificate, with that of its signature, or SHA-256 for weaker ones (RFC 5929 4.1)."""
    algorithm = certificate.signature_algorithm
    for oids, found in (
        (("2a864886f70d01010c", "2a8648ce3d040303"), SHA384),
        (("2a864886f70d01010d", "2a8648ce3d040304"), SHA512),
    ):
        if any(bytes.fromhex(oid) in algorithm[:16] for oid in oids):
            return found.digest(certificate.der)
    return SHA256.digest(certificate.der)
