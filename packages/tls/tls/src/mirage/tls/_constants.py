"""Code points of the registries, and what stands behind them: versions, suites, groups, signature schemes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from mirage import crypto

__all__ = [
    "DEFAULT_GROUPS",
    "DEFAULT_SCHEMES",
    "DEFAULT_SUITES",
    "DOWNGRADE_TLS11",
    "DOWNGRADE_TLS12",
    "GROUPS",
    "HRR_RANDOM",
    "SCHEMES",
    "SUITES",
    "TLS12",
    "TLS13",
    "ContentType",
    "Ext",
    "Msg",
    "NamedGroup",
    "Random",
    "Scheme",
    "Suite",
    "grease_code",
]

Random: TypeAlias = Callable[[int], bytes]
"""From a number of octets to that many unpredictable ones."""

TLS12 = 0x0303
TLS13 = 0x0304

HRR_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a ServerHello that is a HelloRetryRequest (RFC 8446 4.1.3)."""
DOWNGRADE_TLS12 = b"DOWNGRD\x01"
DOWNGRADE_TLS11 = b"DOWNGRD\x00"


class ContentType:
    """Types of records."""

    CCS = 20
    ALERT = 21
    HANDSHAKE = 22
    DATA = 23


class Msg:
    """Types of handshake messages."""

    HELLO_REQUEST = 0
    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    NEW_SESSION_TICKET = 4
    END_OF_EARLY_DATA = 5
    ENCRYPTED_EXTENSIONS = 8
    CERTIFICATE = 11
    SERVER_KEY_EXCHANGE = 12
    CERTIFICATE_REQUEST = 13
    SERVER_HELLO_DONE = 14
    CERTIFICATE_VERIFY = 15
    CLIENT_KEY_EXCHANGE = 16
    FINISHED = 20
    CERTIFICATE_STATUS = 22
    KEY_UPDATE = 24
    COMPRESSED_CERTIFICATE = 25
    MESSAGE_HASH = 254


class Ext:
    """Types of extensions."""

    SERVER_NAME = 0
    STATUS_REQUEST = 5
    GROUPS = 10
    POINT_FORMATS = 11
    SIGNATURE_ALGORITHMS = 13
    ALPN = 16
    CLIENT_CERTIFICATE_TYPE = 19
    SERVER_CERTIFICATE_TYPE = 20
    EXTENDED_MASTER_SECRET = 23
    COMPRESS_CERTIFICATE = 27
    RECORD_SIZE_LIMIT = 28
    SESSION_TICKET = 35
    PRE_SHARED_KEY = 41
    EARLY_DATA = 42
    SUPPORTED_VERSIONS = 43
    COOKIE = 44
    PSK_MODES = 45
    CERTIFICATE_AUTHORITIES = 47
    SIGNATURE_ALGORITHMS_CERT = 50
    KEY_SHARE = 51
    RENEGOTIATION_INFO = 0xFF01


def grease_code(random: Random) -> int:
    """One of the sixteen code points that mean nothing (RFC 8701 2)."""
    return 0x0A0A + 0x1010 * (random(1)[0] >> 4)


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite; `auth` is the kind of the server's key of a suite of TLS 1.2, rsa or ecdsa."""

    code: int
    name: str
    version: int
    hash: crypto.HashAlgorithm
    aead: crypto.AeadAlgorithm
    auth: str = ""
    explicit_nonce: bool = False
    """Whether records carry 8 octets of their nonce (RFC 5288 3)."""


