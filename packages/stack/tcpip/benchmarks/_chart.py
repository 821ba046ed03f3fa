"""The matrix as a drawing: a field for each cell, the curves of the largest buffer, and how flows share a bottleneck.

In the site's own classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mirage.tcpip.testing.netsim import BUFFERS, FLOWS, LOSSES, SMOLTCP, SMOLTCP_FAIRNESS

_WIDTH = 366
_LEFT, _TOP, _CELL, _ROW = 46, 58, 39, 24
_NAMES = {"cubic": "CUBIC", "westwood": "Westwood"}


def chart(matrix: dict[str, dict[str, list[float]]], fairness: dict[str, list[dict[str, float]]]) -> str:
    """The whole drawing, as the text of an SVG file."""
    parts: list[str] = []
    y = 0
    for control, rows in matrix.items():
        parts += _grid(y, f"{_NAMES[control]}: times smoltcp’s throughput", rows)
        y += _TOP + _ROW * len(BUFFERS) + 22
    parts += _curves(y, matrix)
    y += 330
    parts += _shares(y, fairness)
    height = y + _TOP + 18 + _ROW * len(FLOWS)
    return "\n".join(
        [
            f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="loss-title loss-desc" '
            'xmlns="http://www.w3.org/2000/svg">',
            '<title id="loss-title">Throughput under loss, beside smoltcp’s</title>',
            f'<desc id="loss-desc">{_description(matrix)}</desc>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _description(matrix: dict[str, dict[str, list[float]]]) -> str:
    told = []
    for control, rows in matrix.items():
        ratios = [
            ours / theirs for buffer in BUFFERS for ours, theirs in zip(rows[str(buffer)], SMOLTCP[buffer], strict=True)
        ]
        told.append(
            f"With {_NAMES[control]}, {sum(r >= 0.9995 for r in ratios)} of {len(ratios)} cells carry"
            f" what smoltcp carries or more; the least is {min(ratios):.2f} times as much, the most {max(ratios):.1f}."
        )
    return " ".join(told)


def _text(x: float, y: float, words: str, style: str = "", anchor: str = "") -> str:
    at = f' text-anchor="{anchor}"' if anchor else ""
    more = {"middle": " d-mid", "end": " d-end"}.get(anchor, "")
    return f'<text class="d-text{style}{more}"{at} x="{x:g}" y="{y:g}">{words}</text>'


def _size(buffer: int) -> str:
    return f"{buffer}" if buffer < 1024 else f"{buffer // 1024} KiB"


def _grid(y: int, title: str, rows: dict[str, list[float]]) -> list[str]:
    parts = [_text(6, y + 20, title, " d-strong")]
    for column, loss in enumerate(LOSSES):
        words = f"{loss * 100:g} %"
        parts.append(_text(_LEFT + _CELL * (column + 0.5), y + _TOP - 8, words, " d-small", "middle"))
    for line, buffer in enumerate(BUFFERS):
        top = y + _TOP + _ROW * line
        parts.append(_text(_LEFT - 5, top + 16, _size(buffer), " d-small", "end"))
        for column, (ours, theirs) in enumerate(zip(rows[str(buffer)], SMOLTCP[buffer], strict=True)):
            ratio = ours / theirs
            style, fill, stroke = ("d-ours", "#e6f2f3", "#0a6470")
            if ratio < 0.9995:
                style, fill, stroke = ("d-sun", "#fdf3dc", "#b26a00")
            elif ratio < 1.5:
                style, fill, stroke = ("d-box", "#ffffff", "#c9d2d6")
            x = _LEFT + _CELL * column
            parts.append(
                f'<rect class="{style}" x="{x + 1}" y="{top + 1}" width="{_CELL - 2}" height="{_ROW - 2}" '
                f'fill="{fill}" stroke="{stroke}"/>'
            )
            words = f"{ratio:.2f}" if ratio < 9.95 else f"{ratio:.0f}"
            parts.append(_text(x + _CELL / 2, top + 16, words, " d-small", "middle"))
    return parts


def _curves(y: int, matrix: dict[str, dict[str, list[float]]]) -> list[str]:
    """Throughput at the largest buffer over the loss, on a logarithmic scale."""
    left, top, width, height = 58, y + 44, 284, 210
    buffer = BUFFERS[-1]
    low, high = 3.0, 5.7
    places = [left + width * n / (len(LOSSES) - 1) for n in range(len(LOSSES))]

    def line(values: Sequence[float]) -> list[tuple[float, float]]:
        return [
            (x, top + height * (high - math.log10(value)) / (high - low))
            for x, value in zip(places, values, strict=True)
        ]

    parts = [_text(6, y + 22, f"Octets per second with {_size(buffer)}, by loss", " d-strong")]
    for power in (3, 4, 5):
        at = top + height * (high - power) / (high - low)
        parts.append(
            f'<line class="d-ghost" x1="{left}" y1="{at:.1f}" x2="{left + width}" y2="{at:.1f}" stroke="#55616a"/>'
        )
        words = {3: "1,000", 4: "10,000", 5: "100,000"}[power]
        parts.append(_text(left - 5, at + 4, words, " d-small", "end"))
    for x, loss in zip(places, LOSSES, strict=True):
        parts.append(_text(x, top + height + 18, f"{loss * 100:g} %", " d-small", "middle"))
    series: list[tuple[str, list[float], str, str]] = [("smoltcp", list(SMOLTCP[buffer]), "d-need", "#55616a")]
    styles = {"cubic": ("d-back", "#b26a00"), "westwood": ("d-arrow", "#0a6470")}
    series += [(_NAMES[control], rows[str(buffer)], *styles[control]) for control, rows in matrix.items()]
    for number, (name, values, style, stroke) in enumerate(series):
        points = " ".join(f"{x:.1f},{at:.1f}" for x, at in line(values))
        parts.append(f'<polyline class="{style}" fill="none" stroke="{stroke}" stroke-width="1.8" points="{points}"/>')
        x, at = left + number * 96, top + height + 44
        parts.append(
            f'<line class="{style}" x1="{x}" y1="{at - 4}" x2="{x + 22}" y2="{at - 4}" stroke="{stroke}" '
            'stroke-width="1.8"/>'
        )
        parts.append(_text(x + 28, at, name, " d-small"))
    return parts


def _shares(y: int, fairness: dict[str, list[dict[str, float]]]) -> list[str]:
    """A table: what all flows carried together, how equally, and what was dropped."""
    parts = [_text(6, y + 20, "Sharing 25 MB/s: rate, Jain’s index", " d-strong")]
    columns = {_NAMES[control]: runs for control, runs in fairness.items()}
    width = (_WIDTH - _LEFT) / (len(columns) + 1)
    for column, name in enumerate([*columns, "smoltcp"]):
        parts.append(_text(_LEFT + width * (column + 0.5), y + _TOP - 8, name, " d-small", "middle"))
    for line, flows in enumerate(FLOWS):
        at = y + _TOP + _ROW * line + 16
        parts.append(_text(_LEFT - 5, at, f"{flows}", " d-small", "end"))
        cells = [(runs[line]["together"], runs[line]["fairness"]) for runs in columns.values()]
        cells.append(SMOLTCP_FAIRNESS[flows][:2])
        for column, (together, index) in enumerate(cells):
            words = f"{together / 1e6:.1f} MB/s" if together >= 1e6 else f"{together / 1e3:.0f} kB/s"
            parts.append(_text(_LEFT + width * (column + 0.5), at, f"{words}, {index:.2f}", " d-small", "middle"))
    return parts
