"""OCSP (RFC 6960): requests, and responses read, verified, asked and made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from mirage.asn1 import (
    Asn1Error,
    BitString,
    Chosen,
    Limits,
    Oid,
    bit_string,
    choice,
    default,
    enumerated,
    explicit,
    generalized_time,
    implicit,
    integer,
    null,
    octet_string,
    octets_of,
    oid,
    optional,
    sequence,
    sequence_of,
)
from mirage.crypto import SHA1, SHA256, HashAlgorithm

from ._schema import ALGORITHM, ANY_SEQUENCE, EXTENSIONS, Algorithm, Extension
from .algorithms import encode_scheme, scheme_for, verify
from .build import Identity
from .certificate import Certificate
from .crl import REASON_CODE, Revoked
from .errors import InvalidEncoding, UnusableInput, ValidationError
from .extensions import PURPOSES

__all__ = ["CertificateId", "OcspResponse", "certificate_id", "make_request", "make_response", "read_request"]

_LIMITS = Limits(size=1 << 20, count=20_000)
_BASIC = Oid("1.3.6.1.5.5.7.48.1.1")
_HASHES = {Oid("1.3.14.3.2.26"): SHA1, Oid("2.16.840.1.101.3.4.2.1"): SHA256}
_OIDS = {algorithm: oid_ for oid_, algorithm in _HASHES.items()}

MAX_SIGNERS = 4
"""Certificates of a response that are tried as its signer's."""

SKEW = 300.0
"""Seconds that the responder's clock may be ahead of ours."""


class CertificateId(NamedTuple):
    """CertID (RFC 6960 4.1.1)."""

    algorithm: Algorithm
    name_hash: bytes
    key_hash: bytes
    serial: int


class _RevokedInfo(NamedTuple):
    time: datetime
    reason: str | None


class _Single(NamedTuple):
    id: CertificateId
    status: Chosen
    this_update: datetime
    next_update: datetime | None
    extensions: list[Extension] | None


class _Data(NamedTuple):
    version: int
    responder: Chosen
    produced: datetime
    responses: list[_Single]
    extensions: list[Extension] | None


class _BasicResponse(NamedTuple):
    data: bytes
    algorithm: bytes
    signature: BitString
    certificates: list[bytes] | None


class _Bytes(NamedTuple):
    type: Oid
    response: bytes


class _Response(NamedTuple):
    status: str
    bytes: _Bytes | None


class _Asked(NamedTuple):
    id: CertificateId
    extensions: list[Extension] | None


class _RequestTbs(NamedTuple):
    version: int
    requestor: bytes | None
    asked: list[_Asked]
    extensions: list[Extension] | None


class _Request(NamedTuple):
    tbs: _RequestTbs
    signature: bytes | None


_ID = sequence(CertificateId, algorithm=ALGORITHM, name_hash=octet_string, key_hash=octet_string, serial=integer)
_STATUS = choice(
    good=implicit(0, null),
    revoked=implicit(1, sequence(_RevokedInfo, time=generalized_time, reason=optional(explicit(0, REASON_CODE)))),
    unknown=implicit(2, null),
)
_DATA = sequence(
    _Data,
    version=default(explicit(0, integer), 0),
    responder=choice(name=explicit(1, ANY_SEQUENCE), key=explicit(2, octet_string)),
    produced=generalized_time,
    responses=sequence_of(
        sequence(
            _Single,
            id=_ID,
            status=_STATUS,
            this_update=generalized_time,
            next_update=optional(explicit(0, generalized_time)),
            extensions=optional(explicit(1, EXTENSIONS)),
        )
    ),
    extensions=optional(explicit(1, EXTENSIONS)),
)
_BASIC_RESPONSE = sequence(
    _BasicResponse,
    data=octets_of(_DATA),
    algorithm=ANY_SEQUENCE,
    signature=bit_string,
    certificates=optional(explicit(0, sequence_of(ANY_SEQUENCE))),
)
_RESPONSE = sequence(
    _Response,
    status=enumerated(successful=0, malformedRequest=1, internalError=2, tryLater=3, sigRequired=5, unauthorized=6),
    bytes=optional(explicit(0, sequence(_Bytes, type=oid, response=octet_string))),
)
_REQUEST = sequence(
    _Request,
    tbs=sequence(
        _RequestTbs,
        version=default(explicit(0, integer), 0),
        requestor=optional(explicit(1, octets_of(choice(directory=explicit(4, ANY_SEQUENCE))))),
        asked=sequence_of(sequence(_Asked, id=_ID, extensions=optional(explicit(0, EXTENSIONS))), least=1),
        extensions=optional(explicit(2, EXTENSIONS)),
    ),
    signature=optional(explicit(0, ANY_SEQUENCE)),
)


