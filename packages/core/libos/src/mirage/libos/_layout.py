"""`layout.h`, read for Python. It is read whenever a guest boots, so nothing slow is imported here."""

from __future__ import annotations

import os

SOURCES = os.path.join(os.path.dirname(__file__), "c")
"""The folder of the C sources."""


_found: dict[str, int] = {}


def layout() -> dict[str, int]:
    """The numbers of `layout.h` by name."""
    if not _found:
        with open(os.path.join(SOURCES, "layout.h"), encoding="utf-8") as file:  # a codec that is there already
            for line in file:
                words = line.split(maxsplit=3)
                if len(words) >= 3 and words[0] == "#define":
                    _found[words[1]] = int(words[2], 0)
    return _found
