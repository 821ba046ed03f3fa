"""The name that a peer should have, and whether a certificate has it (RFC 6125, RFC 9525)."""

from __future__ import annotations

import ipaddress
import re
from typing import TypeAlias

from mirage.asn1 import Chosen

from .certificate import Certificate
from .errors import UnusableInput, ValidationError
from .names import general_name, show_general_name

__all__ = ["PeerName", "expected_name", "is_dns_name", "match"]

PeerName: TypeAlias = "str | ipaddress.IPv4Address | ipaddress.IPv6Address"
"""A DNS name, an IP address (as text too), an email address, or a whole URI such as spiffe://example.org/web.

Not the address of a web page: there the host is what is looked for (RFC 9110 4.3.4)."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}")
_WEB = ("http", "https")
_WILDCARD = re.compile(rf"\*\.(?:{_LABEL}\.)+(?![0-9]+\Z){_LABEL}")


def is_dns_name(text: str, wildcard: bool = False) -> bool:
    """Whether a lower-case text is a DNS name of letters, digits and hyphens; `wildcard` allows ``*`` as first label.

    A name whose last label is a number is none: it would be read as an IPv4 address (WHATWG URL 3.5).
    """
    if not 0 < len(text) <= 253:
        return False
    return bool(_NAME.fullmatch(text)) or (wildcard and bool(_WILDCARD.fullmatch(text)))


def expected_name(name: PeerName) -> Chosen:
    """What to look for in a certificate. Raises `UnusableInput` for what is no name."""
    if not isinstance(name, str):
        return Chosen("ip", name.packed)
    if "://" in name:
        if name.partition("://")[0].lower() in _WEB:
            raise UnusableInput(f"{name!r} is a URI; give the name of its host")
        return Chosen("uri", _comparable(general_name(name).value))
    text = name.strip("[]") if name.startswith("[") else name
    found = general_name(text.removesuffix("."))
    if found.name == "dns":
        found = Chosen("dns", found.value.lower())
        if not is_dns_name(found.value):
            raise UnusableInput(f"{name!r} is no DNS name, IP address or email address")
    return found


def match(certificate: Certificate, name: PeerName) -> None:
    """Return if the certificate has this name, among its alternative names only.

    Raises `ValidationError` (bad-name).
    """
    wanted = expected_name(name)
    for found in certificate.alt_names:
        if found.name == wanted.name and _same(wanted, found.value):
            return
    shown = [show_general_name(each) for each in certificate.alt_names[:8]]
    if not shown:
        raise ValidationError(
            "bad-name", f"{certificate!r} has no subjectAltName; make one with the name {show_general_name(wanted)}"
        )
    more = ", ..." if len(certificate.alt_names) > 8 else ""
    raise ValidationError(
        "bad-name",
        f"the certificate is for {', '.join(shown)}{more}, not for {show_general_name(wanted)}; "
        "ask for one of these names, or have this one added",
    )


def _same(wanted: Chosen, found: str | bytes) -> bool:
    if isinstance(found, bytes):
        return bool(wanted.value == found)
    if wanted.name == "email":
        # RFC 5321 2.4: the local part is case-sensitive, the domain is not.
        local, _, domain = wanted.value.rpartition("@")
        their_local, _, their_domain = found.rpartition("@")
        return bool(local == their_local and domain.lower() == their_domain.lower())
    if wanted.name == "uri":
        return bool(_comparable(found) == wanted.value)
    pattern = found.lower()
    if not is_dns_name(pattern, wildcard=True):
        return False
    if pattern.startswith("*."):
        # RFC 9525 6.3: the wildcard is the whole first label, and stands for one label.
        first, _, rest = wanted.value.partition(".")
        return bool(first and rest == pattern[2:])
    return bool(pattern == wanted.value)


def _comparable(uri: str) -> str:
    """RFC 5280 7.4: case does not matter in the scheme and the host of a URI, and does in the rest."""
    scheme, separator, rest = uri.partition("://")
    authority = re.match("[^/?#]*", rest)
    assert authority is not None  # it may be empty
    user, at, host = authority[0].rpartition("@")
    return f"{scheme.lower()}{separator}{user}{at}{host.lower()}{rest[authority.end() :]}"
