"""Routes: typed descriptions of URL paths, read in both directions.

A route is built from `root` with `/`: a text is a literal segment, a `Param` takes one segment and adds its type to
the route's, `REST` takes all that remains and ends the route::

    person = root / "person" / STR / INT      # OpenRoute[str, int]
    person.url("Ann", 42)                     # "/person/Ann/42"
    person.match("/person/Ann/42")            # ("Ann", 42)

Invariants: ``route.match(route.url(*values)) == values`` for every value that `url` accepts; `match` decodes each
segment on its own, so that an encoded slash never makes a segment; no segment is ever "." or "..", which clients
remove before they send (RFC 3986 section 5.2.4). ``route / ""`` is the route with a slash at its end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, TypeVarTuple, cast, overload
from urllib.parse import quote, unquote

from mirage.re import Re

from .errors import HttpError, InvalidRoute, RouteValueError

__all__ = ["INT", "REST", "STR", "OpenRoute", "Param", "Params", "Rest", "Route", "matching", "pattern", "root"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_DOTS = frozenset({".", ".."})
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True, eq=False)
class Param(Generic[T]):
    """One segment of a path that carries a value.

    `parse` takes the decoded, non-empty segment and raises ValueError where it is none of its kind; `show` is its
    inverse, and raises ValueError for a value that has no such text. Two params of equal `kind` accept the same.
    """

    name: str
    parse: Callable[[str], T]
    show: Callable[[T], str]
    kind: Hashable

    def named(self, name: str) -> Param[T]:
        """The same under a name of its own, for lists of routes."""
        return replace(self, name=name)


@dataclass(frozen=True, slots=True, eq=False)
class Rest:
    """All the remaining segments as one text with its slashes, possibly empty; it ends a route."""

    name: str = "rest"

    def named(self, name: str) -> Rest:
        """The same under a name of its own, for lists of routes."""
        return Rest(name)


def _int(segment: str) -> int:
    # One text for each number, so that no page has two addresses; bounded, since parsing is quadratic in the digits.
    if _NUMBER.fullmatch(segment) is None:
        raise ValueError("not a decimal number")
    return int(segment)


def _show_int(value: int) -> str:
    if abs(value) >= 10**18:
        raise ValueError("more than 18 digits")
    return format(value, "d")


STR: Param[str] = Param("str", str, str, "str")
"""Any segment that is not empty, as text."""
INT: Param[int] = Param("int", _int, _show_int, "int")
"""A decimal number of up to 18 digits, without leading zeros or plus sign."""
REST = Rest()
"""All that remains."""


def matching(expression: Re, name: str = "text") -> Param[str]:
    """A param for texts that match the whole of an expression."""
    compiled = expression.compile()

    def parse(segment: str) -> str:
        if compiled.fullmatch(segment) is None:
            raise ValueError(f"does not match {compiled.pattern}")
        return segment

    return Param(name, parse, parse, ("matching", compiled.pattern))


Part = str | Param[object] | Rest


class Route(Generic[*Ts]):
    """A path whose params have the types `Ts`. Complete: nothing can follow it."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self.parts = parts

    def url(self, *values: *Ts) -> str:
        """The path for these values, percent-encoded. Raises `RouteValueError` for a value without a place in it."""
        return "/" + "/".join(self.quoted(values))

    def quoted(self, given: Iterable[object]) -> Iterator[str]:
        """The segments of the path, encoded, for the values of the params in order. Raises `RouteValueError`."""
        values = iter(given)
        for part in self.parts or ("",):
            if isinstance(part, str):
                yield quote(part, safe="")
            elif isinstance(part, Rest):
                for segment in str(next(values)).split("/"):
                    yield self._quote(part.name, segment)
            else:
                value = next(values)
                try:
                    segment = part.show(value)
                except ValueError as error:
                    raise RouteValueError(f"{value!r} is no {part.name} of {self}: {error}") from None
                if not segment:
                    raise RouteValueError(f"an empty {part.name} has no place in {self}: no segment would carry it")
                yield self._quote(part.name, segment)

    def _quote(self, name: str, segment: str) -> str:
        if segment in _DOTS:
            raise RouteValueError(f"{segment!r} has no place in {self} as {name}: clients resolve such segments away")
        try:
            return quote(segment, safe="")
        except UnicodeEncodeError:
            raise RouteValueError(f"{segment!r} has no place in {self} as {name}: not encodable as UTF-8") from None

    def match(self, path: str) -> tuple[*Ts] | None:
        """The values in a path as sent, or None where it is another's. Raises `HttpError` 400 for broken encoding."""
        values = self._match(split_path(path))
        return None if values is None else cast("tuple[*Ts]", self.arguments(values))

    def _match(self, segments: list[str]) -> tuple[object, ...] | None:
        values: list[object] = []
        for index, part in enumerate(self.parts or ("",)):
            if index >= len(segments):
                return None
            if isinstance(part, Rest):
                remaining = join_rest(segments, index)
                return None if remaining is None else (*values, remaining)
            segment = segments[index]
            if isinstance(part, str):
                if part != segment:
                    return None
                continue
            try:
                values.append(part.parse(segment) if segment else _nothing())
            except ValueError:
                return None
        return tuple(values) if len(segments) == len(self.parts or ("",)) else None

    def arguments(self, values: tuple[object, ...]) -> tuple[object, ...]:
        """What a handler gets after the request, from the values of the params in order."""
        return values

    def __str__(self) -> str:
        shown = (
            p if isinstance(p, str) else f"**{p.name}" if isinstance(p, Rest) else f":{p.name}" for p in self.parts
        )
        return "/" + "/".join(shown)

    def __repr__(self) -> str:
        return f"<Route {self}>"


