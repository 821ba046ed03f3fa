"""Encryption under a password: PBES2 with PBKDF2 and AES-CBC (RFC 8018), and PKCS #12's own derivation (RFC 7292 B)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from mirage.asn1 import Asn1Error, Oid, default, integer, octet_string, optional, sequence
from mirage.crypto import SHA1, SHA224, SHA256, SHA384, SHA512, HashAlgorithm, pbkdf2

from ._schema import ALGORITHM, Algorithm
from .errors import BadPassword, InvalidEncoding

__all__ = ["HASHES", "Effort", "decrypt", "encrypt", "pkcs12_key"]

MAX_ITERATIONS = 10_000_000
"""Iterations that one file may ask for, all its parts together: a few seconds. Files in use ask for up to a million."""

_PBES2 = Oid("1.2.840.113549.1.5.13")
_PBKDF2 = Oid("1.2.840.113549.1.5.12")
_NULL = b"\x05\x00"
_PRFS = {
    Oid("1.2.840.113549.2.7"): SHA1,
    Oid("1.2.840.113549.2.8"): SHA224,
    Oid("1.2.840.113549.2.9"): SHA256,
    Oid("1.2.840.113549.2.10"): SHA384,
    Oid("1.2.840.113549.2.11"): SHA512,
}
_CIPHERS = {
    Oid("2.16.840.1.101.3.4.1.2"): 16,
    Oid("2.16.840.1.101.3.4.1.22"): 24,
    Oid("2.16.840.1.101.3.4.1.42"): 32,
}
HASHES = {
    Oid("1.3.14.3.2.26"): SHA1,
    Oid("2.16.840.1.101.3.4.2.1"): SHA256,
    Oid("2.16.840.1.101.3.4.2.2"): SHA384,
    Oid("2.16.840.1.101.3.4.2.3"): SHA512,
}
"""The hashes of a PKCS #12 file's MAC."""


class _Pbkdf2(NamedTuple):
    salt: bytes
    iterations: int
    length: int | None
    prf: Algorithm


class _Pbes2(NamedTuple):
    derivation: Algorithm
    cipher: Algorithm


_PBKDF2_PARAMETERS = sequence(
    _Pbkdf2,
    salt=octet_string,
    iterations=integer,
    length=optional(integer),
    prf=default(ALGORITHM, Algorithm(Oid("1.2.840.113549.2.7"), _NULL)),
)
_PBES2_PARAMETERS = sequence(_Pbes2, derivation=ALGORITHM, cipher=ALGORITHM)


class Effort:
    """How many iterations are left."""

    def __init__(self, most: int = MAX_ITERATIONS) -> None:
        self.left = most

    def spend(self, iterations: int) -> None:
        """Count some. Raises `InvalidEncoding` where it is too many, or not a number of them."""
        if iterations < 1 or iterations > self.left:
            raise InvalidEncoding(
                f"a key derivation of {min(iterations, 1 << 62)} iterations; at most {self.left} are made"
            )
        self.left -= iterations


def decrypt(algorithm: Algorithm, data: bytes, password: bytes, effort: Effort) -> bytes:
    """What was encrypted. Raises `InvalidEncoding`, `BadPassword`."""
    if algorithm.algorithm != _PBES2:
        raise InvalidEncoding(
            f"an encryption that is not read here ({algorithm.algorithm}); "
            "write the file anew: openssl pkcs12 -legacy -in FILE -nodes | openssl pkcs12 -export -out NEW"
        )
    try:
        scheme = _PBES2_PARAMETERS.decode(algorithm.parameters or b"")
        derivation = _PBKDF2_PARAMETERS.decode(scheme.derivation.parameters or b"")
        iv = octet_string.decode(scheme.cipher.parameters or b"")
    except Asn1Error as error:
        raise InvalidEncoding(f"PBES2 parameters that cannot be read: {error}") from None
    size, prf = _CIPHERS.get(scheme.cipher.algorithm), _PRFS.get(derivation.prf.algorithm)
    if scheme.derivation.algorithm != _PBKDF2 or size is None or prf is None or len(iv) != 16:
        raise InvalidEncoding("PBES2 with something else than PBKDF2 and AES-CBC")
    if derivation.length not in (None, size):
        raise InvalidEncoding("PBKDF2 with a key length that does not go with the cipher")
    effort.spend(derivation.iterations)
    key = pbkdf2(prf, password, derivation.salt, derivation.iterations, size)
    if len(data) % 16 or not data:
        raise InvalidEncoding("a ciphertext that is not whole blocks of AES")
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    clear = cipher.update(data) + cipher.finalize()
    pad = clear[-1]
    if not 1 <= pad <= 16 or clear[-pad:] != bytes((pad,)) * pad:
        raise BadPassword("the password is not right, or the file was changed")
    return clear[:-pad]


def encrypt(data: bytes, password: bytes, random: Callable[[int], bytes], iterations: int) -> tuple[Algorithm, bytes]:
    """Encrypt with AES-256-CBC under PBKDF2 with HMAC-SHA-256."""
    salt, iv = random(16), random(16)
    prf = Algorithm(Oid("1.2.840.113549.2.9"), _NULL)
    derivation = _PBKDF2_PARAMETERS.encode(_Pbkdf2(salt, iterations, None, prf))
    scheme = _Pbes2(Algorithm(_PBKDF2, derivation), Algorithm(Oid("2.16.840.1.101.3.4.1.42"), octet_string.encode(iv)))
    cipher = Cipher(algorithms.AES(pbkdf2(SHA256, password, salt, iterations, 32)), modes.CBC(iv)).encryptor()
    pad = 16 - len(data) % 16
    encrypted = cipher.update(data + bytes((pad,)) * pad) + cipher.finalize()
    return Algorithm(_PBES2, _PBES2_PARAMETERS.encode(scheme)), encrypted


def pkcs12_key(
    algorithm: HashAlgorithm, password: str, salt: bytes, iterations: int, purpose: int, length: int
) -> bytes:
    """A key after RFC 7292 B.2; `purpose` is 1 for encryption, 2 for an initial vector, 3 for a MAC."""
    block = algorithm.block_size
    secret = password.encode("utf-16-be") + b"\x00\x00"
    fixed = bytes((purpose,)) * block

    def filled(data: bytes) -> bytearray:
        size = -(-len(data) // block) * block
        return bytearray((data * (size // len(data) + 1))[:size]) if data else bytearray()

    mixed, output = filled(salt) + filled(secret), b""
    while len(output) < length:
        digest: Any = algorithm.digest(fixed + mixed)
        for _ in range(iterations - 1):
            digest = algorithm.digest(digest)
        output += digest
        addend = int.from_bytes(filled(digest)[:block], "big") + 1
        for start in range(0, len(mixed), block):
            total = int.from_bytes(mixed[start : start + block], "big") + addend
            mixed[start : start + block] = (total % (1 << 8 * block)).to_bytes(block, "big")
    return output[:length]
