"""Hash algorithms as values.

SHA-1 is here for what must still be read (certificate fingerprints, OCSP key identifiers), not for what is signed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes as _pyca
from mirage.types import Buffer

from .errors import UnsupportedAlgorithm

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["SHA1", "SHA224", "SHA256", "SHA384", "SHA512", "HashAlgorithm", "hash_named"]


@dataclass(frozen=True, slots=True)
class HashAlgorithm:
    """A hash function: its name as hashlib has it, and its sizes in octets."""

    name: str
    digest_size: int
    block_size: int
    pyca: _pyca.HashAlgorithm = field(compare=False, repr=False)
    """The same for `cryptography`."""

    def new(self, data: Buffer = b"") -> _Hash:
        """A running hash, as hashlib's: `update`, `digest`, `copy`."""
        return hashlib.new(self.name, data, usedforsecurity=False)

    def digest(self, data: Buffer) -> bytes:
        """The hash of all of the data."""
        return hashlib.new(self.name, data, usedforsecurity=False).digest()


SHA1 = HashAlgorithm("sha1", 20, 64, _pyca.SHA1())  # noqa: S303 - the module's docstring says what for
SHA224 = HashAlgorithm("sha224", 28, 64, _pyca.SHA224())
SHA256 = HashAlgorithm("sha256", 32, 64, _pyca.SHA256())
SHA384 = HashAlgorithm("sha384", 48, 128, _pyca.SHA384())
SHA512 = HashAlgorithm("sha512", 64, 128, _pyca.SHA512())

_BY_NAME = {algorithm.name: algorithm for algorithm in (SHA1, SHA224, SHA256, SHA384, SHA512)}


def hash_named(name: str) -> HashAlgorithm:
    """The algorithm with a name such as ``sha256`` or ``SHA-256``. Raises `UnsupportedAlgorithm`."""
    try:
        return _BY_NAME[name.lower().replace("-", "")]
    except KeyError:
        raise UnsupportedAlgorithm(f"no hash is called {name!r}; there are {', '.join(_BY_NAME)}") from None
