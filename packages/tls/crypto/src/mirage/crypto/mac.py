"""Message authentication codes, and comparison that takes the same time wherever two values differ."""

from __future__ import annotations

import hmac as _hmac

from mirage.types import Buffer

from .hashes import HashAlgorithm

__all__ = ["equal", "hmac"]


def hmac(algorithm: HashAlgorithm, key: bytes, data: Buffer) -> bytes:
    """HMAC (RFC 2104), `algorithm.digest_size` octets."""
    return _hmac.digest(key, data, algorithm.name)


def equal(a: Buffer, b: Buffer) -> bool:
    """Whether two values are the same, in a time that depends only on their lengths."""
    return _hmac.compare_digest(a, b)
