"""Public and private keys of signatures.

A private key never shows itself: neither `repr` nor pickle gives its octets, only `pkcs8` and `to_pem` do.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeAlias

import cryptography.exceptions
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from mirage.types import Buffer

from .errors import InvalidKey, InvalidSignature, UnsupportedAlgorithm
from .signatures import SCHEMES, SignatureScheme

__all__ = [
    "CURVES",
    "EcPublicKey",
    "Ed448PublicKey",
    "Ed25519PublicKey",
    "PrivateKey",
    "PublicKey",
    "RsaPublicKey",
]

CURVES: dict[str, ec.EllipticCurve] = {
    curve.name: curve for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1(), ec.SECP224R1(), ec.SECP256K1())
}
"""The curves for which keys can be made. Others of the library (brainpool, say) can be read."""

MAX_RSA_BITS = 16_384
"""A longer RSA key is refused: verification with it costs whoever checks it too much."""

_RSASSA_PSS = bytes.fromhex("06092a864886f70d01010a")
"""The object identifier of keys that are for RSASSA-PSS alone (RFC 4055 3.1), in DER."""


class PublicKey:
    """A key that verifies. Keys are equal when their SubjectPublicKeyInfo is; `kind` is rsa, ec, ed25519 or ed448."""

    __slots__ = ("_implementation", "_spki")
    kind: str

    def __init__(self, implementation: Any, spki: bytes) -> None:
        self._implementation = implementation
        self._spki = spki

    @staticmethod
    def from_spki(der: bytes) -> PublicKey:
        """The key in a DER SubjectPublicKeyInfo (RFC 5280 4.1.2.7). Raises `InvalidKey`, `UnsupportedAlgorithm`."""
        try:
            return _public(serialization.load_der_public_key(der), bytes(der))
        except cryptography.exceptions.UnsupportedAlgorithm as error:
            raise UnsupportedAlgorithm(f"a public key of an unknown kind: {error}") from None
        except (ValueError, TypeError, cryptography.exceptions.InternalError) as error:
            raise InvalidKey(f"the octets are no public key: {error}") from None

    def spki(self) -> bytes:
        """The DER SubjectPublicKeyInfo."""
        return self._spki

    @property
    def bits(self) -> int:
        """The key's size as the field counts it: the modulus of RSA, the order of a curve."""
        return int(self._implementation.key_size)

    @property
    def curve(self) -> str | None:
        """The curve of an elliptic-curve key, such as secp256r1."""
        return None

    def verify(self, scheme: SignatureScheme, signature: Buffer, message: Buffer) -> None:
        """Return if the signature is right. Raises `InvalidSignature`, `UnsupportedAlgorithm`."""
        if scheme.key_kind != self.kind:
            raise UnsupportedAlgorithm(f"{scheme.name} does not go with a key of kind {self.kind}")
        try:
            self._implementation.verify(signature, message, *scheme.arguments)
        except (cryptography.exceptions.InvalidSignature, ValueError):
            raise InvalidSignature(f"the {scheme.name} signature is not right") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self._spki == other._spki

    def __hash__(self) -> int:
        return hash(self._spki)

    def __repr__(self) -> str:
        return f"<public {self.curve or self.kind} key, {self.bits} bits>"


class RsaPublicKey(PublicKey):
    """An RSA key. `pss_only` when its algorithm identifier is RSASSA-PSS, which forbids PKCS #1 v1.5 signatures."""

    __slots__ = ("pss_only",)
    kind = "rsa"

    def __init__(self, implementation: Any, spki: bytes) -> None:
        super().__init__(implementation, spki)
        if self.bits > MAX_RSA_BITS:
            raise InvalidKey(f"an RSA key of {self.bits} bits; at most {MAX_RSA_BITS} are taken")
        self.pss_only = _RSASSA_PSS in spki[:24]

    def verify(self, scheme: SignatureScheme, signature: Buffer, message: Buffer) -> None:
        """As for every key; a key for RSASSA-PSS alone refuses PKCS #1 v1.5."""
        if self.pss_only and scheme.kind != "rsa-pss":
            raise UnsupportedAlgorithm(f"{scheme.name} does not go with a key for RSASSA-PSS alone")
        super().verify(scheme, signature, message)


class EcPublicKey(PublicKey):
    """A key of ECDSA."""

    __slots__ = ()
    kind = "ec"

    @property
    def curve(self) -> str:
        """The curve's name."""
        return str(self._implementation.curve.name)


class Ed25519PublicKey(PublicKey):
    """A key of Ed25519 (RFC 8032)."""

    __slots__ = ()
    kind = "ed25519"

    @property
    def bits(self) -> int:
        """256."""
        return 256


class Ed448PublicKey(PublicKey):
    """A key of Ed448 (RFC 8032)."""

    __slots__ = ()
    kind = "ed448"

    @property
    def bits(self) -> int:
        """456."""
        return 456


