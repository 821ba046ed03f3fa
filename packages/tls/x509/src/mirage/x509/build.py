"""Making certificates: of CAs, servers and clients, such that every profile accepts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mirage.asn1 import Asn1Error, BitString, Chosen, Oid
from mirage.crypto import SHA256, PrivateKey, PublicKey, SignatureScheme

from . import extensions as ext
from ._schema import SIGNED, SPKI, TBS, Extension, SignedData, Tbs, Validity
from .algorithms import encode_scheme, scheme_for
from .certificate import Certificate
from .errors import UnusableInput
from .extensions import PURPOSES, AuthorityKeyIdentifier, BasicConstraints, GeneralSubtree, NameConstraints
from .names import Name, general_name

__all__ = ["Identity", "build", "extension", "key_id", "make_ca", "make_client", "make_server", "sign"]


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key: what a CA signs with, and what a server shows."""

    certificate: Certificate
    key: PrivateKey

    def __post_init__(self) -> None:
        if self.certificate.public_key != self.key.public:
            raise UnusableInput(f"the key is not that of {self.certificate!r}; give the two that were made together")

    def pem(self, *chain: Certificate) -> str:
        """One PEM text: the certificate, its chain, and the key in PKCS #8."""
        return "".join((self.certificate.pem(), *(each.pem() for each in chain), self.key.to_pem().decode()))


def key_id(key: PublicKey) -> bytes:
    """The key's identifier: the first 20 octets of the SHA-256 of its bits (RFC 7093 2, method 1)."""
    return SHA256.digest(SPKI.decode(key.spki()).key.octets)[:20]


def extension(oid: Oid, value: Any, critical: bool = False) -> Extension:
    """An extension with its value encoded. Raises `UnusableInput`, `KeyError` for one that is not known here."""
    try:
        return Extension(oid, critical, ext.GRAMMARS[oid].encode(value))
    except Asn1Error as error:
        raise UnusableInput(f"extension {oid}: {error}") from None


def sign(tbs: bytes, key: PrivateKey, scheme: SignatureScheme | None = None) -> bytes:
    """What is to be signed (which names the algorithm already), with its signature: RFC 5280 4.1.1."""
    scheme = scheme or scheme_for(key)
    signature = key.sign(scheme, tbs)
    return SIGNED.encode(SignedData(tbs, encode_scheme(scheme), BitString(signature)))


def build(
    subject: Name,
    key: PublicKey,
    signer: PrivateKey,
    *,
    issuer: Name,
    not_before: datetime,
    not_after: datetime,
    extensions: Sequence[Extension],
    serial: int | None = None,
    scheme: SignatureScheme | None = None,
) -> Certificate:
    """A certificate with just these parts. Raises `UnusableInput`.

    Without `serial` it is made from a hash of all else, so that two certificates that differ have two numbers.
    """
    if not_after < not_before:
        raise UnusableInput("the certificate would end before it begins")
    scheme = scheme or scheme_for(signer)
    validity = Validity(not_before.replace(microsecond=0), not_after.replace(microsecond=0))
    fields = Tbs(
        version=2,
        serial=serial or 1,
        signature=encode_scheme(scheme),
        issuer=issuer.der,
        validity=validity,
        subject=subject.der,
        spki=key.spki(),
        issuer_id=None,
        subject_id=None,
        extensions=list(extensions) or None,
    )
    try:
        if serial is None:
            digest = SHA256.digest(TBS.encode(fields))
            fields = fields._replace(serial=int.from_bytes(digest[:19], "big") | 1 << 150)
        tbs = TBS.encode(fields)
    except Asn1Error as error:
        raise UnusableInput(f"no certificate can be made of this: {error}") from None
    return Certificate(sign(tbs, signer, scheme))


def _identifiers(key: PublicKey, issuer: PublicKey, issuer_certificate: Certificate | None) -> list[Extension]:
    found = issuer_certificate.subject_key_id if issuer_certificate is not None else None
    return [
        extension(ext.SUBJECT_KEY_IDENTIFIER, key_id(key)),
        extension(ext.AUTHORITY_KEY_IDENTIFIER, AuthorityKeyIdentifier(found or key_id(issuer))),
    ]


