"""What one certificate must be like, by its place on a path: an end entity's, a CA's, a trust anchor's."""

from __future__ import annotations

from mirage.crypto import PublicKey

from . import extensions as ext
from ._constraints import check_well_formed
from .certificate import Certificate
from .errors import ValidationError
from .extensions import PURPOSES
from .hosts import is_dns_name
from .names import show_general_name
from .profile import Profile

__all__ = ["check_anchor", "check_ca", "check_common", "check_identifiers", "check_key", "check_leaf", "check_time"]

MIN_RSA = 2048
"""Bits (CA/Browser Forum 6.1.5; NIST SP 800-57 part 1, table 2)."""

MAX_RSA = 8192
"""Bits: verification with longer keys costs whoever checks it too much."""

_CURVES = ("secp256r1", "secp384r1", "secp521r1")

_UNDERSTOOD = frozenset(
    (
        *(ext.KEY_USAGE, ext.SUBJECT_ALT_NAME, ext.BASIC_CONSTRAINTS, ext.NAME_CONSTRAINTS, ext.CERTIFICATE_POLICIES),
        *(ext.POLICY_MAPPINGS, ext.POLICY_CONSTRAINTS, ext.EXTENDED_KEY_USAGE, ext.INHIBIT_ANY_POLICY),
        *(ext.SUBJECT_KEY_IDENTIFIER, ext.AUTHORITY_KEY_IDENTIFIER, ext.TLS_FEATURE),
    )
)
"""Extensions that are acted upon; any other that is critical ends the validation (RFC 5280 4.2)."""

_MALFORMED_MATTERS = (*_UNDERSTOOD, ext.AUTHORITY_INFORMATION_ACCESS, ext.CRL_DISTRIBUTION_POINTS)


def _bad(certificate: Certificate, what: str) -> ValidationError:
    return ValidationError("bad-certificate", f"{certificate!r} {what}; have it issued anew")


def check_time(certificate: Certificate, now: float) -> None:
    """Return if `now`, in seconds of the epoch, is within the validity, both ends included. RFC 5280 4.1.2.5."""
    not_before, not_after = certificate.not_before, certificate.not_after
    if now < not_before.timestamp():
        raise ValidationError(
            "not-yet-valid", f"{certificate!r} is valid from {not_before:%Y-%m-%d %H:%M:%S} UTC on; is the clock right?"
        )
    # The end is a whole second, all of which belongs to it.
    if int(now) > not_after.timestamp():
        raise ValidationError("expired", f"{certificate!r} expired on {not_after:%Y-%m-%d %H:%M:%S} UTC; renew it")


def check_key(certificate: Certificate, profile: Profile) -> PublicKey:
    """The key, if it is strong enough. Raises `ValidationError` (weak-key)."""
    key = certificate.public_key
    if key.kind == "rsa":
        if not MIN_RSA <= key.bits <= MAX_RSA:
            raise ValidationError(
                "weak-key", f"{certificate!r} has an RSA key of {key.bits} bits; {MIN_RSA} to {MAX_RSA} are taken"
            )
        if key.bits % 8 and "keys" in profile.rules:
            raise ValidationError("weak-key", f"{certificate!r} has an RSA key of {key.bits} bits, not a multiple of 8")
    elif key.kind == "ec" and key.curve not in _CURVES:
        raise ValidationError("weak-key", f"{certificate!r} has a key on {key.curve}; use P-256, P-384 or P-521")
    return key


def check_common(certificate: Certificate, profile: Profile, anchor: bool = False) -> None:
    """What holds for every certificate; an anchor's serial number identifies nothing.

    Raises `ValidationError`, `InvalidEncoding`.
    """
    if (profile, anchor) in certificate.passed:
        return
    fields, rules = certificate.fields, profile.rules
    if fields.version != 2:
        raise _bad(certificate, f"is of version {certificate.version}, without the extensions that say what it is for")
    if fields.signature != certificate.signature_algorithm:
        raise _bad(certificate, "names two signature algorithms (RFC 5280 4.1.1.2)")
    if certificate.issuer.empty:
        raise _bad(certificate, "has no issuer (RFC 5280 4.1.2.4)")
    if "serial" in rules and not anchor and not 0 < certificate.serial < 1 << 159:
        raise _bad(
            certificate, "has a serial number that is not positive, or of more than 20 octets (RFC 5280 4.1.2.2)"
        )
    _check_extensions(certificate)
    if "critical" in rules:
        _check_critical(certificate)
    _check_alt_names(certificate, rules)
    certificate.passed.add((profile, anchor))


