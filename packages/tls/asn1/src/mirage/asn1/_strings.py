"""Character strings (X.690 8.23), each as `str`."""

from __future__ import annotations

import random
import string
from collections.abc import Iterable

from ._grammar import Content, Element, Rules, Run
from ._primitive import string_decoders
from .errors import DecodeError, EncodeError

__all__ = [
    "bmp_string",
    "general_string",
    "ia5_string",
    "numeric_string",
    "printable_string",
    "teletex_string",
    "universal_string",
    "utf8_string",
    "visible_string",
]

_ASCII = "".join(map(chr, range(128)))
_VISIBLE = _ASCII[32:127]


class _Text(Element[str]):
    """A string type: its Python codec, the octets that it is limited to, and characters for random values."""

    __slots__ = ("_allowed", "_codec", "_name", "_sample")

    def __init__(self, number: int, name: str, codec: str, allowed: str = "", sample: Iterable[str] = _VISIBLE) -> None:
        super().__init__(number)
        self._name, self._codec = name, codec
        self._allowed = allowed.encode("latin-1")
        self._sample = allowed or "".join(sample)

    def _decoders(self, rules: Rules) -> tuple[Content | None, Content | None]:
        name, codec, allowed = self._name, self._codec, self._allowed

        def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> str:
            octets = data[start:stop]
            if allowed and octets.translate(None, allowed):
                raise DecodeError(f"a character that {name} does not have (X.680 41)", head)
            try:
                return octets.decode(codec)
            except UnicodeDecodeError:
                raise DecodeError(f"octets that are no {name}", head) from None

        return string_decoders(rules, decode, self.key)

    def _content_of(self, value: str) -> bytes:
        if not isinstance(value, str):
            raise EncodeError(f"a {self._name} is a str, not a {type(value).__name__}")
        try:
            octets = value.encode(self._codec)
        except UnicodeEncodeError:
            raise EncodeError(f"a character that {self._name} does not have; UTF8String has them all") from None
        if self._codec == "utf-16-be" and len(octets) != 2 * len(value):
            raise EncodeError(f"a character that {self._name} does not have; UTF8String has them all")
        if self._allowed and octets.translate(None, self._allowed):
            raise EncodeError(f"a character that {self._name} does not have; UTF8String has them all")
        return octets

    def _random(self, rng: random.Random, size: int) -> str:
        return "".join(rng.choices(self._sample, k=rng.randrange(max(size, 0) + 1)))


class _Bmp(_Text):
    """BMPString: UCS-2, so surrogates are not characters of it."""

    __slots__ = ()

    def _decoders(self, rules: Rules) -> tuple[Content | None, Content | None]:
        def decode(data: bytes, head: int, start: int, stop: int, run: Run) -> str:
            octets = data[start:stop]
            try:
                text = octets.decode("utf-16-be")
            except UnicodeDecodeError:
                raise DecodeError("octets that are no BMPString", head) from None
            if 2 * len(text) != len(octets):
                raise DecodeError("surrogates, which BMPString does not have (X.690 8.23.7)", head)
            return text

        return string_decoders(rules, decode, self.key)


_MIXED = [*_VISIBLE, "ä", "ß", "ł", "日", "本", "\u00ad"]

utf8_string = _Text(12, "UTF8String", "utf-8", sample=[*_MIXED, "🐫"])
"""UTF8String. Overlong forms and surrogates are refused."""

numeric_string = _Text(18, "NumericString", "ascii", string.digits + " ")
"""NumericString: digits and space."""

printable_string = _Text(19, "PrintableString", "ascii", string.ascii_letters + string.digits + " '()+,-./:=?")
"""PrintableString: letters, digits, space and ``'()+,-./:=?``."""

teletex_string = _Text(20, "TeletexString", "latin-1", sample="abcäöüß ")
"""TeletexString, read as ISO 8859-1, which is what certificates hold in it."""

ia5_string = _Text(22, "IA5String", "ascii", sample=_ASCII)
"""IA5String: ASCII, controls included."""

visible_string = _Text(26, "VisibleString", "ascii", _VISIBLE)
"""VisibleString: ASCII without controls."""

general_string = _Text(27, "GeneralString", "ascii", sample=_ASCII)
"""GeneralString, as far as it is ASCII (so does RFC 4120 use it)."""

universal_string = _Text(28, "UniversalString", "utf-32-be", sample=[*_MIXED, "🐫"])
"""UniversalString: four octets for a character."""

bmp_string = _Bmp(30, "BMPString", "utf-16-be", sample=_MIXED)
"""BMPString: the Basic Multilingual Plane, two octets for a character."""
