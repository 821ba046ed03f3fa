"""Distinguished names (RFC 5280 4.1.2.4, 7.1), and general names (4.2.1.6)."""

from __future__ import annotations

import ipaddress
import unicodedata
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from mirage.asn1 import (
    Asn1Error,
    Chosen,
    Oid,
    any_,
    bmp_string,
    choice,
    explicit,
    ia5_string,
    implicit,
    numeric_string,
    octet_string,
    oid,
    printable_string,
    sequence,
    sequence_of,
    teletex_string,
    universal_string,
    utf8_string,
)

from ._schema import ANY_SEQUENCE, NAME, Attribute
from .errors import InvalidEncoding, UnusableInput

__all__ = [
    "GENERAL_NAME",
    "GENERAL_NAMES",
    "Name",
    "OtherName",
    "general_name",
    "name_of",
    "show_general_name",
    "to_a_labels",
]

_SHORT = {
    "CN": "2.5.4.3",
    "SN": "2.5.4.4",
    "serialNumber": "2.5.4.5",
    "C": "2.5.4.6",
    "L": "2.5.4.7",
    "ST": "2.5.4.8",
    "street": "2.5.4.9",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "title": "2.5.4.12",
    "GN": "2.5.4.42",
    "organizationIdentifier": "2.5.4.97",
    "DC": "0.9.2342.19200300.100.1.25",
    "UID": "0.9.2342.19200300.100.1.1",
    "emailAddress": "1.2.840.113549.1.9.1",
}
_TYPES = {short: Oid(text) for short, text in _SHORT.items()}
_NAMES = {oid: short for short, oid in _TYPES.items()}
_IA5_TYPES = frozenset((_TYPES["DC"], _TYPES["emailAddress"]))

MAX_KEPT = 1024
"""Octets of a name that is kept: what a peer sends must not fill our memory."""

_STRING = choice(
    utf8=utf8_string,
    printable=printable_string,
    ia5=ia5_string,
    teletex=teletex_string,
    bmp=bmp_string,
    universal=universal_string,
    numeric=numeric_string,
)
"""DirectoryString, and the two other types that names hold."""


def _text(value: bytes) -> str | None:
    """The text of an attribute's value, None for one that is no text."""
    try:
        text: str = _STRING.decode(value).value
    except Asn1Error:
        return None
    return text


