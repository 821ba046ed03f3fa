"""Authenticated encryption with associated data.

`AES_128_GCM.new(key)` gives an `Aead`. A nonce must never be used twice with one key: the caller counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cryptography.exceptions
from cryptography.hazmat.primitives.ciphers import aead as _pyca
from mirage.types import Buffer

from .errors import InvalidKey, InvalidTag

__all__ = ["AES_128_CCM", "AES_128_CCM_8", "AES_128_GCM", "AES_256_GCM", "CHACHA20_POLY1305", "Aead", "AeadAlgorithm"]


class Aead:
    """A key that seals and opens. The library's own calls are the attributes, so that a record costs one call."""

    __slots__ = ("_decrypt_into", "_open", "algorithm", "seal", "seal_into")

    def __init__(self, algorithm: AeadAlgorithm, implementation: Any) -> None:
        self.algorithm = algorithm
        self.seal: Callable[[Buffer, Buffer, Buffer | None], bytes] = implementation.encrypt
        """`seal(nonce, plaintext, aad)`: the ciphertext with its tag behind it."""
        self.seal_into: Callable[[Buffer, Buffer, Buffer | None, Buffer], int] = implementation.encrypt_into
        """`seal_into(nonce, plaintext, aad, out)`: the same, written to `out`, which must have that very length and may
        begin at the plaintext itself."""
        self._open: Callable[[Buffer, Buffer, Buffer | None], bytes] = implementation.decrypt
        self._decrypt_into: Callable[[Buffer, Buffer, Buffer | None, Buffer], int] = implementation.decrypt_into

    def __repr__(self) -> str:
        return f"<{self.algorithm.name} key>"

    def open(self, nonce: Buffer, ciphertext: Buffer, aad: Buffer | None) -> bytes:
        """The plaintext. Raises `InvalidTag`."""
        try:
            return self._open(nonce, ciphertext, aad)
        except cryptography.exceptions.InvalidTag:
            raise InvalidTag("the ciphertext is not authentic; give it up") from None

    def open_into(self, nonce: Buffer, ciphertext: Buffer, aad: Buffer | None, out: Buffer) -> int:
        """Write the plaintext to `out`, whose length must be the plaintext's, and return that length.

        Raises `InvalidTag`, and then `out` holds zeros: the library leaves what it decrypted before it knew.
        """
        try:
            return self._decrypt_into(nonce, ciphertext, aad, out)
        except cryptography.exceptions.InvalidTag:
            view = memoryview(out)
            view[:] = bytes(len(view))
            raise InvalidTag("the ciphertext is not authentic; give it up") from None


@dataclass(frozen=True, slots=True)
class AeadAlgorithm:
    """An algorithm; sizes in octets."""

    name: str
    key_size: int
    nonce_size: int
    tag_size: int
    make: Callable[[bytes], Any] = field(compare=False, repr=False)
    """What the library makes of a key."""

    def new(self, key: bytes) -> Aead:
        """A key. Raises `InvalidKey` for one of another size."""
        if len(key) != self.key_size:
            raise InvalidKey(f"a key of {self.name} has {self.key_size} octets, not {len(key)}")
        return Aead(self, self.make(key))


AES_128_GCM = AeadAlgorithm("AES-128-GCM", 16, 12, 16, _pyca.AESGCM)
AES_256_GCM = AeadAlgorithm("AES-256-GCM", 32, 12, 16, _pyca.AESGCM)
CHACHA20_POLY1305 = AeadAlgorithm("ChaCha20-Poly1305", 32, 12, 16, _pyca.ChaCha20Poly1305)
AES_128_CCM = AeadAlgorithm("AES-128-CCM", 16, 12, 16, _pyca.AESCCM)
AES_128_CCM_8 = AeadAlgorithm("AES-128-CCM-8", 16, 12, 8, lambda key: _pyca.AESCCM(key, tag_length=8))
