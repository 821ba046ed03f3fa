"""Certificates for tests: a CA and what it signs, made of mirage.crypto keys with just enough DER (RFC 5280 4.1)."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Sequence

from mirage.crypto import ECDSA_SHA256, ED448, ED25519, RSA_PKCS1_SHA256, SHA256, PrivateKey

__all__ = ["Issued", "issue"]

_ALGORITHMS = {
    "ec": (ECDSA_SHA256, "06082a8648ce3d040302"),
    "rsa": (RSA_PKCS1_SHA256, "06092a864886f70d01010b0500"),
    "ed25519": (ED25519, "06032b6570"),
    "ed448": (ED448, "06032b6571"),
}
_PURPOSES = "06082b0601050507030106082b06010505070302"


def _der(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _name(text: str) -> bytes:
    return _der(0x30, _der(0x31, _der(0x30, bytes.fromhex("0603550403"), _der(0x0C, text.encode()))))


def _extension(oid: str, value: bytes, critical: bool = False) -> bytes:
    return _der(0x30, bytes.fromhex(oid), b"\x01\x01\xff" if critical else b"", _der(0x04, value))


def _time(seconds: float) -> bytes:
    moment = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return _der(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())


class Issued:
    """A certificate in DER, its name and its private key."""

    def __init__(self, name: str, der: bytes, key: PrivateKey) -> None:
        self.name = name
        self.der = der
        self.key = key

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(self.der) + b"-----END CERTIFICATE-----\n"


def issue(
    name: str,
    by: Issued | None = None,
    *,
    key: PrivateKey | None = None,
    hosts: Sequence[str] = (),
    now: float = 1_750_000_000.0,
    days: float = 365,
) -> Issued:
    """A certificate: of a CA without `by`, otherwise of an end for these hosts (DNS names, IP addresses).

    It is good from a day before `now` (seconds since the epoch) until `days` after it.
    """
    key = key or PrivateKey.generate_ec()
    signer = by.key if by else key
    scheme, oid = _ALGORITHMS[signer.public.kind]
    algorithm = _der(0x30, bytes.fromhex(oid))
    identifier = SHA256.digest(key.public.spki())[:20]
    extensions = [_extension("0603551d0e", _der(0x04, identifier))]
    if by is None:
        extensions.append(_extension("0603551d13", _der(0x30, b"\x01\x01\xff"), critical=True))
        extensions.append(_extension("0603551d0f", bytes.fromhex("03020106"), critical=True))
    else:
        issuer = SHA256.digest(by.key.public.spki())[:20]
        extensions.append(_extension("0603551d23", _der(0x30, _der(0x80, issuer))))
        extensions.append(_extension("0603551d13", _der(0x30), critical=True))
        extensions.append(_extension("0603551d0f", bytes.fromhex("03020780"), critical=True))
        extensions.append(_extension("0603551d25", _der(0x30, bytes.fromhex(_PURPOSES))))
        names = [_host(host) for host in hosts or (name,)]
        extensions.append(_extension("0603551d11", _der(0x30, *names)))
    tbs = _der(
        0x30,
        bytes.fromhex("a003020102"),
        _der(0x02, b"\x01" + SHA256.digest(identifier + name.encode())[:15]),
        algorithm,
        _name(by.name if by else name),
        _der(0x30, _time(now - 86_400), _time(now + days * 86_400)),
        _name(name),
        key.public.spki(),
        _der(0xA3, _der(0x30, *extensions)),
    )
    return Issued(name, _der(0x30, tbs, algorithm, _der(0x03, b"\0", signer.sign(scheme, tbs))), key)


def _host(host: str) -> bytes:
    try:
        return _der(0x87, ipaddress.ip_address(host).packed)
    except ValueError:
        return _der(0x82, host.encode("ascii"))
