"""A client in memory: calls a service as a server would, without a socket."""

from __future__ import annotations

import asyncio
import json as _json
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TypedDict, Unpack
from urllib.parse import urlencode

from mirage.cohttp import ContentTooLarge
from mirage.cohttp.message import Headers, Request, Response, Service

from .content import JSON

__all__ = ["Answer", "Client", "MemoryBody", "Options", "request"]


class MemoryBody:
    """The content of a request, whole and at hand."""

    def __init__(self, content: bytes = b"") -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._content:
            yield self._content

    async def read(self, limit: int = 1 << 20) -> bytes:
        """The whole content. Raises `ContentTooLarge` (413) when it is longer than `limit` octets."""
        if len(self._content) > limit:
            raise ContentTooLarge(f"a content of {len(self._content)} octets where at most {limit} are accepted")
        return self._content


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, its content collected."""

    status: int
    headers: Headers
    body: bytes

    @property
    def text(self) -> str:
        """The content as UTF-8."""
        return self.body.decode()

    def json(self) -> JSON:
        """The content as JSON."""
        value: JSON = _json.loads(self.body)
        return value


class Options(TypedDict, total=False):
    """What a request may have besides method and target; `json` and `form` encode the content and set its type."""

    headers: Mapping[str, str]
    body: bytes
    json: object
    form: Mapping[str, str]


def request(method: str, target: str, **options: Unpack[Options]) -> Request:
    """A request as a server would hand it over."""
    body = options.get("body", b"")
    fields = {"host": "test", **{name.lower(): value for name, value in options.get("headers", {}).items()}}
    if "json" in options:
        body = _json.dumps(options["json"]).encode()
        fields.setdefault("content-type", "application/json")
    if "form" in options:
        body = urlencode(options["form"]).encode()
        fields.setdefault("content-type", "application/x-www-form-urlencoded")
    if body:
        fields.setdefault("content-length", str(len(body)))
    return Request(method, target, Headers(fields.items()), MemoryBody(body), client="memory")


class Client:
    """Calls a service. `get` and its like are for tests that are no coroutines; a coroutine awaits `asend`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def asend(self, request: Request) -> Answer:
        """The answer to a request."""
        answer = self._service(request)
        response = answer if isinstance(answer, Response) else await answer
        body = response.body
        chunks = [body] if isinstance(body, bytes) else []
        try:
            if request.method == "HEAD":  # RFC 9110 section 9.3.2: no content in the answer to HEAD
                chunks.clear()
            elif isinstance(body, AsyncIterable):
                chunks.extend([chunk async for chunk in body])
            elif not isinstance(body, bytes):
                chunks.extend(body)
        finally:
            # As every server does with what it was given to send (see `mirage.cohttp.message.Body`).
            if (aclose := getattr(body, "aclose", None)) is not None:
                await aclose()
            elif (close := getattr(body, "close", None)) is not None:
                close()
        return Answer(response.status, response.headers, b"".join(chunks))

    def send(self, request: Request) -> Answer:
        """The answer to a request. Not from within an event loop: `await asend(...)` there."""
        return asyncio.run(self.asend(request))

    def get(self, target: str, **options: Unpack[Options]) -> Answer:
        """The answer to GET."""
        return self.send(request("GET", target, **options))

    def head(self, target: str, **options: Unpack[Options]) -> Answer:
        """The answer to HEAD."""
        return self.send(request("HEAD", target, **options))

    def options(self, target: str, **options: Unpack[Options]) -> Answer:
        """The answer to OPTIONS."""
        return self.send(request("OPTIONS", target, **options))

    def post(self, target: str, **options: Unpack[Options]) -> Answer:
        """The answer to POST."""
        return self.send(request("POST", target, **options))

    def put(self, target: str, **options: Unpack[Options]) -> Answer:
        """The answer to PUT."""
        return self.send(request("PUT", target, **options))

    def patch(self, target: str, **options: Unpack[Options]) -> Answer:
        """The answer to PATCH."""
        return self.send(request("PATCH", target, **options))

    def delete(self, target: str, **options: Unpack[Options]) -> Answer:
        """The answer to DELETE."""
        return self.send(request("DELETE", target, **options))
