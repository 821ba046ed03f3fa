"""The website's own code: what runs in the unikernel beside the libraries.

`site` makes the service from three devices: the store that the rendered pages lie in, the console, and a clock. It adds
to static files what they cannot do by themselves: the redirects of the link log, the package index's choice of form, a
page for each error, an address for health checks, how long ago the latest nightly build was, and the headers that a
browser is to obey.

Invariant: nothing is read from the store before a request needs it but the table of links and the error pages, so that
starting costs the same however large the site is.
"""

from __future__ import annotations

import json

from mirage.cohttp.message import Request, Response
from mirage.cohttp.static import static
from mirage.opium import STR, App, HttpError, Renderer, after, plain_page, redirect, root, security_headers, text
from mirage.types import Console, KeyValueRO, WallClock

from .repository import repository, retyped
from .status import aged, badge

__all__ = ["site"]

SECURITY = {
    # Pages need a style sheet and an icon from this host, and nothing else from anywhere.
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "strict-origin-when-cross-origin",
    "x-content-type-options": "nosniff",
}
FEEDS = (root / "atom.xml", root / "blog" / "atom.xml", root / "releases" / "atom.xml", root / "status" / "atom.xml")

STATUS = "status/index.html"


def site(files: KeyValueRO, console: Console, clock: WallClock) -> App:
    """The website's service over the rendered tree; says on the console what it serves."""
    links: dict[str, str] = json.loads(files.get("links.json"))
    app = App(errors=_error_pages(files))
    app.use(security_headers(SECURITY), "security_headers")

    @app.get(root / "links" / STR)
    def link(request: Request, name: str) -> Response:
        """Lead to where an entry of the link log points today."""
        if name not in links:
            raise HttpError(404, f"The link log has no entry {name!r}.")
        return redirect(links[name])

    @app.get(root / "healthz")
    def health(request: Request) -> Response:
        """Say that requests are answered."""
        return text("ok\n")

    pages = static(files, cache_control=_lifetime)
    for feed in FEEDS:
        app.get(feed, after(pages, _as_atom))
    repository(app, files, pages)
    app.get(root / "status" / "", aged(files, STATUS, clock))
    app.get(root / "status" / "badge.svg", badge(files, pages, STATUS, clock))
    app.mount(root, pages)
    console.write(f"website: {len(links)} entries in the link log, pages from a {type(files).__name__}\n".encode())
    return app


def _error_pages(files: KeyValueRO) -> Renderer:
    """The site's own pages for what is not there and for what broke; a plain one for the rest."""
    pages = {404: files.get("404.html"), 500: files.get("500.html")}

    def render(request: Request, error: HttpError) -> str | bytes:
        return pages.get(500 if error.status >= 500 else error.status) or plain_page(request, error)

    return render


def _lifetime(key: str) -> str:
    """How long a cache may keep a file: what is named by its content never changes, nor does what was released."""
    return "public, max-age=31536000, immutable" if key.startswith(("assets/", "files/")) else "no-cache"


def _as_atom(request: Request, response: Response) -> Response:
    """A feed under its own media type, which no suffix of a file tells (RFC 4287 section 7)."""
    return retyped(response, "application/atom+xml; charset=utf-8")
