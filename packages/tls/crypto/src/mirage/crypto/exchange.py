"""Key exchange: Diffie-Hellman groups and a key encapsulation mechanism.

A share is used once. `generate` draws from the `random` that it is given (a function from a number of octets to that
many), so that a protocol is deterministic under a test's generator and draws from one place in a unikernel; without it
the library's own generator is used. `encapsulate` has no such argument: the library takes none there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x448, x25519

from .errors import InvalidKey

__all__ = ["GROUPS", "ML_KEM_768", "P256", "P384", "P521", "X448", "X25519", "Group", "KemShare", "KeyShare", "MlKem"]

Random: TypeAlias = Callable[[int], bytes]


class _Secret:
    """What must not be printed or pickled."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an ephemeral key is not pickled")


class KeyShare(_Secret):
    """A private value of a group and `public`, its public one as it goes on the wire."""

    __slots__ = ("_exchange", "public")

    def __init__(self, public: bytes, exchange: Callable[[bytes], bytes]) -> None:
        self.public = public
        self._exchange = exchange

    def exchange(self, peer: bytes) -> bytes:
        """The shared secret. Raises `InvalidKey` for a point off the curve and for a secret of zeros (RFC 7748 6)."""
        try:
            return self._exchange(peer)
        except ValueError:
            raise InvalidKey("the peer's share is no element of the group; give the exchange up") from None


@dataclass(frozen=True, slots=True)
class Group:
    """A group; sizes in octets."""

    name: str
    public_size: int
    secret_size: int
    private_size: int
    load: Callable[[bytes], KeyShare] = field(compare=False, repr=False)

    def generate(self, random: Random | None = None) -> KeyShare:
        """A new share."""
        if random is None:
            return self.load(b"")
        while True:  # a scalar beyond the order of the group is drawn again; X25519 and X448 take every string
            octets = random(self.private_size)
            if self.name == "secp521r1":
                octets = bytes((octets[0] & 1,)) + octets[1:]
            try:
                return self.load(octets)
            except ValueError:
                continue

    def private(self, octets: bytes) -> KeyShare:
        """The share with a given private value, for test vectors. Raises `InvalidKey`."""
        if len(octets) != self.private_size:
            raise InvalidKey(f"a private value of {self.name} has {self.private_size} octets, not {len(octets)}")
        try:
            return self.load(octets)
        except ValueError as error:
            raise InvalidKey(f"no private value of {self.name}: {error}") from None


def _montgomery(private_key: Any, public_key: Any) -> Callable[[bytes], KeyShare]:
    from_public = public_key.from_public_bytes

    def load(octets: bytes) -> KeyShare:
        key = private_key.from_private_bytes(octets) if octets else private_key.generate()
        # The library refuses a secret of zeros with ValueError, in constant time.
        return KeyShare(key.public_key().public_bytes_raw(), lambda peer: key.exchange(from_public(peer)))

    return load


_ECDH = ec.ECDH()


def _weierstrass(curve: ec.EllipticCurve, size: int) -> Callable[[bytes], KeyShare]:
    from_point = ec.EllipticCurvePublicKey.from_encoded_point
    form = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)

    def load(octets: bytes) -> KeyShare:
        number = int.from_bytes(octets, "big")
        key = ec.derive_private_key(number, curve) if octets else ec.generate_private_key(curve)

        def exchange(peer: bytes) -> bytes:
            if len(peer) != size or peer[0] != 4:  # RFC 8446 4.2.8.2: uncompressed points alone
                raise ValueError("not an uncompressed point")
            return key.exchange(_ECDH, from_point(curve, peer))

        return KeyShare(key.public_key().public_bytes(*form), exchange)

    return load


X25519 = Group("x25519", 32, 32, 32, _montgomery(x25519.X25519PrivateKey, x25519.X25519PublicKey))
X448 = Group("x448", 56, 56, 56, _montgomery(x448.X448PrivateKey, x448.X448PublicKey))
P256 = Group("secp256r1", 65, 32, 32, _weierstrass(ec.SECP256R1(), 65))
P384 = Group("secp384r1", 97, 48, 48, _weierstrass(ec.SECP384R1(), 97))
P521 = Group("secp521r1", 133, 66, 66, _weierstrass(ec.SECP521R1(), 133))
GROUPS = (X25519, P256, X448, P384, P521)


class KemShare(_Secret):
    """A decapsulation key and `public`, its encapsulation key as it goes on the wire."""

    __slots__ = ("_key", "public")

    def __init__(self, key: mlkem.MLKEM768PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The shared secret. Raises `InvalidKey` for a ciphertext of another length (FIPS 203 7.3)."""
        try:
            return self._key.decapsulate(ciphertext)
        except ValueError:
            raise InvalidKey("the ciphertext has not the length of one; give the exchange up") from None


@dataclass(frozen=True, slots=True)
class MlKem:
    """A parameter set of ML-KEM (FIPS 203); sizes in octets."""

    name: str
    public_size: int
    ciphertext_size: int
    secret_size: int = 32
    seed_size: int = 64

    def generate(self, random: Random | None = None) -> KemShare:
        """A new key pair."""
        if random is None:
            return KemShare(mlkem.MLKEM768PrivateKey.generate())
        return self.private(random(self.seed_size))

    def private(self, seed: bytes) -> KemShare:
        """The key pair of a seed (d and z). Raises `InvalidKey`."""
        try:
            return KemShare(mlkem.MLKEM768PrivateKey.from_seed_bytes(seed))
        except ValueError:
            raise InvalidKey(f"a seed of {self.name} has {self.seed_size} octets, not {len(seed)}") from None

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """A ciphertext for this key and the shared secret in it. Raises `InvalidKey` (FIPS 203 7.2)."""
        try:
            secret, ciphertext = mlkem.MLKEM768PublicKey.from_public_bytes(public).encapsulate()
        except ValueError:
            raise InvalidKey("the octets are no encapsulation key; give the exchange up") from None
        return ciphertext, secret


ML_KEM_768 = MlKem("ML-KEM-768", 1184, 1088)
