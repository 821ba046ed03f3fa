"""Certificates (RFC 5280 4.1), decoded as far as they are asked."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from mirage.asn1 import Asn1Error, Chosen, Limits, Oid
from mirage.crypto import SHA256, HashAlgorithm, PublicKey

from . import extensions as ext
from ._schema import SIGNED, SPKI, TBS, Extension
from .algorithms import load_key, verify
from .errors import InvalidEncoding
from .extensions import AuthorityKeyIdentifier, BasicConstraints, NameConstraints
from .names import Name, name_of
from .pem import decode_pem, encode_pem

__all__ = ["Certificate"]

MAX_SIZE = 1 << 20
"""Octets of one certificate at the most. Real ones have 500 to 4,000; a few with many names have 100,000."""

_LIMITS = Limits(size=MAX_SIZE, count=50_000)
_ABSENT = object()


class Certificate:
    """A certificate. `decode` checks its outline; names, key and extensions are decoded, and kept, on first use.

    So any property may raise `InvalidEncoding`. Equal and hashable by its octets. Do not change it.
    """

    def __init__(self, der: bytes) -> None:
        """As `decode`."""
        try:
            signed = SIGNED.decode(der, limits=_LIMITS)
            tbs = TBS.decode(signed.tbs, limits=_LIMITS)
        except Asn1Error as error:
            raise InvalidEncoding(f"no certificate: {error}") from None
        self.der = der if type(der) is bytes else bytes(der)
        self.tbs = signed.tbs
        """What the issuer signed."""
        self.signature_algorithm = signed.algorithm
        """The AlgorithmIdentifier of the signature, in DER."""
        self.signature = signed.signature.octets
        self.fields = tbs
        self.serial = tbs.serial
        self.not_before: datetime = tbs.validity.not_before
        self.not_after: datetime = tbs.validity.not_after
        self.extensions: list[Extension] = tbs.extensions or []
        # The first of two with one identifier; validation refuses both.
        self._encoded = {each.oid: each.value for each in reversed(self.extensions)}
        self._by_oid: dict[str, Any] = {}
        self._subject: Name | None = None
        self._issuer: Name | None = None
        self.passed: set[object] = set()
        """The checks of it alone that it passed, which need not be made again: trust anchors are checked often."""

    @classmethod
    def decode(cls, der: bytes) -> Certificate:
        """The certificate with this DER encoding. Raises `InvalidEncoding`."""
        return cls(der)

    @classmethod
    def decode_pem(cls, text: bytes | str) -> list[Certificate]:
        """The certificates in a PEM text, in its order; other blocks are passed over. Raises `InvalidEncoding`."""
        labels = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")
        return [cls(block.data) for block in decode_pem(text) if block.label in labels[:2]]

    @classmethod
    def load(cls, path: str | Path) -> list[Certificate]:
        """The certificates in a file, PEM or DER. Raises `InvalidEncoding`, `OSError`."""
        data = Path(path).read_bytes()
        return cls.decode_pem(data) if b"-----BEGIN " in data else [cls(data)]

    def pem(self) -> str:
        """The certificate as PEM."""
        return encode_pem("CERTIFICATE", self.der)

    # Who and what.

    @property
    def version(self) -> int:
        """1, 2 or 3."""
        return self.fields.version + 1

    @property
    def subject(self) -> Name:
        """Whom it is about."""
        if self._subject is None:
            self._subject = name_of(self.fields.subject)
        return self._subject

    @property
    def issuer(self) -> Name:
        """Who signed it."""
        if self._issuer is None:
            self._issuer = name_of(self.fields.issuer)
        return self._issuer

    @property
    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo, in DER."""
        return self.fields.spki

    @property
    def key_octets(self) -> bytes:
        """The bits of the key alone, which key identifiers and OCSP hash. Raises `InvalidEncoding`."""
        try:
            return SPKI.decode(self.fields.spki).key.octets
        except Asn1Error as error:
            raise InvalidEncoding(f"the public key of {self!r}: {error}") from None

    @property
    def public_key(self) -> PublicKey:
        """The key. Raises `ValidationError` (weak-key) for one that is broken or of an unknown kind."""
        return load_key(self.fields.spki)

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer are the same name, not empty."""
        fields = self.fields
        return (fields.subject == fields.issuer or self.subject == self.issuer) and not self.subject.empty

    def fingerprint(self, algorithm: HashAlgorithm = SHA256) -> bytes:
        """The hash of the certificate."""
        return algorithm.digest(self.der)

    def key_fingerprint(self, algorithm: HashAlgorithm = SHA256) -> bytes:
        """The hash of the SubjectPublicKeyInfo, which outlives a renewal with the same key."""
        return algorithm.digest(self.fields.spki)

    def check_signature(self, issuer: PublicKey) -> None:
        """Return if `issuer` signed this. Raises `ValidationError`: bad-signature, weak-signature, bad-certificate."""
        verify(issuer, self.signature_algorithm, self.signature, self.tbs)

    # Extensions.

    def extension(self, oid: Oid) -> Any:
        """The value of an extension, None where it is absent.

        Raises `InvalidEncoding`, `KeyError` for an unknown one.
        """
        value = self._by_oid.get(oid, _ABSENT)
        if value is _ABSENT:
            grammar, encoded = ext.GRAMMARS[oid], self._encoded.get(oid)
            if encoded is None:
                return None
            try:
                value = grammar.decode(encoded, limits=_LIMITS)
            except Asn1Error as error:
                # Not the name of `self`, which may be in this very extension.
                raise InvalidEncoding(f"extension {oid} of a certificate: {error}") from None
            self._by_oid[oid] = value
        return value

    def has(self, oid: Oid) -> bool:
        """Whether it has an extension, readable or not."""
        return oid in self._encoded

    @property
    def basic_constraints(self) -> BasicConstraints | None:
        """Whether it is a CA's, and the longest path below it."""
        found: BasicConstraints | None = self.extension(ext.BASIC_CONSTRAINTS)
        return found

    @property
    def is_ca(self) -> bool:
        """Whether it says that its key signs certificates."""
        found = self.basic_constraints
        return found is not None and found.ca

    @property
    def key_usage(self) -> frozenset[str] | None:
        """What the key is for, None where it does not say."""
        found: frozenset[str] | None = self.extension(ext.KEY_USAGE)
        return found

    @property
    def purposes(self) -> list[Oid] | None:
        """The extended key usages, None where it does not say."""
        found: list[Oid] | None = self.extension(ext.EXTENDED_KEY_USAGE)
        return found

    @property
    def alt_names(self) -> list[Chosen]:
        """The names in subjectAltName."""
        found: list[Chosen] | None = self.extension(ext.SUBJECT_ALT_NAME)
        return found or []

    @property
    def dns_names(self) -> list[str]:
        """The DNS names among them."""
        return [name.value for name in self.alt_names if name.name == "dns"]

    @property
    def name_constraints(self) -> NameConstraints | None:
        """The names that certificates below it may have."""
        found: NameConstraints | None = self.extension(ext.NAME_CONSTRAINTS)
        return found

    @property
    def subject_key_id(self) -> bytes | None:
        """The identifier of its key."""
        found: bytes | None = self.extension(ext.SUBJECT_KEY_IDENTIFIER)
        return found

    @property
    def authority_key_id(self) -> AuthorityKeyIdentifier | None:
        """The identifier of the issuer's key."""
        found: AuthorityKeyIdentifier | None = self.extension(ext.AUTHORITY_KEY_IDENTIFIER)
        return found

    @property
    def must_staple(self) -> bool:
        """Whether a TLS server with it has to send an OCSP response (RFC 7633; feature 5 is status_request)."""
        return 5 in (self.extension(ext.TLS_FEATURE) or ())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __repr__(self) -> str:
        try:
            who = str(self.subject) or next((str(n.value) for n in self.alt_names), "no name")
        except InvalidEncoding:
            who = "a name that cannot be read"
        return f"<certificate of {who[:100]}>"
