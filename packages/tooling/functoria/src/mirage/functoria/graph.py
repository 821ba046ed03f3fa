"""The graph of a configuration, and its evaluation under an assignment of keys.

A `Graph` lists every device once, however often it is used, after those that it depends on. `evaluate` replaces each
choice whose key the assignment decides by the device picked; a choice left open stays one, so a graph can be shown
before it is decided. `assign` is where keys get their values: command line, saved choice, environment, default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .config import Configuration
from .errors import ConfigError, UnknownKey, nearest
from .impl import OTHERWISE, Choice, Impl, Job, Made
from .keys import BootArgument, Key, check_distinct

__all__ = ["Edge", "Graph", "Setting", "assign"]


@dataclass(frozen=True, slots=True)
class Edge:
    """What a node depends on: `kind` is ``argument``, ``after`` or ``case``; `label` is the value of a case."""

    target: Impl[Any]
    kind: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """A key's value, and where it is from: ``command line``, ``saved``, ``environment NAME`` or ``default``."""

    key: Key[Any]
    value: Any
    origin: str

    @property
    def shown(self) -> str:
        """The value as text that parses to it again."""
        return self.key.kind.show(self.value)


def edges(node: Impl[Any]) -> Iterator[Edge]:
    """The dependencies of a node, in the order written."""
    if isinstance(node, Made):
        yield from (Edge(arg, "argument") for arg in node.args)
        yield from (Edge(other, "after") for other in node.after)
    elif isinstance(node, Choice):
        for value, case in node.cases.items():
            yield Edge(case, "case", repr(value) if value is OTHERWISE else node.key.kind.show(value))


class Graph:
    """The devices behind some jobs. `nodes` are in topological order: each after all that it depends on."""

    def __init__(self, jobs: Iterable[Impl[Job]]) -> None:
        self.jobs = tuple(jobs)
        self.nodes = tuple(_topological(self.jobs))
        self.keys: tuple[Key[Any], ...] = _in_order(self._named(Key))
        self.boot_arguments: tuple[BootArgument[Any], ...] = _in_order(self._named(BootArgument))
        check_distinct(self.keys)
        check_distinct(self.boot_arguments)
        for one in self.boot_arguments:
            for other in self.keys:
                if one.name == other.name:
                    raise ConfigError(
                        f"the boot argument {one.name!r} has the name of the key {other.origin}: rename one",
                        one.location,
                    )

    @classmethod
    def of(cls, configuration: Configuration) -> Graph:
        """The graph of a configuration. Raises `ConfigError` where two keys share a name."""
        return cls(configuration.jobs)

    @property
    def devices(self) -> tuple[Made[Any], ...]:
        """The nodes that are no choices, in topological order."""
        return tuple(node for node in self.nodes if isinstance(node, Made))

    @property
    def choices(self) -> tuple[Choice[Any], ...]:
        """The choices that are still open."""
        return tuple(node for node in self.nodes if isinstance(node, Choice))

    @property
    def packages(self) -> tuple[str, ...]:
        """The requirements of all devices, each once, sorted."""
        return tuple(sorted({package for node in self.devices for package in node.device.packages}))

    def evaluate(self, assignment: Mapping[str, Any]) -> Graph:
        """This graph with every choice decided whose key `assignment` names; the others stay."""
        done: dict[int, Impl[Any]] = {}
        for node in self.nodes:  # dependencies first, so `done` always has them
            done[id(node)] = _evaluated(node, done, assignment)
        return Graph(done[id(job)] for job in self.jobs)

    def _named(self, kind: type[Any]) -> Iterator[Any]:
        for node in self.nodes:
            if isinstance(node, Choice) and kind is Key:
                yield node.key
            elif isinstance(node, Made):
                yield from (value for value in node.device.parameters.values() if isinstance(value, kind))


def _evaluated(node: Impl[Any], done: Mapping[int, Impl[Any]], assignment: Mapping[str, Any]) -> Impl[Any]:
    if isinstance(node, Choice):
        if node.key.name in assignment:
            value = assignment[node.key.name]
            return done[id(node.cases[value if value in node.cases else OTHERWISE])]
        cases = {value: done[id(case)] for value, case in node.cases.items()}
        if all(cases[value] is case for value, case in node.cases.items()):
            return node
        return _at(node, Choice(node.key, node.typ, cases))
    assert isinstance(node, Made)
    args = tuple(done[id(arg)] for arg in node.args)
    after = tuple(done[id(other)] for other in node.after)
    if all(a is b for a, b in zip((*args, *after), (*node.args, *node.after), strict=True)):
        return node
    return _at(node, Made(node.device, node.typ, args, after))


def _at(old: Impl[Any], new: Impl[Any]) -> Impl[Any]:
    new.location = old.location
    return new


def _topological(jobs: Iterable[Impl[Any]]) -> Iterator[Impl[Any]]:
    """Depth first, without recursion: a chain of devices may be longer than Python's stack."""
    seen: set[int] = set()
    for job in jobs:
        stack: list[tuple[Impl[Any], Iterator[Edge]]] = []
        if id(job) not in seen:
            seen.add(id(job))
            stack.append((job, edges(job)))
        while stack:
            node, rest = stack[-1]
            edge = next(rest, None)
            if edge is None:
                stack.pop()
                yield node
            elif id(edge.target) not in seen:
                seen.add(id(edge.target))
                stack.append((edge.target, edges(edge.target)))


def _in_order(items: Iterable[Any]) -> tuple[Any, ...]:
    """Each once, in the order of definition, the predefined ones last."""
    return tuple(sorted({id(item): item for item in items}.values(), key=lambda item: (not item.location, item.serial)))


def assign(
    keys: Iterable[Key[Any]],
    given: Mapping[str, str],
    *,
    saved: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Setting]:
    """Settings for the keys: `given` (the command line), else `saved`, else its environment variable, else its default.

    Values are text as typed. A saved choice of a key that is no longer there is dropped. Raises `UnknownKey`, which
    suggests the nearest, and `ConfigError` for a text that is no value.
    """
    known = {key.name: key for key in keys}
    for name in given:
        if name not in known:
            listed = ", ".join(f"--{one}" for one in known) or "none"
            raise UnknownKey(f"there is no key --{name}.{nearest(name, known)} The keys of this application: {listed}")
    settings = {}
    for name, key in known.items():
        if name in given:
            settings[name] = Setting(key, key.parse(given[name], f"--{name}"), "command line")
        elif saved and name in saved:
            settings[name] = Setting(key, key.parse(saved[name], f"the saved choice of --{name}"), "saved")
        elif key.environment and environment and key.environment in environment:
            value = key.parse(environment[key.environment], f"the environment variable {key.environment}")
            settings[name] = Setting(key, value, f"environment {key.environment}")
        else:
            settings[name] = Setting(key, key.default, "default")
    return settings
