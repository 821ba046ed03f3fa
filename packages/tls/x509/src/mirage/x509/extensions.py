"""The extensions of certificates that are understood here (RFC 5280 4.2, RFC 7633), each with its grammar."""

from __future__ import annotations

from typing import Any, NamedTuple

from mirage.asn1 import (
    Chosen,
    Grammar,
    Oid,
    any_,
    bit_flags,
    boolean,
    choice,
    default,
    explicit,
    implicit,
    integer,
    null,
    octet_string,
    oid,
    optional,
    sequence,
    sequence_of,
    set_of,
)

from ._schema import Attribute
from .names import GENERAL_NAME, GENERAL_NAMES

__all__ = [
    "AUTHORITY_INFORMATION_ACCESS",
    "AUTHORITY_KEY_IDENTIFIER",
    "BASIC_CONSTRAINTS",
    "CERTIFICATE_POLICIES",
    "CRL_DISTRIBUTION_POINTS",
    "DISTRIBUTION_POINT_NAME",
    "EXTENDED_KEY_USAGE",
    "GRAMMARS",
    "INHIBIT_ANY_POLICY",
    "ISSUER_ALT_NAME",
    "KEY_USAGE",
    "NAME_CONSTRAINTS",
    "OCSP_NO_CHECK",
    "POLICY_CONSTRAINTS",
    "POLICY_MAPPINGS",
    "PURPOSES",
    "REASONS",
    "SUBJECT_ALT_NAME",
    "SUBJECT_INFORMATION_ACCESS",
    "SUBJECT_KEY_IDENTIFIER",
    "TLS_FEATURE",
    "AccessDescription",
    "AuthorityKeyIdentifier",
    "BasicConstraints",
    "DistributionPoint",
    "GeneralSubtree",
    "NameConstraints",
    "PolicyConstraints",
    "PolicyInformation",
    "PolicyMapping",
]

_CE = "2.5.29."
SUBJECT_KEY_IDENTIFIER = Oid(_CE + "14")
KEY_USAGE = Oid(_CE + "15")
SUBJECT_ALT_NAME = Oid(_CE + "17")
ISSUER_ALT_NAME = Oid(_CE + "18")
BASIC_CONSTRAINTS = Oid(_CE + "19")
NAME_CONSTRAINTS = Oid(_CE + "30")
CRL_DISTRIBUTION_POINTS = Oid(_CE + "31")
CERTIFICATE_POLICIES = Oid(_CE + "32")
POLICY_MAPPINGS = Oid(_CE + "33")
AUTHORITY_KEY_IDENTIFIER = Oid(_CE + "35")
POLICY_CONSTRAINTS = Oid(_CE + "36")
EXTENDED_KEY_USAGE = Oid(_CE + "37")
INHIBIT_ANY_POLICY = Oid(_CE + "54")
AUTHORITY_INFORMATION_ACCESS = Oid("1.3.6.1.5.5.7.1.1")
SUBJECT_INFORMATION_ACCESS = Oid("1.3.6.1.5.5.7.1.11")
TLS_FEATURE = Oid("1.3.6.1.5.5.7.1.24")
OCSP_NO_CHECK = Oid("1.3.6.1.5.5.7.48.1.5")

_KP = "1.3.6.1.5.5.7.3."
PURPOSES = {
    "any": Oid(_CE + "37.0"),
    "serverAuth": Oid(_KP + "1"),
    "clientAuth": Oid(_KP + "2"),
    "codeSigning": Oid(_KP + "3"),
    "emailProtection": Oid(_KP + "4"),
    "timeStamping": Oid(_KP + "8"),
    "OCSPSigning": Oid(_KP + "9"),
}
"""Extended key usages by name (RFC 5280 4.2.1.12)."""


class BasicConstraints(NamedTuple):
    """Whether the key may sign certificates, and how many more such keys may follow on a path."""

    ca: bool = False
    path_length: int | None = None


class AuthorityKeyIdentifier(NamedTuple):
    """Which key signed this."""

    key_id: bytes | None = None
    issuer: list[Chosen] | None = None
    serial: int | None = None


class GeneralSubtree(NamedTuple):
    """One base of a name constraint; RFC 5280 leaves `minimum` 0 and `maximum` absent."""

    base: Chosen
    minimum: int = 0
    maximum: int | None = None


