"""PKCS #12 files (RFC 7292): a key, its certificate and others under a password, and PKCS #8 keys (RFC 5958) as well.

What is written: PBES2 with AES-256-CBC, and a MAC with HMAC-SHA-256, which OpenSSL 1.1 and later, Java 8u301 and later,
NSS, macOS 15 and Windows 10 (1709) and later read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from mirage.asn1 import (
    BER,
    Asn1Error,
    Limits,
    Oid,
    any_,
    bmp_string,
    default,
    explicit,
    implicit,
    integer,
    octet_string,
    oid,
    optional,
    sequence,
    sequence_of,
    set_of,
)
from mirage.crypto import SHA256, CryptoError, PrivateKey, equal, hmac

from ._pbes import HASHES, Effort, decrypt, encrypt, pkcs12_key
from ._schema import ALGORITHM, Algorithm
from .certificate import Certificate
from .errors import BadPassword, InvalidEncoding, UnusableInput

__all__ = ["Store", "decode_pkcs8", "decode_pkcs12", "encode_pkcs8", "encode_pkcs12"]

ITERATIONS = 100_000
"""Of PBKDF2, in what is written."""

MAC_ITERATIONS = 10_000
"""Of PKCS #12's derivation for the MAC, which takes longer and protects less."""

_LIMITS = Limits(size=16 << 20, count=10_000)
_DATA = Oid("1.2.840.113549.1.7.1")
_ENCRYPTED = Oid("1.2.840.113549.1.7.6")
_BAG = "1.2.840.113549.1.12.10.1."
_KEY_BAG, _SHROUDED_BAG, _CERTIFICATE_BAG = Oid(_BAG + "1"), Oid(_BAG + "2"), Oid(_BAG + "3")
_X509 = Oid("1.2.840.113549.1.9.22.1")
_FRIENDLY, _LOCAL_KEY = Oid("1.2.840.113549.1.9.20"), Oid("1.2.840.113549.1.9.21")


class _ContentInfo(NamedTuple):
    type: Oid
    content: bytes | None


class _DigestInfo(NamedTuple):
    algorithm: Algorithm
    digest: bytes


class _Mac(NamedTuple):
    digest: _DigestInfo
    salt: bytes
    iterations: int


class _Pfx(NamedTuple):
    version: int
    safe: _ContentInfo
    mac: _Mac | None


class _Encrypted(NamedTuple):
    type: Oid
    algorithm: Algorithm
    data: bytes | None


class _EncryptedData(NamedTuple):
    version: int
    content: _Encrypted


class _Attribute(NamedTuple):
    type: Oid
    values: list[bytes]


class _Bag(NamedTuple):
    type: Oid
    value: bytes
    attributes: list[_Attribute] | None


class _CertificateBag(NamedTuple):
    type: Oid
    data: bytes


class _EncryptedKey(NamedTuple):
    algorithm: Algorithm
    data: bytes


_CONTENT_INFO = sequence(_ContentInfo, type=oid, content=optional(explicit(0, any_)))
_PFX = sequence(
    _Pfx,
    version=integer,
    safe=_CONTENT_INFO,
    mac=optional(
        sequence(
            _Mac,
            digest=sequence(_DigestInfo, algorithm=ALGORITHM, digest=octet_string),
            salt=octet_string,
            iterations=default(integer, 1),
        )
    ),
)
_SAFE = sequence_of(_CONTENT_INFO, most=32)
_BAGS = sequence_of(
    sequence(
        _Bag,
        type=oid,
        value=explicit(0, any_),
        attributes=optional(set_of(sequence(_Attribute, type=oid, values=set_of(any_)))),
    ),
    most=1000,
)
_ENCRYPTED_DATA = sequence(
    _EncryptedData,
    version=integer,
    content=sequence(_Encrypted, type=oid, algorithm=ALGORITHM, data=optional(implicit(0, octet_string))),
)
_CERT = sequence(_CertificateBag, type=oid, data=explicit(0, octet_string))
_ENCRYPTED_KEY = sequence(_EncryptedKey, algorithm=ALGORITHM, data=octet_string)
"""EncryptedPrivateKeyInfo (RFC 5958 3)."""


@dataclass(frozen=True, slots=True)
class Store:
    """What a file holds: a key with its certificate, if any, and further certificates."""

    key: PrivateKey | None
    certificate: Certificate | None
    others: tuple[Certificate, ...] = ()
    name: str | None = None


def decode_pkcs8(der: bytes, password: str | None = None) -> PrivateKey:
    """The key in a PKCS #8 structure, encrypted if there is a password. Raises `InvalidEncoding`, `BadPassword`."""
    try:
        if password is not None:
            encrypted = _ENCRYPTED_KEY.decode(der, BER, _LIMITS)
            der = decrypt(encrypted.algorithm, encrypted.data, password.encode(), Effort())
        return PrivateKey.from_pkcs8(der)
    except (Asn1Error, CryptoError) as error:
        raise InvalidEncoding(f"no private key in PKCS #8: {error}") from None


def encode_pkcs8(key: PrivateKey, password: str, random: Callable[[int], bytes], iterations: int = ITERATIONS) -> bytes:
    """A key in PKCS #8, encrypted. `random` gives that many random octets."""
    return _ENCRYPTED_KEY.encode(_EncryptedKey(*encrypt(key.pkcs8(), password.encode(), random, iterations)))


