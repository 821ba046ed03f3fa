"""Static files: a service over any key-value store.

`static(store)` answers GET and HEAD from a `mirage.types.KeyValueRO`: conditional requests (RFC 9110 section 13), byte
ranges (section 14), directory indexes and listings, content types, precompressed siblings and gzip made on the fly. The
store is the only device it uses; paths become keys, and text that is no key is a 404, so a request cannot name anything
outside of the store.

A store that says that its values never change (`store.immutable`) has ready answers kept, and costs little more than a
constant; any other is asked each time.
"""

from __future__ import annotations

import dataclasses
import gzip
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable
from urllib.parse import quote, unquote_to_bytes

from mirage.types import Info, KeyValueError, KeyValueRO, Kind, NotFound, WallClock, check_key, value_digest

from ._conditional import Outcome, evaluate, range_applies
from ._date import SystemClock, http_date
from ._ranges import content_range, part_heads, select_ranges
from ._static_listing import listing_page
from ._static_types import accepted_codings, content_type, is_compressible
from .message import Body, FileBody, Headers, Request, Response, Service

__all__ = ["static"]

_SMALL = 1 << 16
"""Values up to this size are sent as one piece; longer ones in chunks of this size, or by the kernel from a file."""

_TRIES = 5
_GZIP_LEAST = 256
_SUFFIXES = {"br": ".br", "gzip": ".gz"}
_COLD = frozenset((b"range", b"if-match", b"if-unmodified-since"))
_NOT_MODIFIED = frozenset((b"etag", b"last-modified", b"cache-control", b"vary"))
_NOSNIFF = (b"x-content-type-options", b"nosniff")
_Fields: TypeAlias = list[tuple[bytes, bytes]]
V = TypeVar("V")


@runtime_checkable
class _HasFiles(Protocol):
    """A store whose values are files, as `mirage.kv.DirectoryStore`'s are."""

    def open(self, key: str) -> BinaryIO: ...


def static(
    store: KeyValueRO,
    *,
    index: str = "index.html",
    listing: bool = False,
    dotfiles: bool = False,
    cache_control: str | Callable[[str], str | None] | None = None,
    not_found: Service | None = None,
    gzip_limit: int = 1 << 18,
    hash_limit: int = 1 << 22,
    cache_size: int = 1 << 24,
    clock: WallClock | None = None,
) -> Service:
    """A service that answers GET and HEAD with the values of a store.

    `index` is the value that stands for a directory; where there is none, `listing` shows what is in it.
    `dotfiles`: whether names that start with a dot are served (``.well-known`` always is).
    `cache_control`: the field's value, or a function from the key to it.
    `not_found` answers what is not there; by default a short text with status 404.
    `gzip_limit`: the largest text, in octets, that is compressed when it is asked for; 0 for none.
    `hash_limit`: the largest value of a changing store, in octets, that is read for a strong ETag; a larger one has a
    weak ETag of size and time.
    `clock` tells when a Last-Modified would lie in the future; by default the host's.
    `cache_size`: octets that ready answers, and separately compressed texts, may take.

    The service raises `DeviceError` when the store does.
    """
    return _Static(
        _Site(store, index, listing, dotfiles, cache_control, gzip_limit, hash_limit, clock or SystemClock()),
        not_found or _no_such_page,
        cache_size,
    )


def _no_such_page(request: Request) -> Response:
    return _text_response(404, "404 Not Found\nThere is nothing at this address.\n")


def _text_response(status: int, text: str, *fields: tuple[str, str]) -> Response:
    body = text.encode()
    head = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(body))), *fields]
    return Response(status, Headers([*head, ("x-content-type-options", "nosniff")]), body)


@dataclass(slots=True)
class _Site:
    """What is served, and how."""

    store: KeyValueRO
    index: str
    listing: bool
    dotfiles: bool
    cache_control: str | Callable[[str], str | None] | None
    gzip_limit: int
    hash_limit: int
    clock: WallClock

    def __post_init__(self) -> None:
        check_key(self.index)

    def hides(self, name: str) -> bool:
        """Whether a name is not served."""
        return name.startswith(".") and name != ".well-known" and not self.dotfiles

    def cache_field(self, key: str) -> str | None:
        """The Cache-Control of a key."""
        return self.cache_control(key) if callable(self.cache_control) else self.cache_control


