"""The one definition of what a key of a key-value store is (see `mirage.types.KeyValueRO`)."""

from __future__ import annotations

import re

from .errors import InvalidKey

__all__ = ["check_key", "split_key"]

# Segments without NUL, slash, backslash and surrogates, none of them empty, "." or "..", joined by single slashes.
# (A surrogate has no UTF-8 form, so no store could keep such a name.)
_SEGMENT = r"(?!\.\.?(?:/|\Z))[^\0/\\\ud800-\udfff]+"
_KEY = re.compile(rf"(?:{_SEGMENT}(?:/{_SEGMENT})*)?\Z")


def check_key(key: str) -> str:
    """Return `key` if it is one, else raise `InvalidKey` with a message that shows the offending segment."""
    if _KEY.match(key):
        return key
    segment = next(s for s in key.split("/") if s in {"", ".", ".."} or not _KEY.match(s))
    raise InvalidKey(
        key,
        f"{key!r} is not a key: its segment {segment!r} is not allowed "
        "(segments are non-empty, not '.' or '..', without NUL, backslash and surrogates; no slash leads or trails)",
    )


def split_key(key: str) -> tuple[str, ...]:
    """The segments of a key, none for the root. Raises `InvalidKey`."""
    return tuple(check_key(key).split("/")) if key else ()