class _Reader:
    def __init__(self, password: str) -> None:
        self.password = password
        self.effort = Effort()
        self.key: PrivateKey | None = None
        self.key_id: bytes | None = None
        self.name: str | None = None
        self.certificates: list[tuple[Certificate, bytes | None]] = []

    def safe(self, octets: bytes) -> None:
        for info in _SAFE.decode(octets, BER, _LIMITS):
            if info.content is None:
                continue
            if info.type == _DATA:
                self.bags(octet_string.decode(info.content, BER, _LIMITS))
            elif info.type == _ENCRYPTED:
                data = _ENCRYPTED_DATA.decode(info.content, BER, _LIMITS)
                clear = decrypt(data.content.algorithm, data.content.data or b"", self.password.encode(), self.effort)
                self.bags(clear)
            else:
                raise InvalidEncoding(f"a part of a PKCS #12 file of a type that is not read here: {info.type}")

    def bags(self, octets: bytes) -> None:
        for bag in _BAGS.decode(octets, BER, _LIMITS):
            attributes = {a.type: a.values[0] for a in bag.attributes or () if a.values}
            local = attributes.get(_LOCAL_KEY)
            if bag.type in (_KEY_BAG, _SHROUDED_BAG):
                if self.key is not None:
                    raise InvalidEncoding("a PKCS #12 file with more than one key; split it with openssl pkcs12")
                der = bag.value
                if bag.type == _SHROUDED_BAG:
                    found = _ENCRYPTED_KEY.decode(der, BER, _LIMITS)
                    der = decrypt(found.algorithm, found.data, self.password.encode(), self.effort)
                self.key, self.key_id = PrivateKey.from_pkcs8(der), local
                if _FRIENDLY in attributes:
                    self.name = bmp_string.decode(attributes[_FRIENDLY], BER, _LIMITS)
            elif bag.type == _CERTIFICATE_BAG:
                certificate = _CERT.decode(bag.value, BER, _LIMITS)
                if certificate.type == _X509:
                    self.certificates.append((Certificate(certificate.data), local))

    def store(self) -> Store:
        own = None
        if self.key is not None:
            key = self.key.public
            own = next((c for c, _ in self.certificates if c.spki == key.spki()), None)
        return Store(self.key, own, tuple(c for c, _ in self.certificates if c is not own), self.name)


def decode_pkcs12(data: bytes, password: str) -> Store:
    """What a PKCS #12 file holds. Raises `InvalidEncoding`, `BadPassword`."""
    try:
        pfx = _PFX.decode(data, BER, _LIMITS)
        if pfx.version != 3 or pfx.safe.type != _DATA or pfx.safe.content is None:
            raise InvalidEncoding("no PKCS #12 file of version 3 whose integrity is under a password")
        safe = octet_string.decode(pfx.safe.content, BER, _LIMITS)
        reader = _Reader(password)
        if pfx.mac is None:
            raise InvalidEncoding("a PKCS #12 file without a MAC: nothing says that it is whole")
        _check_mac(pfx.mac, safe, password, reader.effort)
        reader.safe(safe)
        return reader.store()
    except (Asn1Error, CryptoError) as error:
        raise InvalidEncoding(f"no PKCS #12 file: {error}") from None


def _check_mac(mac: _Mac, safe: bytes, password: str, effort: Effort) -> None:
    algorithm = HASHES.get(mac.digest.algorithm.algorithm)
    if algorithm is None:
        raise InvalidEncoding(f"a PKCS #12 file whose MAC is not known here: {mac.digest.algorithm.algorithm}")
    # This derivation runs in Python: an iteration counts as ten of PBKDF2.
    effort.spend(10 * mac.iterations)
    try:
        key = pkcs12_key(algorithm, password, mac.salt, mac.iterations, 3, algorithm.digest_size)
    except UnicodeEncodeError:
        raise BadPassword("the password has a character that no password of such a file has") from None
    if not equal(hmac(algorithm, key, safe), mac.digest.digest):
        raise BadPassword("the password is not right, or the file was changed")


def encode_pkcs12(
    store: Store,
    password: str,
    random: Callable[[int], bytes],
    iterations: int = ITERATIONS,
    mac_iterations: int = MAC_ITERATIONS,
) -> bytes:
    """A PKCS #12 file. `random` gives that many random octets. Raises `UnusableInput`."""
    if store.key is not None and store.certificate is not None and store.certificate.public_key != store.key.public:
        raise UnusableInput("the certificate is not that of the key")
    local = [_Attribute(_LOCAL_KEY, [octet_string.encode(b"\x01")])]
    named = [_Attribute(_FRIENDLY, [bmp_string.encode(store.name)])] if store.name else []
    certificates = [_bag(store.certificate, local + named)] if store.certificate is not None else []
    certificates += [_bag(each, []) for each in store.others]
    parts = []
    if certificates:
        algorithm, encrypted = encrypt(_BAGS.encode(certificates), password.encode(), random, iterations)
        content = _ENCRYPTED_DATA.encode(_EncryptedData(0, _Encrypted(_DATA, algorithm, encrypted)))
        parts.append(_ContentInfo(_ENCRYPTED, content))
    if store.key is not None:
        shrouded = encode_pkcs8(store.key, password, random, iterations)
        bags = _BAGS.encode([_Bag(_SHROUDED_BAG, shrouded, local + named)])
        parts.append(_ContentInfo(_DATA, octet_string.encode(bags)))
    safe = _SAFE.encode(parts)
    salt = random(16)
    key = pkcs12_key(SHA256, password, salt, mac_iterations, 3, 32)
    digest = _DigestInfo(Algorithm(Oid("2.16.840.1.101.3.4.2.1"), b"\x05\x00"), hmac(SHA256, key, safe))
    content_info = _ContentInfo(_DATA, octet_string.encode(safe))
    return _PFX.encode(_Pfx(3, content_info, _Mac(digest, salt, mac_iterations)))


def _bag(certificate: Certificate, attributes: list[_Attribute]) -> _Bag:
    return _Bag(_CERTIFICATE_BAG, _CERT.encode(_CertificateBag(_X509, certificate.der)), attributes or None)
