"""Certificate policies (RFC 5280 6.1.2 to 6.1.5), as sets: unlike the tree, these cannot grow without bound.

For each policy that the next certificate may name, we keep the policies of the first certificate under the anchor from
which it descends. A node of the tree under anyPolicy begins a new such line.
"""

from __future__ import annotations

from collections.abc import Sequence

from mirage.asn1 import Oid

from . import extensions as ext
from .certificate import Certificate
from .errors import ValidationError

__all__ = ["check_policies"]

ANY_POLICY = Oid("2.5.29.32.0")
MAX_POLICIES = 256
"""Policies, and mappings, of one certificate at the most."""

_ABOUT_POLICIES = (ext.CERTIFICATE_POLICIES, ext.POLICY_MAPPINGS, ext.POLICY_CONSTRAINTS, ext.INHIBIT_ANY_POLICY)


def check_policies(
    path: Sequence[Certificate], wanted: frozenset[Oid], require: bool, any_inhibited: bool = False
) -> frozenset[Oid]:
    """The policies under which a path, leaf first and without anchor, is valid. Raises `ValidationError` (policy).

    `wanted` empty means any; `require` makes it an error that there is none. `any_inhibited` is the initial
    inhibitAnyPolicy.
    """
    if not require and not any(certificate.has(oid) for certificate in path for oid in _ABOUT_POLICIES):
        return frozenset()
    count = len(path)
    explicit = 0 if require else count + 1
    inhibit_any = 0 if any_inhibited else count + 1
    mapping = count + 1
    lines: dict[Oid, set[Oid]] = {}
    any_line = True
    for index, certificate in enumerate(reversed(path), 1):
        last = index == count
        free = certificate.self_issued and not last
        lines, any_line = _step(certificate, lines, any_line, any_allowed=inhibit_any > 0 or free)
        if explicit <= 0 and not lines and not any_line:
            raise ValidationError("policy", f"{certificate!r} is under no policy, and one is required")
        if not last:
            lines, any_line = _map(certificate, lines, any_line, allowed=mapping > 0)
        if last or not certificate.self_issued:
            explicit, mapping, inhibit_any = (max(n - 1, 0) for n in (explicit, mapping, inhibit_any))
        constraints = certificate.extension(ext.POLICY_CONSTRAINTS)
        if constraints is not None:
            if constraints.require_explicit is not None and (not last or constraints.require_explicit == 0):
                explicit = min(explicit, constraints.require_explicit)
            if constraints.inhibit_mapping is not None:
                mapping = min(mapping, constraints.inhibit_mapping)
        inhibit = certificate.extension(ext.INHIBIT_ANY_POLICY)
        if inhibit is not None:
            inhibit_any = min(inhibit_any, inhibit)
    found = _result(lines, any_line, wanted)
    if explicit <= 0 and not found:
        raise ValidationError("policy", "a policy is required, and the chain is valid under none that is wanted")
    return found


def _step(
    certificate: Certificate, lines: dict[Oid, set[Oid]], any_line: bool, any_allowed: bool
) -> tuple[dict[Oid, set[Oid]], bool]:
    """RFC 5280 6.1.3 (d), (e): what of the lines is left under the policies of one more certificate."""
    found = certificate.extension(ext.CERTIFICATE_POLICIES)
    if found is None:
        return {}, False
    named = {information.policy for information in found}
    if len(named) != len(found):
        raise ValidationError("bad-certificate", "a certificate policy that is listed twice (RFC 5280 4.2.1.4)")
    if len(named) > MAX_POLICIES:
        raise ValidationError("too-complex", f"more than {MAX_POLICIES} certificate policies")
    step: dict[Oid, set[Oid]] = {}
    for policy in named - {ANY_POLICY}:
        if policy in lines:
            step[policy] = lines[policy]
        elif any_line:
            step[policy] = {policy}
    open_ = ANY_POLICY in named and any_allowed
    if open_:
        for policy, origins in lines.items():
            step.setdefault(policy, origins)
    return step, any_line and open_


def _map(
    certificate: Certificate, lines: dict[Oid, set[Oid]], any_line: bool, allowed: bool
) -> tuple[dict[Oid, set[Oid]], bool]:
    """RFC 5280 6.1.4 (a), (b): the lines under the subject's names for policies."""
    mappings = certificate.extension(ext.POLICY_MAPPINGS)
    if not mappings:
        return lines, any_line
    if len(mappings) > MAX_POLICIES:
        raise ValidationError("too-complex", f"more than {MAX_POLICIES} policy mappings")
    if any(ANY_POLICY in mapping for mapping in mappings):
        raise ValidationError("policy", "a mapping from or to anyPolicy (RFC 5280 4.2.1.5)")
    issuers = {mapping.issuer for mapping in mappings}
    mapped = {policy: origins for policy, origins in lines.items() if policy not in issuers}
    if allowed:
        for mapping in mappings:
            origins = lines.get(mapping.issuer) or ({mapping.issuer} if any_line else set())
            if origins:
                mapped[mapping.subject] = mapped.get(mapping.subject, set()) | origins
    return mapped, any_line


def _result(lines: dict[Oid, set[Oid]], any_line: bool, wanted: frozenset[Oid]) -> frozenset[Oid]:
    origins = frozenset().union(*lines.values()) if lines else frozenset()
    if any_line:
        return wanted or origins | {ANY_POLICY}
    return origins & wanted if wanted else frozenset(origins)
