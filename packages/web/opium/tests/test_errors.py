"""Errors say what happened, to whom it matters."""

from mirage.opium import HttpError, InvalidRoute, OpiumError, RouteConflict, RouteValueError
from mirage.types import MirageError


def test_http_errors_read_as_sentences() -> None:
    """The status with its phrase, then the detail; a status of nobody's has a phrase too."""
    assert str(HttpError(404)) == "404 Not Found"
    assert str(HttpError(413, "At most 5 octets.")).endswith(": At most 5 octets.")
    assert str(HttpError(499)) == "499 Error"


def test_http_errors_are_responses() -> None:
    """The detail, or else the phrase, as text; the fields come along."""
    response = HttpError(405, "", [("allow", "GET")]).response()
    assert (response.status, response.body, response.headers.get("allow")) == (405, b"Method Not Allowed\n", "GET")


def test_every_error_has_the_one_root() -> None:
    """Local misuse of a value is a ValueError besides."""
    assert issubclass(OpiumError, MirageError)
    assert all(issubclass(kind, OpiumError) for kind in (HttpError, InvalidRoute, RouteConflict, RouteValueError))
    assert issubclass(InvalidRoute, ValueError)
    assert issubclass(RouteValueError, ValueError)
