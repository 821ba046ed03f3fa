"""Dispatch: from a request to the handler of its route. A `Router` is a service.

Rules:

* A path without params is found with one dictionary look-up on the text as sent; every other by a walk down a tree
  with one level for each segment. At each level a literal goes before a narrow param, that before `STR`, and that
  before `REST`, so the answer never depends on the order of registration. The walk visits each node at most once.
* Two routes that could be meant by one request are refused when they are registered (`RouteConflict`): the same
  method on the same shape, or two different narrow params in the same place.
* HEAD is served by the GET handler unless it has its own; the transport leaves the content out. OPTIONS is answered
  with `Allow`, a wrong method with 405 and `Allow`, an unknown path with 404, a path that cannot be decoded with 400.
* A path that fits once a slash is added to or taken from its end is redirected there (308), its query kept.
* A mounted service gets what no route takes below its prefix, the longest prefix first.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVarTuple, overload

from mirage.cohttp.message import Headers, Request, Response, Service

from .errors import HttpError, InvalidRoute, RouteConflict
from .route import STR, OpenRoute, Param, Rest, Route, join_rest, split_path

__all__ = ["Handler", "Router", "Verb"]

Ts = TypeVarTuple("Ts")

_METHOD = re.compile(r"[A-Z]+(?:-[A-Z]+)*")  # the form of every registered method (RFC 9110 section 18.2)

Handler = Callable[[Request, *Ts], Response | Awaitable[Response]]
"""What a route leads to: the request and the route's values in, a response out, direct or awaited."""

_AnyHandler = Callable[..., Response | Awaitable[Response]]


class _Endpoint(NamedTuple):
    handler: _AnyHandler
    route: Route[*tuple[Any, ...]]


@dataclass(slots=True, eq=False)
class _Node:
    """What may follow one beginning of paths."""

    literals: dict[str, _Node] = field(default_factory=dict)
    narrow: tuple[Param[object], _Node] | None = None
    wide: _Node | None = None
    here: dict[str, _Endpoint] = field(default_factory=dict)
    """Endpoints of paths that end here, by method."""
    rest: dict[str, _Endpoint] = field(default_factory=dict)
    """Endpoints that take all that remains, by method."""
    mounted: Service | None = None


_Found = tuple[_Endpoint, tuple[object, ...]]


class Verb:
    """Registers handlers for one method: ``get(route, handler)``, or ``@get(route)`` above the handler."""

    def __init__(self, method: str, add: Callable[[str, Route[*tuple[Any, ...]], _AnyHandler], None]) -> None:
        self._method = method
        self._add = add

    @overload
    def __call__(self, route: Route[*Ts], handler: Handler[*Ts], /) -> None: ...
    @overload
    def __call__(self, route: Route[*Ts], /) -> _Decorator[*Ts]: ...
    def __call__(self, route: Route[*Ts], handler: Handler[*Ts] | None = None, /) -> _Decorator[*Ts] | None:
        """Register, or give the decorator that does."""
        if handler is None:
            return _Decorator(self._method, self._add, route)
        self._add(self._method, route, handler)
        return None


class _Decorator(Generic[*Ts]):
    def __init__(
        self, method: str, add: Callable[[str, Route[*tuple[Any, ...]], _AnyHandler], None], route: Route[*Ts]
    ) -> None:
        self._method = method
        self._add = add
        self._route = route

    def __call__(self, handler: Handler[*Ts]) -> Handler[*Ts]:
        self._add(self._method, self._route, handler)
        return handler


