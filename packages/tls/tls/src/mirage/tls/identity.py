"""What one side shows of itself: a chain of certificates, or a bare public key, and the private key behind it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from mirage.crypto import CryptoError, PrivateKey

from . import _trust as trust
from ._constants import Scheme
from .errors import ConfigurationError

__all__ = ["Identity"]

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Identity:
    """A chain in DER, its own certificate first, and the private key of that. Raises `ConfigurationError`.

    Without a chain it is a raw public key (RFC 7250). `ocsp` is a response to staple, in DER.
    """

    chain: tuple[bytes, ...]
    key: PrivateKey
    ocsp: bytes | None = field(default=None, repr=False)
    names: tuple[str, ...] = field(init=False, default=())
    """The DNS names of the certificate, in lower case, perhaps with a wildcard in front."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "chain", tuple(self.chain))
        if not self.chain:
            return
        leaf, *_ = trust.read_own_chain(self.chain)
        if leaf.public_key != self.key.public:
            raise ConfigurationError(f"{self.key!r} does not belong to the first certificate; put that one's own first")
        object.__setattr__(self, "names", trust.dns_names(leaf))

    @classmethod
    def from_pem(cls, pem: bytes, password: bytes | None = None, ocsp: bytes | None = None) -> Identity:
        """From one text with the chain and the private key, in any order of the two."""
        chain, keys = [], []
        for match in _PEM.finditer(pem):
            label = match[1]
            if label == b"CERTIFICATE":
                try:
                    chain.append(base64.b64decode(b"".join(match[0].split()[2:-2]), validate=True))
                except ValueError as error:
                    raise ConfigurationError(f"certificate {len(chain) + 1} is no PEM: {error}") from None
            elif label.endswith(b"PRIVATE KEY"):
                try:
                    keys.append(PrivateKey.from_pem(match[0] + b"\n", password))
                except CryptoError as error:
                    raise ConfigurationError(f"the private key cannot be used: {error}") from None
        if not keys or not chain:
            lack = "private key" if chain else "certificate"
            raise ConfigurationError(f"the PEM text has no {lack}; put certificate chain and key into one")
        if len(keys) > 1:
            raise ConfigurationError(f"the PEM text has {len(keys)} private keys; leave the one of the certificate")
        return cls(tuple(chain), keys[0], ocsp)

    @classmethod
    def from_key(cls, pem: bytes, password: bytes | None = None) -> Identity:
        """A raw public key, from the PEM of its private key."""
        try:
            return cls((), PrivateKey.from_pem(pem, password))
        except CryptoError as error:
            raise ConfigurationError(f"the private key cannot be used: {error}") from None

    def scheme_for(self, schemes: Iterable[Scheme], version: int) -> Scheme | None:
        """The first of the schemes with which the key can sign in a handshake of that version."""
        public = self.key.public
        for scheme in schemes:
            if scheme.fits(public, version):
                bits = (
                    scheme.scheme.hash.digest_size * 16 if scheme.scheme.hash and scheme.scheme.kind == "rsa-pss" else 0
                )
                if public.kind == "rsa" and public.bits < bits + 16:
                    continue  # RFC 8017 9.1.1: too short for a salt and a hash of that length
                return scheme
        return None

    def matches(self, name: str) -> bool:
        """Whether the certificate is for this DNS name (RFC 9525 6.3: a wildcard is one whole label)."""
        if name in self.names:
            return True
        _, dot, rest = name.partition(".")
        return bool(dot) and f"*.{rest}" in self.names
