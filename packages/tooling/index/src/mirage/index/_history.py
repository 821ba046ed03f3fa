"""How an index grew: unique packages and releases by date, as numbers and as a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from ._reader import Index

__all__ = ["STYLE", "Day", "chart", "history"]


@dataclass(frozen=True, slots=True)
class Day:
    """What the index held at a day's end; only days on which something came have an entry."""

    date: date
    packages: int
    releases: int


def history(index: Index) -> list[Day]:
    """The growth of an index, oldest day first. Yanked releases count: they were made."""
    dates = [[date.fromisoformat(r.uploaded[:10]) for r in index.releases(name)] for name in index.projects]
    firsts = [min(found) for found in dates]
    every = [day for found in dates for day in found]
    return [Day(day, sum(f <= day for f in firsts), sum(d <= day for d in every)) for day in sorted(set(every))]


_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 132, 48, 40
STYLE = """
  svg { --paper: #fff; --ink: #1f2933; --faint: #d5dbe1; --packages: #0b6bcb; --releases: #b3450e; }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #14181d; --ink: #e4e9ee; --faint: #3a434d; --packages: #6cb6ff; --releases: #f0a36c; }
  }
  text { font: 13px system-ui, sans-serif; fill: var(--ink); }
  .title { font-size: 16px; font-weight: 600; }
  .grid { stroke: var(--faint); }
  .paper { fill: var(--paper); }
  path { fill: none; stroke-width: 2.5; }
  .packages { stroke: var(--packages); } text.packages { fill: var(--packages); stroke: none; }
  .releases { stroke: var(--releases); stroke-dasharray: 7 3; } text.releases { fill: var(--releases); stroke: none; }
"""


def chart(days: Sequence[Day], title: str = "Packages and releases", *, style: str = STYLE) -> str:
    """The growth as an SVG document: two steps, told apart by colour, dashes and a label, in light and dark.

    It says its content in words too (``title`` and ``desc``), for who does not see it. `style` is its style sheet; a
    page that holds the drawing and styles it with its own gives an empty one.
    """
    if not days:
        words = "Nothing has been published yet."
        lines = [f'<text x="{_WIDTH / 2:g}" y="{_HEIGHT / 2:g}" text-anchor="middle">{words}</text>']
    else:
        first, last = days[0], days[-1]
        words = (
            f"From {first.date} to {last.date} the index grew from {first.packages} packages with {first.releases} "
            f"releases to {last.packages} packages with {last.releases} releases."
        )
        lines = [*_axes(days), *_line("packages", days), *_line("releases", days)]
    body = "\n".join(f"  {line}" for line in lines)
    sheet = f"  <style>{style}  </style>\n" if style else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-labelledby="growth-title growth-desc">\n'
        f'  <title id="growth-title">{_escaped(title)}</title>\n  <desc id="growth-desc">{words}</desc>\n'
        f"{sheet}"
        f'  <rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>\n'
        f'  <text class="title" x="{_LEFT}" y="28">{_escaped(title)}</text>\n{body}\n</svg>\n'
    )


def _axes(days: Sequence[Day]) -> list[str]:
    top = _nice(days[-1].releases)
    lines = []
    for part in range(5):
        value = top * part // 4
        y = _y(value, top)
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value}</text>')
    ends = [days[0].date] if len({d.date for d in days}) == 1 else [days[0].date, days[-1].date]
    for day, anchor in zip(ends, ("start", "end"), strict=False):
        lines.append(f'<text x="{_x(day, days):.1f}" y="{_HEIGHT - 14}" text-anchor="{anchor}">{day}</text>')
    return lines


def _line(name: str, days: Sequence[Day]) -> list[str]:
    top = _nice(days[-1].releases)
    values = [(d.date, d.packages if name == "packages" else d.releases) for d in days]
    steps = f"M{_x(values[0][0], days):.1f} {_y(values[0][1], top):.1f}"
    steps += "".join(f"H{_x(day, days):.1f}V{_y(value, top):.1f}" for day, value in values[1:])
    steps += f"H{_WIDTH - _RIGHT}"
    y = _y(values[-1][1], top)
    if name == "packages" and abs(y - _y(days[-1].releases, top)) < 16:
        y += 16  # the two labels would lie on each other
    label = f'<text class="{name}" x="{_WIDTH - _RIGHT + 6}" y="{y + 4:.1f}">{values[-1][1]} {name}</text>'
    return [f'<path class="{name}" d="{steps}"/>', label]


def _x(day: date, days: Sequence[Day]) -> float:
    whole = max(1, (days[-1].date - days[0].date).days)
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (day - days[0].date).days / whole


def _y(value: int, top: int) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top


def _nice(value: int) -> int:
    """The least 4, 8, 20, 40, 80, 200, ... that is no smaller: a top of the scale whose quarters are whole."""
    step = 1
    while True:
        for factor in (4, 8, 20):
            if factor * step >= value:
                return factor * step
        step *= 10


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
