"""Certificates, requests, lists and stores in words, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from mirage.asn1 import Oid
from mirage.crypto import SHA256

from . import extensions as ext
from .algorithms import key_name, scheme_of
from .certificate import Certificate
from .crl import Crl
from .csr import Request
from .errors import InvalidEncoding, ValidationError
from .extensions import PURPOSES
from .names import show_general_name

__all__ = ["show_certificate", "show_crl", "show_request"]

_LABELS = {
    ext.SUBJECT_KEY_IDENTIFIER: "Key identifier",
    ext.KEY_USAGE: "Key usage",
    ext.SUBJECT_ALT_NAME: "Names",
    ext.ISSUER_ALT_NAME: "Issuer's names",
    ext.BASIC_CONSTRAINTS: "CA",
    ext.NAME_CONSTRAINTS: "Name constraints",
    ext.CRL_DISTRIBUTION_POINTS: "Revocation lists",
    ext.CERTIFICATE_POLICIES: "Policies",
    ext.POLICY_MAPPINGS: "Policy mappings",
    ext.AUTHORITY_KEY_IDENTIFIER: "Issuer's key identifier",
    ext.POLICY_CONSTRAINTS: "Policy constraints",
    ext.EXTENDED_KEY_USAGE: "Purposes",
    ext.INHIBIT_ANY_POLICY: "No anyPolicy after",
    ext.AUTHORITY_INFORMATION_ACCESS: "About the issuer",
    ext.TLS_FEATURE: "TLS features",
    Oid("1.3.6.1.4.1.11129.2.4.2"): "Certificate transparency",
}
_PURPOSE_NAMES = {oid: name for name, oid in PURPOSES.items()}
_ACCESS = {Oid("1.3.6.1.5.5.7.48.1"): "OCSP", Oid("1.3.6.1.5.5.7.48.2"): "certificate"}

MAX_NAMES = 50
"""Names of one certificate that are shown."""


def _hex(octets: bytes) -> str:
    return octets.hex(":")


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _names(names: Iterable[Any]) -> str:
    shown = [show_general_name(name) for name in names]
    more = f" and {len(shown) - MAX_NAMES} more" if len(shown) > MAX_NAMES else ""
    return ", ".join(shown[:MAX_NAMES]) + more


def _extension(oid: Oid, value: Any) -> str:
    if oid in (ext.SUBJECT_ALT_NAME, ext.ISSUER_ALT_NAME):
        return _names(value)
    if oid == ext.BASIC_CONSTRAINTS:
        if not value.ca:
            return "no"
        return "yes" if value.path_length is None else f"yes, with at most {value.path_length} CAs below"
    if oid == ext.KEY_USAGE:
        return ", ".join(sorted(value))
    if oid == ext.EXTENDED_KEY_USAGE:
        return ", ".join(_PURPOSE_NAMES.get(each, each) for each in value)
    if oid == ext.AUTHORITY_KEY_IDENTIFIER:
        return _hex(value.key_id) if value.key_id else "(by issuer and serial number)"
    if oid == ext.SUBJECT_KEY_IDENTIFIER:
        return _hex(value)
    if oid == ext.NAME_CONSTRAINTS:
        parts = [f"only {_names(s.base for s in value.permitted)}"] if value.permitted else []
        parts += [f"not {_names(s.base for s in value.excluded)}"] if value.excluded else []
        return "; ".join(parts)
    if oid == ext.AUTHORITY_INFORMATION_ACCESS:
        return ", ".join(f"{_ACCESS.get(a.method, a.method)} at {show_general_name(a.location)}" for a in value)
    if oid == ext.CRL_DISTRIBUTION_POINTS:
        points = [point.point for point in value if point.point is not None]
        return ", ".join(_names(point.value) for point in points if point.name == "full") or "(unnamed)"
    if oid == ext.CERTIFICATE_POLICIES:
        return ", ".join(information.policy for information in value)
    if oid == ext.TLS_FEATURE:
        return ", ".join("must staple" if each == 5 else str(each) for each in value)
    return str(value)


def _extensions(certificate: Certificate) -> Iterator[tuple[str, str]]:
    for each in certificate.extensions:
        label = _LABELS.get(each.oid, each.oid)
        if each.oid in ext.GRAMMARS:
            try:
                text = _extension(each.oid, certificate.extension(each.oid))
            except InvalidEncoding as error:
                text = f"cannot be read: {error}"
        else:
            text = f"({len(each.value)} octets)"
        yield label, f"{text} (critical)" if each.critical else text


def _key(thing: Certificate | Request) -> str:
    try:
        return key_name(thing.public_key)
    except ValidationError as error:
        return f"not usable: {error}"


def _signature(certificate: Certificate) -> str:
    try:
        return scheme_of(certificate.signature_algorithm).name
    except ValidationError as error:
        return f"not usable: {error}"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    found = list(rows)
    width = max(len(label) for label, _ in found) + 1
    return "\n".join(f"  {label + ':':{width}} {text}" for label, text in found)


def show_certificate(certificate: Certificate, now: datetime) -> str:
    """A certificate in words, with what its validity means today. Raises `InvalidEncoding`."""
    days = (certificate.not_after - now).days
    if now > certificate.not_after:
        state = f"EXPIRED {(now - certificate.not_after).days} days ago"
    elif now < certificate.not_before:
        state = "not yet valid"
    else:
        state = f"{days} days left"
    issuer = "itself" if certificate.self_issued else str(certificate.issuer) or "(no name)"
    rows = [
        ("Subject", str(certificate.subject) or "(none)"),
        ("Issued by", issuer),
        ("Valid", f"{_time(certificate.not_before)} to {_time(certificate.not_after)} ({state})"),
        ("Key", _key(certificate)),
        ("Signed with", _signature(certificate)),
        ("Serial number", f"{certificate.serial:x}"),
        *_extensions(certificate),
        ("Fingerprint", f"cert-fp:sha256:{certificate.fingerprint(SHA256).hex()}"),
        ("Key fingerprint", f"key-fp:sha256:{certificate.key_fingerprint(SHA256).hex()}"),
    ]
    kind = "CA certificate" if certificate.is_ca else "Certificate"
    return f"{kind}\n{_table(rows)}"


def show_request(request: Request) -> str:
    """A signing request in words. Raises `InvalidEncoding`."""
    rows = [
        ("Subject", str(request.subject) or "(none)"),
        ("Key", _key(request)),
        ("Names", _names(request.alt_names) or "(none)"),
    ]
    return f"Certificate signing request\n{_table(rows)}"


def show_crl(crl: Crl) -> str:
    """A revocation list in words. Raises `InvalidEncoding`."""
    entries = sorted(crl.entries.items())
    rows = [
        ("Issued by", str(crl.issuer)),
        ("From", _time(crl.this_update)),
        ("Next", _time(crl.next_update) if crl.next_update else "(does not say)"),
        ("Revoked", f"{len(entries)} certificates"),
        *((f"{serial:x}"[:45], f"{_time(each.time)}, {each.reason}") for serial, each in entries[:MAX_NAMES]),
    ]
    return f"Revocation list\n{_table(rows)}"
