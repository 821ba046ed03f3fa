"""What people read: the plan's page and drawing, changelogs, the release's page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from release import changelog, graph, page
from release.model import Bound, Fragment, Plan, Planned


def planned(name: str, needs: tuple[str, ...] = (), old: str | None = "0.1.0", breaks: tuple[str, ...] = ()) -> Planned:
    fragments = (
        Fragment("x", "fixed", "It loses no frames.", f"packages/core/{name}/changes.d/x.fixed.md"),
        Fragment("y", "added", "It counts <them>.", f"packages/core/{name}/changes.d/y.added.md"),
    )
    return Planned(
        f"mirage-{name}", f"packages/core/{name}", f"The {name}", old, "0.2.0", ("why",), breaks, fragments, needs
    )


A = planned("a", breaks=("mirage.a.one: public object was removed",))
B = planned("b", ("mirage-a",))
C = planned("c", ("mirage-a", "mirage-b"), old=None)
PLAN = Plan((A, B, C), (Bound("f/pyproject.toml", "mirage-a>=0.1,<0.2", "mirage-a>=0.1,<0.3", "it must"),), ("no",), 4)


def test_the_page_says_why() -> None:
    """Every package with its reason, the bounds, the breaks, and what stands in the way."""
    text = page.page(PLAN, "2026-11-25", "2026-11-25")
    assert "3 packages to release, 4 stay as they are" in text
    assert "| mirage-a | 0.1.0 | 0.2.0 | why |" in text
    assert "| mirage-c | - | 0.2.0 | why |" in text
    assert "`mirage-a>=0.1,<0.2` becomes `mirage-a>=0.1,<0.3`: it must" in text
    assert "- `mirage.a.one: public object was removed`" in text
    assert "## What stands in its way\n\n- no\n" in text
    assert "REFUSED: no" in page.table(PLAN)


def test_a_journal_keeps_the_plan() -> None:
    """From the plan to JSON and back; refusals are never kept, for such a plan goes nowhere."""
    assert page.from_data(page.as_data(PLAN)) == Plan(PLAN.packages, PLAN.bounds, (), PLAN.others)


def test_the_drawing_shows_each_package_once_and_no_line_twice() -> None:
    """c needs a through b, so there is no line from a to c; it is told in words, and boxes do not overlap."""
    text = graph.svg(PLAN.packages, "The plan")
    drawing = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    assert len(drawing.findall(f"{space}path")) == 2
    assert [t.text for t in drawing.findall(f"{space}g/{space}text")][::2] == ["mirage-a", "mirage-b", "mirage-c"]
    assert drawing.find(f"{space}desc").text == "mirage-b 0.2.0 needs mirage-a. mirage-c 0.2.0 needs mirage-b."  # type: ignore[union-attr]
    boxes = [(float(r.get("x", 0)), float(r.get("y", 0))) for r in drawing.findall(f"{space}g/{space}rect")]
    assert len(set(boxes)) == 3
    assert "prefers-color-scheme: dark" in text


def test_wide_plans_are_broken_into_rows() -> None:
    """Sixty packages that need nothing fit a page."""
    many = [planned(f"p{i}") for i in range(60)]
    drawing = ElementTree.fromstring(graph.svg(many, "Many"))
    assert float(drawing.get("width", 0)) < 1300
    places = [(r.get("x"), r.get("y")) for r in drawing.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(set(places)) == 61
    assert "No planned package needs another." in graph.svg(many, "Many")


def test_a_changelog_grows_at_its_head_and_only_once() -> None:
    """The newest release first; asked again, nothing changes."""
    first = changelog.added("", A, "2026-11-25")
    assert first == (
        "# Changes of mirage-a\n\n## 0.2.0 - 2026-11-25\n\nBreaks:\n\n"
        "- `mirage.a.one: public object was removed`\n\nAdded:\n\n- It counts <them>.\n\n"
        "Fixed:\n\n- It loses no frames.\n"
    )
    assert changelog.added(first, A, "2026-12-01") == first
    older = first.replace("0.2.0", "0.1.9")
    grown = changelog.added(older, A, "2026-11-25")
    assert re.findall("^## .*", grown, re.MULTILINE) == ["## 0.2.0 - 2026-11-25", "## 0.1.9 - 2026-11-25"]
    assert grown.count("# Changes of mirage-a\n") == 1


def test_the_notes_of_a_release() -> None:
    """A title, how much, then each package."""
    text = changelog.notes((A, C), "2026-11-25")
    assert text.startswith("# The release of 2026-11-25\n\n2 packages released.\n\n## mirage-a 0.2.0\n\n")
    assert "The a. After 0.1.0.\n" in text
    assert "The c. Its first release." in text
    assert "released for the first time" in changelog.notes((C,), "x")
