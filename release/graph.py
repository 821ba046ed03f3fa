"""The planned packages as a picture: who needs whom, providers above their users, breaks marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from .model import Planned

__all__ = ["svg"]

_WIDTH, _HEIGHT, _GAP, _LAYER, _MARGIN, _ROW = 176, 44, 20, 96, 24, 6
_STYLE = """
  svg { --paper: #fff; --ink: #1f2933; --faint: #7b8b9a; --box: #eef5fb; --edge: #0b6bcb; --alert: #b3450e; }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #14181d; --ink: #e4e9ee; --faint: #7d8fa0; --box: #1b2a38; --edge: #6cb6ff; --alert: #f0a36c; }
  }
  text { font: 13px system-ui, sans-serif; fill: var(--ink); text-anchor: middle; }
  .small { font-size: 11px; }
  rect { fill: var(--box); stroke: var(--edge); stroke-width: 1.3; }
  .break rect { stroke: var(--alert); stroke-width: 2.5; } .break .small { fill: var(--alert); font-weight: 600; }
  path { fill: none; stroke: var(--faint); stroke-width: 1.3; }
"""


def svg(packages: Sequence[Planned], title: str) -> str:
    """The drawing as a document of its own; its content is told in words too (``title`` and ``desc``)."""
    needs = _reduced({p.name: [n for n in p.needs if any(n == q.name for q in packages)] for p in packages})
    rows = _rows(packages, needs)
    places = {
        name: (_x(column, len(row), rows), _y(line)) for line, row in enumerate(rows) for column, name in enumerate(row)
    }
    width = max((len(row) for row in rows), default=1) * (_WIDTH + _GAP) - _GAP + 2 * _MARGIN
    height = max(1, len(rows)) * _LAYER - (_LAYER - _HEIGHT) + 2 * _MARGIN
    words = [f"{p.name} {p.new} needs {', '.join(needs[p.name])}." for p in packages if needs[p.name]]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="plan-title plan-desc">',
        f'  <title id="plan-title">{escape(title)}</title>',
        f'  <desc id="plan-desc">{escape(" ".join(words) or "No planned package needs another.")}</desc>',
        f"  <style>{_STYLE}  </style>",
        f'  <rect width="{width}" height="{height}" style="fill: var(--paper); stroke: none"/>',
    ]
    for user, providers in needs.items():
        parts += [_line(places[provider], places[user]) for provider in providers]
    parts += [_box(p, places[p.name]) for p in packages]
    return "\n".join([*parts, "</svg>", ""])


def _reduced(needs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Without the lines that a way through others says already."""
    reach: dict[str, set[str]] = {}

    def below(name: str) -> set[str]:
        if name not in reach:
            reach[name] = set()  # also ends a circle, which the plan refuses
            reach[name] = {n for provider in needs[name] for n in {provider, *below(provider)}}
        return reach[name]

    return {
        name: [p for p in providers if not any(p in below(other) for other in providers if other != p)]
        for name, providers in needs.items()
    }


def _rows(packages: Sequence[Planned], needs: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The names by depth, each row at most `_ROW` long and near the middle of what it needs."""
    depth: dict[str, int] = {}
    for package in packages:  # providers come first
        depth[package.name] = 1 + max((depth.get(n, 0) for n in needs[package.name]), default=-1)
    rows: list[list[str]] = []
    column: dict[str, float] = {}
    for level in range(max(depth.values(), default=-1) + 1):
        names = [p.name for p in packages if depth[p.name] == level]
        names.sort(key=lambda n: (sum(column[p] for p in needs[n]) / len(needs[n]) if needs[n] else 0.0, n))
        for start in range(0, len(names), _ROW):
            row = names[start : start + _ROW]
            column |= {name: place - (len(row) - 1) / 2 for place, name in enumerate(row)}
            rows.append(row)
    return rows


def _x(column: int, length: int, rows: Sequence[Sequence[str]]) -> float:
    widest = max(len(row) for row in rows)
    return _MARGIN + (column + (widest - length) / 2) * (_WIDTH + _GAP) + _WIDTH / 2


def _y(row: int) -> float:
    return _MARGIN + row * _LAYER


def _line(above: tuple[float, float], below: tuple[float, float]) -> str:
    (x, y), (u, v) = (above[0], above[1] + _HEIGHT), below
    middle = (y + v) / 2
    return f'  <path d="M{x:g} {y:g}C{x:g} {middle:g} {u:g} {middle:g} {u:g} {v:g}"/>'


def _box(package: Planned, place: tuple[float, float]) -> str:
    x, y = place
    kind = ' class="break"' if package.breaks else ""
    below = f"{package.old} → {package.new}" if package.old else f"{package.new}, its first"
    below += ", breaks" if package.breaks else ""
    return (
        f'  <g{kind}><rect x="{x - _WIDTH / 2:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
        f'<text x="{x:g}" y="{y + 18:g}">{escape(package.name)}</text>'
        f'<text class="small" x="{x:g}" y="{y + 34:g}">{escape(below)}</text></g>'
    )