def _check_extensions(certificate: Certificate) -> None:
    """Each extension once, and none critical that is not acted upon (RFC 5280 4.2); those that matter can be read."""
    if _check_extensions in certificate.passed:
        return
    seen = set()
    for extension in certificate.extensions:
        if extension.oid in seen:
            raise _bad(certificate, f"has extension {extension.oid} twice (RFC 5280 4.2)")
        seen.add(extension.oid)
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise ValidationError(
                "unknown-critical-extension",
                f"{certificate!r} has the critical extension {extension.oid}, which is not understood here",
            )
        if extension.oid in _MALFORMED_MATTERS:
            certificate.extension(extension.oid)
    certificate.passed.add(_check_extensions)


def _check_critical(certificate: Certificate) -> None:
    """RFC 5280 4.2.1.1, 4.2.1.2, 4.2.1.11, 4.2.2.1."""
    for extension in certificate.extensions:
        oid, critical = extension.oid, extension.critical
        if critical and oid in (ext.AUTHORITY_KEY_IDENTIFIER, ext.SUBJECT_KEY_IDENTIFIER):
            raise _bad(certificate, "has a critical key identifier")
        if not critical and oid in (ext.POLICY_CONSTRAINTS, ext.INHIBIT_ANY_POLICY):
            raise _bad(certificate, "has policy constraints that are not critical")


def _check_alt_names(certificate: Certificate, rules: frozenset[str]) -> None:
    """RFC 5280 4.1.2.6, 4.2.1.6."""
    critical = next((e.critical for e in certificate.extensions if e.oid == ext.SUBJECT_ALT_NAME), None)
    empty = certificate.subject.empty
    if empty and critical is False and "alt-names" in rules:
        raise _bad(certificate, "has no subject, and alternative names that are not critical")
    if critical and not empty and "alt-names-critical" in rules:
        raise _bad(certificate, "has a subject, and alternative names that are critical")
    for name in certificate.alt_names:
        good = True
        if name.name == "ip":
            good = len(name.value) in (4, 16)
        elif name.name == "dns" and "alt-names" in rules:
            good = is_dns_name(name.value.lower(), wildcard=True)
        if not good:
            raise _bad(certificate, f"has the name {show_general_name(name)}, which is none of its kind")


def check_ca(certificate: Certificate, profile: Profile, below: int) -> None:
    """A certificate that signed another, with `below` further CAs, not self-issued, under it.

    RFC 5280 6.1.4 (k) to (n).
    """
    constraints = certificate.basic_constraints
    if constraints is None or not constraints.ca:
        raise ValidationError("not-a-ca", f"{certificate!r} signed another, but is not a CA's")
    if constraints.path_length is not None and constraints.path_length < below:
        raise ValidationError(
            "path-too-long", f"{certificate!r} allows {constraints.path_length} CAs below it; there are {below}"
        )
    usage = certificate.key_usage
    if usage is not None and "keyCertSign" not in usage:
        raise ValidationError("not-a-ca", f"{certificate!r} signed another, but its key usage lacks keyCertSign")
    rules = profile.rules
    if usage is None and "keys" in rules:
        raise _bad(certificate, "is a CA's without key usage (CA/Browser Forum 7.1.2.10.7)")
    if certificate.subject.empty:
        raise _bad(certificate, "is a CA's without a name (RFC 5280 4.1.2.6)")
    if "critical" in rules and not _critical(certificate, ext.BASIC_CONSTRAINTS):
        raise _bad(certificate, "is a CA's, and its basic constraints are not critical (RFC 5280 4.2.1.9)")
    if "key-identifiers" in rules and certificate.subject_key_id is None:
        raise _bad(certificate, "is a CA's without subjectKeyIdentifier (RFC 5280 4.2.1.2)")
    names = certificate.name_constraints
    if names is not None:
        if "name-constraints-critical" in rules and not _critical(certificate, ext.NAME_CONSTRAINTS):
            raise _bad(certificate, "has name constraints that are not critical (RFC 5280 4.2.1.10)")
        check_well_formed(names)