def certificate_id(certificate: Certificate, issuer: Certificate, algorithm: HashAlgorithm = SHA1) -> CertificateId:
    """How a certificate is named in OCSP. SHA-1 is no signature here, and what responders expect (RFC 5019 2.1.1)."""
    return CertificateId(
        Algorithm(_OIDS[algorithm], b"\x05\x00"),
        algorithm.digest(issuer.fields.subject),
        algorithm.digest(issuer.key_octets),
        certificate.serial,
    )


def make_request(certificate: Certificate, issuer: Certificate, algorithm: HashAlgorithm = SHA1) -> bytes:
    """A request for the status of one certificate, unsigned, in DER."""
    asked = [_Asked(certificate_id(certificate, issuer, algorithm), None)]
    return _REQUEST.encode(_Request(_RequestTbs(0, None, asked, None), None))


def read_request(der: bytes) -> list[CertificateId]:
    """The certificates that a request asks for. Raises `InvalidEncoding`."""
    try:
        return [each.id for each in _REQUEST.decode(der, limits=_LIMITS).tbs.asked]
    except Asn1Error as error:
        raise InvalidEncoding(f"no OCSP request: {error}") from None


class OcspResponse:
    """A response. Raises `InvalidEncoding` when it is made of other octets."""

    def __init__(self, der: bytes) -> None:
        """As `decode`."""
        self.der = bytes(der)
        self.data: _Data | None = None
        try:
            outer = _RESPONSE.decode(der, limits=_LIMITS)
            self.status = outer.status
            if outer.status != "successful":
                return
            if outer.bytes is None or outer.bytes.type != _BASIC:
                raise InvalidEncoding("an OCSP response of an unknown type (RFC 6960 4.2.1)")
            self._basic = _BASIC_RESPONSE.decode(outer.bytes.response, limits=_LIMITS)
            self.data = _DATA.decode(self._basic.data, limits=_LIMITS)
        except Asn1Error as error:
            raise InvalidEncoding(f"no OCSP response: {error}") from None

    @classmethod
    def decode(cls, der: bytes) -> OcspResponse:
        """The response with this DER encoding. Raises `InvalidEncoding`."""
        return cls(der)

    def check(self, certificate: Certificate, issuer: Certificate, now: float) -> Revoked | None:
        """None if the issuer says that the certificate is good, else that it is revoked.

        Raises `ValidationError` (revocation-unknown and others) if the response does not say, is not the issuer's, or
        is not current.
        """
        if self.data is None:
            raise ValidationError("revocation-unknown", f"the OCSP responder says {self.status}; ask it again later")
        single = self._about(certificate, issuer)
        self._check_signer(issuer, now)
        late = single.next_update is not None and int(now) > single.next_update.timestamp()
        if single.this_update.timestamp() > now + SKEW or late:
            raise ValidationError(
                "revocation-unknown",
                f"the OCSP response is from {single.this_update:%Y-%m-%d %H:%M}, and not current; fetch a new one",
            )
        for each in (*(self.data.extensions or ()), *(single.extensions or ())):
            if each.critical:
                raise ValidationError("revocation-unknown", f"the response has the critical extension {each.oid}")
        name, value = single.status
        if name == "unknown":
            raise ValidationError("revocation-unknown", "the OCSP responder does not know the certificate")
        return Revoked(value.time, value.reason or "unspecified") if name == "revoked" else None

    def _about(self, certificate: Certificate, issuer: Certificate) -> _Single:
        assert self.data is not None
        wanted: dict[Oid, CertificateId] = {}
        for single in self.data.responses:
            if single.id.serial != certificate.serial:
                continue
            algorithm = _HASHES.get(single.id.algorithm.algorithm)
            if algorithm is None:
                continue
            key = single.id.algorithm.algorithm
            if key not in wanted:
                wanted[key] = certificate_id(certificate, issuer, algorithm)
            if single.id[1:] == wanted[key][1:]:
                return single
        raise ValidationError("revocation-unknown", f"the OCSP response is not about {certificate!r}")

    def _check_signer(self, issuer: Certificate, now: float) -> None:
        """RFC 6960 4.2.2.2: the issuer itself, or who holds a certificate by it with the purpose OCSPSigning."""
        basic = self._basic
        if self._is_responder(issuer):
            verify(issuer.public_key, basic.algorithm, basic.signature.octets, basic.data)
            return
        for der in (basic.certificates or [])[:MAX_SIGNERS]:
            signer = Certificate(der)
            if not self._is_responder(signer):
                continue
            if PURPOSES["OCSPSigning"] not in (signer.purposes or []):
                raise ValidationError("revocation-unknown", f"{signer!r} may not sign OCSP responses")
            if signer.issuer != issuer.subject or not (
                signer.not_before.timestamp() <= now < signer.not_after.timestamp() + 1
            ):
                raise ValidationError(
                    "revocation-unknown", f"{signer!r} is not by {issuer.subject}, or out of its time"
                )
            signer.check_signature(issuer.public_key)
            verify(signer.public_key, basic.algorithm, basic.signature.octets, basic.data)
            return
        raise ValidationError("revocation-unknown", "the OCSP response is signed by nobody that the issuer named")

    def _is_responder(self, certificate: Certificate) -> bool:
        assert self.data is not None
        kind, value = self.data.responder
        if kind == "name":
            return bool(value == certificate.fields.subject)
        return bool(value == SHA1.digest(certificate.key_octets))