def make_ca(
    subject: Name | str,
    key: PrivateKey,
    *,
    not_before: datetime,
    not_after: datetime,
    issuer: Identity | None = None,
    path_length: int | None = None,
    permitted: Sequence[str] = (),
    serial: int | None = None,
) -> Identity:
    """A CA: a root, or under `issuer`. `permitted` are the only names that it may certify. Raises `UnusableInput`."""
    name = Name.parse(subject) if isinstance(subject, str) else subject
    if name.empty:
        raise UnusableInput("a CA needs a name (RFC 5280 4.1.2.6)")
    extensions = [
        extension(ext.BASIC_CONSTRAINTS, BasicConstraints(True, path_length), critical=True),
        extension(ext.KEY_USAGE, frozenset(("keyCertSign", "cRLSign")), critical=True),
        *_identifiers(key.public, (issuer.key if issuer else key).public, issuer.certificate if issuer else None),
    ]
    if permitted:
        subtrees = [GeneralSubtree(_subtree(text)) for text in permitted]
        extensions.append(extension(ext.NAME_CONSTRAINTS, NameConstraints(subtrees), critical=True))
    certificate = build(
        name,
        key.public,
        issuer.key if issuer else key,
        issuer=issuer.certificate.subject if issuer else name,
        not_before=not_before,
        not_after=not_after,
        extensions=extensions,
        serial=serial,
    )
    return Identity(certificate, key)


def _subtree(text: str) -> Chosen:
    import ipaddress

    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return general_name(text)
    return Chosen("ip", network.network_address.packed + network.netmask.packed)


def make_server(
    names: Sequence[str],
    key: PublicKey,
    issuer: Identity,
    *,
    not_before: datetime,
    not_after: datetime,
    serial: int | None = None,
    more: Sequence[Extension] = (),
) -> Certificate:
    """The certificate of a server with these DNS names and IP addresses. Raises `UnusableInput`.

    `more` are further extensions, such as a `TLS_FEATURE`.
    """
    if not names:
        raise UnusableInput("a server's certificate needs a name: its DNS name or IP address")
    found = [general_name(name) for name in names]
    for text, name in zip(names, found, strict=True):
        if name.name not in ("dns", "ip"):
            raise UnusableInput(f"{text!r} is no DNS name or IP address")
    usage = {"digitalSignature", "keyEncipherment"} if key.kind == "rsa" else {"digitalSignature"}
    return _end_entity(
        Name.build(),
        [
            extension(ext.KEY_USAGE, frozenset(usage), critical=True),
            extension(ext.EXTENDED_KEY_USAGE, [PURPOSES["serverAuth"]]),
            extension(ext.SUBJECT_ALT_NAME, found, critical=True),
            *more,
        ],
        key,
        issuer,
        not_before,
        not_after,
        serial,
    )


def make_client(
    subject: Name | str,
    key: PublicKey,
    issuer: Identity,
    *,
    not_before: datetime,
    not_after: datetime,
    names: Sequence[str] = (),
    serial: int | None = None,
) -> Certificate:
    """The certificate of a client, with a subject and perhaps email addresses and other names."""
    name = Name.parse(subject) if isinstance(subject, str) else subject
    extensions = [
        extension(ext.KEY_USAGE, frozenset(("digitalSignature",)), critical=True),
        extension(ext.EXTENDED_KEY_USAGE, [PURPOSES["clientAuth"]]),
    ]
    if names:
        extensions.append(extension(ext.SUBJECT_ALT_NAME, [general_name(n) for n in names], critical=name.empty))
    return _end_entity(name, extensions, key, issuer, not_before, not_after, serial)


def _end_entity(
    subject: Name,
    extensions: Sequence[Extension],
    key: PublicKey,
    issuer: Identity,
    not_before: datetime,
    not_after: datetime,
    serial: int | None,
) -> Certificate:
    if not issuer.certificate.is_ca:
        raise UnusableInput(f"{issuer.certificate!r} is not a CA's, so nobody would accept what it signs")
    return build(
        subject,
        key,
        issuer.key,
        issuer=issuer.certificate.subject,
        not_before=not_before,
        not_after=not_after,
        serial=serial,
        extensions=[
            extension(ext.BASIC_CONSTRAINTS, BasicConstraints(), critical=True),
            *extensions,
            *_identifiers(key, issuer.key.public, issuer.certificate),
        ],
    )