def _critical(certificate: Certificate, oid: str) -> bool:
    return any(extension.critical for extension in certificate.extensions if extension.oid == oid)


def check_identifiers(certificate: Certificate, profile: Profile, anchor: bool) -> None:
    """Whether the issuer's key is named as RFC 5280 4.2.1.1, and for roots CA/B 7.1.2.1.3, want it."""
    rules, found = profile.rules, certificate.authority_key_id
    if anchor and "anchor-identifiers" in rules and found is not None and certificate.self_issued:
        good = found.key_id is not None and found.key_id == certificate.subject_key_id
        if not good or found.issuer is not None or found.serial is not None:
            raise _bad(certificate, "is a root whose authorityKeyIdentifier is not just that of its own key")
    if "key-identifiers" not in rules or (anchor and certificate.self_issued and found is None):
        return
    if found is None or found.key_id is None:
        raise _bad(certificate, "has no authorityKeyIdentifier (RFC 5280 4.2.1.1)")


def check_leaf(certificate: Certificate, profile: Profile, role: str) -> None:
    """The certificate of the peer, in its role (server or client). RFC 5280 4.2.1.3, 4.2.1.12."""
    rules = profile.rules
    constraints, usage, purposes = certificate.basic_constraints, certificate.key_usage, certificate.purposes
    ca = constraints is not None and constraints.ca
    if certificate.name_constraints is not None and not ca:
        raise _bad(certificate, "has name constraints, and is no CA's (RFC 5280 4.2.1.10)")
    if usage is not None:
        if "keyCertSign" in usage and not ca:
            raise _bad(certificate, "may sign certificates, and is no CA's (RFC 5280 4.2.1.9)")
        # RFC 8446 4.4.2.2; key encipherment is for exchanges that TLS no longer has, but is all that some state.
        if not usage & {"digitalSignature", "keyEncipherment", "keyAgreement"} and not ca:
            raise ValidationError("bad-purpose", f"{certificate!r} has a key that is not for signatures")
    if ca and "end-entity" in rules:
        raise ValidationError("bad-purpose", f"{certificate!r} is a CA's; a {role} needs one of its own")
    wanted = PURPOSES["serverAuth" if role == "server" else "clientAuth"]
    if purposes is not None and wanted not in purposes and PURPOSES["any"] not in purposes:
        raise ValidationError("bad-purpose", f"{certificate!r} is not for {role}s, by its extended key usage")
    if "purpose-stated" in rules and (
        purposes is None or PURPOSES["any"] in purposes or _critical(certificate, ext.EXTENDED_KEY_USAGE)
    ):
        raise ValidationError("bad-purpose", f"{certificate!r} does not say, uncritically, that it is for {role}s")
    if "common-name" in rules and role == "server":
        _check_common_names(certificate)


def _check_common_names(certificate: Certificate) -> None:
    """CA/Browser Forum 7.1.4.3: character for character one of the alternative names, addresses in canonical form."""
    shown = {show_general_name(name).partition(":")[2] for name in certificate.alt_names}
    for text in certificate.subject.get("CN"):
        if text not in shown:
            raise _bad(certificate, "has a common name that is not one of its alternative names")


def check_anchor(certificate: Certificate, profile: Profile, below: int) -> None:
    """A trust anchor: what it says of itself counts, and under stricter profiles it must say it."""
    if "anchor" in profile.rules:
        check_common(certificate, profile, anchor=True)
        check_ca(certificate, profile, below)
        check_identifiers(certificate, profile, anchor=True)
    elif certificate.version == 3:
        _check_extensions(certificate)
        check_ca(certificate, profile, below)
    if "purpose-stated" in profile.rules and certificate.self_issued and certificate.purposes is not None:
        raise ValidationError("bad-purpose", f"{certificate!r} is a root that states purposes")
