"""The package index: what pip, uv and opam ask of the running site.

The tree is `mirage.index`'s, rendered into the site's own store. A static service answers for its files, as for all
others; what a request says beyond a path is answered here: which form of a page a client wants (PEP 691), and the file
that has a digest, which is what opam asks for.

Invariant: the table of digests is read when the first request needs it, and not before.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from dataclasses import replace
from functools import partial
from urllib.parse import quote

from mirage.cohttp.message import Headers, Request, Response, Service
from mirage.opium import HttpError, Router, accepted, after, redirect, root
from mirage.types import KeyValueRO

__all__ = ["repository", "retyped"]

_HTML, _V1_JSON, _V1_HTML = "text/html", "application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.v1+html"
# PEP 691: what is asked for as "latest" is told the version that it gets. HTML goes first, for whoever takes anything.
_FORMS = {
    _HTML: ("index.html", f"{_HTML}; charset=utf-8"),
    _V1_JSON: ("index.json", _V1_JSON),
    _V1_HTML: ("index.html", f"{_V1_HTML}; charset=utf-8"),
    "application/vnd.pypi.simple.latest+json": ("index.json", _V1_JSON),
    "application/vnd.pypi.simple.latest+html": ("index.html", f"{_V1_HTML}; charset=utf-8"),
}
_VARY = (b"vary", b"accept, accept-encoding")
_BESIDE = {".metadata": "text/plain; charset=utf-8", ".provenance": "application/vnd.pypi.integrity.v1+json"}
"""What lies beside a distribution file (PEP 658, PEP 740); no suffix that others know tells its type."""


def repository(app: Router, files: KeyValueRO, pages: Service) -> None:
    """Give an application the index's addresses; `pages` serves the store `files`."""
    app.mount(root / "simple", partial(_simple, pages))
    app.mount(root / "files", after(_below("/files", pages), _typed))
    app.mount(root / "opam" / "cache" / "sha256", _Cache(files, pages))


def _simple(pages: Service, request: Request) -> Response | Awaitable[Response]:
    """A page of the simple repository API in the form that the client likes best; 406 where it likes none."""
    path = request.path
    if not path.endswith("/"):
        return _below("/simple", pages)(request)
    canonical = re.sub(r"(?<=[^/])[-_.]+", "-", path).lower()  # PEP 503
    if path != canonical:
        return redirect(f"/simple{canonical}", 301)
    form = accepted(request, _FORMS)
    if form is None:
        raise HttpError(406, f"There is {', '.join(_FORMS)}.", [("vary", "accept")])
    file, kind = _FORMS[form]

    def as_asked(_: Request, response: Response) -> Response:
        """The answer under the type that was asked for; caches are told that another client gets another."""
        response = retyped(response, kind)
        fields = [field for field in response.headers.raw if field[0] != b"vary"]
        return Response(response.status, Headers.from_raw([*fields, _VARY]), response.body)

    return after(pages, as_asked)(replace(request, target=f"/simple{path}{file}"))


class _Cache:
    """Files by their digest, where opam looks for them: /AB/DIGEST, AB the digest's first two digits."""

    def __init__(self, files: KeyValueRO, pages: Service) -> None:
        self._files = files
        self._pages = pages
        self._paths: dict[str, str] | None = None

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        if self._paths is None:
            lines = self._files.get("SHA256SUMS").decode().splitlines()
            found = (line.partition("  ") for line in lines)
            self._paths = {
                f"/{digest[:2]}/{digest}": f"/{path}" for digest, _, path in found if path.startswith("files/")
            }
        path = self._paths.get(request.path)
        if path is None:
            raise HttpError(404, "No file of the index has this digest.")
        return self._pages(replace(request, target=quote(path)))


def _below(prefix: str, service: Service) -> Service:
    """A service for what is mounted below a prefix, which sees the whole target again."""
    return lambda request: service(replace(request, target=prefix + request.target))


def _typed(request: Request, response: Response) -> Response:
    """What lies beside a distribution file, under its own media type."""
    kind = next((kind for suffix, kind in _BESIDE.items() if request.path.endswith(suffix)), None)
    return response if kind is None else retyped(response, kind)


def retyped(response: Response, kind: str) -> Response:
    """A whole value, or one range of it, under another media type."""
    if response.status not in {200, 206} or (response.headers.get("content-type") or "").startswith("multipart/"):
        return response
    fields = [(name, kind.encode() if name == b"content-type" else value) for name, value in response.headers.raw]
    return Response(response.status, Headers.from_raw(fields), response.body)
