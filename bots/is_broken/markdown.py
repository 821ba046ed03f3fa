"""Foreign text inside Markdown as GitHub reads it: whatever it holds, it stays text.

Names of packages, lines of logs and reasons of yanks come from anybody. They stand in code spans and fenced blocks
only, where nothing is markup, nobody is mentioned and no issue is referred to; a span or a fence is always longer than
any run of backticks in it (CommonMark 0.31 sections 4.5 and 6.1).
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

__all__ = ["block", "line", "link", "plain", "span"]

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""The escape sequences of terminals: colours, cursor movements, titles of windows (ECMA-48)."""


def plain(text: str) -> str:
    """A text without escape sequences of terminals; other controls, and characters that reorder a line, are spelled.

    What was overwritten with carriage returns (progress bars) becomes lines of its own.
    """
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c if c in "\n\t" or not _odd(c) else f"\\u{ord(c):04x}" for c in text)


def line(text: str, limit: int = 120) -> str:
    """A text as one line of at most `limit` characters."""
    short = " ".join(plain(text).split())
    return short if len(short) <= limit else short[: limit - 1].rstrip() + "…"


def span(text: str, limit: int = 200) -> str:
    """A text as a code span; an empty one as nothing."""
    inner = line(text, limit)
    if not inner:
        return ""
    ticks = "`" * (_longest(inner) + 1)
    pad = " " if inner.startswith("`") or inner.endswith("`") else ""
    return f"{ticks}{pad}{inner}{pad}{ticks}"


def block(text: str, language: str = "text", limit: int = 20_000) -> str:
    """A text as a fenced block. Of more than `limit` characters the middle is left out, and said to be."""
    inner = plain(text).strip("\n")
    if len(inner) > limit:
        head, tail = inner[: limit // 3], inner[len(inner) - 2 * limit // 3 :]
        inner = f"{head}\n[{len(inner) - len(head) - len(tail)} characters left out]\n{tail}"
    fence = "`" * max(3, _longest(inner) + 1)
    return f"{fence}{language}\n{inner}\n{fence}"


def link(url: str) -> str:
    """An address to follow, or a code span for what is none that a browser should follow."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        good = False
    return f"<{url}>" if good and re.fullmatch(r"[!-;=?-~]+", url) and "\\" not in url else span(url)


def _longest(text: str) -> int:
    return max(map(len, re.findall(r"`+", text)), default=0)


def _odd(character: str) -> bool:
    """Whether a character is a control, reorders what stands around it, or is half of a surrogate pair."""
    return unicodedata.category(character) in {"Cc", "Cf", "Cs"} and character != "\u200d"