def make_response(
    responder: Identity,
    issuer: Certificate,
    statuses: Sequence[tuple[Certificate | CertificateId, Revoked | str]],
    *,
    now: datetime,
    next_update: datetime,
    include: Sequence[Certificate] = (),
) -> OcspResponse:
    """A response by the issuer, or by a responder that it named (whose certificate goes into `include`).

    Each status is ``"good"``, ``"unknown"`` or a `Revoked`. Raises `UnusableInput`.
    """
    scheme = scheme_for(responder.key)
    now, until = now.replace(microsecond=0), next_update.replace(microsecond=0)
    singles = [
        _Single(
            certificate_id(about, issuer) if isinstance(about, Certificate) else about,
            Chosen(
                "revoked",
                _RevokedInfo(
                    status.time.replace(microsecond=0), None if status.reason == "unspecified" else status.reason
                ),
            )
            if isinstance(status, Revoked)
            else Chosen(status, None),
            now,
            until,
            None,
        )
        for about, status in statuses
    ]
    key: Any = SHA1.digest(responder.certificate.key_octets)
    try:
        data = _DATA.encode(_Data(0, Chosen("key", key), now, singles, None))
        basic = _BasicResponse(
            data,
            encode_scheme(scheme),
            BitString(responder.key.sign(scheme, data)),
            [each.der for each in include] or None,
        )
        der = _RESPONSE.encode(_Response("successful", _Bytes(_BASIC, _BASIC_RESPONSE.encode(basic))))
    except Asn1Error as error:
        raise UnusableInput(f"no OCSP response can be made of this: {error}") from None
    return OcspResponse(der)
