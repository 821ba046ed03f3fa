"""What a package is, in one place, read from its `pyproject.toml`.

Everything else that says the same again (build system, module name, opam file, guide page, matrix, table) follows from
this, and is generated or checked.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from .errors import InvalidDescription

__all__ = ["TIERS", "Description", "read"]

TIERS = ("core", "driver", "tool", "incubating")


@dataclass(frozen=True, slots=True)
class Description:
    """One package of the tree."""

    family: str
    name: str
    """The folder's name: the distribution's without its ``mirage-``."""
    summary: str
    version: str = "0.1.0"
    dependencies: tuple[str, ...] = ("mirage-types>=0.1,<0.2",)
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    test: tuple[str, ...] = ("pytest>=8", "hypothesis>=6.100")
    requires_python: str = ">=3.11"
    licence: str = "ISC"
    tier: str = "incubating"
    systems: tuple[str, ...] = ()

    @property
    def distribution(self) -> str:
        """The name under which it is published."""
        return f"mirage-{self.name}"

    @property
    def module(self) -> str:
        """The name under which it is imported."""
        return f"mirage.{self.name.replace('-', '_')}"

    @property
    def guide(self) -> str:
        """Its page below ``docs/``; ``index.md`` is the guide's own first page."""
        return "package-index.md" if self.name == "index" else f"{self.name}.md"


def read(text: str, family: str, name: str) -> Description:
    """The description in a `pyproject.toml` that lies in ``packages/FAMILY/NAME``. Raises `InvalidDescription`."""
    where = f"packages/{family}/{name}/pyproject.toml"
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidDescription(f"{where} is no TOML: {error}") from error
    project = _table(data, "project", where)
    ours = _table(_table(data, "tool", where), "mirage", where)
    groups = data.get("dependency-groups", {})
    requirements = _strings(project, "dependencies", where)
    extras = {
        e: _strings(project.get("optional-dependencies", {}), e, where)
        for e in project.get("optional-dependencies", {})
    }
    for requirement in (*requirements, *(r for group in extras.values() for r in group)):
        try:
            Requirement(requirement)
        except InvalidRequirement as error:
            raise InvalidDescription(f"{where}: {requirement!r} is no requirement: {error}") from error
    tier = ours.get("tier")
    if tier not in TIERS:
        raise InvalidDescription(f"{where}: [tool.mirage] tier is {tier!r}; it is one of {', '.join(TIERS)}")
    return Description(
        family,
        name,
        _string(project, "description", where),
        _string(project, "version", where),
        requirements,
        extras,
        {str(k): str(v) for k, v in project.get("scripts", {}).items()},
        tuple(r for r in groups.get("test", ()) if isinstance(r, str)),
        _string(project, "requires-python", where),
        _string(project, "license", where),
        tier,
        _strings(ours, "systems", where),
    )


def _table(data: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    found = data.get(key)
    if not isinstance(found, dict):
        raise InvalidDescription(f"{where} has no table {key}")
    return found


def _string(data: Mapping[str, Any], key: str, where: str) -> str:
    found = data.get(key)
    if not isinstance(found, str) or not found:
        raise InvalidDescription(f"{where} has no {key}")
    return found


def _strings(data: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    found = data.get(key, [])
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise InvalidDescription(f"{where}: {key} is no list of strings")
    return tuple(found)
