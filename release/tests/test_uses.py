"""Which names a file writes that it did not write before."""

from __future__ import annotations

import pytest

from release.uses import Kind, more

OLD = """\
import mirage.base
from mirage.base import one

def work(x, y):
    one(x, limit=1)
    return x.take(y.take())
"""


def found(now: str, before: str = OLD) -> list[tuple[Kind, str, int]]:
    return [(use.kind, use.name, use.line) for use in more(now, before, {"take", "limit"})]


def test_what_was_there_is_no_news() -> None:
    """Elsewhere in the file, in another order, and less of it."""
    assert found(OLD) == []
    lines = OLD.splitlines(keepends=True)
    assert found("".join([*lines[1:3], "\n\n", *lines[3:5], "    return y.take()\n"])) == []


@pytest.mark.parametrize(
    ("more_of_it", "expected"),
    [
        ("import mirage.other, os\n", [(Kind.IMPORT, "mirage.other", 1), (Kind.IMPORT, "os", 1)]),
        ("from mirage.base import two as three\n", [(Kind.IMPORT, "mirage.base.two", 1)]),
        ("from .base import two\n", []),
        ("from mirage.base import *\n", []),
        ("z.take = 1\n", [(Kind.MEMBER, "take", 1)]),
        ("x.taken\n", []),
        ("take(x)\n", []),
        ("x.take()\n", [(Kind.MEMBER, "take", 7)]),
        ("(a\n .b\n .take)\n", [(Kind.MEMBER, "take", 3)]),
        ("two(limit=1)\n", [(Kind.KEYWORD, "limit", 1)]),
        ("one(2, **{'limit': 1})\n", []),
        ("match x:\n    case A(take=1): ...\n", [(Kind.MEMBER, "take", 2)]),
        ("'x.take'\n", []),
    ],
)
def test_what_is_more(more_of_it: str, expected: list[tuple[Kind, str, int]]) -> None:
    """Of the same text, one more counts, whichever it is."""
    assert found(f"{more_of_it}{OLD}") == expected


def test_a_file_that_was_not_there() -> None:
    """All that it writes is more."""
    assert len(found(OLD, "")) == 5
