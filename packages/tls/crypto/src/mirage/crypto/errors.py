"""What can go wrong. Octets from outside raise `InvalidKey`, `InvalidSignature` or `InvalidTag`, and nothing else."""

from __future__ import annotations

from mirage.types import MirageError

__all__ = ["CryptoError", "InvalidKey", "InvalidSignature", "InvalidTag", "UnsupportedAlgorithm"]


class CryptoError(MirageError):
    """Root of this package's errors."""


class InvalidKey(CryptoError, ValueError):
    """The octets are no key, or a key that must not be used: a point off its curve, an exchange that gives zero."""


class InvalidSignature(CryptoError):
    """The signature was not made over this message by this key with this scheme."""


class InvalidTag(CryptoError):
    """The ciphertext was not made with this key, nonce and additional data; nothing of it is given out."""


class UnsupportedAlgorithm(CryptoError, ValueError):
    """Local misuse: the algorithm is unknown, or does not go with the key."""
