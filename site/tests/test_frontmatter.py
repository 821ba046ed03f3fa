"""Content is typed: each mistake is named with its file, its line and what was expected."""

from __future__ import annotations

import dataclasses
import datetime
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from render.errors import ContentError
from render.frontmatter import parse, read
from render.model import Guide, Link, Meeting, Page, Pioneer, Post, Release, Talk

GOOD = """---
title: A title: with a colon
date: 2026-11-23
# a comment
summary: One line
  and its continuation
tags: http, design
---
The body.
"""


def problems(kind: type[object], text: str) -> list[str]:
    """What is wrong with a file, one text for each problem."""
    with pytest.raises(ContentError) as caught:
        read(kind, parse(text, "blog/x.md"), "blog/x.md")
    return [str(problem) for problem in caught.value.problems]


def test_good() -> None:
    """Values are read as the annotations say; a body knows its first line."""
    document = parse(GOOD, "blog/x.md")
    post = read(Post, document, "blog/x.md")
    assert post.title == "A title: with a colon"
    assert post.date == datetime.date(2026, 11, 23)
    assert post.summary == "One line and its continuation"
    assert post.tags == ("http", "design")
    assert post.updated is None
    assert (document.body, document.body_line) == ("The body.\n", 9)


def test_unknown_field_suggests_the_nearest() -> None:
    """A misspelt name is met with the name that was meant."""
    found = problems(Post, GOOD.replace("summary:", "sumary:"))
    assert found[0] == "blog/x.md:5: unknown field 'sumary'; did you mean 'summary'?"
    assert found[1] == "blog/x.md:8: field 'summary' is missing: a Post needs a text"


def test_unknown_field_lists_the_known() -> None:
    """A name like no other is met with all that there are."""
    assert problems(Guide, "---\ntitle: a\nsummary: b\norder: 1\nzzz: 1\n---\n") == [
        "blog/x.md:5: unknown field 'zzz'; a Guide has: title, summary, order, package"
    ]


@pytest.mark.parametrize("date", ["23 November", "2026-13-01", "2026-02-30", "20261123", "2026-W01-1", ""])
def test_bad_date(date: str) -> None:
    """Only a calendar date in the one form is a date."""
    assert problems(Post, GOOD.replace("2026-11-23", date)) == [
        f"blog/x.md:3: field 'date': expected a date as YYYY-MM-DD, found {date!r}"
    ]


def test_wrong_types() -> None:
    """Numbers, choices and texts are checked, and all mistakes are told at once."""
    text = "---\ntitle:\nsummary: b\norder: first\npackage: mirage-x\n---\n"
    assert problems(Guide, text) == [
        "blog/x.md:2: field 'title': expected a text, found ''",
        "blog/x.md:4: field 'order': expected a whole number, found 'first'",
    ]
    text = "---\ntitle: a\nsummary: b\npackage: mirage-x\ndifficulty: easy\nneeds: a,,b\n---\n"
    assert problems(Pioneer, text) == [
        "blog/x.md:5: field 'difficulty': expected one of 'gentle', 'steady', 'steep', found 'easy'",
        "blog/x.md:6: field 'needs': expected texts separated by commas, found 'a,,b'",
    ]


def test_fences_and_lines() -> None:
    """What is no front matter is said to be none."""
    assert "expected front matter" in problems(Link, "# Title\n")[0]
    assert problems(Link, "---\ntitle: a\n") == ["blog/x.md:2: the front matter has no closing line '---'"]
    assert problems(Link, "---\nTitle = a\n---\n") == ["blog/x.md:2: expected `name: value`, found 'Title = a'"]
    assert problems(Link, "---\ntitle: a\ntitle: b\n---\n") == [
        "blog/x.md:3: field 'title' is given twice (also on line 2)"
    ]


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but the declared error comes of any text."""
    for candidate in (text, f"---\n{text}\n---\n"):
        try:
            read(Post, parse(candidate, "x.md"), "x.md")
        except ContentError as error:
            assert error.problems  # noqa: PT017  # the property is about what was raised, if anything


def test_the_guide_lists_every_field() -> None:
    """The page on writing for the site names the fields of each kind, and which of them may be left out."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "website.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| ([a-z ]+) \| `[a-z/]+` \| (.*) \|$", page, re.MULTILINE))
    kinds = {
        "post": Post,
        "page of the guide": Guide,
        "link": Link,
        "talk": Talk,
        "pioneer project": Pioneer,
        "meeting": Meeting,
        "release": Release,
        "page": Page,
    }
    assert set(rows) == set(kinds)
    for name, kind in kinds.items():
        fields = [
            f"`{field.name}`" if field.default is dataclasses.MISSING else f"[`{field.name}`]"
            for field in dataclasses.fields(kind)  # type: ignore[arg-type]
        ]
        assert rows[name] == ", ".join(fields)
