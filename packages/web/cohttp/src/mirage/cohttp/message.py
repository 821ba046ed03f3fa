"""Requests, responses and their header fields, as a service sees them.

A **service** is a function from a request to a response, direct or awaited. It is the one interface between HTTP and
applications: routers, static files and middleware are services or make services of services.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol, TypeAlias

__all__ = ["Body", "EmptyBody", "FileBody", "Headers", "Request", "RequestBody", "Response", "Service"]


class Headers:
    """Header fields in order, looked up without regard to case (RFC 9110 section 5.1).

    Kept as the pairs of octets that the wire carries; names in lower case. Text in and out is ISO-8859-1.
    """

    __slots__ = ("raw",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self.raw: list[tuple[bytes, bytes]] = [
            (name.lower().encode("ascii"), value.encode("latin-1")) for name, value in fields
        ]

    @classmethod
    def from_raw(cls, raw: list[tuple[bytes, bytes]]) -> Headers:
        """Adopt pairs of octets as they are; the names are in lower case already."""
        headers = cls.__new__(cls)
        headers.raw = raw
        return headers

    def get(self, name: str, default: str | None = None) -> str | None:
        """The values of a field joined with ", " (RFC 9110 section 5.2), or `default` where it is absent."""
        wanted = name.lower().encode("ascii")
        found = [value for field_name, value in self.raw if field_name == wanted]
        return b", ".join(found).decode("latin-1") if found else default

    def get_all(self, name: str) -> list[str]:
        """The values of a field, one for each line that bore it."""
        wanted = name.lower().encode("ascii")
        return [value.decode("latin-1") for field_name, value in self.raw if field_name == wanted]

    def __contains__(self, name: str) -> bool:
        wanted = name.lower().encode("ascii")
        return any(field_name == wanted for field_name, _ in self.raw)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((name.decode("ascii"), value.decode("latin-1")) for name, value in self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, Headers) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"


class RequestBody(Protocol):
    """The content of a request, read once, in order, as it arrives."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The chunks as they arrive. Reading is what opens the window: an unread body holds the client back."""
        ...

    async def read(self, limit: int = 1 << 20) -> bytes:
        """The whole content. Raises `ContentTooLarge` (413) when it is longer than `limit` octets."""
        ...


class EmptyBody:
    """The content of a request that has none."""

    __slots__ = ()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """No chunk."""
        return
        yield b""

    async def read(self, limit: int = 1 << 20) -> bytes:
        """No octets."""
        return b""


class FileBody:
    """`length` octets of an open binary file from `offset` on, closed when they have been sent or are given up.

    A server hands it to the kernel whole (sendfile) where file and transport allow that; everywhere else it is an
    iterable of chunks. The file belongs to the body. Its Content-Length is `length`: a file that ends early breaks
    the connection, as nothing else can tell the client.
    """

    __slots__ = ("file", "length", "offset")
    chunk = 1 << 16

    def __init__(self, file: BinaryIO, offset: int, length: int) -> None:
        if offset < 0 or length < 0:
            raise ValueError(f"a file body starts at offset {offset} and has length {length}: neither may be negative")
        self.file = file
        self.offset = offset
        self.length = length

    def fileno(self) -> int | None:
        """The file's descriptor, or None where it has none (a file in memory)."""
        try:
            return self.file.fileno()
        except (OSError, AttributeError):
            return None

    def read(self, start: int, size: int) -> bytes:
        """At most `size` octets from `start` on, counted from the body's own beginning; empty at its end.

        Raises OSError.
        """
        size = min(size, self.length - start)
        if size <= 0:
            return b""
        descriptor = self.fileno()
        if descriptor is not None and hasattr(os, "pread"):
            return os.pread(descriptor, size, self.offset + start)
        self.file.seek(self.offset + start)
        return self.file.read(size)

    def __iter__(self) -> Iterator[bytes]:
        start = 0
        while data := self.read(start, self.chunk):
            start += len(data)
            yield data

    def close(self) -> None:
        """Close the file; safe to call again."""
        self.file.close()

    def __repr__(self) -> str:
        return f"FileBody(offset={self.offset}, length={self.length})"


Body: TypeAlias = bytes | FileBody | Iterable[bytes] | AsyncIterable[bytes]
"""A response's content: whole, a part of a file, or chunks drawn only as fast as the client takes them.

An iterable with `close()` or `aclose()` (a generator, say) has it called when the content was sent or given up.
"""


@dataclass(slots=True)
class Request:
    """One request. `target` is as sent (RFC 9112 section 3.2); `path` and `query` are its parts, not yet decoded."""

    method: str
    target: str
    headers: Headers
    body: RequestBody
    version: str = "1.1"
    client: str | None = None
    """Address of the peer as text, where there is one."""

    @property
    def path(self) -> str:
        """The target up to its "?", percent-encoding left in place; never with scheme and authority.

        RFC 9112 3.2.2: a server accepts the absolute form too, so `http://host/a?b` has the path `/a`.
        "*" (OPTIONS) and the authority form (CONNECT) are returned as they are.
        """
        path = self.target.partition("?")[0]
        if path[:1] == "/" or "://" not in path:
            return path
        return "/" + path.partition("://")[2].partition("/")[2]

    @property
    def query(self) -> str:
        """The target after its first "?", or empty."""
        return self.target.partition("?")[2]


@dataclass(slots=True)
class Response:
    """One response.

    A body of bytes or a `FileBody` gets its Content-Length; any other is sent chunked unless the field is given.
    `Date` is added by the server.
    """

    status: int = 200
    headers: Headers = field(default_factory=Headers)
    body: Body = b""


Service: TypeAlias = Callable[[Request], Response | Awaitable[Response]]
"""What a server serves. One that answers at once returns the response itself and costs no task."""
