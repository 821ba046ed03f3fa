"""What dispatch costs: `mirage.opium.Router` beside Starlette's router, on the same table of routes.

Both get the same paths. Of ours the handlers are called with their values (they answer with one ready response); of
Starlette's the scope is filled by the same `Route.matches` in the same order as its application does, short of calling
the endpoint, which in ASGI needs an event loop. So the ratio is what a request pays before its handler.

Times are CPU time for one dispatch, the best of several rounds; the two are measured by turns in one run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from mirage.cohttp.message import Headers, Request, Response
from mirage.opium import INT, REST, STR, App, Router, root, security_headers
from mirage.opium.testing import MemoryBody
from starlette.routing import BaseRoute, Match, Mount, Route

SECTIONS = ["blog", "docs", "releases", "talks", "community", "projects", "status", "about", "links", "feeds"]
CASES = {
    "first static": "/blog",
    "last static": "/feeds/archive",
    "one param": "/links/by-id/mirage",
    "two params": "/feeds/2014/welcome",
    "rest": "/files/css/site/main.css",
    "mounted": "/static/css/site/main.css",
    "not found": "/nowhere/at/all",
}


def ours() -> tuple[Router, App]:
    """Fifty routes in ten sections, and the same in an App with a filter."""
    app = App()
    app.use(security_headers())
    response = Response(200, Headers([("content-type", "text/plain")]), b"x")
    for router in (bare := Router(), app):
        for name in SECTIONS:
            router.get(root / name, lambda request: response)
            router.get(root / name / "archive", lambda request: response)
            router.get(root / name / "by-id" / STR, lambda request, key: response)
            router.get(root / name / INT / STR, lambda request, year, slug: response)
            router.post(root / name / INT, lambda request, year: response)
        router.get(root / "files" / REST, lambda request, path: response)
        router.mount(root / "static", lambda request: response)
    return bare, app


def theirs() -> Callable[[MutableMapping[str, Any]], object]:
    """The same table, and the loop over it that Starlette's router has."""

    async def endpoint(request: object) -> None:
        raise AssertionError("dispatch only")

    routes: list[BaseRoute] = []
    for name in SECTIONS:
        routes += [
            Route(f"/{name}", endpoint),
            Route(f"/{name}/archive", endpoint),
            Route(f"/{name}/by-id/{{key}}", endpoint),
            Route(f"/{name}/{{year:int}}/{{slug}}", endpoint),
            Route(f"/{name}/{{year:int}}", endpoint, methods=["POST"]),
        ]
    routes.append(Route("/files/{path:path}", endpoint))
    routes.append(Mount("/static", routes=[Route("/{path:path}", endpoint)]))

    def dispatch(scope: MutableMapping[str, Any]) -> object:
        partial = None
        for route in routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                scope.update(child)
                return route
            if match is Match.PARTIAL and partial is None:
                partial = route
        return partial

    return dispatch


def microseconds(work: Callable[[], object], calls: int) -> float:
    """CPU microseconds of one call."""
    start = time.process_time_ns()
    for _ in range(calls):
        work()
    return (time.process_time_ns() - start) / calls / 1000


def measure(rounds: int, calls: int) -> list[dict[str, str | float]]:
    """A row for each kind of path."""
    router, app = ours()
    dispatch = theirs()
    rows: list[dict[str, str | float]] = []
    for name, path in CASES.items():
        request = Request("GET", path, Headers([("host", "x")]), MemoryBody())

        def scope(path: str = path) -> dict[str, Any]:
            return {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}

        works: dict[str, Callable[[], object]] = {
            "opium": lambda request=request: router(request),  # type: ignore[misc]
            "app": lambda request=request: app(request),  # type: ignore[misc]
            "starlette": lambda scope=scope: dispatch(scope()),  # type: ignore[misc]
        }
        best = dict.fromkeys(works, float("inf"))
        for _ in range(rounds):
            for who, work in works.items():
                best[who] = min(best[who], microseconds(work, calls))
        rows.append({"path": name, **best, "ratio": best["starlette"] / best["opium"]})
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds, of which the best counts (7)")
    parser.add_argument("--calls", type=int, default=2000, help="dispatches in a round (2000)")
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    chosen = parser.parse_args()
    rows = measure(chosen.rounds, chosen.calls)
    print(f"{'CPU microseconds':<18}{'opium router':>14}{'opium App':>12}{'starlette':>12}{'starlette/opium':>18}")
    for row in rows:
        print(
            f"{row['path']:<18}{row['opium']:>14.2f}{row['app']:>12.2f}{row['starlette']:>12.2f}{row['ratio']:>17.1f}x"
        )
    if chosen.json:
        figures = [
            {
                "figure": f"dispatch, {row['path']}, CPU us",
                "ours": row["opium"],
                "peer": "starlette",
                "theirs": row["starlette"],
                "ratio": float(row["opium"]) / float(row["starlette"]),
                "target": "",
            }
            for row in rows
        ]
        chosen.json.write_text(json.dumps({"figures": figures, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
