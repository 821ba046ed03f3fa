"""The grammars that everything in the package shares: RFC 5280 4.1 and appendix A, as far as is needed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from mirage.asn1 import (
    BitString,
    Chosen,
    Grammar,
    Oid,
    any_,
    bit_string,
    boolean,
    choice,
    default,
    explicit,
    generalized_time,
    implicit,
    integer,
    octet_string,
    octets_of,
    oid,
    optional,
    sequence,
    sequence_of,
    set_of,
    utc_time,
)

__all__ = [
    "ALGORITHM",
    "ANY_SEQUENCE",
    "EXTENSIONS",
    "NAME",
    "SIGNED",
    "SPKI",
    "TBS",
    "TIME",
    "Algorithm",
    "Attribute",
    "Extension",
    "SignedData",
    "Spki",
    "Tbs",
    "Validity",
]


class Algorithm(NamedTuple):
    """AlgorithmIdentifier; the parameters are an element's octets."""

    algorithm: Oid
    parameters: bytes | None


class Attribute(NamedTuple):
    """AttributeTypeAndValue; the value is an element's octets."""

    type: Oid
    value: bytes


class Extension(NamedTuple):
    """Extension; the value is the octets in its OCTET STRING."""

    oid: Oid
    critical: bool
    value: bytes


class Validity(NamedTuple):
    """Validity; both ends belong to it."""

    not_before: datetime
    not_after: datetime


class Spki(NamedTuple):
    """SubjectPublicKeyInfo."""

    algorithm: Algorithm
    key: BitString


class Tbs(NamedTuple):
    """TBSCertificate; `version` is one less than people say."""

    version: int
    serial: int
    signature: bytes
    issuer: bytes
    validity: Validity
    subject: bytes
    spki: bytes
    issuer_id: BitString | None
    subject_id: BitString | None
    extensions: list[Extension] | None


class SignedData(NamedTuple):
    """What is signed, as octets; the AlgorithmIdentifier as octets; the signature."""

    tbs: Any
    algorithm: bytes
    signature: BitString


def _to_time(value: datetime) -> Chosen:
    # RFC 5280 4.1.2.5: UTCTime through 2049, then GeneralizedTime.
    return Chosen("utc" if 1950 <= value.year < 2050 else "general", value)


def _from_time(chosen: Chosen) -> datetime:
    value: datetime = chosen.value
    if value.microsecond:
        raise ValueError("a time with a fraction of a second (RFC 5280 4.1.2.5.2)")
    return value


TIME: Grammar[datetime] = choice(utc=utc_time, general=generalized_time).map(_from_time, _to_time)

ALGORITHM = sequence(Algorithm, algorithm=oid, parameters=optional(any_))
ANY_SEQUENCE = octets_of(sequence_of(any_))
NAME = sequence_of(set_of(sequence(Attribute, type=oid, value=any_), least=1))
SPKI = sequence(Spki, algorithm=ALGORITHM, key=bit_string)
EXTENSIONS = sequence_of(sequence(Extension, oid=oid, critical=default(boolean, False), value=octet_string), least=1)

TBS = sequence(
    Tbs,
    version=default(explicit(0, integer), 0),
    serial=integer,
    signature=ANY_SEQUENCE,
    issuer=ANY_SEQUENCE,
    validity=sequence(Validity, not_before=TIME, not_after=TIME),
    subject=ANY_SEQUENCE,
    spki=ANY_SEQUENCE,
    issuer_id=optional(implicit(1, bit_string)),
    subject_id=optional(implicit(2, bit_string)),
    extensions=optional(explicit(3, EXTENSIONS)),
)
"""Names, keys and algorithms are kept as octets, and decoded when they are asked for."""

SIGNED = sequence(SignedData, tbs=ANY_SEQUENCE, algorithm=ANY_SEQUENCE, signature=bit_string)
"""A certificate, a request or a revocation list from outside (RFC 5280 4.1.1)."""
