"""What one side shows of itself: a chain of certificates and the private key of the first."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from mirage.crypto import CryptoError, PrivateKey
from mirage.x509 import Certificate, X509Error, decode_pem, encode_pem

from .errors import ConfigurationError

__all__ = ["Identity"]


@dataclass(frozen=True, slots=True)
class Identity:
    """A chain in DER, its own certificate first, and the private key of that. Raises `ConfigurationError`."""

    chain: tuple[bytes, ...]
    key: PrivateKey
    leaf: Certificate = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.chain:
            raise ConfigurationError(
                "there is no certificate: put the server's own first, those that signed it after it"
            )
        try:
            certificates = [Certificate.decode(der) for der in self.chain]
            public = certificates[0].public_key
        except (X509Error, CryptoError) as error:
            raise ConfigurationError(f"a certificate cannot be read: {error}") from None
        if public != self.key.public:
            raise ConfigurationError(f"{self.key!r} does not belong to the first certificate: put that one's own first")
        object.__setattr__(self, "leaf", certificates[0])

    @classmethod
    def from_pem(cls, *texts: bytes, password: bytes | None = None) -> Identity:
        """From PEM: one text with the chain and the key, or several that have them together."""
        chain: list[bytes] = []
        keys: list[PrivateKey] = []
        try:
            for text in texts:
                for label, data in decode_pem(text):
                    if label == "CERTIFICATE":
                        chain.append(data)
                    elif label.endswith("PRIVATE KEY"):
                        keys.append(PrivateKey.from_pem(encode_pem(label, data).encode(), password))
        except (X509Error, CryptoError) as error:
            raise ConfigurationError(f"the PEM text cannot be used: {error}") from None
        if len(keys) != 1:
            found = "no private key" if not keys else f"{len(keys)} private keys"
            raise ConfigurationError(
                f"the PEM text has {found}; it must have one, and the certificates that go with it"
            )
        if not chain:
            raise ConfigurationError("the PEM text has no certificate; it must have one that goes with the private key")
        return cls(tuple(chain), keys[0])

    @classmethod
    def from_files(cls, *paths: str | os.PathLike[str], password: bytes | None = None) -> Identity:
        """From files, one with everything or one with the certificates and one with the key.

        Raises `ConfigurationError`, also for a file that cannot be read.
        """
        texts = []
        for path in paths:
            try:
                texts.append(Path(path).read_bytes())
            except OSError as error:
                raise ConfigurationError(f"{os.fspath(path)} cannot be read: {error.strerror or error}") from None
        try:
            return cls.from_pem(*texts, password=password)
        except ConfigurationError as error:
            named = " and ".join(os.fspath(path) for path in paths)
            raise ConfigurationError(f"{named}: {error}") from None

    def to_pem(self) -> bytes:
        """The chain and the key, not encrypted, in one text."""
        return "".join(encode_pem("CERTIFICATE", der) for der in self.chain).encode() + self.key.to_pem()
