"""A graph for readers: as a text tree, as lists of its keys and boot arguments, and in Graphviz' DOT language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .graph import Edge, Graph, Setting, edges
from .impl import Choice, Impl
from .keys import BootArgument, Key

__all__ = ["describe_boot_arguments", "describe_keys", "dot", "table", "tree"]


def tree(graph: Graph) -> str:
    """The devices behind each job, drawn as a tree. One that is used again is named again and drawn once."""
    seen: set[int] = set()
    lines: list[str] = []
    for job in graph.jobs:
        lines.append(_node_text(job))
        lines.extend(_branches(job, "", seen))
    return "\n".join(lines) + "\n"


def _node_text(node: Impl[Any]) -> str:
    if isinstance(node, Choice):
        return f"choice by {node.title} : {node.typ}"
    return f"{node.title} : {node.typ}"


def _branches(node: Impl[Any], indent: str, seen: set[int]) -> Iterator[str]:
    seen.add(id(node))
    below = list(edges(node))
    for number, edge in enumerate(below, 1):
        last = number == len(below)
        again = id(edge.target) in seen and any(True for _ in edges(edge.target))
        mark = " (as above)" if again else ""
        yield f"{indent}{'└─' if last else '├─'} {_edge_text(node, edge)}{_node_text(edge.target)}{mark}"
        if not again:
            yield from _branches(edge.target, indent + ("   " if last else "│  "), seen)


def _edge_text(node: Impl[Any], edge: Edge) -> str:
    if edge.kind == "case":
        assert isinstance(node, Choice)
        return f"{edge.label}: " if edge.label != _default_label(node) else f"{edge.label} (default): "
    return "after " if edge.kind == "after" else ""


def _default_label(node: Choice[Any]) -> str:
    key = node.key
    return key.kind.show(key.default) if key.default in node.cases else "otherwise"


def describe_keys(keys: Iterable[Key[Any]], settings: Mapping[str, Setting]) -> str:
    """A line for each key: its option, its value and where that is from, what it means."""
    rows = []
    for key in keys:
        setting = settings.get(key.name)
        value = f"{setting.shown} ({setting.origin})" if setting else "undecided"
        doc = key.doc + (f" One of: {', '.join(key.kind.choices)}." if key.kind.choices else "")
        rows.append((f"--{key.name}", value, doc))
    return table(rows)


def describe_boot_arguments(arguments: Iterable[BootArgument[Any]]) -> str:
    """A line for each boot argument: its option, its default, what it means."""
    return table([(f"--{one.name}", f"{one.kind.show(one.default)} (default)", one.doc) for one in arguments])


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Rows of text in aligned columns; the last column is not padded."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "".join(
        (indent + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])).rstrip()
        + "\n"
        for row in rows
    )


def dot(graph: Graph, name: str) -> str:
    """The graph in DOT: devices are boxes, choices circles with dotted branches (the default bold), `after` dashed."""
    numbers = {id(node): f"n{number}" for number, node in enumerate(graph.nodes)}
    lines = [f"digraph {_quoted(name)} {{", "  rankdir=TB;", f"  app [label={_quoted(name)}, shape=diamond];"]
    for node in graph.nodes:
        if isinstance(node, Choice):
            lines.append(f"  {numbers[id(node)]} [label={_quoted(node.title)}, shape=circle];")
        else:
            label = _quoted(f"{node.title}\n{node.typ}")
            lines.append(f"  {numbers[id(node)]} [label={label}, shape=box];")
    lines.extend(f"  app -> {numbers[id(job)]};" for job in graph.jobs)
    for node in graph.nodes:
        for edge in edges(node):
            style = " [style=dashed]" if edge.kind == "after" else ""
            if isinstance(node, Choice):
                bold = edge.label == _default_label(node)
                style = f" [style={_quoted('dotted,bold' if bold else 'dotted')}, label={_quoted(edge.label)}]"
            lines.append(f"  {numbers[id(node)]} -> {numbers[id(edge.target)]}{style};")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
