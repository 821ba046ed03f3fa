"""The drawing of the packages is computed from what they require."""

from __future__ import annotations

import re
from pathlib import Path

from render.graph import drawing
from render.model import Package


def package(name: str, family: str, *requires: str) -> Package:
    """A package with nothing but its needs."""
    return Package(name, family, "1", "", "core", (), requires, (), Path("x"))


def tops(svg: str) -> dict[str, float]:
    """How far down each box begins."""
    boxes = re.findall(r'<rect class="d-ours" x="[\d.]+" y="([\d.]+)"[^>]*/><text[^>]*>([^<]+)<', svg)
    return {name: float(y) for y, name in boxes}


def test_needs_are_below() -> None:
    """Each package is drawn above what it needs, within a family too, and implied lines are left out."""
    svg = drawing(
        [
            package("mirage-types", "core"),
            package("mirage-http", "web", "mirage-types"),
            package("mirage-app", "web", "mirage-http", "mirage-types", "mirage-elsewhere"),
        ]
    )
    y = tops(svg)
    assert y["app"] < y["http"] < y["types"]
    assert svg.count('class="d-need"') == 2
    assert "mirage-app needs mirage-http; mirage-http needs mirage-types; mirage-types needs none." in svg


def test_a_circle_is_drawn_and_no_name_is_markup() -> None:
    """Needs that go in a circle, which other guards refuse, do not hang the build; names are escaped."""
    svg = drawing([package("mirage-a<b", "core", "mirage-c"), package("mirage-c", "core", "mirage-a<b")])
    assert set(tops(svg)) == {"a&lt;b", "c"}


def test_a_line_that_passes_a_row_has_a_place_in_it() -> None:
    """What needs something two rows down has its line led between the boxes."""
    svg = drawing(
        [
            package("mirage-types", "core"),
            package("mirage-net", "drivers", "mirage-types"),
            package("mirage-kv", "storage", "mirage-types"),
            package("mirage-tcp", "stack", "mirage-net"),
            package("mirage-app", "services", "mirage-tcp", "mirage-kv"),
        ]
    )
    y = tops(svg)
    assert y["app"] < y["tcp"] < y["net"] == y["kv"] < y["types"]
    boxes = re.findall(r'<rect class="d-ours" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', svg)
    for x, start, end in re.findall(r'd="M[^"]* ([\d.]+) ([\d.]+)V([\d.]+)"', svg):
        for left, top, width in boxes:
            if float(start) <= float(top) < float(end):
                assert not float(left) <= float(x) <= float(left) + float(width)
    assert "V" in svg.partition("<rect")[0].partition("<path")[2]
