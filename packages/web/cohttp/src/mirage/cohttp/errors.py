"""What can go wrong between two HTTP peers.

`LocalProtocolError`: this side tried to do something that HTTP forbids; fix the caller. `RemoteProtocolError`: the
other side did; `status` is what a server answers. The two never mix: bytes from outside raise only the second.
"""

from __future__ import annotations

from mirage.types import MirageError

__all__ = [
    "ConnectionLost",
    "ContentTooLarge",
    "HTTPError",
    "LocalProtocolError",
    "RemoteProtocolError",
    "TLSUnavailable",
    "TimedOut",
]


class HTTPError(MirageError):
    """Root of the errors of this package."""


class LocalProtocolError(HTTPError):
    """This side broke HTTP's rules or the order of events; nothing was sent."""


class RemoteProtocolError(HTTPError):
    """The other side broke HTTP's rules or a limit; `status` is the answer that a server gives before it closes."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type[RemoteProtocolError], tuple[str, int]]:
        return type(self), (str(self), self.status)


class ContentTooLarge(RemoteProtocolError):
    """The content is longer than the reader wants (RFC 9110 15.5.14)."""

    def __init__(self, message: str, status: int = 413) -> None:
        super().__init__(message, status)


class ConnectionLost(HTTPError):
    """The connection ended, or could not be made, before the exchange was over."""


class TimedOut(HTTPError):
    """The other side took longer than the caller allowed."""


class TLSUnavailable(HTTPError):
    """https was asked for, and no TLS is installed; plain HTTP is never used in its place."""
