"""The public API of a package, read from its source by griffe: what of it breaks, and which names are new.

Nothing is imported or run: both versions are parsed. Public is what griffe takes for it: what `__all__` lists, or has
no leading underscore.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import griffe
from griffe import Module

__all__ = ["Fresh", "Module", "breaks", "fresh", "has", "load"]

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


@dataclass(frozen=True, slots=True)
class Fresh:
    """What an API has that an older one lacks, by the bare names that its users write."""

    members: Mapping[str, str]
    """The names that stand behind a dot, each with where it is defined: ``take``, ``mirage.tls.connection.Connection``.

    Those of private modules are among them, as their objects may be handed out; names that begin with an underscore,
    and what belongs to a class that does, are not.
    """
    keywords: Mapping[str, str]
    """The names that stand before a ``=`` in a call, each with what takes it: parameters that a function did not have,
    and attributes, which a dataclass takes too. Who passes one to a new function writes that function's name."""
    imports: frozenset[str]
    """Every new name, however private, since it can be imported."""


def fresh(old: Module, new: Module) -> Fresh:
    """What is new. A name that was there already in another place counts too: what has it cannot be seen in a use."""
    members: dict[str, str] = {}
    keywords: dict[str, str] = {}
    before = {each.path: each for each in _public(old)}
    for each in _public(new):
        parent = each.path.rpartition(".")[0]
        earlier = before.get(each.path)
        if earlier is not None:
            for name in _parameters(each) - _parameters(earlier):
                keywords.setdefault(name, each.path)
        elif each.name not in _CALLED:
            members.setdefault(each.name, parent)
            if isinstance(each, griffe.Attribute):
                keywords.setdefault(each.name, parent)
    imports = {name.rpartition(".")[2] for name in _names(new) - _names(old)}
    return Fresh(members, keywords, frozenset(imports))


def has(api: Module, name: str) -> bool:
    """Whether an API has a dotted name, such as ``mirage.types.Digest``; what is made at run time is taken on trust."""
    at: griffe.Object | griffe.Alias = api
    for part in name.removeprefix(f"{api.path}.").split("."):
        if part not in at.members:
            # What a module makes at run time (__getattr__) cannot be seen in its source.
            return "__getattr__" in at.members
        at = at.members[part]
        if at.is_alias:
            return True
    return True


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


def _names(api: griffe.Object) -> set[str]:
    """The dotted names of all that is defined or imported in an API."""
    found = set()
    for each in api.members.values():
        found.add(each.path)
        if isinstance(each, griffe.Module | griffe.Class):
            found |= _names(each)
    return found


def _public(api: griffe.Object) -> Iterator[griffe.Object | griffe.Alias]:
    """What is below an API and has no leading underscore, modules aside; imported names where they are exported."""
    for name, each in api.members.items():
        if isinstance(each, griffe.Module):
            yield from _public(each)
        elif isinstance(each, griffe.Alias):
            if each.is_exported:
                yield each
        elif not name.startswith("_") or name in _CALLED:
            yield each
            if isinstance(each, griffe.Class):
                yield from _public(each)


def _parameters(each: griffe.Object | griffe.Alias) -> set[str]:
    return {p.name for p in each.parameters} if isinstance(each, griffe.Function) else set()


_CALLED = {"__init__", "__call__", "__new__"}
"""Special methods whose parameters are those of the class or the object."""
