"""How an index grew."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import date

from hypothesis import given
from hypothesis import strategies as st
from mirage.index import Day, Index, build, chart, history
from mirage.index.testing import wheel

SVG = "{http://www.w3.org/2000/svg}"
DAY = 86_400
START = 1_790_035_200  # noon, UTC


def test_packages_are_counted_once_and_releases_each() -> None:
    """A second release of a project is no new package."""
    files = [
        wheel("mirage-a", "1", uploaded=START),
        wheel("mirage-b", "1", uploaded=START + DAY),
        wheel("mirage-a", "2", uploaded=START + DAY),
        wheel("mirage-a", "3", uploaded=START + 9 * DAY),
    ]
    days = history(Index(build(files, base="http://127.0.0.1/")))
    assert [(d.packages, d.releases) for d in days] == [(1, 1), (2, 3), (2, 4)]
    assert days[-1].date - days[0].date == date(2026, 1, 10) - date(2026, 1, 1)


@given(steps=st.lists(st.tuples(st.integers(1, 400), st.integers(0, 5), st.integers(1, 9)), min_size=0, max_size=20))
def test_a_chart_is_well_formed_and_inside_its_frame(steps: list[tuple[int, int, int]]) -> None:
    """Any history gives a picture that has a title, a description in words, and two lines that stay inside."""
    days, at, packages, releases = [], date(2014, 1, 1), 0, 0
    for wait, more, made in steps:
        at, packages, releases = date.fromordinal(at.toordinal() + wait), packages + more, releases + more + made
        days.append(Day(at, packages, releases))
    drawn = ET.fromstring(chart(days, "A & B"))
    assert drawn.findtext(f"{SVG}title") == "A & B"
    assert drawn.findtext(f"{SVG}desc")
    paths = drawn.findall(f"{SVG}path")
    assert len(paths) == (2 if days else 0)
    for path in paths:
        numbers = [float(n) for n in path.get("d", "").replace("M", " ").replace("H", " ").replace("V", " ").split()]
        assert all(0 <= n <= 720 for n in numbers)
    if days:
        assert str(releases) in (drawn.findtext(f"{SVG}desc") or "")


def test_both_themes_are_drawn() -> None:
    """The colours follow the reader's choice."""
    assert "prefers-color-scheme: dark" in chart([Day(date(2026, 1, 1), 1, 1)])


def test_a_page_brings_its_own_style() -> None:
    """Without a style sheet nothing in the drawing styles itself, so a strict policy of the page holds."""
    plain = chart([Day(date(2026, 1, 1), 1, 1)], style="")
    assert "style" not in plain
    ET.fromstring(plain)