class _Bounded(Generic[V]):
    """Values by key, the least recently used forgotten when all together take more than `size`."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._size = size
        self._entries: OrderedDict[Hashable, tuple[int, V]] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        """What was kept, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Keep a value that takes `size` octets, unless it alone is more than a quarter of the room."""
        if size > self._size // 4 or key in self._entries:
            return
        self._entries[key] = (size, value)
        self._left -= size
        while self._left < 0:
            self._left += self._entries.popitem(last=False)[1][0]


@dataclass(slots=True)
class _Ready:
    """A whole answer, and what is left of it for who has it already."""

    fields: _Fields
    body: bytes
    etag: bytes
    not_modified: _Fields


class _ChangedMeanwhileError(Exception):
    """A value was set between the reading of its digest and its opening; the request is answered afresh."""


@dataclass(slots=True)
class _Variant:
    """A representation of a value: as it is, or in a content coding."""

    key: str
    size: int
    etag: str
    modified: float | None
    coding: str | None = None
    data: bytes | None = None
    """The content where it is at hand."""


class _Static:
    """The service. `__call__` is the hot path; the rest is the cold one, in the order in which a request meets it."""

    def __init__(self, site: _Site, not_found: Service, cache_size: int) -> None:
        self._site = site
        self._store = site.store
        self._not_found = not_found
        self._files = site.store if isinstance(site.store, _HasFiles) else None
        self._immutable = getattr(site.store, "immutable", False) is True
        self._ready: _Bounded[_Ready] = _Bounded(cache_size)
        self._compressed: _Bounded[bytes] = _Bounded(cache_size)

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        if not self._immutable:
            return self._answer(request)
        accept = seen = b""
        dated = False
        for name, value in request.headers.raw:
            if name in _COLD:
                return self._answer(request)
            if name == b"accept-encoding":
                accept = accept + b"," + value if accept else value
            elif name == b"if-none-match":
                seen = seen + b"," + value if seen else value
            elif name == b"if-modified-since":
                dated = True
        ready = self._ready.get((request.method, request.target, accept))
        if ready is None:
            response = self._answer(request)
            if isinstance(response, Response) and response.status == 304:  # keep what the next one needs
                plain = Headers.from_raw([(b"accept-encoding", accept)])
                self._keep(request, accept, self._answer(dataclasses.replace(request, headers=plain)))
            return self._keep(request, accept, response)
        if not seen and not dated:
            return Response(200, Headers.from_raw(ready.fields.copy()), ready.body)
        # What a browser sends to ask again: its one ETag. Any date beside it is not looked at (RFC 9110 13.2.2).
        if seen == ready.etag:
            return Response(304, Headers.from_raw(ready.not_modified.copy()))
        return self._answer(request)

    def _keep(
        self, request: Request, accept: bytes, response: Response | Awaitable[Response]
    ) -> Response | Awaitable[Response]:
        """Keep an answer for the next request that is alike, if it is a whole value in memory."""
        if isinstance(response, Response) and response.status == 200 and isinstance(response.body, bytes):
            fields = response.headers.raw.copy()
            not_modified = [field for field in fields if field[0] in _NOT_MODIFIED]
            etag = next((value for name, value in fields if name == b"etag"), b"")
            size = len(response.body) + len(request.target) + len(accept) + 1000
            entry = _Ready(fields, response.body, etag, not_modified)
            self._ready.put((request.method, request.target, accept), entry, size)
        return response

    def _answer(self, request: Request) -> Response | Awaitable[Response]:
        if request.method not in {"GET", "HEAD"}:
            # RFC 9110 15.5.6: "The origin server MUST generate an Allow header field in a 405 response"
            return _text_response(405, "405 Method Not Allowed\nOnly GET and HEAD.\n", ("allow", "GET, HEAD"))
        for _ in range(_TRIES):
            try:
                return self._find(request)
            except _ChangedMeanwhileError:
                continue
            except KeyValueError:
                return self._not_found(request)
        return _text_response(503, "503 Service Unavailable\nThis is being changed.\n", ("retry-after", "1"))

    def _find(self, request: Request) -> Response:
        """The answer for a path. Raises `KeyValueError` where there is nothing for it."""
        key, directory = _key_of(request.path)
        if any(self._site.hides(segment) for segment in key.split("/")):
            raise NotFound(key, f"{key!r} has a name that is not served")
        info = self._store.info(key)
        if info.kind is Kind.VALUE:
            if directory:
                raise NotFound(key, f"{key!r} is a value, and was asked for with a slash")
            return self._value(request, key, info)
        if not directory:
            return self._redirect(request, key)
        index = f"{key}/{self._site.index}".removeprefix("/")
        try:
            info = self._store.info(index)
        except KeyValueError:
            return self._listing(request, key)
        return self._value(request, index, info) if info.kind is Kind.VALUE else self._listing(request, key)

    def _redirect(self, request: Request, key: str) -> Response:
        """To the directory's own address: relative, so it is right wherever the service is mounted."""
        query = f"?{request.query}" if request.query else ""
        location = f"./{quote(key.rpartition('/')[2])}/{query}"
        return _text_response(301, f"301 Moved Permanently\n{location}\n", ("location", location))

    def _listing(self, request: Request, key: str) -> Response:
        if not self._site.listing:
            raise NotFound(key, f"{key!r} has no {self._site.index} and is not listed")
        entries = []
        for name, _ in self._store.list(key):
            if not self._site.hides(name):
                try:
                    entries.append((name, self._store.info(f"{key}/{name}".removeprefix("/"))))
                except KeyValueError:  # gone meanwhile
                    continue
        page = listing_page(f"/{key}/" if key else "/", entries)
        variant = _Variant(key, len(page), f'"{value_digest(page)}"', None, data=page)
        return self._send(request, variant, "text/html; charset=utf-8", vary=False, ranged=False)

    # Values and their variants.

    def _value(self, request: Request, key: str, info: Info) -> Response:
        kind = content_type(key)
        ranged = request.method == "GET" and "range" in request.headers
        siblings = self._siblings(key, info)
        plain = self._plain(key, info)
        compressible = _GZIP_LEAST <= plain.size <= self._site.gzip_limit and is_compressible(kind)
        variant = plain
        if not ranged:  # a range is one of the value as it is
            for coding in accepted_codings(request.headers.get("accept-encoding")):
                if coding in siblings:
                    variant = self._plain(*siblings[coding])
                    variant.coding, variant.modified = coding, plain.modified
                    break
                if coding == "gzip" and compressible:
                    variant = self._gzipped(plain)
                    break
        vary = compressible or bool(siblings)
        try:
            return self._send(request, variant, kind, vary=vary, ranged=ranged)
        except _ChangedMeanwhileError:
            if variant.size > self._site.hash_limit:
                raise
            # Somebody is writing it, perhaps all the time: what is read in one go is one value.
            data = self._store.get(variant.key)
            variant = dataclasses.replace(variant, size=len(data), etag=f'"{value_digest(data)}"', data=data)
            return self._send(request, variant, kind, vary=vary, ranged=ranged)

    def _siblings(self, key: str, info: Info) -> dict[str, tuple[str, Info]]:
        """The value's compressed forms that lie beside it, and are no older."""
        found = {}
        for coding, suffix in _SUFFIXES.items():
            try:
                sibling = self._store.info(key + suffix)
            except KeyValueError:
                continue
            stale = info.modified is not None and sibling.modified is not None and sibling.modified < info.modified
            if sibling.kind is Kind.VALUE and not stale:
                found[coding] = (key + suffix, sibling)
        return found

    def _plain(self, key: str, info: Info) -> _Variant:
        """The value as it is, with an ETag that belongs to the very octets that will be sent."""
        if self._immutable:
            return _Variant(key, info.size, f'"{self._store.digest(key)}"', info.modified)
        if info.size <= (_SMALL if self._files else self._site.hash_limit):
            data = self._store.get(key)
            return _Variant(key, len(data), f'"{value_digest(data)}"', info.modified, data=data)
        if info.size <= self._site.hash_limit:
            return _Variant(key, info.size, f'"{self._store.digest(key)}"', info.modified)
        return _Variant(key, info.size, f'W/"{info.size:x}-{int((info.modified or 0) * 1e6):x}"', info.modified)

    def _gzipped(self, plain: _Variant) -> _Variant:
        data = self._compressed.get(plain.etag)
        if data is None:
            value = plain.data if plain.data is not None else self._store.get(plain.key)
            data = gzip.compress(value, 6, mtime=0)
            self._compressed.put(plain.etag, data, len(data))
        assert isinstance(data, bytes)
        return _Variant(plain.key, len(data), f'"{value_digest(data)}"', plain.modified, "gzip", data)

    # The answer.

    def _send(self, request: Request, variant: _Variant, kind: str, *, vary: bool, ranged: bool) -> Response:
        modified = variant.modified
        if modified is not None:
            # RFC 9110 8.8.2.1: "An origin server with a clock MUST NOT generate a Last-Modified date that is later than
            # the server's time of message origination (Date)."
            modified = min(modified, self._site.clock.now_ns() / 1e9) if modified >= 0 else None
        fields = self._validators(variant, modified, vary=vary)
        outcome = evaluate(request.method, request.headers, variant.etag, modified)
        if outcome is Outcome.NOT_MODIFIED:
            # RFC 9110 15.4.5: the fields that a 200 would have had, of those named there, and no content
            return Response(304, Headers.from_raw(fields))
        if outcome is Outcome.FAILED:
            return _text_response(412, "412 Precondition Failed\n")
        kind_field = (b"content-type", kind.encode("latin-1"))
        fields += [(b"accept-ranges", b"bytes"), _NOSNIFF]
        if variant.coding:
            fields.append((b"content-encoding", variant.coding.encode()))
        if ranged and range_applies(request.headers, variant.etag, modified, immutable=self._immutable):
            ranges = select_ranges(request.headers.get("range") or "", variant.size)
            if ranges is not None:
                return self._send_ranges(variant, ranges, fields, kind_field)
        fields += [kind_field, (b"content-length", b"%d" % variant.size)]
        body = b"" if request.method == "HEAD" else self._body(variant, 0, variant.size)
        return Response(200, Headers.from_raw(fields), body)

    def _validators(self, variant: _Variant, modified: float | None, *, vary: bool) -> _Fields:
        fields: _Fields = [(b"etag", variant.etag.encode())]
        if modified is not None:
            fields.append((b"last-modified", http_date(int(modified)).encode()))
        cache = self._site.cache_field(variant.key)
        if cache is not None:
            fields.append((b"cache-control", cache.encode("latin-1")))
        if vary:
            fields.append((b"vary", b"accept-encoding"))
        return fields

    def _send_ranges(
        self, variant: _Variant, ranges: Sequence[tuple[int, int]], fields: _Fields, kind: tuple[bytes, bytes]
    ) -> Response:
        size = variant.size
        if not ranges:
            # RFC 9110 15.5.17: "SHOULD generate a Content-Range header field specifying the current length"
            return _text_response(416, "416 Range Not Satisfiable\n", ("content-range", f"bytes */{size}"))
        if len(ranges) == 1:
            [(start, end)] = ranges
            fields += [kind, (b"content-range", content_range(start, end, size).encode())]
            fields.append((b"content-length", b"%d" % (end - start)))
            return Response(206, Headers.from_raw(fields), self._body(variant, start, end - start))
        # RFC 2046 5.1.1: the boundary must not occur in the content. One made from the content's digest cannot have
        # been put there; where the ETag is weak, only who made the file could, to confuse readers of that file alone.
        boundary = value_digest(b"boundary" + variant.etag.encode())
        heads = part_heads(ranges, size, kind[1].decode("latin-1"), boundary)
        length = sum(map(len, heads)) + sum(end - start for start, end in ranges)
        fields.append((b"content-type", f"multipart/byteranges; boundary={boundary}".encode()))
        fields.append((b"content-length", b"%d" % length))
        return Response(206, Headers.from_raw(fields), self._parts(variant, ranges, heads))

    def _parts(self, variant: _Variant, ranges: Sequence[tuple[int, int]], heads: list[bytes]) -> Iterator[bytes]:
        for head, (start, end) in zip(heads, ranges, strict=False):
            yield head
            yield from self._chunks(variant, start, end - start)
        yield heads[-1]

    def _body(self, variant: _Variant, start: int, length: int) -> Body:
        if variant.data is not None:
            return variant.data[start : start + length]
        if length <= _SMALL:
            return self._store.get_partial(variant.key, start, length)
        if self._files is not None:
            body = FileBody(self._files.open(variant.key), start, length)
            try:
                if self._plain(variant.key, self._store.info(variant.key)).etag == variant.etag:
                    return body
            except BaseException:
                body.close()
                raise
            body.close()
            raise _ChangedMeanwhileError
        return self._chunks(variant, start, length)

    def _chunks(self, variant: _Variant, start: int, length: int) -> Iterator[bytes]:
        if variant.data is not None:
            yield variant.data[start : start + length]
            return
        if self._files is not None:
            body = FileBody(self._files.open(variant.key), start, length)
            try:
                yield from body
            finally:
                body.close()
            return
        end = start + length
        while start < end and (chunk := self._store.get_partial(variant.key, start, min(_SMALL, end - start))):
            start += len(chunk)
            yield chunk


def _key_of(path: str) -> tuple[str, bool]:
    """The key of a path, and whether it was asked for as a directory. Raises `KeyValueError`.

    Each segment is decoded by itself, so an encoded slash never becomes one (RFC 3986 section 2.2), and then must be a
    segment of a key: no "..", no NUL, no backslash, not empty.
    """
    if not path.startswith("/"):
        raise NotFound(path, f"{path!r} is no path")
    directory = path.endswith("/")
    segments = path[1:-1].split("/") if directory else path[1:].split("/")
    if directory and len(path) <= 2:
        if len(path) == 2:
            raise NotFound(path, f"{path!r} has an empty segment")
        return "", True
    decoded = []
    for segment in segments:
        try:
            text = unquote_to_bytes(segment).decode()
        except UnicodeError:  # a path from elsewhere than a connection may hold surrogates
            raise NotFound(path, f"{path!r} is not UTF-8") from None
        if "/" in text:
            raise NotFound(path, f"{path!r} has an encoded slash")
        decoded.append(text)
    key = "/".join(decoded)
    if not key:
        raise NotFound(path, f"{path!r} is no key")
    return check_key(key), directory
