"""A small HTTP client that shares no code with our server: the standard library's, one connection per thread of use."""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What came back for one request."""

    status: int
    headers: dict[str, str]
    """Field values by lower-case name; lines of one name are joined with a comma."""
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Client:
    """Requests to one origin over one connection that is kept alive."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)

    def request(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """One request; redirects are not followed."""
        self._connection.request(method, target, body=body, headers=headers or {})
        answer = self._connection.getresponse()
        fields: dict[str, str] = {}
        for name, value in answer.getheaders():
            fields[name.lower()] = f"{fields[name.lower()]}, {value}" if name.lower() in fields else value
        return Answer(answer.status, fields, answer.read())

    def get(self, target: str, **headers: str) -> Answer:
        """A GET; keyword names are field names with underscores for dashes."""
        return self.request("GET", target, {name.replace("_", "-"): value for name, value in headers.items()})

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(url: str, timeout: float = 10.0) -> socket.socket:
    """A bare TCP connection to the origin of a URL."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=timeout)


def exchange(url: str, request: bytes, timeout: float = 10.0) -> bytes:
    """Send raw octets and return all that comes back until the server closes."""
    with connect(url, timeout) as connection:
        connection.sendall(request)
        received = []
        while data := connection.recv(65536):
            received.append(data)
    return b"".join(received)