class Router:
    """A set of routes with their handlers; see the module's text for the rules."""

    def __init__(self) -> None:
        self._tree = _Node()
        self._static: dict[str, dict[str, _Endpoint]] = {}
        self._listed: list[tuple[str, str, str]] = []
        self.get = Verb("GET", self._add)
        self.post = Verb("POST", self._add)
        self.put = Verb("PUT", self._add)
        self.patch = Verb("PATCH", self._add)
        self.delete = Verb("DELETE", self._add)

    def on(self, method: str, route: Route[*Ts], handler: Handler[*Ts]) -> None:
        """Register a handler for any method, given in upper case."""
        self._add(method, route, handler)

    def mount(self, prefix: OpenRoute[()], service: Service) -> None:
        """Give a service everything below a prefix that no route takes; it sees the target without the prefix."""
        node = self._tree
        for part in prefix.parts:
            if not isinstance(part, str) or not part:
                raise InvalidRoute(f"{prefix} cannot be a prefix: it needs literal segments and no slash at its end")
            node = node.literals.setdefault(part, _Node())
        if node.mounted is not None:
            raise RouteConflict(f"two services are mounted at {prefix}: {_name(node.mounted)} and {_name(service)}")
        node.mounted = service
        self._listed.append(("*", f"{str(prefix).rstrip('/')}/**", _name(service)))

    @property
    def routes(self) -> list[tuple[str, str, str]]:
        """Method, route and handler of everything registered, in the order of registration."""
        return list(self._listed)

    def _add(self, method: str, route: Route[*tuple[Any, ...]], handler: _AnyHandler) -> None:
        if not _METHOD.fullmatch(method):
            raise InvalidRoute(f"{method!r} is not a method: they are words in upper case, such as 'GET'")
        node, endpoints = self._tree, None
        for part in route.parts or ("",):
            if isinstance(part, Rest):
                endpoints = node.rest
            elif isinstance(part, str):
                node = node.literals.setdefault(part, _Node())
            else:
                node = _param_child(node, part, route)
        if endpoints is None:
            endpoints = node.here
        present = endpoints.get(method)
        if present is not None and not (method == "HEAD" and present is endpoints.get("GET")):
            raise RouteConflict(
                f"{method} {route} ({_name(handler)}) and {method} {present.route} ({_name(present.handler)}) "
                "are one and the same path: remove one, or give it a segment of its own"
            )
        endpoint = _Endpoint(handler, route)
        endpoints[method] = endpoint
        if method == "GET":
            endpoints.setdefault("HEAD", endpoint)  # RFC 9110 section 9.3.2: HEAD is GET without the content
        if all(isinstance(part, str) for part in route.parts):
            self._static["/" + "/".join(route.quoted(()))] = endpoints
        self._listed.append((method, str(route), _name(handler)))

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        """The answer to a request."""
        path, query_mark, query = request.target.partition("?")
        endpoints = self._static.get(path)
        if endpoints is not None:
            endpoint = endpoints.get(request.method)
            if endpoint is not None:
                return endpoint.handler(request, *endpoint.route.arguments(()))
        tree = self._tree
        if tree.mounted is not None and not (tree.narrow or tree.wide or tree.rest):
            # Most requests of a site go to the service at its root: those whose first segment begins no route.
            first = path[1:].partition("/")[0]
            if first not in tree.literals and path[:1] == "/" and "%" not in path and "/." not in path:
                return tree.mounted(request)
        if path[:1] != "/":
            # RFC 9112 section 3.2: absolute-form and "*" are the other targets that reach an origin server.
            if path == "*" and request.method == "OPTIONS":
                return Response(204, Headers([("allow", "GET, HEAD, OPTIONS")]))
            scheme, mark, after = path.partition("://")
            if not mark or scheme.lower() not in {"http", "https"}:
                return HttpError(400, "The target is neither a path nor an http URL.").response()
            return self(_retargeted(request, f"/{after.partition('/')[2]}{query_mark}{query}"))
        try:
            resolved = self._resolve(request, path, query_mark + query)
        except HttpError as error:
            return error.response()
        if isinstance(resolved, Response):
            return resolved
        handler, request, values = resolved
        return handler(request, *values)

    def _resolve(
        self, request: Request, path: str, query: str
    ) -> Response | tuple[_AnyHandler, Request, tuple[object, ...]]:
        """Who answers, and with what arguments; or the answer itself where nobody does. Raises `HttpError`."""
        segments = split_path(path)
        allow: set[str] = set()
        found = _walk(self._tree, segments, 0, (), request.method, allow)
        if found is not None:
            endpoint, values = found
            return endpoint.handler, request, endpoint.route.arguments(values)
        if allow:
            # RFC 9110 sections 9.3.7 and 15.5.6: both answers list what the target supports.
            field = ("allow", ", ".join(sorted(allow | {"OPTIONS"})))
            if request.method == "OPTIONS":
                return Response(204, Headers([field]))
            raise HttpError(405, f"This address answers to {field[1]}, not to {request.method}.", [field])
        if self._fits_with_other_slash(path, segments, request.method):
            return _redirect(path, query)
        mounted = self._mounted_above(segments)
        if mounted is None:
            raise HttpError(404, "There is nothing at this address.")
        service, depth = mounted
        if depth == len(segments):
            return _redirect(path, query)
        if depth == 0:
            return service, request, ()
        below = "/" + "/".join(path[1:].split("/")[depth:])
        return service, _retargeted(request, below + query), ()

    def _fits_with_other_slash(self, path: str, segments: list[str], method: str) -> bool:
        if path == "/" or path[1:2] in {"/", "\\"}:  # "//host" in Location would lead to another site
            return False
        other = segments[:-1] if segments[-1] == "" else [*segments, ""]
        allow: set[str] = set()
        return _walk(self._tree, other, 0, (), method, allow) is not None or bool(allow)

    def _mounted_above(self, segments: list[str]) -> tuple[Service, int] | None:
        """The service with the longest prefix, and how many segments that has."""
        node: _Node | None = self._tree
        best = None
        for depth in range(len(segments) + 1):
            if node is None:
                break
            if node.mounted is not None:
                best = node.mounted, depth
            node = node.literals.get(segments[depth]) if depth < len(segments) else None
        return best