_PUBLIC: tuple[tuple[Any, type[PublicKey]], ...] = (
    (ec.EllipticCurvePublicKey, EcPublicKey),
    (rsa.RSAPublicKey, RsaPublicKey),
    (ed25519.Ed25519PublicKey, Ed25519PublicKey),
    (ed448.Ed448PublicKey, Ed448PublicKey),
)


def _public(implementation: Any, spki: bytes | None = None) -> PublicKey:
    for theirs, ours in _PUBLIC:
        if isinstance(implementation, theirs):
            if spki is None:
                encoding = serialization.Encoding.DER
                spki = implementation.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
            return ours(implementation, spki)
    raise UnsupportedAlgorithm(f"{type(implementation).__name__}: a key that does not verify signatures")


_PrivateImplementation: TypeAlias = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)


class PrivateKey:
    """A key that signs; `public` is its other half."""

    __slots__ = ("_implementation", "public")

    def __init__(self, implementation: _PrivateImplementation) -> None:
        self._implementation: Any = implementation
        self.public = _public(implementation.public_key())

    @classmethod
    def generate_rsa(cls, bits: int = 2048) -> PrivateKey:
        """A new RSA key with the exponent 65537. Raises `UnsupportedAlgorithm` below 2048 bits."""
        if not 2048 <= bits <= MAX_RSA_BITS:
            raise UnsupportedAlgorithm(f"an RSA key has 2048 to {MAX_RSA_BITS} bits, not {bits}")
        return cls(rsa.generate_private_key(65537, bits))

    @classmethod
    def generate_ec(cls, curve: str = "secp256r1") -> PrivateKey:
        """A new elliptic-curve key. Raises `UnsupportedAlgorithm`."""
        if curve not in CURVES:
            raise UnsupportedAlgorithm(f"no curve is called {curve!r}; there are {', '.join(CURVES)}")
        return cls(ec.generate_private_key(CURVES[curve]))

    @classmethod
    def generate_ed25519(cls) -> PrivateKey:
        """A new Ed25519 key."""
        return cls(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def generate_ed448(cls) -> PrivateKey:
        """A new Ed448 key."""
        return cls(ed448.Ed448PrivateKey.generate())

    @classmethod
    def from_pkcs8(cls, der: bytes, password: bytes | None = None) -> PrivateKey:
        """The key in a DER PKCS #8 structure (RFC 5958), encrypted if there is a password. Raises `InvalidKey`."""
        return cls._load(serialization.load_der_private_key, der, password)

    @classmethod
    def from_pem(cls, pem: bytes, password: bytes | None = None) -> PrivateKey:
        """The first private key in PEM (PKCS #8, or the older forms of RSA and EC keys). Raises `InvalidKey`."""
        return cls._load(serialization.load_pem_private_key, pem, password)

    @classmethod
    def _load(cls, load: Any, data: bytes, password: bytes | None) -> PrivateKey:
        try:
            implementation = load(data, password)
        except cryptography.exceptions.UnsupportedAlgorithm as error:
            raise UnsupportedAlgorithm(f"a private key of an unknown kind: {error}") from None
        except (ValueError, TypeError, cryptography.exceptions.InternalError) as error:
            # TypeError: a password that is missing, or not wanted. InternalError: an Ed25519 key of a wrong length.
            raise InvalidKey(f"no private key could be read: {error}") from None
        return cls(implementation)

    def pkcs8(self, password: bytes | None = None) -> bytes:
        """The DER PKCS #8 structure, encrypted if there is a password."""
        return self._bytes(serialization.Encoding.DER, password)

    def to_pem(self, password: bytes | None = None) -> bytes:
        """The same in PEM."""
        return self._bytes(serialization.Encoding.PEM, password)

    def _bytes(self, encoding: serialization.Encoding, password: bytes | None) -> bytes:
        cipher: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            cipher = serialization.BestAvailableEncryption(password)
        return bytes(self._implementation.private_bytes(encoding, serialization.PrivateFormat.PKCS8, cipher))

    def schemes(self) -> tuple[SignatureScheme, ...]:
        """The schemes that this key can sign with, the better ones first."""
        public = self.public
        found = tuple(scheme for scheme in SCHEMES if scheme.key_kind == public.kind)
        if isinstance(public, RsaPublicKey) and public.pss_only:
            return tuple(scheme for scheme in found if scheme.kind == "rsa-pss")
        return found

    def sign(self, scheme: SignatureScheme, message: Buffer) -> bytes:
        """A signature. Raises `UnsupportedAlgorithm`, also for an RSA key that is too short for the hash."""
        if scheme.key_kind != self.public.kind:
            raise UnsupportedAlgorithm(f"{scheme.name} does not go with a key of kind {self.public.kind}")
        try:
            return bytes(self._implementation.sign(message, *scheme.arguments))
        except ValueError as error:
            raise UnsupportedAlgorithm(f"{self!r} cannot sign with {scheme.name}: {error}") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and self.public == other.public

    def __hash__(self) -> int:
        return hash(self.public)

    def __repr__(self) -> str:
        return f"<private {self.public.curve or self.public.kind} key, {self.public.bits} bits>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled; write it with pkcs8(), with a password")
