"""What a request carries: query, form, JSON and cookies, each read with a bound and refused with a clear status.

Everything here raises `HttpError` for what the client sent, and nothing else: 400 for what cannot be read, 413 for too
much of it, 415 for another media type.
"""

from __future__ import annotations

import json as _json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias, cast
from urllib.parse import parse_qsl

from mirage.cohttp.message import Request

from .errors import HttpError

__all__ = ["JSON", "Fields", "accepted", "cookies", "media_type", "query", "read_form", "read_json"]

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
"""What `read_json` answers (RFC 8259 section 3)."""

MAX_FIELDS = 1000
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 section 5.6.2
_TOKEN = re.compile(_WORD)
_RANGE = re.compile(rf"[ \t]*({_WORD}/{_WORD})[ \t]*(?:;[ \t]*[qQ]=([01](?:\.[0-9]{{0,3}})?)[ \t]*)?")


class Fields(Mapping[str, str]):
    """Names with texts, as queries and forms have them; a name given twice has its first value, and `all` of them."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def all(self, name: str) -> list[str]:
        """Every value of a name in the order given, none where it is absent."""
        return list(self._values.get(name, ()))

    def __getitem__(self, name: str) -> str:
        return self._values[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Fields({self._values!r})"


def accepted(request: Request, offers: Iterable[str]) -> str | None:
    """The one of some media types that the client likes best; None where it takes none (RFC 9110 section 12.5.1).

    Of equally liked ones it is the first. The most specific range that fits a type decides its weight: `text/html`
    before `text/*` before `*/*`. A request without the field takes anything. A range that is malformed, or that asks
    for a parameter, is passed over, as no offer has one.
    """
    field = request.headers.get("accept")
    if field is None:
        return next(iter(offers), None)
    weights = {m[1].lower(): float(m[2] or 1) for part in field.split(",") if (m := _RANGE.fullmatch(part))}
    best, liking = None, 0.0
    for offer in offers:
        ranges = (offer.lower(), f"{offer.lower().partition('/')[0]}/*", "*/*")
        weight = next((min(weights[r], 1.0) for r in ranges if r in weights), 0.0)
        if weight > liking:
            best, liking = offer, weight
    return best


def _fields(encoded: str, what: str) -> Fields:
    try:
        return Fields(parse_qsl(encoded, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except UnicodeDecodeError:
        raise HttpError(400, f"The {what} is not UTF-8 once it is decoded.") from None
    except ValueError:
        raise HttpError(400, f"The {what} has more than {MAX_FIELDS} fields.") from None


def query(request: Request) -> Fields:
    """The fields after the "?" of the target. Raises `HttpError` 400."""
    return _fields(request.query, "query")


def media_type(request: Request) -> tuple[str, str]:
    """Media type in lower case and its charset, both empty where absent (RFC 9110 section 8.3.1)."""
    essence, *parameters = request.headers.get("content-type", "").split(";")  # type: ignore[union-attr]
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "charset":
            return essence.strip().lower(), value.strip('"').lower()
    return essence.strip().lower(), ""


async def _read_text(request: Request, limit: int) -> str:
    if media_type(request)[1] not in {"", "utf-8", "utf8"}:
        raise HttpError(415, "The content has to be in UTF-8.")
    try:
        return (await request.body.read(limit)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise HttpError(400, f"The content is not UTF-8: octet {error.start} is wrong.") from None


async def read_form(request: Request, limit: int = 1 << 16) -> Fields:
    """The fields of a submitted form. `limit` is in octets. Raises `HttpError`: 400, 415; the body's own is 413."""
    if media_type(request)[0] != "application/x-www-form-urlencoded":
        raise HttpError(415, "A form has to come as application/x-www-form-urlencoded.")
    return _fields(await _read_text(request, limit), "form")


async def read_json(request: Request, limit: int = 1 << 20) -> JSON:
    """The JSON value of the content. `limit` is in octets. Raises `HttpError`: 400, 415; the body's own is 413."""
    kind = media_type(request)[0]
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise HttpError(415, "The content has to come as application/json.")
    content = await _read_text(request, limit)
    try:
        return cast("JSON", _json.loads(content, parse_constant=_refuse_constant))
    except _json.JSONDecodeError as error:
        raise HttpError(400, f"Not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise HttpError(400, "Not acceptable as JSON: it is nested too deeply.") from None
    except ValueError as error:  # a number beyond sys.get_int_max_str_digits(), or a constant that JSON does not have
        raise HttpError(400, f"Not acceptable as JSON: {str(error).partition(';')[0]}.") from None


def _refuse_constant(name: str) -> object:
    # RFC 8259 section 6: "Numeric values that cannot be represented in the grammar ... are not permitted."
    raise ValueError(f"{name} is not a JSON value")


def cookies(request: Request) -> dict[str, str]:
    """The cookies by name, the first of each (RFC 6265 section 4.2.1); pairs that are none are passed over."""
    found: dict[str, str] = {}
    for line in request.headers.get_all("cookie"):
        for pair in line.split(";"):
            name, mark, value = pair.strip(" \t").partition("=")
            if mark and _TOKEN.fullmatch(name):
                quoted = len(value) >= 2 and value[0] == value[-1] == '"'
                found.setdefault(name, value[1:-1] if quoted else value)
    return found