_SHA256, _SHA384 = crypto.SHA256, crypto.SHA384
_SUITES = (
    Suite(0x1301, "TLS_AES_128_GCM_SHA256", TLS13, _SHA256, crypto.AES_128_GCM),
    Suite(0x1302, "TLS_AES_256_GCM_SHA384", TLS13, _SHA384, crypto.AES_256_GCM),
    Suite(0x1303, "TLS_CHACHA20_POLY1305_SHA256", TLS13, _SHA256, crypto.CHACHA20_POLY1305),
    Suite(0x1304, "TLS_AES_128_CCM_SHA256", TLS13, _SHA256, crypto.AES_128_CCM),
    Suite(0xC02B, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", TLS12, _SHA256, crypto.AES_128_GCM, "ecdsa", True),
    Suite(0xC02F, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", TLS12, _SHA256, crypto.AES_128_GCM, "rsa", True),
    Suite(0xC02C, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", TLS12, _SHA384, crypto.AES_256_GCM, "ecdsa", True),
    Suite(0xC030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", TLS12, _SHA384, crypto.AES_256_GCM, "rsa", True),
    Suite(0xCCA9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", TLS12, _SHA256, crypto.CHACHA20_POLY1305, "ecdsa"),
    Suite(0xCCA8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", TLS12, _SHA256, crypto.CHACHA20_POLY1305, "rsa"),
)
SUITES: dict[str, Suite] = {suite.name: suite for suite in _SUITES}
DEFAULT_SUITES = tuple(suite.name for suite in _SUITES if suite.aead is not crypto.AES_128_CCM)


class NamedGroup:
    """A group of the key exchange."""

    __slots__ = ("code", "group", "hybrid", "name")

    def __init__(self, code: int, name: str, group: crypto.Group, hybrid: bool = False) -> None:
        self.code = code
        self.name = name
        self.group = group
        self.hybrid = hybrid

    def offer(self, random: Random) -> tuple[bytes, Callable[[bytes], bytes]]:
        """The client's share, and what makes the secret of the server's. The latter raises `crypto.InvalidKey`."""
        share = self.group.generate(random)
        if not self.hybrid:
            return share.public, share.exchange
        kem = crypto.ML_KEM_768.generate(random)

        def finish(peer: bytes) -> bytes:
            # draft-ietf-tls-ecdhe-mlkem 4.3: the secret of ML-KEM comes first
            size = crypto.ML_KEM_768.ciphertext_size
            return kem.decapsulate(peer[:size]) + share.exchange(peer[size:])

        return kem.public + share.public, finish

    def answer(self, peer: bytes, random: Random) -> tuple[bytes, bytes]:
        """The server's share for the client's, and the secret. Raises `crypto.InvalidKey`."""
        share = self.group.generate(random)
        if not self.hybrid:
            return share.public, share.exchange(peer)
        size = crypto.ML_KEM_768.public_size
        ciphertext, secret = crypto.ML_KEM_768.encapsulate(peer[:size])
        return ciphertext + share.public, secret + share.exchange(peer[size:])

    def __repr__(self) -> str:
        return f"<group {self.name}>"


GROUPS: dict[str, NamedGroup] = {
    group.name: group
    for group in (
        NamedGroup(0x11EC, "X25519MLKEM768", crypto.X25519, hybrid=True),
        NamedGroup(0x001D, "x25519", crypto.X25519),
        NamedGroup(0x0017, "secp256r1", crypto.P256),
        NamedGroup(0x0018, "secp384r1", crypto.P384),
        NamedGroup(0x0019, "secp521r1", crypto.P521),
        NamedGroup(0x001E, "x448", crypto.X448),
    )
}
DEFAULT_GROUPS = tuple(GROUPS)


@dataclass(frozen=True, slots=True)
class Scheme:
    """A signature scheme of TLS. `curve` binds ECDSA to it in TLS 1.3, where PKCS #1 v1.5 signs certificates only."""

    code: int
    name: str
    scheme: crypto.SignatureScheme
    curve: str = ""
    pss_key: bool = False
    """Whether it wants a key for RSASSA-PSS alone, rather than an ordinary RSA key."""

    def fits(self, key: Any, version: int) -> bool:
        """Whether a public key can have made a signature of this scheme in a handshake of that version."""
        scheme = self.scheme
        if scheme.key_kind != key.kind:
            return False
        if key.kind == "rsa":
            return key.pss_only == self.pss_key and (version != TLS13 or scheme.kind == "rsa-pss")
        return version != TLS13 or not self.curve or key.curve == self.curve


SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme(0x0403, "ecdsa_secp256r1_sha256", crypto.ECDSA_SHA256, "secp256r1"),
        Scheme(0x0503, "ecdsa_secp384r1_sha384", crypto.ECDSA_SHA384, "secp384r1"),
        Scheme(0x0603, "ecdsa_secp521r1_sha512", crypto.ECDSA_SHA512, "secp521r1"),
        Scheme(0x0807, "ed25519", crypto.ED25519),
        Scheme(0x0808, "ed448", crypto.ED448),
        Scheme(0x0804, "rsa_pss_rsae_sha256", crypto.RSA_PSS_SHA256),
        Scheme(0x0805, "rsa_pss_rsae_sha384", crypto.RSA_PSS_SHA384),
        Scheme(0x0806, "rsa_pss_rsae_sha512", crypto.RSA_PSS_SHA512),
        Scheme(0x0809, "rsa_pss_pss_sha256", crypto.RSA_PSS_SHA256, pss_key=True),
        Scheme(0x080A, "rsa_pss_pss_sha384", crypto.RSA_PSS_SHA384, pss_key=True),
        Scheme(0x080B, "rsa_pss_pss_sha512", crypto.RSA_PSS_SHA512, pss_key=True),
        Scheme(0x0401, "rsa_pkcs1_sha256", crypto.RSA_PKCS1_SHA256),
        Scheme(0x0501, "rsa_pkcs1_sha384", crypto.RSA_PKCS1_SHA384),
        Scheme(0x0601, "rsa_pkcs1_sha512", crypto.RSA_PKCS1_SHA512),
    )
}
DEFAULT_SCHEMES = tuple(SCHEMES)
