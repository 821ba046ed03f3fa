"""Content types of file names, and content codings that a client accepts."""

from __future__ import annotations

import functools
import mimetypes
import re
from typing import Final

__all__ = ["accepted_codings", "content_type", "is_compressible"]

# What the web uses, the same with every version of Python; the standard library's table knows the rest.
_TYPES: Final = {
    ".atom": "application/atom+xml",
    ".avif": "image/avif",
    ".css": "text/css",
    ".gz": "application/gzip",
    ".htm": "text/html",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".pyz": "application/zip",
    ".rss": "application/rss+xml",
    ".svg": "image/svg+xml",
    ".toml": "application/toml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".whl": "application/zip",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
    ".zst": "application/zstd",
}
_ARCHIVES: Final = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
_WITH_CHARSET: Final = {"application/atom+xml", "application/rss+xml", "application/xml", "image/svg+xml"}
_COMPRESSIBLE: Final = re.compile(
    r"text/|application/(?:json|wasm|toml|xml|javascript)\b|[^;]*\+(?:xml|json)\b|image/x-icon"
)
_CODING: Final = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:;[ \t]*[qQ]=([01](?:\.[0-9]{0,3})?)[ \t]*)?\Z"
)


@functools.cache
def _stdlib() -> mimetypes.MimeTypes:
    return mimetypes.MimeTypes()  # its own table only: what this machine's files say must not change an answer


@functools.lru_cache(maxsize=1024)
def content_type(name: str, charset: str = "utf-8") -> str:
    """The Content-Type of a file name; text has a charset, what is unknown is application/octet-stream."""
    dot = name.rfind(".", name.rfind("/") + 1)
    kind = _TYPES.get(name[dot:].lower()) if dot >= 0 else None
    if kind is None:
        guess, coding = _stdlib().guess_type("x" + name[dot:].lower() if dot >= 0 else "x")
        kind = _ARCHIVES.get(coding, "application/octet-stream") if coding else guess or "application/octet-stream"
    return f"{kind}; charset={charset}" if kind.startswith("text/") or kind in _WITH_CHARSET else kind


def is_compressible(kind: str) -> bool:
    """Whether gzip makes content of this type much smaller."""
    return _COMPRESSIBLE.match(kind) is not None


@functools.lru_cache(maxsize=256)
def accepted_codings(field: str | None) -> tuple[str, ...]:
    """Of "br" and "gzip", those that an Accept-Encoding field prefers to no coding, best first (RFC 9110 12.5.3).

    A malformed member is passed over. "x-gzip" is gzip (RFC 9110 section 8.4.1.3).
    """
    if not field:
        return ()
    weights: dict[str, float] = {}
    for member in field.split(","):
        match = _CODING.match(member)
        if match:
            weights[match[1].lower()] = float(match[2] or 1)
    rest = weights.get("*", 0.0)
    identity = weights.get("identity", 0.0)
    found = [
        (weights.get("br", rest), "br"),
        (max(weights.get("gzip", rest), weights.get("x-gzip", 0.0)), "gzip"),
    ]
    # At equal weight brotli first, as it is the smaller.
    return tuple(name for weight, name in sorted(found, key=lambda pair: -pair[0]) if weight > 0 and weight >= identity)
