"""Signature algorithms: from an AlgorithmIdentifier to a scheme and back (RFC 3279, 4055, 5758, 8410)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from mirage.asn1 import Asn1Error, Oid, default, explicit, integer, sequence
from mirage.crypto import (
    ECDSA_SHA1,
    ECDSA_SHA224,
    ECDSA_SHA256,
    ECDSA_SHA384,
    ECDSA_SHA512,
    ED448,
    ED25519,
    RSA_PKCS1_SHA1,
    RSA_PKCS1_SHA224,
    RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512,
    RSA_PSS_SHA256,
    RSA_PSS_SHA384,
    RSA_PSS_SHA512,
    CryptoError,
    InvalidKey,
    PrivateKey,
    PublicKey,
    SignatureScheme,
)

from ._schema import ALGORITHM, SPKI, Algorithm
from .errors import UnusableInput, ValidationError

__all__ = ["encode_scheme", "key_name", "load_key", "scheme_for", "scheme_of", "verify"]

_NULL = b"\x05\x00"
_RSA = "1.2.840.113549.1.1."
_ECDSA = "1.2.840.10045.4."
_EC_KEY = Oid("1.2.840.10045.2.1")
_PSS = Oid(_RSA + "10")
_MGF1 = Oid(_RSA + "8")

_SCHEMES = {
    Oid(_RSA + "5"): RSA_PKCS1_SHA1,
    Oid(_RSA + "14"): RSA_PKCS1_SHA224,
    Oid(_RSA + "11"): RSA_PKCS1_SHA256,
    Oid(_RSA + "12"): RSA_PKCS1_SHA384,
    Oid(_RSA + "13"): RSA_PKCS1_SHA512,
    Oid(_ECDSA + "1"): ECDSA_SHA1,
    Oid(_ECDSA + "3.1"): ECDSA_SHA224,
    Oid(_ECDSA + "3.2"): ECDSA_SHA256,
    Oid(_ECDSA + "3.3"): ECDSA_SHA384,
    Oid(_ECDSA + "3.4"): ECDSA_SHA512,
    Oid("1.3.101.112"): ED25519,
    Oid("1.3.101.113"): ED448,
}
_HASHES = {
    Oid("2.16.840.1.101.3.4.2.1"): RSA_PSS_SHA256,
    Oid("2.16.840.1.101.3.4.2.2"): RSA_PSS_SHA384,
    Oid("2.16.840.1.101.3.4.2.3"): RSA_PSS_SHA512,
}
_WEAK = {Oid(_RSA + "2"): "MD2", Oid(_RSA + "4"): "MD5"}


class _PssParameters(NamedTuple):
    hash: Algorithm
    mask: Algorithm
    salt: int
    trailer: int


_SHA1 = Algorithm(Oid("1.3.14.3.2.26"), _NULL)
_PSS_PARAMETERS = sequence(
    _PssParameters,
    hash=default(explicit(0, ALGORITHM), _SHA1),
    mask=default(explicit(1, ALGORITHM), Algorithm(_MGF1, ALGORITHM.encode(_SHA1))),
    salt=default(explicit(2, integer), 20),
    trailer=default(explicit(3, integer), 1),
)
"""RSASSA-PSS-params (RFC 4055 3.1)."""


@lru_cache(maxsize=256)
def scheme_of(octets: bytes) -> SignatureScheme:
    """The scheme that an AlgorithmIdentifier names.

    Raises `ValidationError` (weak-signature) for any that is not taken.
    """
    try:
        found = ALGORITHM.decode(octets)
    except Asn1Error as error:
        raise ValidationError("bad-certificate", f"a signature algorithm that cannot be read: {error}") from None
    if found.algorithm == _PSS:
        return _pss_scheme(found.parameters)
    scheme = _SCHEMES.get(found.algorithm)
    if scheme is None:
        name = _WEAK.get(found.algorithm, f"{found.algorithm}, which is not known here")
        raise ValidationError("weak-signature", f"the signature uses {name}; have it signed with SHA-256")
    # RFC 4055 2.1, RFC 5758 3.2, RFC 8410 3: NULL for PKCS #1 (some leave it out), nothing for all others.
    if found.parameters is not None and not (scheme.kind == "rsa-pkcs1" and found.parameters == _NULL):
        raise ValidationError("bad-certificate", f"{scheme.name} with parameters, which it does not have")
    return scheme


def _pss_scheme(parameters: bytes | None) -> SignatureScheme:
    try:
        found = _PSS_PARAMETERS.decode(parameters or b"")
        mask = ALGORITHM.decode(found.mask.parameters or b"")
    except Asn1Error as error:
        raise ValidationError("bad-certificate", f"RSASSA-PSS parameters that cannot be read: {error}") from None
    scheme = _HASHES.get(found.hash.algorithm)
    if scheme is None or scheme.hash is None:
        raise ValidationError("weak-signature", "RSASSA-PSS with a hash that is not SHA-256, SHA-384 or SHA-512")
    good_mask = found.mask.algorithm == _MGF1 and mask.algorithm == found.hash.algorithm
    if not good_mask or found.salt != scheme.hash.digest_size or found.trailer != 1:
        # CA/Browser Forum 7.1.3.2.1 allows these parameters only.
        raise ValidationError("weak-signature", f"RSASSA-PSS whose mask or salt does not go with {scheme.hash.name}")
    return scheme


def encode_scheme(scheme: SignatureScheme) -> bytes:
    """The AlgorithmIdentifier of a scheme."""
    for oid, each in _SCHEMES.items():
        if each == scheme:
            return ALGORITHM.encode(Algorithm(oid, _NULL if scheme.kind == "rsa-pkcs1" else None))
    for oid, each in _HASHES.items():
        if each == scheme and scheme.hash is not None:
            digest = Algorithm(oid, _NULL)
            mask = Algorithm(_MGF1, ALGORITHM.encode(digest))
            parameters = _PSS_PARAMETERS.encode(_PssParameters(digest, mask, scheme.hash.digest_size, 1))
            return ALGORITHM.encode(Algorithm(_PSS, parameters))
    raise UnusableInput(f"{scheme.name} has no place in a certificate")


def scheme_for(key: PrivateKey) -> SignatureScheme:
    """The scheme with which a key signs unless told otherwise: the hash goes with the curve, SHA-256 with RSA."""
    curves = {"secp384r1": ECDSA_SHA384, "secp521r1": ECDSA_SHA512}
    if key.public.kind == "rsa":
        return RSA_PKCS1_SHA256 if RSA_PKCS1_SHA256 in key.schemes() else RSA_PSS_SHA256
    if key.public.kind == "ec":
        return curves.get(key.public.curve or "", ECDSA_SHA256)
    return ED25519 if key.public.kind == "ed25519" else ED448


def verify(key: PublicKey, algorithm: bytes, signature: bytes, message: bytes) -> None:
    """Return if `signature` is right. Raises `ValidationError`: bad-signature, weak-signature, bad-certificate."""
    scheme = scheme_of(algorithm)
    if scheme.hash is not None and scheme.hash.name == "sha1":
        raise ValidationError("weak-signature", "the signature uses SHA-1; have it signed with SHA-256")
    try:
        key.verify(scheme, signature, message)
    except CryptoError as error:
        raise ValidationError("bad-signature", f"{error}; the issuer did not sign this") from None


@lru_cache(maxsize=256)
def load_key(spki: bytes) -> PublicKey:
    """The key; the last ones are kept, as loading costs as much as verifying. Raises `ValidationError`."""
    try:
        algorithm = SPKI.decode(spki).algorithm
    except Asn1Error as error:
        raise ValidationError("bad-certificate", f"a public key that cannot be read: {error}") from None
    if algorithm.algorithm == _EC_KEY and (algorithm.parameters or b"")[:1] != b"\x06":
        # RFC 5480 2.1.1: a curve that is spelt out may have been made for the occasion (CVE-2020-0601).
        raise ValidationError("weak-key", "a key on a curve that is not named; use P-256, P-384 or P-521")
    try:
        return PublicKey.from_spki(spki)
    except InvalidKey as error:
        raise ValidationError("weak-key", str(error)) from None
    except CryptoError as error:
        raise ValidationError("weak-key", f"{error}; use RSA, ECDSA or EdDSA") from None


def key_name(key: PublicKey) -> str:
    """A key in words: ``RSA 2048``, ``ECDSA P-256``."""
    curves = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
    if key.kind == "rsa":
        return f"RSA {key.bits}"
    if key.kind == "ec":
        return f"ECDSA {curves.get(key.curve or '', key.curve)}"
    return {"ed25519": "Ed25519", "ed448": "Ed448"}[key.kind]
