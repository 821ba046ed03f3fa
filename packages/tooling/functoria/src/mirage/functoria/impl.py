"""Devices: their types, the functions that make them, and the choices between them.

A `Typ[T]` is a type of device; an `Impl[T]` is one device of it, made by applying a `Function`, or a `Choice` between
several. Application is checked at once, so an error names the line that is wrong; the same checks are made statically
by mypy and pyright, for the classes are generic in the Protocol that the device offers at run time.

Invariants: an `Impl` is immutable and compared by identity; the graph of a configuration is acyclic, because an `Impl`
can only be given others that exist already.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, overload

from .errors import ConfigError, Location, caller
from .keys import BootArgument, Key

__all__ = [
    "JOB",
    "Choice",
    "Device",
    "Function",
    "Impl",
    "Job",
    "Made",
    "Parameter",
    "Typ",
    "device",
    "foreign",
    "if_key",
    "match_key",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")
S = TypeVar("S")
P = ParamSpec("P")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")

Parameter: TypeAlias = "str | int | float | bool | PurePath | Key[Any] | BootArgument[Any] | None"
"""What a device may be given besides devices: a constant, a key (a constant once configured), a boot argument."""


@dataclass(frozen=True, eq=False)
class Typ(Generic[T_co]):
    """A type of device. `interface` names its Protocol (``package.module:Name``); a device of a subtype fits too."""

    name: str
    interface: str
    parents: tuple[Typ[Any], ...] = ()

    def accepts(self, other: Typ[Any]) -> bool:
        """Whether a device of type `other` may stand where this type is asked for."""
        return other is self or any(self.accepts(parent) for parent in other.parents)

    def __str__(self) -> str:
        return self.name


class Job:
    """What a unikernel does: a coroutine that runs until it is done or is asked to stop."""


JOB: Typ[Job] = Typ("JOB", "collections.abc:Coroutine")


@dataclass(frozen=True, eq=False)
class Device:
    """How a device is made: everything that the tool must know of it.

    `make` is the expression that makes it, in which ``{0}``, ``{1}`` stand for the devices it takes, ``{name}`` for a
    parameter and ``{data}`` for what `build` produces. For a `JOB` it makes a coroutine. `imports` are the import
    statements that it needs, `definition` the source of a class or function of its own, and `packages` the requirements
    (PEP 508) behind them. `uses` names what it takes from the host at run time, which not every target has.
    """

    name: str
    gives: Typ[Any]
    make: str
    takes: tuple[Typ[Any], ...] = ()
    imports: tuple[str, ...] = ()
    definition: str = ""
    packages: tuple[str, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=lambda: MappingProxyType({}))
    build: object | None = None
    label: str = ""
    uses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or keyword.iskeyword(self.name):
            raise ConfigError(f"{self.name!r} cannot name a device: expected a Python identifier", caller())

    @property
    def title(self) -> str:
        """What a reader sees: the label, or else the name."""
        return self.label or self.name

    @property
    def signature(self) -> str:
        """The device's type as a function of those it takes."""
        return " -> ".join(str(typ) for typ in (*self.takes, self.gives))


class Impl(Generic[T_co]):
    """A device, made or to be chosen."""

    typ: Typ[T_co]
    location: Location | None

    @property
    def title(self) -> str:
        """What a reader sees."""
        raise NotImplementedError


class Made(Impl[T_co]):
    """A device made from others. `after` are devices that must exist before it without being given to it."""

    def __init__(
        self, device: Device, typ: Typ[T_co], args: tuple[Impl[Any], ...], after: tuple[Impl[Any], ...] = ()
    ) -> None:
        self.device, self.typ, self.args, self.after = device, typ, args, after
        self.location = caller()

    @property
    def title(self) -> str:
        """What a reader sees."""
        return self.device.title

    def __repr__(self) -> str:
        return f"<{self.title}: {self.typ}>"


class Choice(Impl[T_co]):
    """A device that a key picks. `cases` are in the order written."""

    def __init__(self, key: Key[Any], typ: Typ[T_co], cases: Mapping[Any, Impl[T_co]]) -> None:
        self.key, self.typ, self.cases = key, typ, MappingProxyType(dict(cases))
        self.location = caller()

    @property
    def title(self) -> str:
        """What a reader sees."""
        return f"--{self.key.name}"

    def __repr__(self) -> str:
        return f"<choice by {self.title}: {self.typ}>"


