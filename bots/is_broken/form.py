"""Dataclasses as JSON values and back, by their annotations: no field is written or read by hand.

A field that has its default is left out of the JSON, so that files stay small and a field that is added later needs no
migration. Reading checks every type, because a state file may have been cut short or edited: anything wrong raises
`StateError` with the path to it.
"""

from __future__ import annotations

import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, get_args, get_origin

from .errors import StateError

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """A value of `model` as what `json.dumps` takes."""
    if is_dataclass(value):
        pairs = ((f, getattr(value, f.name)) for f in fields(value))
        return {f.name: to_json(v) for f, v in pairs if not _is_default(f, v)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [to_json(v) for v in value]
    if isinstance(value, dict):
        return {k: to_json(v) for k, v in value.items()}
    return value


def from_json(kind: type[T], value: Any, where: str = "") -> T:
    """What `to_json` made of a value of this class. Raises `StateError`."""
    found: T = _read(kind, value, where or kind.__name__)
    return found


def _is_default(f: Any, value: Any) -> bool:
    if f.default is not MISSING:
        return bool(value == f.default)
    return f.default_factory is not MISSING and bool(value == f.default_factory())


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in get_args(kind):
            return None
        (only,) = (k for k in get_args(kind) if k is not type(None))
        return _read(only, value, where)
    if origin is tuple:
        _expect(isinstance(value, list), where, "a list", value)
        return tuple(_read(get_args(kind)[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        _expect(isinstance(value, dict), where, "an object", value)
        return {k: _read(get_args(kind)[1], v, f"{where}.{k}") for k, v in value.items()}
    if is_dataclass(kind):
        return _read_dataclass(typing.cast(type, kind), value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(value)
        except ValueError:
            raise StateError(f"{where}: {value!r} is no {kind.__name__}") from None
    if kind is float:
        _expect(isinstance(value, int | float) and not isinstance(value, bool), where, "a number", value)
        return float(value)
    _expect(type(value) is kind, where, kind.__name__, value)
    return value


def _read_dataclass(kind: type, value: Any, where: str) -> Any:
    _expect(isinstance(value, dict), where, "an object", value)
    hints = _hints(kind)
    if unknown := sorted(value.keys() - hints.keys()):
        raise StateError(f"{where}: there is no field {unknown[0]!r}; was it written by a newer bot?")
    try:
        return kind(**{name: _read(hints[name], v, f"{where}.{name}") for name, v in value.items()})
    except TypeError:
        lacking = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING} - value.keys()
        raise StateError(f"{where}: lacks {', '.join(sorted(lacking))}") from None


def _expect(true: bool, where: str, what: str, value: Any) -> None:
    if not true:
        raise StateError(f"{where}: expected {what}, not {type(value).__name__}")
