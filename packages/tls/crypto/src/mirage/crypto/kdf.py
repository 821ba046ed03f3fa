"""Keys from keys, and keys from passwords."""

from __future__ import annotations

import hashlib

from .errors import UnsupportedAlgorithm
from .hashes import HashAlgorithm
from .mac import hmac

__all__ = ["hkdf_expand", "hkdf_extract", "pbkdf2"]


def hkdf_extract(algorithm: HashAlgorithm, salt: bytes, ikm: bytes) -> bytes:
    """HKDF-Extract (RFC 5869 2.2): a pseudorandom key from input keying material."""
    return hmac(algorithm, salt or bytes(algorithm.digest_size), ikm)


def hkdf_expand(algorithm: HashAlgorithm, prk: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand (RFC 5869 2.3): `length` octets of output keying material. Raises `UnsupportedAlgorithm`."""
    size = algorithm.digest_size
    if length <= size:  # the common case of TLS, in one call
        return hmac(algorithm, prk, info + b"\x01")[:length]
    if length > 255 * size:
        raise UnsupportedAlgorithm(f"HKDF with {algorithm.name} gives at most {255 * size} octets, not {length}")
    block = output = b""
    counter = 1
    while len(output) < length:
        block = hmac(algorithm, prk, block + info + bytes((counter,)))
        output += block
        counter += 1
    return output[:length]


def pbkdf2(algorithm: HashAlgorithm, password: bytes, salt: bytes, iterations: int, length: int) -> bytes:
    """PBKDF2 (RFC 8018 5.2). Its time grows with `iterations`: bound those that come from outside."""
    if iterations < 1 or length < 1:
        raise UnsupportedAlgorithm("PBKDF2 needs at least one iteration and one octet of output")
    return hashlib.pbkdf2_hmac(algorithm.name, password, salt, iterations, length)
