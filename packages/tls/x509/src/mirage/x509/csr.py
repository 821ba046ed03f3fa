"""Certificate signing requests (PKCS #10, RFC 2986): read, checked, made, answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from mirage.asn1 import (
    Asn1Error,
    Chosen,
    Limits,
    Oid,
    any_,
    implicit,
    integer,
    oid,
    sequence,
    set_of,
)
from mirage.crypto import PrivateKey, PublicKey

from . import extensions as ext
from ._schema import ANY_SEQUENCE, EXTENSIONS, SIGNED, Extension
from .algorithms import load_key, verify
from .build import Identity, extension, make_server, sign
from .certificate import Certificate
from .errors import InvalidEncoding, UnusableInput
from .names import Name, general_name, name_of
from .pem import decode_pem, encode_pem

__all__ = ["Request", "make_request_for"]

_LIMITS = Limits(size=1 << 20, count=20_000)
_EXTENSION_REQUEST = Oid("1.2.840.113549.1.9.14")


class _Attribute(NamedTuple):
    type: Oid
    values: list[bytes]


class _Info(NamedTuple):
    version: int
    subject: bytes
    spki: bytes
    attributes: list[_Attribute]


_INFO = sequence(
    _Info,
    version=integer,
    subject=ANY_SEQUENCE,
    spki=ANY_SEQUENCE,
    attributes=implicit(0, set_of(sequence(_Attribute, type=oid, values=set_of(any_)))),
)


class Request:
    """A request; its signature shows that whoever asks has the key, and `decode` checks it."""

    def __init__(self, der: bytes) -> None:
        """As `decode`."""
        try:
            signed = SIGNED.decode(der, limits=_LIMITS)
            self._info = _INFO.decode(signed.tbs, limits=_LIMITS)
        except Asn1Error as error:
            raise InvalidEncoding(f"no certificate signing request: {error}") from None
        if self._info.version != 0:
            raise InvalidEncoding("a certificate signing request that is not of version 1 (RFC 2986 4.1)")
        self.der = bytes(der)
        verify(self.public_key, signed.algorithm, signed.signature.octets, signed.tbs)

    @classmethod
    def decode(cls, der: bytes) -> Request:
        """The request with this encoding. Raises `InvalidEncoding`, and `ValidationError` for a wrong signature."""
        return cls(der)

    @classmethod
    def decode_pem(cls, text: bytes | str) -> Request:
        """The first request in a PEM text. Raises as `decode`."""
        for block in decode_pem(text):
            if block.label in ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"):
                return cls(block.data)
        raise InvalidEncoding("no CERTIFICATE REQUEST in the PEM text")

    def pem(self) -> str:
        """The request as PEM."""
        return encode_pem("CERTIFICATE REQUEST", self.der)

    @property
    def subject(self) -> Name:
        """Whom the certificate should be about."""
        return name_of(self._info.subject)

    @property
    def public_key(self) -> PublicKey:
        """The key that it should be for. Raises `ValidationError` (weak-key)."""
        return load_key(self._info.spki)

    @cached_property
    def extensions(self) -> list[Extension]:
        """The extensions that are asked for (RFC 2985 5.4.2). Raises `InvalidEncoding`."""
        found: list[Extension] = []
        try:
            for attribute in self._info.attributes:
                if attribute.type == _EXTENSION_REQUEST:
                    for value in attribute.values:
                        found += EXTENSIONS.decode(value, limits=_LIMITS)
        except Asn1Error as error:
            raise InvalidEncoding(f"the extensions of a certificate signing request: {error}") from None
        return found

    @property
    def alt_names(self) -> list[Chosen]:
        """The names that are asked for in subjectAltName. Raises `InvalidEncoding`."""
        for each in self.extensions:
            if each.oid == ext.SUBJECT_ALT_NAME:
                try:
                    names: Any = ext.GRAMMARS[each.oid].decode(each.value, limits=_LIMITS)
                except Asn1Error as error:
                    raise InvalidEncoding(f"the names of a certificate signing request: {error}") from None
                found: list[Chosen] = names
                return found
        return []

    def make_server(
        self, names: Sequence[str], issuer: Identity, *, not_before: datetime, not_after: datetime
    ) -> Certificate:
        """Answer with a server's certificate for the request's key, and these names: those that the CA has verified."""
        return make_server(names, self.public_key, issuer, not_before=not_before, not_after=not_after)


def make_request_for(names: Sequence[str], key: PrivateKey, subject: Name | str | None = None) -> Request:
    """A request for a certificate with these names. Raises `UnusableInput`."""
    name = Name.parse(subject) if isinstance(subject, str) else subject or Name.build()
    attributes = []
    if names:
        wanted = [extension(ext.SUBJECT_ALT_NAME, [general_name(n) for n in names], critical=name.empty)]
        attributes.append(_Attribute(_EXTENSION_REQUEST, [EXTENSIONS.encode(wanted)]))
    elif name.empty:
        raise UnusableInput("a request needs a name to ask for, or a subject")
    info = _INFO.encode(_Info(0, name.der, key.public.spki(), attributes))
    return Request(sign(info, key))
