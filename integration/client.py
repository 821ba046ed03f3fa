"""A small HTTP client that shares no code with our server: the standard library's, one connection per thread of use."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit


def unverified() -> ssl.SSLContext:
    """For a server whose key another test compares: `test_https.py` does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


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
        if parts.scheme == "https":
            self._connection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout, context=unverified()
            )
        else:
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
    """A bare connection to the origin of a URL, by TCP or, for https, by TLS."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=timeout)
    return unverified().wrap_socket(connection) if parts.scheme == "https" else connection


def exchange(url: str, request: bytes, timeout: float = 10.0) -> bytes:
    """Send raw octets and return all that comes back until the server closes."""
    with connect(url, timeout) as connection:
        connection.sendall(request)
        received = []
        while data := connection.recv(65536):
            received.append(data)
    return b"".join(received)
