"""The drawing: well-formed, in words too, and no box over another."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from mirage.functoria import JOB, Device, Graph, Impl, Typ, device, enum, key, match_key, svg

THING: Typ[Any] = Typ("THING", "m:T")
NS = {"s": "http://www.w3.org/2000/svg"}


def make(name: str, typ: Typ[Any], *args: Impl[Any]) -> Impl[Any]:
    return device(Device("thing", typ, "t()", takes=(THING,) * len(args), label=name))(*args)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    nodes: list[Impl[Any]] = []
    for number in range(draw(st.integers(1, 14))):
        below = draw(st.lists(st.sampled_from(nodes), max_size=4)) if nodes else []
        nodes.append(make(f"thing-{'x' * (number % 5)}", THING, *below))
    return Graph([make(f"job{n}", JOB, *draw(st.lists(st.sampled_from(nodes), max_size=4))) for n in range(2)])


@given(graphs())
def test_boxes_lie_apart_inside_the_picture(graph: Graph) -> None:
    """No two boxes of a layer touch, and none leaves the picture."""
    root = ET.fromstring(svg(graph, "demo"))
    rows = defaultdict(list)
    for box in root.iterfind(".//s:rect", NS):
        x, width = float(box.attrib["x"]), float(box.attrib["width"])
        rows[box.attrib["y"]].append((x, x + width))
        assert x >= 0
        assert x + width <= float(root.attrib["width"])
    assert sum(map(len, rows.values())) == len(graph.nodes) + 1
    for row in rows.values():
        row.sort()
        assert all(left[1] < right[0] for left, right in itertools.pairwise(row))


def test_in_words_and_escaped() -> None:
    """The title and the description say what the picture shows; names are text, whatever is in them."""
    which = key("which", enum("a", "b"), "a", "")
    store = match_key(which, {"a": make("one", THING), "b": make("<&>", THING)})
    text = svg(Graph([make("job", JOB, store)]), 'a<b>"c"')
    root = ET.fromstring(text)
    assert root.attrib["role"] == "img"
    assert root.findtext("s:title", namespaces=NS) == 'The devices of a<b>"c"'
    description = root.findtext("s:desc", namespaces=NS)
    assert (
        description == 'a<b>"c" runs job. job uses --which. The choice --which picks a THING: a gives one, b gives <&>.'
    )
    assert "prefers-color-scheme: dark" in text
    assert text == svg(Graph([make("job", JOB, store)]), 'a<b>"c"')