class Function(Generic[P, R]):
    """What makes devices: apply it to devices of the right types to get one."""

    def __init__(self, device: Device, gives: Typ[R], after: tuple[Impl[Any], ...] = ()) -> None:
        self.device, self.gives, self.after = device, gives, after
        self.location = caller()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Impl[R]:
        """Apply it. Raises `ConfigError` where number or types of the devices are not those it takes."""
        if kwargs:
            raise ConfigError(
                f"{self.device.title} takes its devices by position, got {', '.join(kwargs)}=...", caller()
            )
        _check_application(self.device, args)
        return Made(self.device, self.gives, args, self.after)  # type: ignore[arg-type]  # checked just above

    def __rshift__(self, other: Function[[Impl[R]], S]) -> Composed[P, S]:
        """First this, then `other`: ``(f >> g)(x)`` is ``g(f(x))``."""
        wanted = other.device.takes
        if len(wanted) != 1 or not wanted[0].accepts(self.gives):
            raise ConfigError(
                f"cannot feed {self.device.title} ({self.device.signature}) into "
                f"{other.device.title} ({other.device.signature}): "
                f"the second must take exactly one device of type {self.gives}",
                caller(),
            )
        return Composed(self, other)

    def __repr__(self) -> str:
        return f"<{self.device.title}: {self.device.signature}>"


class Composed(Generic[P, R]):
    """Two functions, one after the other."""

    def __init__(self, first: Function[P, S], second: Function[[Impl[S]], R]) -> None:
        self._apply: Callable[P, Impl[R]] = lambda *args, **kwargs: second(first(*args, **kwargs))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Impl[R]:
        """Apply both."""
        return self._apply(*args, **kwargs)


def _check_application(device: Device, args: tuple[object, ...]) -> None:
    here = caller()
    if len(args) != len(device.takes):
        given = ", ".join(_type_of(arg) for arg in args) or "none"
        wanted = ", ".join(map(str, device.takes)) or "none"
        count = len(device.takes)
        raise ConfigError(
            f"{device.title} takes {count} device{'' if count == 1 else 's'} ({wanted}), "
            f"but {len(args)} {'was' if len(args) == 1 else 'were'} given ({given})",
            here,
        )
    for number, (arg, wanted_typ) in enumerate(zip(args, device.takes, strict=True), 1):
        _check_argument(f"argument {number} of {device.title}", arg, wanted_typ, here)


def _check_argument(what: str, arg: object, wanted: Typ[Any], here: Location | None) -> None:
    if isinstance(arg, Impl) and wanted.accepts(arg.typ):
        return
    found = f"got {_type_of(arg)}"
    if isinstance(arg, Impl):
        found = f"got {arg.title}, which is {arg.typ}" + (f" ({arg.location})" if arg.location else "")
    elif isinstance(arg, Function):
        found += f": apply it first, to ({', '.join(map(str, arg.device.takes))})"
    raise ConfigError(f"{what} must be a device of type {wanted}, {found}", here)


def _type_of(arg: object) -> str:
    if isinstance(arg, Impl):
        return str(arg.typ)
    if isinstance(arg, Function):
        return f"the function {arg.device.title} ({arg.device.signature})"
    return f"{arg!r} (a {type(arg).__name__})"


def device(description: Device, *, after: Sequence[Impl[Any]] = ()) -> Function[..., Any]:
    """The function that makes a device. Annotate the result, as in ``f: Function[[Impl[KeyValueRO]], Job] = ...``."""
    return Function(description, description.gives, tuple(after))


