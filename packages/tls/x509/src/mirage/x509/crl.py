"""Certificate revocation lists (RFC 5280 5): read, verified, asked, made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from mirage.asn1 import (
    Asn1Error,
    Grammar,
    Limits,
    Oid,
    boolean,
    default,
    enumerated,
    explicit,
    generalized_time,
    implicit,
    integer,
    octets_of,
    optional,
    sequence,
    sequence_of,
)

from . import extensions as ext
from ._schema import ANY_SEQUENCE, EXTENSIONS, SIGNED, TIME, Extension
from .algorithms import encode_scheme, scheme_for, verify
from .build import Identity, sign
from .certificate import Certificate
from .errors import InvalidEncoding, UnusableInput, ValidationError
from .extensions import DISTRIBUTION_POINT_NAME, REASONS, AuthorityKeyIdentifier, DistributionPoint
from .names import Name, name_of
from .pem import decode_pem, encode_pem

__all__ = ["REASON_CODE", "Crl", "Revoked", "make_crl"]

_LIMITS = Limits(size=64 << 20, count=2_000_000)
"""The largest lists in use have some tens of megabytes and a million entries."""

CRL_NUMBER = Oid("2.5.29.20")
_REASON = Oid("2.5.29.21")
_DELTA = Oid("2.5.29.27")
_SCOPE = Oid("2.5.29.28")

REASON_CODE = enumerated(
    unspecified=0,
    keyCompromise=1,
    cACompromise=2,
    affiliationChanged=3,
    superseded=4,
    cessationOfOperation=5,
    certificateHold=6,
    removeFromCRL=8,
    privilegeWithdrawn=9,
    aACompromise=10,
)
"""CRLReason (RFC 5280 5.3.1)."""


class _Entry(NamedTuple):
    serial: int
    time: datetime
    extensions: list[Extension] | None


class _Tbs(NamedTuple):
    version: int | None
    signature: bytes
    issuer: bytes
    this_update: datetime
    next_update: datetime | None
    revoked: bytes | None
    extensions: list[Extension] | None


class _Scope(NamedTuple):
    """IssuingDistributionPoint (RFC 5280 5.2.5)."""

    point: Any
    only_user: bool
    only_ca: bool
    reasons: frozenset[str] | None
    indirect: bool
    only_attribute: bool


_ENTRIES = sequence_of(sequence(_Entry, serial=integer, time=TIME, extensions=optional(EXTENSIONS)))
_TBS = sequence(
    _Tbs,
    version=optional(integer),
    signature=ANY_SEQUENCE,
    issuer=ANY_SEQUENCE,
    this_update=TIME,
    next_update=optional(TIME),
    revoked=optional(octets_of(_ENTRIES)),
    extensions=optional(explicit(0, EXTENSIONS)),
)
_SCOPE_GRAMMAR = sequence(
    _Scope,
    point=optional(explicit(0, DISTRIBUTION_POINT_NAME)),
    only_user=default(implicit(1, boolean), False),
    only_ca=default(implicit(2, boolean), False),
    reasons=optional(implicit(3, REASONS)),
    indirect=default(implicit(4, boolean), False),
    only_attribute=default(implicit(5, boolean), False),
)
_INVALIDITY = Oid("2.5.29.24")
_UNDERSTOOD: dict[Oid, Grammar[Any]] = {
    CRL_NUMBER: integer,
    _SCOPE: _SCOPE_GRAMMAR,
    ext.AUTHORITY_KEY_IDENTIFIER: ext.GRAMMARS[ext.AUTHORITY_KEY_IDENTIFIER],
    _REASON: REASON_CODE,
    _INVALIDITY: generalized_time,
}


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate that is revoked: since when, and why."""

    time: datetime
    reason: str = "unspecified"


