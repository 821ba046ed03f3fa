"""Signature schemes as values: what is done with a key, apart from the key.

An ECDSA scheme goes with every curve; a protocol that ties hash and curve (TLS 1.3) checks that itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding

from .hashes import SHA1, SHA224, SHA256, SHA384, SHA512, HashAlgorithm

__all__ = [
    "ECDSA_SHA1",
    "ECDSA_SHA224",
    "ECDSA_SHA256",
    "ECDSA_SHA384",
    "ECDSA_SHA512",
    "ED448",
    "ED25519",
    "RSA_PKCS1_SHA1",
    "RSA_PKCS1_SHA224",
    "RSA_PKCS1_SHA256",
    "RSA_PKCS1_SHA384",
    "RSA_PKCS1_SHA512",
    "RSA_PSS_SHA256",
    "RSA_PSS_SHA384",
    "RSA_PSS_SHA512",
    "SCHEMES",
    "SignatureScheme",
]


@dataclass(frozen=True, slots=True)
class SignatureScheme:
    """A scheme. `kind` is rsa-pkcs1, rsa-pss (salt as long as the hash, MGF1 with it), ecdsa, ed25519 or ed448."""

    name: str
    kind: str
    hash: HashAlgorithm | None
    arguments: tuple[Any, ...] = field(compare=False, repr=False)
    """What the library's `verify` takes after the message."""

    @property
    def key_kind(self) -> str:
        """The kind of key it goes with, as `PublicKey.kind`."""
        return {"rsa-pkcs1": "rsa", "rsa-pss": "rsa", "ecdsa": "ec"}.get(self.kind, self.kind)


def _pkcs1(algorithm: HashAlgorithm) -> SignatureScheme:
    arguments = (padding.PKCS1v15(), algorithm.pyca)
    return SignatureScheme(f"rsa-pkcs1-{algorithm.name}", "rsa-pkcs1", algorithm, arguments)


def _pss(algorithm: HashAlgorithm) -> SignatureScheme:
    scheme = padding.PSS(mgf=padding.MGF1(algorithm.pyca), salt_length=algorithm.digest_size)
    return SignatureScheme(f"rsa-pss-{algorithm.name}", "rsa-pss", algorithm, (scheme, algorithm.pyca))


def _ecdsa(algorithm: HashAlgorithm) -> SignatureScheme:
    return SignatureScheme(f"ecdsa-{algorithm.name}", "ecdsa", algorithm, (ec.ECDSA(algorithm.pyca),))


RSA_PKCS1_SHA1 = _pkcs1(SHA1)
RSA_PKCS1_SHA224 = _pkcs1(SHA224)
RSA_PKCS1_SHA256 = _pkcs1(SHA256)
RSA_PKCS1_SHA384 = _pkcs1(SHA384)
RSA_PKCS1_SHA512 = _pkcs1(SHA512)
RSA_PSS_SHA256 = _pss(SHA256)
RSA_PSS_SHA384 = _pss(SHA384)
RSA_PSS_SHA512 = _pss(SHA512)
ECDSA_SHA1 = _ecdsa(SHA1)
ECDSA_SHA224 = _ecdsa(SHA224)
ECDSA_SHA256 = _ecdsa(SHA256)
ECDSA_SHA384 = _ecdsa(SHA384)
ECDSA_SHA512 = _ecdsa(SHA512)
ED25519 = SignatureScheme("ed25519", "ed25519", None, ())
ED448 = SignatureScheme("ed448", "ed448", None, ())

SCHEMES = (
    *(ECDSA_SHA256, ECDSA_SHA384, ECDSA_SHA512, ED25519, ED448),
    *(RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512),
    *(RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512),
    *(ECDSA_SHA224, RSA_PKCS1_SHA224, ECDSA_SHA1, RSA_PKCS1_SHA1),
)
"""All of them, the better ones first."""
