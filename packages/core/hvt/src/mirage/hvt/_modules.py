"""Which modules an application can import: the closure of the import statements in its sources.

Nothing is imported or run. A name is found by the path finder, its source is parsed, and what it imports is followed:
everywhere in the application's modules, but not inside the functions of the standard library, which would lead from
anywhere to tkinter. A name that cannot be found is left out: it may be optional, and if it is not, the guest's
`ModuleNotFoundError` says so. What the standard library does need inside functions, or from C code, is in `HIDDEN`; a
caller names whatever else is missing.
"""

from __future__ import annotations

import ast
import importlib.machinery
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mirage.hvt._cache import cached

BASE = ("encodings.aliases", "encodings.ascii", "encodings.latin_1", "encodings.utf_8", "io", "os", "stat", "traceback")
"""What the interpreter itself imports: to start, and to print a traceback."""

HIDDEN: dict[str, tuple[str, ...]] = {
    "_ctypes": ("ctypes",),
    "_datetime": ("_strptime",),
    "_elementtree": ("xml.etree.ElementPath", "copy"),
    "_pickle": ("copyreg", "_compat_pickle"),
    "_socket": ("encodings.idna",),
    "_sqlite3": ("sqlite3.dump",),
    "argparse": ("copy", "shutil", "textwrap", "warnings"),
    "concurrent.futures": ("concurrent.futures.thread",),
    "datetime": ("_strptime", "_pydatetime"),
    "decimal": ("numbers",),
    "email": ("email.parser",),
    "email.message": ("email.generator", "email.policy"),
    "fractions": ("decimal",),
    "functools": ("types", "weakref"),
    "hashlib": ("_blake2", "_md5", "_sha1", "_sha2", "_sha256", "_sha3", "_sha512"),
    "importlib.metadata": ("csv", "importlib.metadata._adapters"),
    "importlib.resources": ("importlib.readers", "importlib.resources._adapters", "importlib.resources.readers"),
    "inspect": ("ast",),
    "linecache": ("tokenize",),
    "logging": ("traceback",),
    "random": ("statistics",),
    "socket": ("array",),
    "ssl": ("calendar", "time"),
    "sysconfig": (f"_sysconfigdata_{sys.abiflags}_{sys.platform}_{getattr(sys.implementation, '_multiarch', '')}",),
    "time": ("_strptime",),
    "traceback": ("ast", "unicodedata"),
    "typing": ("contextlib", "inspect", "re", "warnings"),
    "urllib.parse": ("ipaddress",),
    "warnings": ("linecache", "tracemalloc"),
    "zipfile": ("bz2", "lzma"),
}
"""Modules that C code, or a function of the standard library, imports, by the module that does."""


@dataclass(frozen=True, slots=True)
class Module:
    """A module's file. `parts` are where it belongs below a folder of `sys.path`."""

    name: str
    file: Path
    root: Path
    """The folder of `sys.path` that it was found in."""

    @property
    def is_source(self) -> bool:
        """Whether it is Python and not compiled C."""
        return self.file.suffix == ".py"


def _literal(call: ast.Call) -> str | None:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in {"import_module", "__import__"} and call.args:
        argument = call.args[0]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            return argument.value
    return None


def _statements(tree: ast.AST, functions: bool) -> Iterator[ast.AST]:
    """Every node, or every one outside functions."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if functions or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


def imports(source: bytes, package: str, name: str, functions: bool = True) -> Iterator[str]:
    """The absolute names that a source may import, inside functions too unless that is not wanted.

    `package` is what relative names are relative to. Raises `SyntaxError`, `ValueError`.
    """
    inputs = (package, str(functions))
    found = cached("imports", inputs, source, lambda: "\n".join(_imports(source, package, name, functions)).encode())
    yield from found.decode().split("\n") if found else ()


def _imports(source: bytes, package: str, name: str, functions: bool) -> Iterator[str]:
    for node in _statements(ast.parse(source, name), functions):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".") if package else []
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, base] if base else parts)
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call) and (literal := _literal(node)):
            yield literal.lstrip(".")


_NEVER_IMPORTED = frozenset(
    {"antigravity", "ensurepip", "idlelib", "lib2to3", "test", "this", "tkinter", "turtle", "venv"}
)


def mentioned(compiled: bytes) -> set[str]:
    """The modules of the standard library whose names a compiled module holds: those that it may import.

    Some names are there for other reasons; they cost a few files. Names of fewer than four letters tell nothing.
    """
    found = cached("mentioned", (), compiled, lambda: "\n".join(sorted(_mentioned(compiled))).encode())
    return set(found.decode().split())


def _mentioned(compiled: bytes) -> set[str]:
    names = {name for name in sys.stdlib_module_names if len(name) > 3 and name[0] != "_"}
    return {name for name in names - _NEVER_IMPORTED if name.encode() in compiled}


class Finder:
    """Finds modules on a search path as the interpreter would, without importing them."""

    def __init__(self, path: Iterable[str]) -> None:
        self._path = [p for p in path if p and Path(p).is_dir()]
        self._specs: dict[str, importlib.machinery.ModuleSpec | None] = {}

    def spec(self, name: str) -> importlib.machinery.ModuleSpec | None:
        """The module's specification, None when it is not found or is built into the interpreter."""
        if name not in self._specs:
            parent, _, _ = name.rpartition(".")
            path: list[str] | None = self._path
            if parent:
                above = self.spec(parent)
                path = list(above.submodule_search_locations or ()) if above else None
            self._specs[name] = self._find(name, path) if path else None
        return self._specs[name]

    @staticmethod
    def _find(name: str, path: list[str]) -> importlib.machinery.ModuleSpec | None:
        """Asked for by its last name: a namespace package below another would else want its parent imported."""
        spec = importlib.machinery.PathFinder.find_spec(name.rpartition(".")[2], path)
        if spec is not None and spec.submodule_search_locations is not None:
            # A namespace's locations are searched for again when `sys.path` changes; these are of this path.
            spec.submodule_search_locations = list(spec.submodule_search_locations)
        return spec

    def module(self, name: str) -> Module | None:
        """The module's file, None when there is none."""
        spec = self.spec(name)
        if spec is None or not spec.has_location or spec.origin is None:
            return None
        file = Path(spec.origin)
        depth = name.count(".") + (1 if spec.submodule_search_locations is not None else 0)
        return Module(name, file, file.parents[depth])


def closure(finder: Finder, names: Iterable[str], sources: Iterable[Path], stdlib: Iterable[str]) -> list[Module]:
    """Every module that the names given, and the sources given, can lead to; sorted by name.

    `stdlib` are the folders of the standard library.
    """
    library = set(stdlib)
    waiting = list(names)
    for source in sources:
        waiting += imports(source.read_bytes(), "", str(source))
    seen: set[str] = set()
    found: dict[str, Module] = {}
    while waiting:
        name = waiting.pop()
        if name in seen or not name:
            continue
        seen.add(name)
        waiting += HIDDEN.get(name, ())
        parent = name.rpartition(".")[0]
        if parent:
            waiting.append(parent)
        module = finder.module(name)
        if module is None:
            continue
        found[name] = module
        if module.is_source:
            is_package = module.file.name == "__init__.py"
            waiting += imports(
                *(module.file.read_bytes(), name if is_package else parent, str(module.file)),
                functions=str(module.root) not in library,
            )
    return [found[name] for name in sorted(found)]
