"""A graph drawn as SVG, without Graphviz.

The layout is the layered one of Sugiyama, Tagawa and Toda (1981): each node lies below all that use it, an edge that
passes a layer gets a place of its own there, layers are sorted by the mean place of their neighbours, and nodes are
then drawn towards the nodes that they are tied to. The picture has a title, and a description in words for those who
cannot see it, and follows the reader's light or dark setting. The same graph gives the same octets.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from .graph import Graph, edges
from .impl import Choice, Impl

__all__ = ["svg"]

_CHARACTER, _PADDING, _HEIGHT, _GAP, _LAYER, _MARGIN = 7.3, 14.0, 46.0, 26.0, 92.0, 20.0
_SWEEPS = 12


@dataclass(eq=False, slots=True)
class _Box:
    """A node, or the place where an edge passes a layer (`title` is empty then)."""

    title: str
    kind: str
    below: str
    width: float
    layer: int = 0
    x: float = 0.0
    up: list[_Box] = field(default_factory=list)
    down: list[_Box] = field(default_factory=list)


@dataclass(slots=True)
class _Line:
    path: list[_Box]
    kind: str
    label: str


def svg(graph: Graph, name: str) -> str:
    """The picture. Devices are boxes, choices rounded; a dotted line is a case, a dashed one only an order."""
    boxes, lines = _boxes(graph, name)
    layers = _layers(boxes, lines)
    _sort(layers)
    _place(layers)
    return _drawing(layers, lines, name, graph)


def _boxes(graph: Graph, name: str) -> tuple[list[_Box], list[_Line]]:
    app = _box(name, "app", "application")
    found: dict[int, _Box] = {}
    for node in graph.nodes:
        found[id(node)] = _box(node.title, "choice" if isinstance(node, Choice) else "device", str(node.typ))
    lines = [_Line([app, found[id(job)]], "argument", "") for job in dict.fromkeys(graph.jobs)]
    for node in graph.nodes:
        lines += [_Line([found[id(node)], found[id(edge.target)]], edge.kind, edge.label) for edge in edges(node)]
    # A node's layer is one more than the deepest of those that use it: users come later in topological order.
    for node in reversed(graph.nodes):
        box = found[id(node)]
        box.layer = max([line.path[0].layer + 1 for line in lines if line.path[1] is box], default=1)
    return [app, *(found[id(node)] for node in graph.nodes)], lines


def _box(title: str, kind: str, below: str) -> _Box:
    return _Box(title, kind, below, max(len(title), len(below) * 0.85) * _CHARACTER + 2 * _PADDING)


def _layers(boxes: Sequence[_Box], lines: Sequence[_Line]) -> list[list[_Box]]:
    """The boxes by layer, each line broken where it passes one."""
    layers: list[list[_Box]] = [[] for _ in range(max(box.layer for box in boxes) + 1)]
    for box in boxes:
        layers[box.layer].append(box)
    for line in lines:
        start, end = line.path
        for layer in range(start.layer + 1, end.layer):
            passing = _Box("", "pass", "", 8.0, layer)
            layers[layer].append(passing)
            line.path.insert(-1, passing)
        for above, below in itertools.pairwise(line.path):
            above.down.append(below)
            below.up.append(above)
    return layers


def _sort(layers: list[list[_Box]]) -> None:
    """Reorder each layer by the mean place of its neighbours, down and up, and keep the order with fewest crossings."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(_SWEEPS):
        upward = sweep % 2 == 1
        for layer in reversed(layers) if upward else layers:
            places = {id(box): float(number) for other in layers for number, box in enumerate(other)}
            layer.sort(
                key=lambda box: _mean([places[id(b)] for b in (box.down if upward else box.up)], places[id(box)])
            )
        if (now := _crossings(layers)) < fewest:
            best, fewest = [list(layer) for layer in layers], now
    layers[:] = best


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(layers: Sequence[Sequence[_Box]]) -> int:
    total = 0
    for above, below in itertools.pairwise(layers):
        places = {id(box): number for number, box in enumerate(below)}
        ends = [places[id(box)] for one in above for box in sorted(one.down, key=lambda box: places[id(box)])]
        total += sum(1 for i, left in enumerate(ends) for right in ends[i + 1 :] if left > right)
    return total


def _place(layers: Sequence[Sequence[_Box]]) -> None:
    """Give each box its x: packed first, then drawn towards its neighbours as far as its layer's order lets it."""
    for layer in layers:
        _settle(layer, [0.0 for _ in layer])
    for sweep in range(_SWEEPS):
        upward = sweep % 2 == 0
        for layer in reversed(layers) if upward else layers:
            _settle(layer, [_mean([b.x for b in (box.down if upward else box.up)], box.x) for box in layer])
    left = min(box.x - box.width / 2 for layer in layers for box in layer)
    for layer in layers:
        for box in layer:
            box.x += _MARGIN - left