def _folded(text: str) -> str:
    # RFC 5280 7.1: case and runs of spaces do not matter (RFC 4518, without its rarer steps).
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Name:
    """A distinguished name. Equal when RFC 5280 7.1 says so: in case and spacing names may differ."""

    def __init__(self, der: bytes) -> None:
        """The name with this encoding. Raises `InvalidEncoding`."""
        self.der = der
        try:
            self._parts = NAME.decode(der)
        except Asn1Error as error:
            raise InvalidEncoding(f"no name: {error}") from None

    @classmethod
    def build(cls, *attributes: tuple[str, str]) -> Name:
        """A name from its attributes, the largest thing first: ``Name.build(("O", "Example"), ("CN", "x"))``."""
        parts = []
        for short, text in attributes:
            if short not in _TYPES:
                raise UnusableInput(f"no attribute of a name is called {short!r}; there are {', '.join(_TYPES)}")
            grammar = ia5_string if _TYPES[short] in _IA5_TYPES else printable_string if short == "C" else utf8_string
            try:
                value = grammar.encode(text)
            except Asn1Error as error:
                raise UnusableInput(f"{short}={text!r}: {error}") from None
            parts.append([Attribute(_TYPES[short], value)])
        return cls(NAME.encode(parts))

    @classmethod
    def parse(cls, text: str) -> Name:
        """A name from text: a bare word is a common name, else ``O=Example, CN=web`` (no escapes)."""
        if "=" not in text:
            return cls.build(("CN", text.strip()))
        pairs = [part.partition("=") for part in text.split(",")]
        return cls.build(*((short.strip(), value.strip()) for short, _, value in pairs))

    @property
    def empty(self) -> bool:
        """Whether it has no attribute."""
        return not self._parts

    def get(self, short: str) -> list[str]:
        """The texts of an attribute, by its short name: ``name.get("CN")``."""
        wanted = _TYPES[short]
        found = [_text(a.value) for part in self._parts for a in part if a.type == wanted]
        return [text for text in found if text is not None]

    @cached_property
    def key(self) -> tuple[frozenset[tuple[str, str | bytes]], ...]:
        """What two equal names have in common; one set for each relative distinguished name."""
        return tuple(frozenset((a.type, self._folded_value(a.value)) for a in part) for part in self._parts)

    @staticmethod
    def _folded_value(value: bytes) -> str | bytes:
        text = _text(value)
        return value if text is None else _folded(text)

    def within(self, base: Name) -> bool:
        """Whether this name is `base`, or stands below it (RFC 5280 4.2.1.10)."""
        return self.key[: len(base.key)] == base.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Name) and (self.der == other.der or self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        """The name as RFC 4514 writes it, in the order of the certificate: ``O=Example, CN=web``."""
        parts = ["+".join(f"{_NAMES.get(a.type, a.type)}={_shown(a.value)}" for a in part) for part in self._parts]
        return ", ".join(parts)

    def __repr__(self) -> str:
        return f"<Name {self}>"


def _shown(value: bytes) -> str:
    text = _text(value)
    if text is None:
        return f"#{value.hex()}"
    # Escapes what would end the attribute, and whatever could drive a terminal.
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character in ',+"\\<>;=':
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\{octet:02X}" for octet in character.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=512)
def _kept(der: bytes) -> Name:
    return Name(der)


def name_of(der: bytes) -> Name:
    """`Name(der)`; the last ones are kept, since certificates share them, but none that is large. As `Name`."""
    return _kept(der) if len(der) <= MAX_KEPT else Name(der)


class OtherName(NamedTuple):
    """A name of a type that the standard leaves open."""

    type: Oid
    value: bytes


GENERAL_NAME = choice(
    other=implicit(0, sequence(OtherName, type=oid, value=explicit(0, any_))),
    email=implicit(1, ia5_string),
    dns=implicit(2, ia5_string),
    x400=implicit(3, sequence_of(any_)),
    directory=explicit(4, ANY_SEQUENCE),
    edi=implicit(5, sequence_of(any_)),
    uri=implicit(6, ia5_string),
    ip=implicit(7, octet_string),
    registered=implicit(8, oid),
)
"""GeneralName, as a `Chosen`; a directory name as the octets of a `Name`."""

GENERAL_NAMES = sequence_of(GENERAL_NAME, least=1)


def general_name(text: str) -> Chosen:
    """The general name that a text most likely means: an IP address, a URI, an email address, else a DNS name.

    Names beyond ASCII become their A-labels. Raises `UnusableInput`.
    """
    if ":" in text or text[-1:].isdigit():
        try:
            return Chosen("ip", ipaddress.ip_address(text).packed)
        except ValueError:
            pass
    if "://" in text:
        kind, value = "uri", text
    elif "@" in text:
        kind, value = "email", text
    else:
        kind, value = "dns", to_a_labels(text)
    if not value.isascii() or not value.isprintable() or " " in value:
        raise UnusableInput(f"{text!r} is no DNS name, IP address, email address or URI")
    return Chosen(kind, value)


def to_a_labels(text: str) -> str:
    """A DNS name in ASCII, its international labels encoded (RFC 5890). Raises `UnusableInput`."""
    if text.isascii():
        return text
    try:
        return text.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise UnusableInput(f"{text!r} is no DNS name: {error}") from None


def show_general_name(name: Chosen) -> str:
    """A general name in words: ``DNS:example.org``."""
    value: Any = name.value
    if name.name == "ip":
        try:
            return f"IP:{ipaddress.ip_address(value)}"
        except ValueError:
            return f"IP:{value.hex()} (no address)"
    if name.name == "directory":
        try:
            return f"directory:{name_of(value)}"
        except InvalidEncoding:
            return f"directory:{value.hex()}"
    if name.name in ("dns", "email", "uri"):
        return f"{name.name.upper() if name.name != 'email' else 'email'}:{value.encode('unicode_escape').decode()}"
    if name.name == "other":
        return f"other:{value.type}={value.value.hex()}"
    return f"{name.name}:{value}"