def _walk(
    node: _Node, segments: list[str], index: int, values: tuple[object, ...], method: str, allow: set[str]
) -> _Found | None:
    """The endpoint below `node` for the segments from `index` on; methods of other endpoints go to `allow`."""
    if index == len(segments):
        endpoint = node.here.get(method)
        if endpoint is not None:
            return endpoint, values
        allow.update(node.here)
        return None
    segment = segments[index]
    child = node.literals.get(segment)
    if child is not None:
        found = _walk(child, segments, index + 1, values, method, allow)
        if found is not None:
            return found
    if segment:
        if node.narrow is not None:
            param, child = node.narrow
            try:
                value = param.parse(segment)
            except ValueError:
                pass
            else:
                found = _walk(child, segments, index + 1, (*values, value), method, allow)
                if found is not None:
                    return found
        if node.wide is not None:
            found = _walk(node.wide, segments, index + 1, (*values, segment), method, allow)
            if found is not None:
                return found
    if node.rest and (remaining := join_rest(segments, index)) is not None:
        endpoint = node.rest.get(method)
        if endpoint is not None:
            return endpoint, (*values, remaining)
        allow.update(node.rest)
    return None


def _retargeted(request: Request, target: str) -> Request:
    return Request(request.method, target, request.headers, request.body, request.version, request.client)


def _redirect(path: str, query: str) -> Response:
    """To the path with the other slash: relative, so that it is right under whatever prefix this router is mounted."""
    last = path.removesuffix("/").rpartition("/")[2]
    location = f"../{last}" if path.endswith("/") else f"./{last}/"
    # RFC 9110 section 15.4.9: 308 keeps the method and the content.
    return Response(308, Headers([("location", location + query)]))


def _name(handler: object) -> str:
    name = getattr(handler, "__qualname__", None)
    return str(name) if name is not None else type(handler).__qualname__


def _param_child(node: _Node, param: Param[object], route: Route[*tuple[Any, ...]]) -> _Node:
    if param.kind == STR.kind:
        node.wide = node.wide or _Node()
        return node.wide
    if node.narrow is None:
        node.narrow = (param, _Node())
    present, child = node.narrow
    if present.kind != param.kind:
        raise RouteConflict(
            f"{route}: another route has {present.name!r} where this one has {param.name!r}, and whether one text fits "
            "both cannot be known: put a literal segment before one of them, or use the same param in both"
        )
    return child
