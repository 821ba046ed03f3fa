"""The public API of a package, read from its source by griffe: what of it breaks, and which names are new.

Nothing is imported or run: both versions are parsed. Public is what griffe takes for it: what `__all__` lists, or has
no leading underscore.
"""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

import griffe
from griffe import Module

__all__ = ["Module", "breaks", "imported", "lacks", "load"]

logging.getLogger("griffe").setLevel(logging.ERROR)  # it tells of every name that it cannot follow into other packages


def load(source: Path, module: str) -> Module | None:
    """A package's API, from the folder that is on Python's path for it; None where it is not there."""
    loader = griffe.GriffeLoader(search_paths=[source], allow_inspection=False, store_source=False)
    try:
        found = loader.load(module, try_relative_path=False)
    except (ModuleNotFoundError, griffe.LoadingError):
        return None
    loader.resolve_aliases(external=False)
    return found if isinstance(found, Module) else None


def breaks(old: Module, new: Module) -> tuple[str, ...]:
    """What of the old API the new one does not keep, each in words, in the order of their names."""
    found = {breakage.obj.path: _told(breakage) for breakage in griffe.find_breaking_changes(old, new)}
    unlisted = {name: f"{name}: it is no longer in __all__" for name in _unlisted(old, new)}
    return tuple(sorted((unlisted | found).values()))


def imported(source: Path, module: str) -> set[str]:
    """The dotted names that the files below a folder import of a module, such as ``mirage.types.Digest``."""
    found = set()
    for file in sorted(source.rglob("*.py")):
        text = file.read_text()
        if module in text:
            found |= set(_imports(ast.parse(text, str(file)), module))
    return found


def lacks(api: Module, names: set[str]) -> tuple[str, ...]:
    """Which of the dotted names an API does not have, in order."""
    return tuple(sorted(name for name in names if not _has(api, name)))


def _unlisted(old: Module, new: Module) -> Iterator[str]:
    """The names that `__all__` listed and does not any more; griffe takes what is still defined for public."""
    kept = {str(name) for name in new.exports or ()}
    if new.exports is not None:
        yield from (f"{old.path}.{name}" for name in old.exports or () if str(name) not in kept)
    after = _own_modules(new)
    for name, below in _own_modules(old).items():
        if not name.startswith("_") and name in after:
            yield from _unlisted(below, after[name])


def _own_modules(module: Module) -> dict[str, Module]:
    """The modules that lie in a package, without those that its modules import: these may import each other."""
    return {name: member for name, member in module.members.items() if isinstance(member, Module)}


def _told(breakage: griffe.Breakage) -> str:
    what = breakage.kind.value
    return f"{breakage.obj.path}: {what[:1].lower()}{what[1:]}"


def _imports(tree: ast.AST, module: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module == module or node.module.startswith(f"{module}."):
                yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith(f"{module}."))


def _has(api: Module, name: str) -> bool:
    at: griffe.Object | griffe.Alias = api
    for part in name.removeprefix(f"{api.path}.").split("."):
        if part not in at.members:
            # What a module makes at run time (__getattr__) cannot be seen in its source.
            return "__getattr__" in at.members
        at = at.members[part]
        if at.is_alias:
            return True
    return True