def _settle(layer: Sequence[_Box], wanted: Sequence[float]) -> None:
    """Places in order, without overlap, least squares away from those wanted: neighbours that collide move as one."""
    groups: list[tuple[list[_Box], list[float], float]] = []  # boxes, offsets from the group's place, that place
    for box, want in zip(layer, wanted, strict=True):
        boxes, offsets, place = [box], [0.0], want
        while groups:
            before, shifts, at = groups[-1]
            gap = (before[-1].width + boxes[0].width) / 2 + _GAP
            if at + shifts[-1] + gap <= place:
                break
            groups.pop()
            joined = [*shifts, *(shifts[-1] + gap + offset for offset in offsets)]
            place = (at * len(before) + (place - shifts[-1] - gap) * len(boxes)) / (len(before) + len(boxes))
            boxes, offsets = [*before, *boxes], joined
        groups.append((boxes, offsets, place))
    for boxes, offsets, place in groups:
        for box, offset in zip(boxes, offsets, strict=True):
            box.x = place + offset


_STYLE = """
svg { --ink: #1c2733; --soft: #5b6b7a; --line: #7b8b9a; --box: #ffffff; --edge: #34607f; --choice: #fdf3dc;
  --app: #dcecf7; font-family: system-ui, -apple-system, "Segoe UI", sans-serif; background: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  svg { --ink: #e8eef4; --soft: #a3b3c2; --line: #7d8fa0; --box: #1d2833; --edge: #7fb2d6; --choice: #3a3018;
    --app: #1b3a52; background: #11181f; }
}
rect { fill: var(--box); stroke: var(--edge); stroke-width: 1.3; }
.choice rect { fill: var(--choice); } .app rect { fill: var(--app); stroke-width: 2; }
path { fill: none; stroke: var(--line); stroke-width: 1.4; }
.case { stroke-dasharray: 1.5 4; stroke-linecap: round; stroke-width: 2; } .after { stroke-dasharray: 6 4; }
marker path { fill: var(--line); stroke: none; }
text { fill: var(--ink); font-size: 13px; text-anchor: middle; }
.type, .label { fill: var(--soft); font-size: 11px; }
.label { paint-order: stroke; stroke: var(--box); stroke-width: 4px; }
"""


def _drawing(layers: Sequence[Sequence[_Box]], lines: Sequence[_Line], name: str, graph: Graph) -> str:
    width = max(box.x + box.width / 2 for layer in layers for box in layer) + _MARGIN
    height = (len(layers) - 1) * _LAYER + _HEIGHT + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title description" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">',
        f'<title id="title">The devices of {escape(name)}</title>',
        f'<desc id="description">{escape(" ".join(_sentences(graph, name)))}</desc>',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" '
        'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.8 L8 4 L0 7.2 z"/></marker></defs>',
    ]
    parts += [_line(line) for line in lines]
    parts += [_node(box) for layer in layers for box in layer if box.title]
    parts += [_label(line) for line in lines if line.label]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _sentences(graph: Graph, name: str) -> Iterator[str]:
    yield f"{name} runs {_listed(graph.jobs)}."
    for node in reversed(graph.nodes):
        below = list(edges(node))
        if isinstance(node, Choice):
            cases = ", ".join(f"{edge.label} gives {edge.target.title}" for edge in below)
            yield f"The choice {node.title} picks a {node.typ}: {cases}."
        elif below:
            yield f"{node.title} uses {_listed([edge.target for edge in below])}."


def _listed(nodes: Sequence[Impl[Any]]) -> str:
    return ", ".join(node.title for node in nodes)


def _top(box: _Box) -> float:
    return _MARGIN + box.layer * _LAYER


def _line(line: _Line) -> str:
    start, *rest = line.path
    x, y = start.x, _top(start) + _HEIGHT
    path = [f"M{x:.1f} {y:.1f}"]
    for box in rest:
        end = _top(box)
        middle = (y + end) / 2
        path.append(f"C{x:.1f} {middle:.1f} {box.x:.1f} {middle:.1f} {box.x:.1f} {end:.1f}")
        x, y = box.x, end
        if not box.title:  # straight through the layer that it passes
            y = end + _HEIGHT
            path.append(f"L{x:.1f} {y:.1f}")
    return f'<path class="{line.kind}" d="{" ".join(path)}" marker-end="url(#arrow)"/>'


def _label(line: _Line) -> str:
    above, below = line.path[-2:]
    x, y = (above.x + 3 * below.x) / 4, _top(below) - (_LAYER - _HEIGHT) * 0.38
    return f'<text class="label" x="{x:.1f}" y="{y:.1f}">{escape(line.label)}</text>'


def _node(box: _Box) -> str:
    top = _top(box)
    corner = _HEIGHT / 2 if box.kind == "choice" else 6
    return (
        f'<g class="{box.kind}"><rect x="{box.x - box.width / 2:.1f}" y="{top:.1f}" width="{box.width:.1f}" '
        f'height="{_HEIGHT:.0f}" rx="{corner:.0f}"/><text x="{box.x:.1f}" y="{top + 20:.1f}">{escape(box.title)}</text>'
        f'<text class="type" x="{box.x:.1f}" y="{top + 36:.1f}">{escape(box.below)}</text></g>'
    )
