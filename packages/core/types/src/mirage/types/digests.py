"""The one digest of values: equal octets have equal digests in every store, so ETags survive a change of store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from .devices import Buffer

__all__ = ["DIGEST_SIZE", "value_digest"]

DIGEST_SIZE = 16
"""Octets of a digest: 128 bits, by accident no two values will ever share one."""


def value_digest(value: Buffer | Iterable[Buffer]) -> str:
    """What `KeyValueRO.digest` returns for a value, whole or in chunks: BLAKE2b-128 (RFC 7693) in lower-case hex."""
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE, usedforsecurity=False)
    if isinstance(value, bytes | bytearray | memoryview):
        digest.update(value)
    else:
        for chunk in value:
            digest.update(chunk)
    return digest.hexdigest()
