"""What a server answers for an index (PEP 691's choice between HTML and JSON), and a small one for one's own machine.

The website serves the same tree; `answer` is the whole rule, for any server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from ._opam import cached
from ._tree import SUMS, read_sums

__all__ = ["Answer", "answer", "server"]

HTML = "application/vnd.pypi.simple.v1+html"
JSON = "application/vnd.pypi.simple.v1+json"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".gz": "application/gzip",
    ".provenance": "application/vnd.pypi.integrity.v1+json",
    ".whl": "application/zip",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: status, fields, body."""

    status: int
    fields: Mapping[str, str]
    body: bytes


def answer(tree: Mapping[str, bytes], target: str, accept: str = "*/*", if_none_match: str = "") -> Answer:
    """The response to GET of a target such as ``/simple/mirage-tcpip/``."""
    path = unquote(urlsplit(target).path).lstrip("/")
    if path.startswith("simple") and not path.endswith((".html", ".json")):
        if not path.endswith("/"):
            return Answer(301, {"Location": f"/{path}/"}, b"")
        kind = _preferred(accept)
        if kind is None:
            return Answer(406, {"Content-Type": "text/plain"}, f"there is {HTML}, {JSON} and text/html\n".encode())
        path += "index.json" if kind == JSON else "index.html"
    else:
        if digest := cached(path):
            path = _file_of(tree, digest)
        kind = next((t for suffix, t in _TYPES.items() if path.endswith(suffix)), "application/octet-stream")
    try:
        body = tree[path]
    except KeyError:
        return Answer(404, {"Content-Type": "text/plain"}, b"there is nothing here\n")
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    cache = "max-age=31536000, immutable" if path.startswith("files/") else "max-age=0, must-revalidate"
    fields = {"Content-Type": kind, "ETag": etag, "Vary": "Accept", "Cache-Control": cache}
    return Answer(304, fields, b"") if etag in if_none_match else Answer(200, fields, body)


def _file_of(tree: Mapping[str, bytes], digest: str) -> str:
    """The path of the file with a digest; of nothing where there is none."""
    sums = read_sums(tree.get(SUMS, b""))
    return next((path for path, said in sums.items() if said == digest and path.startswith("files/")), "")


def _preferred(accept: str) -> str | None:
    """The media type that the client likes best (RFC 9110 section 12.5.1); None where it takes none of ours."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (word.strip() for word in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            weights[name.lower()] = float(quality)
        except ValueError:
            weights[name.lower()] = 0
    offers = {JSON: (JSON, "application/vnd.pypi.simple.latest+json"), HTML: (HTML,), "text/html": ("text/html",)}
    anything = weights.get("*/*", 0)
    found = {kind: max(weights.get(n, 0) for n in names) for kind, names in offers.items()}
    best = max(found, key=lambda kind: found[kind])
    if found[best] > anything or (found[best] and not anything):
        return best
    return "text/html" if anything else None


def server(tree: Mapping[str, bytes], host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """A server for the tree, not yet started; ``server_address`` says its port. For one's own machine and for tests."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            wanted = self.headers.get("Accept", "*/*")
            found = answer(tree, self.path, wanted, self.headers.get("If-None-Match", ""))
            self.send_response(found.status)
            for name, value in {**found.fields, "Content-Length": str(len(found.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET" and found.status != 304:
                self.wfile.write(found.body)

        do_HEAD = do_GET  # noqa: N815  the name that http.server calls

        def log_message(self, *words: object) -> None:
            """Say nothing: whoever started the server sees its clients."""

    Handler.wbufsize = 1 << 16  # the fields and the body leave together
    return ThreadingHTTPServer((host, port), Handler)