class NameConstraints(NamedTuple):
    """The names that certificates below may have, and may not have."""

    permitted: list[GeneralSubtree] | None = None
    excluded: list[GeneralSubtree] | None = None


class PolicyInformation(NamedTuple):
    """A policy under which the certificate was issued; qualifiers as octets."""

    policy: Oid
    qualifiers: list[bytes] | None = None


class PolicyMapping(NamedTuple):
    """A policy of the issuer and the one of the subject that equals it."""

    issuer: Oid
    subject: Oid


class PolicyConstraints(NamedTuple):
    """After how many certificates a policy is required, and mappings are not followed."""

    require_explicit: int | None = None
    inhibit_mapping: int | None = None


class AccessDescription(NamedTuple):
    """Where something about the issuer is found: OCSP, its certificate."""

    method: Oid
    location: Chosen


class DistributionPoint(NamedTuple):
    """Where a revocation list is found: ``Chosen("full", general_names)`` or ``Chosen("relative", attributes)``."""

    point: Chosen | None = None
    reasons: frozenset[str] | None = None
    issuer: list[Chosen] | None = None


_SUBTREES = sequence_of(
    sequence(
        GeneralSubtree,
        base=GENERAL_NAME,
        minimum=default(implicit(0, integer), 0),
        maximum=optional(implicit(1, integer)),
    ),
    least=1,
)
REASONS = bit_flags(
    *("unused", "keyCompromise", "cACompromise", "affiliationChanged", "superseded"),
    *("cessationOfOperation", "certificateHold", "privilegeWithdrawn", "aACompromise"),
)
DISTRIBUTION_POINT_NAME = choice(
    full=implicit(0, GENERAL_NAMES),
    relative=implicit(1, set_of(sequence(Attribute, type=oid, value=any_), least=1)),
)
_ACCESS = sequence_of(sequence(AccessDescription, method=oid, location=GENERAL_NAME), least=1)

GRAMMARS: dict[Oid, Grammar[Any]] = {
    SUBJECT_KEY_IDENTIFIER: octet_string,
    KEY_USAGE: bit_flags(
        *("digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement"),
        *("keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"),
        zeros=True,  # two roots that browsers trust have them
    ),
    SUBJECT_ALT_NAME: GENERAL_NAMES,
    ISSUER_ALT_NAME: GENERAL_NAMES,
    BASIC_CONSTRAINTS: sequence(BasicConstraints, ca=default(boolean, False), path_length=optional(integer)),
    NAME_CONSTRAINTS: sequence(
        NameConstraints, permitted=optional(implicit(0, _SUBTREES)), excluded=optional(implicit(1, _SUBTREES))
    ),
    CRL_DISTRIBUTION_POINTS: sequence_of(
        sequence(
            DistributionPoint,
            point=optional(explicit(0, DISTRIBUTION_POINT_NAME)),
            reasons=optional(implicit(1, REASONS)),
            issuer=optional(implicit(2, GENERAL_NAMES)),
        ),
        least=1,
    ),
    CERTIFICATE_POLICIES: sequence_of(
        sequence(PolicyInformation, policy=oid, qualifiers=optional(sequence_of(any_, least=1))), least=1
    ),
    POLICY_MAPPINGS: sequence_of(sequence(PolicyMapping, issuer=oid, subject=oid), least=1),
    AUTHORITY_KEY_IDENTIFIER: sequence(
        AuthorityKeyIdentifier,
        key_id=optional(implicit(0, octet_string)),
        issuer=optional(implicit(1, GENERAL_NAMES)),
        serial=optional(implicit(2, integer)),
    ),
    POLICY_CONSTRAINTS: sequence(
        PolicyConstraints,
        require_explicit=optional(implicit(0, integer)),
        inhibit_mapping=optional(implicit(1, integer)),
    ),
    EXTENDED_KEY_USAGE: sequence_of(oid, least=1),
    INHIBIT_ANY_POLICY: integer,
    AUTHORITY_INFORMATION_ACCESS: _ACCESS,
    SUBJECT_INFORMATION_ACCESS: _ACCESS,
    TLS_FEATURE: sequence_of(integer),
    OCSP_NO_CHECK: null,
}
"""The grammar of each extension's value."""
