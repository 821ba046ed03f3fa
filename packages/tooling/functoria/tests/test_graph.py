"""The graph: sharing by identity, topological order, partial evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.functoria import (
    JOB,
    Choice,
    ConfigError,
    Configuration,
    Device,
    Graph,
    Impl,
    Made,
    Typ,
    device,
    enum,
    key,
    match_key,
)
from mirage.functoria.graph import edges

THING: Typ[Any] = Typ("THING", "m:T")


def thing(number: int, *args: Impl[Any]) -> Impl[Any]:
    return device(Device(f"t{number}", THING, "t()", takes=(THING,) * len(args)))(*args)


def job(*args: Impl[Any]) -> Impl[Any]:
    return device(Device("job", JOB, "j()", takes=(THING,) * len(args)))(*args)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Graphs of devices and choices, each given some of those before it."""
    nodes: list[Impl[Any]] = []
    for number in range(draw(st.integers(1, 12))):
        below = draw(st.lists(st.sampled_from(nodes), max_size=3)) if nodes else []
        if below and draw(st.booleans()):
            words = [f"w{n}" for n in range(len(below))]
            which = key(f"k{number}", enum(*words), words[0], "")
            nodes.append(match_key(which, dict(zip(words, below, strict=True))))
        else:
            nodes.append(thing(number, *below))
    return Graph([job(*draw(st.lists(st.sampled_from(nodes), max_size=4)))])


@given(graphs())
def test_each_once_and_after_what_it_needs(graph: Graph) -> None:
    """Topological order, without repetition."""
    places = {id(node): number for number, node in enumerate(graph.nodes)}
    assert len(places) == len(graph.nodes)
    for node in graph.nodes:
        assert all(places[id(edge.target)] < places[id(node)] for edge in edges(node))


@given(graphs(), st.data())
def test_evaluation_in_two_steps_is_evaluation_in_one(graph: Graph, data: st.DataObject) -> None:
    """Deciding some keys, then the others, comes to the same as deciding all at once."""
    values = {one.name: data.draw(st.sampled_from(one.kind.choices)) for one in graph.keys}
    first = {name: value for name, value in values.items() if data.draw(st.booleans())}
    partly = graph.evaluate(first)
    assert not {choice.key.name for choice in partly.choices} & set(first)
    whole, again = graph.evaluate(values), partly.evaluate(values)
    assert not whole.choices
    assert [node.title for node in whole.nodes] == [node.title for node in again.nodes]


@given(graphs())
def test_evaluation_of_nothing_changes_nothing(graph: Graph) -> None:
    """The very same nodes."""
    assert [id(node) for node in graph.evaluate({}).nodes] == [id(node) for node in graph.nodes]


def test_a_device_used_twice_is_made_once(configured: Callable[[str], Configuration]) -> None:
    """Sharing survives the decision of a choice below."""
    text = (
        "k = key('k', BOOL, True, '')\n"
        "c = if_key(k, disk, make('other', DISK)())\n"
        "cache = make('cache', STORE, STORE)(c)\n"
        "register('a', app(cache, clock), app(cache, clock))"
    )
    graph = Graph.of(configured(text))
    assert [node.title for node in graph.evaluate({"k": True}).nodes] == [
        "disk",
        "cache",
        "clock",
        "app:main",
        "app:main",
    ]
    assert next(node.title for node in graph.evaluate({"k": False}).nodes) == "other"
    assert isinstance(graph.nodes[2], Choice)


def test_other_values_take_the_default_case() -> None:
    """A key that is no enumeration falls through to the default."""
    from mirage.functoria import INT

    which = key("n", INT, 1, "")
    graph = Graph([job(match_key(which, {1: thing(1)}, default=thing(2)))])
    assert [node.title for node in graph.evaluate({"n": 1}).nodes] == ["t1", "job"]
    assert [node.title for node in graph.evaluate({"n": 7}).nodes] == ["t2", "job"]


def test_a_long_chain_needs_no_stack() -> None:
    """Ten thousand devices in a row."""
    node = thing(0)
    for number in range(10_000):
        node = thing(number, node)
    assert len(Graph([job(node)]).evaluate({}).nodes) == 10_002


def test_keys_and_arguments_are_found_where_devices_use_them(configured: Callable[[str], Configuration]) -> None:
    """Those of a branch not taken are gone once the choice is made; so are its packages."""
    text = (
        "k = key('k', BOOL, True, '')\n"
        "size, path = key('size', INT, 1, ''), boot_argument('path', STR, '', '')\n"
        "a = make('a', STORE, parameters={'size': size}, packages=('pa',))()\n"
        "b = make('b', STORE, parameters={'path': path}, packages=('pb>=1',))()\n"
        "register('x', app(if_key(k, a, b), clock))"
    )
    graph = Graph.of(configured(text))
    assert [one.name for one in graph.keys] == ["k", "size"]
    assert [one.name for one in graph.boot_arguments] == ["path"]
    assert graph.packages == ("pa", "pb>=1")
    decided = graph.evaluate({"k": True})
    assert ([one.name for one in decided.keys], decided.boot_arguments, decided.packages) == (["size"], (), ("pa",))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("key('n', INT, 2, '')", "two different keys are named 'n'"),
        ("boot_argument('n', INT, 2, '')", "the boot argument 'n' has the name of the key at"),
    ],
)
def test_names_are_distinct(second: str, message: str, configured: Callable[[str], Configuration]) -> None:
    """One name, one meaning."""
    text = (
        "a = make('a', STORE, parameters={'n': key('n', INT, 1, '')})()\n"
        f"b = make('b', CLOCK, parameters={{'n': {second}}})()\n"
        "register('x', app(a, b))"
    )
    with pytest.raises(ConfigError, match=message):
        Graph.of(configured(text))


def test_after_orders_without_giving(configured: Callable[[str], Configuration]) -> None:
    """A data dependency comes first, and is no argument."""
    graph = Graph.of(configured("register('x', foreign('m:f', gives=JOB, after=[disk])())"))
    assert [node.title for node in graph.nodes] == ["disk", "m:f"]
    (made,) = (node for node in graph.nodes if isinstance(node, Made) and node.title == "m:f")
    assert made.args == ()


def test_composition(configured: Callable[[str], Configuration]) -> None:
    """f >> g is g after f."""
    text = "f, g = make('f', CLOCK, STORE), foreign('m:g', takes=(CLOCK,), gives=JOB)\nregister('x', (f >> g)(disk))"
    assert [node.title for node in Graph.of(configured(text)).nodes] == ["disk", "f", "m:g"]
