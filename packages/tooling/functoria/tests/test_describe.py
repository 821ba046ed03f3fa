"""What readers see of a graph: tree, tables, DOT."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mirage.functoria import Configuration, Graph, assign, describe_boot_arguments, describe_keys, dot, tree

TEXT = """
where = key("where", enum("here", "there"), "here", "Where it is.")
name = boot_argument("name", STR, "x", "What it is.")
here = make("here", STORE, CLOCK, parameters={"name": name})(clock)
store = match_key(where, {"here": here, "there": disk})
register("demo", app(store, clock), foreign("m:tick", takes=(STORE,), gives=JOB, after=[disk])(store))
"""


@pytest.fixture
def graph(configured: Callable[[str], Configuration]) -> Graph:
    return Graph.of(configured(TEXT))


def test_tree(graph: Graph) -> None:
    """Drawn once, named again."""
    assert tree(graph) == (
        "app:main : JOB\n"
        "├─ choice by --where : STORE\n"
        "│  ├─ here (default): here : STORE\n"
        "│  │  └─ clock : CLOCK\n"
        "│  └─ there: disk : DISK\n"
        "└─ clock : CLOCK\n"
        "m:tick : JOB\n"
        "├─ choice by --where : STORE (as above)\n"
        "└─ after disk : DISK\n"
    )
    assert tree(graph.evaluate({"where": "there"})) == (
        "app:main : JOB\n├─ disk : DISK\n└─ clock : CLOCK\nm:tick : JOB\n├─ disk : DISK\n└─ after disk : DISK\n"
    )


def test_lists(graph: Graph) -> None:
    """One place for keys and boot arguments, with doc strings, values and their origins."""
    settings = assign(graph.keys, {"where": "there"})
    assert describe_keys(graph.keys, settings) == "  --where  there (command line)  Where it is. One of: here, there.\n"
    assert describe_keys(graph.keys, {}) == "  --where  undecided  Where it is. One of: here, there.\n"
    assert describe_boot_arguments(graph.boot_arguments) == "  --name  x (default)  What it is.\n"
    assert describe_boot_arguments([]) == ""


def test_dot(graph: Graph) -> None:
    """Boxes, circles, dotted cases with a bold default, dashed order."""
    assert dot(graph, 'a "b"') == (
        'digraph "a \\"b\\"" {\n'
        "  rankdir=TB;\n"
        '  app [label="a \\"b\\"", shape=diamond];\n'
        '  n0 [label="clock\\nCLOCK", shape=box];\n'
        '  n1 [label="here\\nSTORE", shape=box];\n'
        '  n2 [label="disk\\nDISK", shape=box];\n'
        '  n3 [label="--where", shape=circle];\n'
        '  n4 [label="app:main\\nJOB", shape=box];\n'
        '  n5 [label="m:tick\\nJOB", shape=box];\n'
        "  app -> n4;\n"
        "  app -> n5;\n"
        "  n1 -> n0;\n"
        '  n3 -> n1 [style="dotted,bold", label="here"];\n'
        '  n3 -> n2 [style="dotted", label="there"];\n'
        "  n4 -> n3;\n"
        "  n4 -> n0;\n"
        "  n5 -> n3;\n"
        "  n5 -> n2 [style=dashed];\n"
        "}\n"
    )
