"""Certificates for tests: an authority of one's own, that issues through an intermediate one.

They are made by `cryptography`, another library than the one that checks them: install ``mirage-conduit[testing]``.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from mirage.x509 import Authenticator, Certificate, chain_of_trust

from .identity import Identity

__all__ = ["Authority"]

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
_USAGE = dict.fromkeys(
    (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ),
    False,
)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class Authority:
    """A root with an intermediate authority. What it issues is valid since two days ago."""

    label: str
    folder: Path
    """For files."""
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.root = self._certificate(f"{self.label} root", self.key.public_key(), None, ca=1)
        self.middle_key = ec.generate_private_key(ec.SECP256R1())
        self.middle = self._certificate(f"{self.label} middle", self.middle_key.public_key(), None, ca=0)

    def _certificate(
        self,
        subject: str,
        public: ec.EllipticCurvePublicKey,
        names: list[str] | None,
        *,
        ca: int | None,
        issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None,
        days: float = 30,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    ) -> x509.Certificate:
        signer = issuer[1] if issuer else self.key
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(issuer[0].subject if issuer else _name(f"{self.label} root"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 2 * DAY)
            .not_valid_after(NOW + days * DAY)
            .add_extension(x509.BasicConstraints(ca is not None, ca), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        if ca is not None:
            builder = builder.add_extension(x509.KeyUsage(**{**_USAGE, "key_cert_sign": True}), critical=True)
        else:
            builder = builder.add_extension(x509.KeyUsage(**{**_USAGE, "digital_signature": True}), critical=True)
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(signer, hashes.SHA256())

    def issue(self, *names: str, days: float = 30, client: bool = False) -> bytes:
        """PEM with the chain and the key of a new certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._certificate(
            names[0],
            key.public_key(),
            list(names),
            ca=None,
            issuer=(self.middle, self.middle_key),
            days=days,
            usage=ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH,
        )
        pem = serialization.Encoding.PEM
        secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return leaf.public_bytes(pem) + self.middle.public_bytes(pem) + secret

    def identity(self, *names: str, days: float = 30, client: bool = False) -> Identity:
        """The same as a value."""
        return Identity.from_pem(self.issue(*names, days=days, client=client))

    @property
    def root_pem(self) -> Path:
        """A file with the root, for other programs."""
        path = self.folder / f"{self.label}.pem"
        path.write_bytes(self.root.public_bytes(serialization.Encoding.PEM))
        return path

    @property
    def authenticator(self) -> Authenticator:
        """Who trusts it."""
        return chain_of_trust([Certificate.decode(self.root.public_bytes(serialization.Encoding.DER))])
