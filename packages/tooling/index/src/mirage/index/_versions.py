"""Versions and their bounds, from Python's order (PEP 440) to opam's and back.

opam orders as Debian does: runs of non-digits, then runs of digits; ``~`` sorts before everything, even before the end,
letters before other characters. So a version is written ``RELEASE[~aN|~bN|~rcN][+postN][~~devN]``, the release padded
to three numbers: ``1.0rc1`` becomes ``1.0.0~rc1``. `to_opam` keeps the order, and `from_opam` is its inverse.

Epochs and local versions are refused: opam has neither, and every way of writing them breaks the order.
"""

from __future__ import annotations

import re

from packaging.specifiers import Specifier, SpecifierSet
from packaging.version import Version

from .errors import Unmappable

__all__ = ["formula", "from_opam", "order_key", "to_opam"]

_OPAM = re.compile(
    r"(?P<release>\d{1,19}(?:\.\d{1,19}){2,15})(?:~(?P<pre>(?:a|b|rc)\d{1,19}))?(?:\+post(?P<post>\d{1,19}))?"
    r"(?:~~dev(?P<dev>\d{1,19}))?"
)
_MAX_LENGTH = 512
"""Characters of an opam version at the most."""


def to_opam(version: Version) -> str:
    """The version in opam's writing. Raises `Unmappable`."""
    if version.epoch:
        raise Unmappable(f"{version} has an epoch, which opam's order cannot express; release a higher version instead")
    if version.local is not None:
        raise Unmappable(
            f"{version} is a local version, which no index publishes (PEP 440); leave +{version.local} out"
        )
    text = _release(version.release)
    if version.pre is not None:
        text += "~{}{}".format(*version.pre)
    if version.post is not None:
        text += f"+post{version.post}"
    if version.dev is not None:
        text += f"~~dev{version.dev}"
    return text


def from_opam(text: str) -> Version:
    """The version that `to_opam` wrote so. Raises `Unmappable`."""
    found = _OPAM.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if found is None:
        raise Unmappable(f"{text[:80]!r} is not a version that this index writes")
    parts = [found["release"], found["pre"] or ""]
    parts += [f".post{found['post']}"] if found["post"] is not None else []
    parts += [f".dev{found['dev']}"] if found["dev"] is not None else []
    version = Version("".join(parts))
    if to_opam(version) != text:
        raise Unmappable(f"{text!r} is not the one way to write {version}, which is {to_opam(version)!r}")
    return version


def order_key(text: str) -> list[tuple[list[int], int]]:
    """A key that orders strings as opam orders versions."""
    parts = re.findall(r"(\D*)(\d*)", text)
    return [([_weight(c) for c in word] + [0], int(number or 0)) for word, number in parts]


def formula(specifiers: SpecifierSet) -> str:
    """The specifiers as an opam version formula, such as ``>= "0.1.0" & < "0.2.0~~"``; empty for any version.

    Raises `Unmappable`.
    """
    return " & ".join(_bound(s) for s in sorted(specifiers, key=lambda s: (_RANK.get(s.operator, 9), s.version)))


_RANK = {operator: rank for rank, operator in enumerate(("==", "~=", ">=", ">", "<=", "<", "!="))}


def _bound(specifier: Specifier) -> str:
    operator, text = specifier.operator, specifier.version
    if operator == "===":
        raise Unmappable(f"{specifier} compares text, which opam cannot; use ==")
    if text.endswith(".*"):
        return _prefix(Version(text[:-2]), inside=operator == "==")
    version = Version(text)
    there = to_opam(version)
    if operator == "~=":
        return f'>= "{there}" & {_prefix(Version(".".join(map(str, version.release[:-1]))), inside=True)}'
    if operator == "<" and not version.is_prerelease:
        return f'< "{there}~~"'  # PEP 440: <2 admits no pre-release of 2
    if operator == ">" and not version.is_postrelease and version.dev is None:
        return f'>= "{there}.0~~"'  # PEP 440: >2 admits no post-release of 2
    return f'{"=" if operator == "==" else operator} "{there}"'


def _prefix(version: Version, *, inside: bool) -> str:
    """The bounds of ``==1.2.*``, or of ``!=1.2.*``: from the first development release on, up to that of 1.3."""
    if version.epoch:
        raise Unmappable(f"{version}.* has an epoch, which opam's order cannot express")
    *head, last = version.release
    low, high = _release((*head, last)), _release((*head, last + 1))
    return f'>= "{low}~~" & < "{high}~~"' if inside else f'(< "{low}~~" | >= "{high}~~")'


def _release(numbers: tuple[int, ...]) -> str:
    kept = list(numbers)
    while len(kept) > 3 and kept[-1] == 0:
        kept.pop()
    return ".".join(map(str, [*kept, 0, 0][: max(3, len(kept))]))


def _weight(character: str) -> int:
    """Debian's order of characters; the end is 0."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256