class Crl:
    """A revocation list; its entries are read when it is first asked."""

    def __init__(self, der: bytes) -> None:
        """As `decode`."""
        try:
            signed = SIGNED.decode(der, limits=_LIMITS)
            fields = _TBS.decode(signed.tbs, limits=_LIMITS)
        except Asn1Error as error:
            raise InvalidEncoding(f"no revocation list: {error}") from None
        if fields.version not in (None, 1) or (fields.version is None and fields.extensions):
            raise InvalidEncoding("a revocation list of neither version 1 nor 2 (RFC 5280 5.1.2.1)")
        if fields.signature != signed.algorithm:
            raise InvalidEncoding("a revocation list that names two signature algorithms (RFC 5280 5.1.2.2)")
        self.der = bytes(der)
        self._signed, self._fields = signed, fields
        self.this_update = fields.this_update
        self.next_update = fields.next_update

    @classmethod
    def decode(cls, der: bytes) -> Crl:
        """The list with this DER encoding. Raises `InvalidEncoding`."""
        return cls(der)

    @classmethod
    def load(cls, path: str | Path) -> list[Crl]:
        """The lists in a file, PEM or DER. Raises `InvalidEncoding`, `OSError`."""
        data = Path(path).read_bytes()
        if b"-----BEGIN " not in data:
            return [cls(data)]
        return [cls(block.data) for block in decode_pem(data) if block.label == "X509 CRL"]

    def pem(self) -> str:
        """The list as PEM."""
        return encode_pem("X509 CRL", self.der)

    @property
    def issuer(self) -> Name:
        """Who signed it."""
        return name_of(self._fields.issuer)

    def _extension(self, extensions: list[Extension] | None, oid: Oid) -> Any:
        for each in extensions or ():
            if each.oid == oid:
                try:
                    return _UNDERSTOOD[oid].decode(each.value)
                except Asn1Error as error:
                    raise InvalidEncoding(f"extension {oid} of a revocation list: {error}") from None
        return None

    @property
    def number(self) -> int | None:
        """Its number, which grows from list to list."""
        found: int | None = self._extension(self._fields.extensions, CRL_NUMBER)
        return found

    @cached_property
    def entries(self) -> Mapping[int, Revoked]:
        """The revoked certificates by serial number. Raises `InvalidEncoding`."""
        if self._fields.revoked is None:
            return {}
        try:
            found = _ENTRIES.decode(self._fields.revoked, limits=_LIMITS)
        except Asn1Error as error:
            raise InvalidEncoding(f"the entries of a revocation list: {error}") from None
        return {
            entry.serial: Revoked(entry.time, self._extension(entry.extensions, _REASON) or "unspecified")
            for entry in found
        }

    def check(self, issuer: Certificate, now: float) -> None:
        """Return if the list is the issuer's, and current. Raises `ValidationError`, `InvalidEncoding`."""
        if self.issuer != issuer.subject:
            raise ValidationError("revocation-unknown", f"the list is by {self.issuer}, not by {issuer.subject}")
        usage = issuer.key_usage
        if usage is not None and "cRLSign" not in usage:
            raise ValidationError("revocation-unknown", f"{issuer!r} may not sign revocation lists")
        verify(issuer.public_key, self._signed.algorithm, self._signed.signature.octets, self._signed.tbs)
        if now < self.this_update.timestamp() or (
            self.next_update is not None and int(now) > self.next_update.timestamp()
        ):
            until = f" to {self.next_update:%Y-%m-%d %H:%M}" if self.next_update else ""
            raise ValidationError(
                "revocation-unknown",
                f"the list is from {self.this_update:%Y-%m-%d %H:%M}{until}, so not current; fetch it anew",
            )
        for each in self._fields.extensions or ():
            if each.critical and each.oid not in _UNDERSTOOD:
                # RFC 5280 5.2: such a list says nothing certain; delta lists are among these.
                raise ValidationError("revocation-unknown", f"the list has the critical extension {each.oid}")

    def covers(self, certificate: Certificate) -> bool:
        """Whether the list would name this certificate of its issuer for every reason (RFC 5280 6.3.3 (b), (d))."""
        scope: _Scope | None = self._extension(self._fields.extensions, _SCOPE)
        if scope is None:
            return True
        if scope.indirect or scope.only_attribute or scope.reasons is not None:
            return False
        if (scope.only_user and certificate.is_ca) or (scope.only_ca and not certificate.is_ca):
            return False
        if scope.point is None:
            return True
        points: list[DistributionPoint] = certificate.extension(ext.CRL_DISTRIBUTION_POINTS) or []
        for point in points:
            if point.point is None or point.point.name != scope.point.name:
                continue
            theirs, ours = point.point.value, scope.point.value
            if any(name in ours for name in theirs):
                return True
        return False

    def __repr__(self) -> str:
        return f"<revocation list by {self.issuer}, from {self.this_update:%Y-%m-%d}>"


def make_crl(
    issuer: Identity,
    revoked: Mapping[int, Revoked],
    *,
    this_update: datetime,
    next_update: datetime,
    number: int,
) -> Crl:
    """A list of version 2. Raises `UnusableInput`."""
    scheme = scheme_for(issuer.key)
    identifier = issuer.certificate.subject_key_id

    def reason(why: str) -> list[Extension] | None:
        # RFC 5280 5.3.1: absent rather than unspecified.
        return None if why == "unspecified" else [Extension(_REASON, False, REASON_CODE.encode(why))]

    try:
        entries = [
            _Entry(serial, each.time.replace(microsecond=0), reason(each.reason))
            for serial, each in sorted(revoked.items())
        ]
        tbs = _TBS.encode(
            _Tbs(
                version=1,
                signature=encode_scheme(scheme),
                issuer=issuer.certificate.fields.subject,
                this_update=this_update.replace(microsecond=0),
                next_update=next_update.replace(microsecond=0),
                revoked=_ENTRIES.encode(entries) if entries else None,
                extensions=[
                    Extension(
                        ext.AUTHORITY_KEY_IDENTIFIER,
                        False,
                        ext.GRAMMARS[ext.AUTHORITY_KEY_IDENTIFIER].encode(AuthorityKeyIdentifier(identifier)),
                    ),
                    Extension(CRL_NUMBER, False, integer.encode(number)),
                ],
            )
        )
    except Asn1Error as error:
        raise UnusableInput(f"no revocation list can be made of this: {error}") from None
    return Crl(sign(tbs, issuer.key, scheme))
