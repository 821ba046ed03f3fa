"""Loading a config.py: run it, and hold what it registered.

`load` runs the file as a module of its own, with the file's folder first on the import path. Whatever goes wrong in it
becomes a `ConfigError` with the line of the user's file; a mistake in the language itself is not hidden that way.
"""

from __future__ import annotations

import builtins
import contextvars
import re
import sys
import traceback
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ConfigError, Location, caller, nearest
from .impl import JOB, Impl, Job

__all__ = ["Configuration", "load", "load_source", "register"]

_NAME = re.compile(r"[a-z][a-z0-9_-]*\Z")


@dataclass(slots=True)
class Configuration:
    """What a config.py says: the application's name and its jobs."""

    name: str
    jobs: tuple[Impl[Job], ...]
    doc: str = ""
    file: Path = field(default=Path("config.py"))
    location: Location | None = None


@dataclass(slots=True)
class _Loading:
    file: Path
    found: Configuration | None = None


_loading: contextvars.ContextVar[_Loading | None] = contextvars.ContextVar("loading", default=None)


def register(name: str, *jobs: Impl[Job], doc: str = "") -> None:
    """Say what the unikernel `name` does: run `jobs`, all at once. A config.py calls this exactly once."""
    here = caller()
    if not isinstance(name, str) or not _NAME.match(name):
        raise ConfigError(
            f"register() expects the application's name first: lower-case letters, digits, '-' and '_', got {name!r}",
            here,
        )
    if not jobs:
        raise ConfigError(f"register({name!r}) expects at least one job", here)
    for number, job in enumerate(jobs, 1):
        if not isinstance(job, Impl) or not JOB.accepts(job.typ):
            found = job.typ if isinstance(job, Impl) else repr(job)
            raise ConfigError(f"job {number} of register({name!r}) must be a device of type JOB, got {found}", here)
    loading = _loading.get()
    if loading is None:
        raise ConfigError("register() belongs in a config.py that the tool loads", here)
    if loading.found is not None:
        raise ConfigError(
            f"register() was called already, for {loading.found.name!r} at {loading.found.location}: "
            "one config.py makes one unikernel",
            here,
        )
    loading.found = Configuration(name, jobs, doc, loading.file, here)


def load(file: Path) -> Configuration:
    """Run a config.py. Raises `ConfigError`."""
    try:
        source = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"there is no {file}: write one, or name another file with -f FILE") from None
    except IsADirectoryError:
        raise ConfigError(f"{file} is a directory: name the file itself with -f FILE") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from None
    return load_source(source, file)


def load_source(source: str, file: Path) -> Configuration:
    """Run the text of a config.py that stands, or would stand, at `file`. Raises `ConfigError`."""
    try:
        code = compile(source, str(file), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ConfigError(f"not valid Python: {error.msg}", Location(str(file), error.lineno or 1)) from None
    except ValueError as error:  # NUL in the source
        raise ConfigError(f"{file} is not valid Python: {error}") from None
    module = types.ModuleType("config")
    module.__file__ = str(file.absolute())
    module.__doc__ = None
    loading = _Loading(file)
    token = _loading.set(loading)
    try:
        with _importing_from(file.parent.resolve()):
            exec(code, module.__dict__)  # noqa: S102  # running the user's config.py is what this is for
    except ConfigError:
        raise
    except SystemExit as error:
        raise ConfigError(f"called exit({error.code!r}) instead of register()", _where(error, file)) from None
    except Exception as error:
        raise ConfigError(_explain(error, module.__dict__), _where(error, file)) from error
    finally:
        _loading.reset(token)
    if loading.found is None:
        raise ConfigError(f"{file} never calls register(NAME, JOB): nothing says what the unikernel does")
    loading.found.doc = loading.found.doc or (module.__doc__ or "").strip().partition("\n")[0]
    return loading.found


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Import from `folder` first, and forget afterwards what was imported from it: two applications may share names."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            origin = getattr(sys.modules[name], "__file__", None)
            if origin and Path(origin).is_relative_to(folder):
                del sys.modules[name]


def _where(error: BaseException, file: Path) -> Location:
    """The innermost line of the user's own files, those in the folder of config.py."""
    folder = str(file.parent.resolve())
    if isinstance(error, SyntaxError) and error.filename:
        return Location(error.filename, error.lineno or 1)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == str(file) or (frame.filename.startswith(folder) and "site-packages" not in frame.filename):
            return Location(frame.filename, frame.lineno or 1)
    return Location(str(file), 1)


def _explain(error: Exception, names: dict[str, Any]) -> str:
    """One line that says what happened, as the user wrote it."""
    if isinstance(error, ModuleNotFoundError):
        return f"there is no module {error.name!r} in this environment"
    if isinstance(error, ImportError) and error.name:
        module = sys.modules.get(error.name)
        wanted = getattr(error, "name_from", None) or re.sub(r".*cannot import name '(\w+)'.*", r"\1", str(error))
        return f"{error.name} has no {wanted!r}." + nearest(wanted, getattr(module, "__all__", ()))
    if isinstance(error, NameError) and error.name:
        return f"the name {error.name!r} is not defined." + nearest(error.name, [*names, *vars(builtins)])
    if isinstance(error, SyntaxError):
        return f"not valid Python: {error.msg}"
    return f"{type(error).__name__}: {error}"
