"""An application that does what a test of the transport asks for; never part of the website.

``GET /zeros/N`` sends N zero octets, ``POST /count`` says how many octets arrived, ``GET /wait/S`` answers after S
seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from mirage.cohttp import Headers, Request, Response, Service

_BLOCK = bytes(1 << 16)


def zeros(total: int) -> Iterator[bytes]:
    """`total` zero octets, drawn block by block as the client takes them."""
    for _ in range(total >> 16):
        yield _BLOCK
    if rest := total & 0xFFFF:
        yield _BLOCK[:rest]


async def count(request: Request) -> Response:
    """The number of octets in the request's content."""
    total = 0
    async for chunk in request.body:
        total += len(chunk)
    return Response(body=b"%d" % total)


async def wait(seconds: float) -> Response:
    """An answer that takes its time."""
    await asyncio.sleep(seconds)
    return Response(body=b"done")


def service() -> Service:
    """The application."""

    def answer(request: Request) -> Response | asyncio.Future[Response]:
        verb, _, argument = request.path[1:].partition("/")
        if verb == "zeros":
            return Response(headers=Headers([("content-length", argument)]), body=zeros(int(argument)))
        if verb == "count":
            return asyncio.ensure_future(count(request))
        if verb == "wait":
            return asyncio.ensure_future(wait(float(argument)))
        return Response(404 if verb else 200)

    return answer