class OpenRoute(Route[*Ts]):
    """A route that can go on."""

    __slots__ = ()

    @overload
    def __truediv__(self, part: str) -> OpenRoute[*Ts]: ...
    @overload
    def __truediv__(self, part: Param[T]) -> OpenRoute[*Ts, T]: ...
    @overload
    def __truediv__(self, part: Rest) -> Route[*Ts, str]: ...
    def __truediv__(self, part: str | Param[T] | Rest) -> Route[*tuple[Any, ...]]:
        parts = _extended(self.parts, part)
        return Route(parts) if isinstance(part, Rest) else OpenRoute(parts)


def _extended(parts: tuple[Part, ...], part: str | Param[T] | Rest) -> tuple[Part, ...]:
    shown = Route[*tuple[Any, ...]](parts)
    if parts[-1:] == ("",):
        raise InvalidRoute(f"nothing can follow the slash at the end of {shown}; add the slash last")
    if parts and isinstance(parts[-1], Rest):
        raise InvalidRoute(f"nothing can follow {shown}: its last part takes all that remains")
    if isinstance(part, str):
        return (*parts, *_literals(part))
    return (*parts, part if isinstance(part, Rest) else cast("Param[object]", part))


def _literals(literal: str) -> list[str]:
    """The segments of ``"a/b"``; an empty one is allowed at the end only, where it stands for the slash."""
    segments = literal.split("/")
    if "" in segments[:-1]:
        raise InvalidRoute(f"{literal!r} has an empty segment: write no slash at its start and no two in a row")
    for segment in segments:
        if segment in _DOTS:
            raise InvalidRoute(f"{literal!r} holds {segment!r}, which clients resolve away before they send")
        try:
            segment.encode()
        except UnicodeEncodeError:
            raise InvalidRoute(f"{literal!r} cannot be encoded as UTF-8") from None
    return segments


root: OpenRoute[()] = OpenRoute(())
"""The path "/", where every route begins."""


def _nothing() -> object:
    raise ValueError("no param is empty")