@overload
def foreign(
    where: str,
    *,
    takes: tuple[()] = ...,
    gives: Typ[R],
    packages: Sequence[str] = ...,
    arguments: Mapping[str, Parameter] | None = ...,
    after: Sequence[Impl[Any]] = ...,
    name: str | None = ...,
) -> Function[[], R]: ...
@overload
def foreign(
    where: str,
    *,
    takes: tuple[Typ[A]],
    gives: Typ[R],
    packages: Sequence[str] = ...,
    arguments: Mapping[str, Parameter] | None = ...,
    after: Sequence[Impl[Any]] = ...,
    name: str | None = ...,
) -> Function[[Impl[A]], R]: ...
@overload
def foreign(
    where: str,
    *,
    takes: tuple[Typ[A], Typ[B]],
    gives: Typ[R],
    packages: Sequence[str] = ...,
    arguments: Mapping[str, Parameter] | None = ...,
    after: Sequence[Impl[Any]] = ...,
    name: str | None = ...,
) -> Function[[Impl[A], Impl[B]], R]: ...
@overload
def foreign(
    where: str,
    *,
    takes: tuple[Typ[A], Typ[B], Typ[C]],
    gives: Typ[R],
    packages: Sequence[str] = ...,
    arguments: Mapping[str, Parameter] | None = ...,
    after: Sequence[Impl[Any]] = ...,
    name: str | None = ...,
) -> Function[[Impl[A], Impl[B], Impl[C]], R]: ...
@overload
def foreign(
    where: str,
    *,
    takes: tuple[Typ[A], Typ[B], Typ[C], Typ[D]],
    gives: Typ[R],
    packages: Sequence[str] = ...,
    arguments: Mapping[str, Parameter] | None = ...,
    after: Sequence[Impl[Any]] = ...,
    name: str | None = ...,
) -> Function[[Impl[A], Impl[B], Impl[C], Impl[D]], R]: ...
@overload
def foreign(
    where: str,
    *,
    takes: tuple[Typ[A], Typ[B], Typ[C], Typ[D], Typ[E]],
    gives: Typ[R],
    packages: Sequence[str] = ...,
    arguments: Mapping[str, Parameter] | None = ...,
    after: Sequence[Impl[Any]] = ...,
    name: str | None = ...,
) -> Function[[Impl[A], Impl[B], Impl[C], Impl[D], Impl[E]], R]: ...
def foreign(
    where: str,
    *,
    takes: tuple[Typ[Any], ...] = (),
    gives: Typ[R],
    packages: Sequence[str] = (),
    arguments: Mapping[str, Parameter] | None = None,
    after: Sequence[Impl[Any]] = (),
    name: str | None = None,
) -> Function[..., R]:
    """A function of the application's own: `where` is ``package.module:function``.

    At run time the function is called with the devices that it `takes`, by position, and with `arguments`, by keyword:
    constants, keys and boot arguments. `packages` are the requirements (PEP 508) of its module; `after`, devices that
    must be made first. Raises `ConfigError`.
    """
    here = caller()
    module, colon, function = where.partition(":")
    if not colon or not all(
        part.isidentifier() and not keyword.iskeyword(part) for part in [*module.split("."), function]
    ):
        raise ConfigError(f"foreign() expects 'package.module:function', got {where!r}", here)
    for typ in (*takes, gives):
        if not isinstance(typ, Typ):
            raise ConfigError(f"foreign({where!r}) expects types of devices in takes and gives, got {typ!r}", here)
    for parameter in arguments or {}:
        if not parameter.isidentifier() or keyword.iskeyword(parameter):
            raise ConfigError(f"foreign({where!r}): {parameter!r} cannot name an argument of a Python function", here)
    plain = function if function not in _PLAIN_NAMES else module.rpartition(".")[2]
    keywords = "".join(f", {parameter}={{{parameter}}}" for parameter in arguments or {})
    devices = ", ".join(f"{{{number}}}" for number in range(len(takes)))
    description = Device(
        name=name or re.sub(r"\W", "_", plain).lower(),
        label=where,
        gives=gives,
        takes=takes,
        make=f"{module}.{function}({(devices + keywords).removeprefix(', ')})",
        imports=(f"import {module}",),
        packages=tuple(packages),
        parameters=MappingProxyType(dict(arguments or {})),
    )
    return Function(description, gives, tuple(after))


_PLAIN_NAMES = {"main", "start", "make", "run", "connect"}  # these say nothing of the device: its module does


def match_key(key: Key[T], cases: Mapping[T, Impl[A]], *, default: Impl[A] | None = None) -> Impl[A]:
    """The device that a key picks. A key of words needs a case for each, or a `default`; any other needs a `default`.

    All cases are of one type, or of subtypes of the first one's. Raises `ConfigError`.
    """
    here = caller()
    if not isinstance(key, Key):
        raise ConfigError(f"match_key() picks by a key, got {_type_of(key)}", here)
    for value in cases:
        if not key.kind.accepts(value):
            raise ConfigError(f"{value!r} is no value of the key {key.name!r} ({key.kind.name})", here)
    full: dict[Any, Impl[A]] = dict(cases)
    every: Sequence[Any] = key.kind.choices or ((True, False) if bool in key.kind.types else ())
    missing = [value for value in every if value not in full]
    if (missing or not every) and default is None:
        listed = ", ".join(map(str, missing)) or "other values"
        raise ConfigError(f"match_key on {key.name!r} has no case for {listed}, and no default", here)
    if default is not None:
        full.update(dict.fromkeys(missing, default))
        if not every:
            full[OTHERWISE] = default
    first, *rest = full.values()
    if not isinstance(first, Impl):
        raise ConfigError(f"each case of {key.name!r} must be a device, got {_type_of(first)}", here)
    for one in rest:
        _check_argument(f"each case of {key.name!r}", one, first.typ, here)
    return Choice(key, first.typ, full)


def if_key(key: Key[bool], then: Impl[A], otherwise: Impl[A]) -> Impl[A]:
    """One device where the key is true, another where it is false."""
    return match_key(key, {True: then, False: otherwise})


class _Otherwise:
    def __repr__(self) -> str:
        return "otherwise"


OTHERWISE = _Otherwise()
"""The case of a `Choice` taken where no other fits."""
