"""The packages of the tree and what each stands on, as a drawing: computed from their metadata, never drawn by hand.

A package stands in the row above the highest of those that it needs, so every line leads down. A line that is implied
by two others is left out. One that passes a row has a place of its own in that row: no line runs behind a box.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from markupsafe import Markup, escape

from .model import Package
from .tree import FAMILIES

__all__ = ["drawing"]

_HEIGHT, _GAP, _BETWEEN, _MARGIN = 34, 14, 46, 4
_LETTER = 7.9
"""The width of a letter of a box's name, in the units of the drawing."""


@dataclass(slots=True, eq=False)
class _Place:
    """A box, or where a line passes a row."""

    name: str
    order: tuple[int, str]
    passing: bool = False
    below: list[_Place] = field(default_factory=list)
    x: float = 0.0
    """The middle."""
    row: int = 0

    @property
    def width(self) -> float:
        return 6.0 if self.passing else _LETTER * len(self.name) + 24


def drawing(packages: Sequence[Package]) -> Markup:
    """The drawing as SVG; its description says the same in words."""
    needs = _needs(packages)
    rows = _rows(packages, needs)
    width = max((_width(row) for row in rows), default=0.0) + 2 * _MARGIN
    for row in rows:
        _spread(row, width)
    height = len(rows) * _HEIGHT + max(len(rows) - 1, 0) * _BETWEEN + 2 * _MARGIN
    places = [place for row in rows for place in row]
    lines = [f'<path class="d-need" d="{_curve(place, other, height)}"/>' for place in places for other in place.below]
    boxes = [_box(place, height) for place in places]
    head = (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        'role="img" aria-labelledby="graph-title graph-desc">\n'
        '<title id="graph-title">Which package needs which</title>\n'
        f'<desc id="graph-desc">{escape(_in_words(needs))}</desc>'
    )
    return Markup("\n".join([head, *lines, *filter(None, boxes), "</svg>"]))  # noqa: S704  # names are escaped above


def _needs(packages: Iterable[Package]) -> dict[str, frozenset[str]]:
    """What each package needs of the tree, at any distance."""
    direct = {package.name: set(package.requires) for package in packages}
    closed: dict[str, frozenset[str]] = {}

    def close(name: str, above: tuple[str, ...] = ()) -> frozenset[str]:
        if name not in closed and name not in above:
            below = [other for other in direct[name] if other in direct]
            closed[name] = frozenset(below).union(*(close(other, (*above, name)) for other in below))
        return closed.get(name, frozenset())

    for name in direct:
        close(name)
    return closed


def _direct(name: str, needs: dict[str, frozenset[str]]) -> frozenset[str]:
    """What a package needs and none of its other needs brings."""
    return needs[name].difference(*(needs[other] for other in needs[name]))


def _rows(packages: Iterable[Package], needs: dict[str, frozenset[str]]) -> list[list[_Place]]:
    """The rows from the bottom, each in an order that keeps lines short."""
    places = {
        package.name: _Place(package.name.removeprefix("mirage-"), (FAMILIES.index(package.family), package.name))
        for package in packages
    }
    rows: list[list[_Place]] = []
    for name in sorted(places, key=lambda name: (len(needs[name]), places[name].order)):
        place = places[name]
        direct = [places[other] for other in sorted(_direct(name, needs))]
        place.row = 1 + max((other.row for other in direct), default=-1)
        rows.extend([] for _ in range(place.row + 1 - len(rows)))
        rows[place.row].append(place)
        for other in direct:
            upper = place
            for between in range(place.row - 1, other.row, -1):
                passing = _Place("", other.order, passing=True, row=between)
                rows[between].append(passing)
                upper.below.append(passing)
                upper = passing
            upper.below.append(other)
    for row in rows:
        _spread(row, _width(row))
        row.sort(key=lambda place: (fmean([other.x for other in place.below] or [0]), place.order))
        _spread(row, max(map(_width, rows)))
    return rows


def _width(row: list[_Place]) -> float:
    return sum(place.width for place in row) + _GAP * (len(row) - 1)


def _spread(row: list[_Place], width: float) -> None:
    """Put a row's places side by side, in the middle."""
    x = (width - _width(row)) / 2
    for place in row:
        place.x = x + place.width / 2
        x += place.width + _GAP


def _top(place: _Place, height: float) -> float:
    return height - _MARGIN - _HEIGHT - place.row * (_HEIGHT + _BETWEEN)


def _curve(upper: _Place, lower: _Place, height: float) -> str:
    start, end = _top(upper, height) + _HEIGHT, _top(lower, height)
    middle = (start + end) / 2
    through = f"V{end + _HEIGHT:g}" if lower.passing else ""
    return f"M{upper.x:g} {start:g}C{upper.x:g} {middle:g} {lower.x:g} {middle:g} {lower.x:g} {end:g}{through}"


def _box(place: _Place, height: float) -> str:
    if place.passing:
        return ""
    left, top = place.x - place.width / 2, _top(place, height)
    return (
        f'<rect class="d-ours" x="{left:g}" y="{top:g}" width="{place.width:g}" height="{_HEIGHT}" rx="6"/>'
        f'<text class="d-text d-mono d-mid" x="{place.x:g}" y="{top + 22:g}">{escape(place.name)}</text>'
    )


def _in_words(needs: dict[str, frozenset[str]]) -> str:
    sentences = [
        f"{name} needs {', '.join(sorted(others))}" if (others := _direct(name, needs)) else f"{name} needs none"
        for name in sorted(needs)
    ]
    return "; ".join(sentences) + "."