def split_path(path: str) -> list[str]:
    """The decoded segments of a path as sent. Raises `HttpError` 400 for what no client means.

    RFC 3986 section 2.4: percent-decoding comes after the path was split at its slashes, and happens once.
    """
    if path[:1] != "/":
        raise HttpError(400, "The path does not begin with a slash.")
    segments = path[1:].split("/")
    if "%" in path:
        if _BAD_ESCAPE.search(path):
            raise HttpError(400, 'The path holds a "%" without two hexadecimal digits after it.')
        try:
            segments = [unquote(segment, errors="strict") if "%" in segment else segment for segment in segments]
        except UnicodeDecodeError:
            raise HttpError(400, "The path is not UTF-8 once it is decoded.") from None
    if not _DOTS.isdisjoint(segments):
        raise HttpError(400, 'The path holds "." or ".." as a segment.')
    return segments


def join_rest(segments: list[str], start: int) -> str | None:
    """What `REST` takes; None where a segment holds an encoded slash, which joining would turn into a real one."""
    remaining = segments[start:]
    return None if any("/" in segment for segment in remaining) else "/".join(remaining)


class Params(Mapping[str, str]):
    """The texts that a `pattern` took from a path: by name, and in `splat` what its `*` and `**` took, in order."""

    __slots__ = ("_named", "splat")

    def __init__(self, named: Mapping[str, str] | None = None, splat: tuple[str, ...] = ()) -> None:
        self._named = dict(named or {})
        self.splat = splat

    def __getitem__(self, name: str) -> str:
        return self._named[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Params):
            return NotImplemented
        return self._named == other._named and self.splat == other.splat

    def __hash__(self) -> int:
        return hash((frozenset(self._named.items()), self.splat))

    def __repr__(self) -> str:
        return f"Params({self._named!r}, {self.splat!r})"


class _Pattern(Route[Params]):
    """A route written as text; its one argument is the `Params`."""

    __slots__ = ("names", "source")

    def __init__(self, parts: tuple[Part, ...], names: tuple[str | None, ...], source: str) -> None:
        super().__init__(parts)
        self.names = names
        """For each param its name, None for a splat."""
        self.source = source

    def arguments(self, values: tuple[object, ...]) -> tuple[object, ...]:
        pairs = list(zip(self.names, map(str, values), strict=True))
        named = {name: value for name, value in pairs if name is not None}
        return (Params(named, tuple(value for name, value in pairs if name is None)),)

    def url(self, params: Params) -> str:
        splats = self.names.count(None)
        if {name for name in self.names if name is not None} != set(params) or len(params.splat) != splats:
            raise RouteValueError(f"{params} does not fit {self}: it needs each of its names and {splats} in splat")
        splat = iter(params.splat)
        return "/" + "/".join(self.quoted(next(splat) if name is None else params[name] for name in self.names))

    def __str__(self) -> str:
        return self.source


def pattern(path: str) -> Route[Params]:
    """A route written as text, for quick use: ``/person/:name``, ``/any/*/segment``, ``/files/**``.

    ``:name`` and ``*`` take one segment, ``**`` all that remains. The handler gets one `Params` after the request,
    all of it text: the checker knows no more of it than that. Raises `InvalidRoute`.
    """
    if path[:1] != "/":
        raise InvalidRoute(f"{path!r} must begin with a slash")
    parts: tuple[Part, ...] = ()
    names: list[str | None] = []
    for segment in path[1:].split("/") if path != "/" else ():
        if segment in {"*", "**"}:
            parts = _extended(parts, REST if segment == "**" else STR.named("*"))
            names.append(None)
        elif segment.startswith(":"):
            name = segment[1:]
            if not name.isidentifier() or name in names:
                raise InvalidRoute(f"{path!r}: {segment!r} needs a name of its own, as in ':name'")
            parts = _extended(parts, STR.named(name))
            names.append(name)
        elif "*" in segment:
            raise InvalidRoute(f"{path!r}: '*' stands for a whole segment, not for a part of {segment!r}")
        else:
            parts = _extended(parts, segment)
    return _Pattern(parts, tuple(names), path)
