"""`mirage query FACT`: single facts about an application, for scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .application import collect, modules_of
from .bom import files_hash
from .distributions import closure, files_of, fingerprint
from .program import data_names, generate
from .project import Project

__all__ = ["QUERIES", "answer"]


def answer(what: str, project: Project) -> Any:
    """A text or a list of texts or of records, ready for JSON."""
    return QUERIES[what](project)


def _keys(project: Project) -> list[dict[str, Any]]:
    return [
        {"name": one.key.name, "value": one.shown, "origin": one.origin, "doc": one.key.doc}
        for one in project.settings.values()
    ]


def _boot_arguments(project: Project) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "default": one.kind.show(one.default), "kind": one.kind.name, "doc": one.doc}
        for one in project.graph.boot_arguments
    ]


def _devices(project: Project) -> list[dict[str, Any]]:
    return [{"name": one.title, "type": one.typ.name} for one in project.graph.devices]


def _bom(project: Project) -> list[dict[str, Any]]:
    asked = [(package, node.title) for node in project.graph.devices for package in node.device.packages]
    return [
        {
            "name": one.name,
            "version": one.version,
            "sha256": files_hash(files_of(one, fingerprint(one))),
            "licence": one.licence,
        }
        for one in closure(asked)
    ]


def _modules(project: Project) -> list[str]:
    return sorted(collect(project.folder, modules_of(project.graph.devices, project.folder)))


def _files(project: Project) -> list[str]:
    names = ["main.py", "context.json", "stamp.json", f"{project.name}.bom.json", f"{project.name}.pyz"]
    return [str(project.build_dir / name) for name in names]


QUERIES: Mapping[str, Callable[[Project], Any]] = {
    "name": lambda project: project.name,
    "target": lambda project: project.target.name,
    "artifact": lambda project: str(project.artifact),
    "packages": lambda project: list(project.graph.packages),
    "keys": _keys,
    "boot-arguments": _boot_arguments,
    "devices": _devices,
    "modules": _modules,
    "data": lambda project: sorted(data_names(project.graph.devices).values()),
    "files": _files,
    "main": generate,
    "bom": _bom,
}
