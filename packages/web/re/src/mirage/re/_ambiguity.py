"""Whether an expression can match one text in exponentially many ways, which makes a backtracking matcher hang.

Method: the position automaton of Glushkov. Every character of the expression is a position; `first`, `last` and
`follow` say which positions begin it, end it and come after one another, *with how many ways each step has*. An
expression is exponentially ambiguous when, starting at some position, two different paths that read the same text
both lead back to it (Weber and Seidl, 1991). Two parallel steps inside a loop are the simplest case, as in
``(a*)*``; the general case is found in the product of the automaton with itself.

Limits, all on the side of letting an expression pass: counted repetitions stand for a few copies of their part,
pieces in `re` syntax and back references match nothing, case is not folded, an automaton of more than `_TOO_LARGE`
positions in one loop is not looked at, and polynomial ambiguity (``a*a*b``) is not reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

__all__ = ["ANYTHING", "Charset", "Shape", "find_ambiguity"]

Charset = tuple[tuple[int, int], ...]
"""Ranges of code points, both ends included."""

ANYTHING: Charset = ((0, 0x10FFFF),)
_TOO_LARGE = 100

Node = TypeVar("Node")


@dataclass(frozen=True, eq=False)
class Position:
    """One place of the expression that consumes a character."""

    chars: Charset
    label: str


Steps = Counter[tuple[Position, Position]]


@dataclass(frozen=True, eq=False)
class Shape:
    """The position automaton of an expression.

    `nullable` counts in how many ways it matches the empty text, `first` and `last` in how many ways a position begins
    and ends it; counts end at 2, which stands for several.
    """

    nullable: int = 0
    first: Counter[Position] = field(default_factory=Counter)
    last: Counter[Position] = field(default_factory=Counter)
    follow: Steps = field(default_factory=Counter)
    asides: tuple[Shape, ...] = ()
    """What is matched on its own: look-around and atomic parts."""

    @classmethod
    def empty(cls) -> Shape:
        """Matches the empty text only."""
        return cls(nullable=1)

    @classmethod
    def one(cls, chars: Charset, label: str) -> Shape:
        """Matches one character."""
        position = Position(chars, label)
        return cls(0, Counter([position]), Counter([position]))

    @classmethod
    def sequence(cls, parts: Iterable[Shape]) -> Shape:
        """One after another."""
        whole = cls.empty()
        for part in parts:
            whole = whole._then(part)
        return whole

    def _then(self, other: Shape) -> Shape:
        follow = self.follow + other.follow
        _link(follow, self.last, other.first)
        first = self.first + _times(other.first, self.nullable)
        last = _times(self.last, other.nullable) + other.last
        return Shape(_few(self.nullable * other.nullable), first, last, follow, self.asides + other.asides)

    def either(self, other: Shape) -> Shape:
        """One or the other."""
        return Shape(
            _few(self.nullable + other.nullable),
            self.first + other.first,
            self.last + other.last,
            self.follow + other.follow,
            self.asides + other.asides,
        )

    def _loop(self) -> Shape:
        follow = self.follow.copy()
        _link(follow, self.last, self.first)
        return Shape(self.nullable, self.first, self.last, follow, self.asides)

    def _or_nothing(self) -> Shape:
        # Nothing by leaving the part out, and nothing by matching nothing with it: the matcher tries both.
        return Shape(_few(1 + self.nullable), self.first, self.last, self.follow, self.asides)

    def _copy(self) -> Shape:
        twin: dict[Position, Position] = {}

        def of(position: Position) -> Position:
            return twin.setdefault(position, Position(position.chars, position.label))

        return Shape(
            self.nullable,
            Counter({of(p): n for p, n in self.first.items()}),
            Counter({of(p): n for p, n in self.last.items()}),
            Counter({(of(p), of(q)): n for (p, q), n in self.follow.items()}),
        )

    def repeated(self, at_least: int, at_most: int | None) -> Shape:
        """From `at_least` to `at_most` times; many times over stand for at most two required and two optional."""
        if at_most == 0:
            return Shape(1, asides=self.asides)
        if at_most is None or at_most - at_least > 16:
            looped = self._loop()
            return looped._or_nothing() if at_least == 0 or self.nullable else looped
        if len(self.first) + len(self.follow) > _TOO_LARGE:
            return self
        required = [self._copy() for _ in range(min(at_least, 2))]
        tail = Shape.empty()
        for _ in range(min(at_most - at_least, 2)):
            tail = self._copy()._then(tail)._or_nothing()
        whole = Shape.sequence([*required, tail])
        return Shape(whole.nullable, whole.first, whole.last, whole.follow, self.asides)

    def atomic(self, label: str) -> Shape:
        """Matched in one way only: seen from outside it is one character long and begins as the part does."""
        chars = tuple(sorted({span for position in self.first for span in position.chars}))
        outside = Shape.one(chars, label) if chars else Shape.empty()
        return Shape(self.nullable, outside.first, outside.last, outside.follow, (self,))

    def aside(self) -> Shape:
        """Matched on its own; consumes nothing."""
        return Shape(1, asides=(self,))


def _few(count: int) -> int:
    return min(count, 2)


def _times(positions: Counter[Position], factor: int) -> Counter[Position]:
    return Counter({position: _few(ways * factor) for position, ways in positions.items()}) if factor else Counter()


def _link(follow: Steps, before: Counter[Position], after: Counter[Position]) -> None:
    for p, ways_before in before.items():
        for q, ways_after in after.items():
            follow[p, q] = _few(follow[p, q] + ways_before * ways_after)


def find_ambiguity(shape: Shape) -> str | None:
    """What can be matched in exponentially many ways, as text for a message; None where nothing was found."""
    for aside in shape.asides:
        if (culprit := find_ambiguity(aside)) is not None:
            return culprit
    steps: dict[Position, dict[Position, int]] = {}
    for (p, q), ways in shape.follow.items():
        steps.setdefault(p, {})[q] = ways
    for component in _components(steps):
        if len(component) <= _TOO_LARGE and (culprit := _in_component(component, steps)) is not None:
            return culprit
    return None


def _in_component(component: set[Position], steps: dict[Position, dict[Position, int]]) -> str | None:
    inside = {p: {q: ways for q, ways in steps.get(p, {}).items() if q in component} for p in component}
    for successors in inside.values():
        for q, ways in successors.items():
            if ways > 1:
                return f"repetitions of {q.label!r}"
    product = {
        (p, r): {(q, s): 1 for q in inside[p] for s in inside[r] if _overlap(q.chars, s.chars)}
        for p in component
        for r in component
    }
    for pairs in _components(product):
        if any(p is r for p, r in pairs):
            for p, r in pairs:
                if p is not r:
                    return f"repetitions of {p.label!r} and {r.label!r}"
    return None


def _overlap(one: Charset, other: Charset) -> bool:
    return any(low <= high2 and low2 <= high for low, high in one for low2, high2 in other)


def _components(steps: dict[Node, dict[Node, int]]) -> Iterator[set[Node]]:
    """The strongly connected components that hold a cycle (Tarjan, 1972, without recursion)."""
    order: dict[Node, int] = {}
    low: dict[Node, int] = {}
    path: list[Node] = []
    on_path: set[Node] = set()
    for start in steps:
        if start in order:
            continue
        order[start] = low[start] = len(order)
        path.append(start)
        on_path.add(start)
        work = [(start, iter(steps[start]))]
        while work:
            node, successors = work[-1]
            for successor in successors:
                if successor not in order:
                    order[successor] = low[successor] = len(order)
                    path.append(successor)
                    on_path.add(successor)
                    work.append((successor, iter(steps.get(successor, ()))))
                    break
                if successor in on_path:
                    low[node] = min(low[node], order[successor])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[node])
                if low[node] == order[node]:
                    component = _tail(path, node)
                    del path[len(path) - len(component) :]
                    on_path -= component
                    if len(component) > 1 or node in steps.get(node, ()):
                        yield component


def _tail(path: list[Node], node: Node) -> set[Node]:
    tail = set()
    for entry in reversed(path):
        tail.add(entry)
        if entry == node:
            break
    return tail
