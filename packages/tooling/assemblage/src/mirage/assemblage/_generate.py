"""From a description to files. Each function is pure, and the same description gives the same text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mirage.index import formula
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from ._description import Description

__all__ = ["guide_stub", "matrix", "opam", "pyproject", "required_parts", "table", "value_at"]

PYTHONS = ("3.11", "3.12", "3.13")
"""What the gates run with."""


def pyproject(what: Description) -> str:
    """The whole `pyproject.toml` of a package that has nothing beside its description."""
    lines = [
        "[build-system]",
        'requires = ["uv_build>=0.9,<1"]',
        'build-backend = "uv_build"',
        "",
        "[project]",
        f"name = {_quoted(what.distribution)}",
        f"version = {_quoted(what.version)}",
        f"description = {_quoted(what.summary)}",
        'readme = "README.md"',
        f"requires-python = {_quoted(what.requires_python)}",
        f"license = {_quoted(what.licence)}",
        f"dependencies = {_list(what.dependencies)}",
    ]
    if what.extras:
        lines += ["", "[project.optional-dependencies]"]
        lines += [f"{_key(name)} = {_list(needs)}" for name, needs in sorted(what.extras.items())]
    if what.scripts:
        lines += ["", "[project.scripts]"]
        lines += [f"{_key(name)} = {_quoted(target)}" for name, target in sorted(what.scripts.items())]
    lines += ["", "[dependency-groups]", f"test = {_list(what.test)}"]
    lines += ["", "[tool.uv.build-backend]", f"module-name = {_quoted(what.module)}"]
    lines += ["", "[tool.mirage]", f"tier = {_quoted(what.tier)}", f"systems = {_list(what.systems)}"]
    return "\n".join(lines) + "\n"


def required_parts(what: Description) -> dict[str, str]:
    """The keys of a `pyproject.toml` that its place in the tree decides, dotted, each with what it has to be."""
    return {
        "project.name": what.distribution,
        "project.readme": "README.md",
        "project.requires-python": ">=3.11",
        "project.license": "ISC",
        "tool.uv.build-backend.module-name": what.module,
    }


def opam(what: Description) -> str:
    """The opam file of the source tree, for ``opam pin``; a release's own is made by `mirage.index` from its wheel.

    What others publish is not in it: opam's switch takes that from the machine's Python.
    """
    depends = ['  "mirage-python"']
    for text in sorted(what.dependencies):
        requirement = Requirement(text)
        if canonicalize_name(requirement.name).startswith("mirage-") and requirement.marker is None:
            bounds = formula(requirement.specifier)
            depends.append(f'  "{canonicalize_name(requirement.name)}"' + (f" {{{bounds}}}" if bounds else ""))
    lines = [
        'opam-version: "2.0"',
        f"synopsis: {_quoted(what.summary)}",
        'maintainer: "MirageOS in Python"',
        'authors: "MirageOS in Python"',
        f"license: {_quoted(what.licence)}",
        "depends: [",
        *depends,
        "]",
        "install: [",
        '  ["mkdir" "-p" "%{lib}%/python/mirage"]',
        f'  ["cp" "-r" "src/mirage/{what.module.removeprefix("mirage.")}" "%{{lib}}%/python/mirage/"]',
        "]",
    ]
    return "\n".join(lines) + "\n"


def guide_stub(what: Description, order: int, example: str) -> str:
    """A guide page to begin with: its front matter, an example that runs, and the place for what is missing."""
    return (
        f"---\ntitle: {what.name}\nsummary: {what.summary}.\npackage: {what.distribution}\norder: {order}\n---\n\n"
        f"{what.summary}.\n\n```python\n{example.strip()}\n```\n\n## What is missing\n\n"
        "The package is a scaffold: its message format is an example, to be replaced.\n"
    )


def matrix(packages: Iterable[Description]) -> dict[str, list[dict[str, str]]]:
    """A matrix for CI: each package with each Python that it admits."""
    return {
        "include": [
            {"package": p.name, "family": p.family, "python": python}
            for p in packages
            for python in PYTHONS
            if SpecifierSet(p.requires_python).contains(python)
        ]
    }


def table(packages: Iterable[Description]) -> str:
    """The packages as a table in Markdown, each linked to its page of the guide."""
    rows = [
        f"| [{p.distribution}]({p.guide}) | {p.family} | {p.tier} | {p.summary.replace('|', chr(92) + '|')} |"
        for p in packages
    ]
    return "\n".join(["| package | family | tier | what it is |", "|---|---|---|---|", *rows, ""])


def value_at(data: Mapping[str, Any], dotted: str) -> object:
    """The value under a dotted key, None where it is absent."""
    found: Any = data
    for key in dotted.split("."):
        if not isinstance(found, dict) or key not in found:
            return None
        found = found[key]
    return found


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _list(items: Iterable[str]) -> str:
    return "[" + ", ".join(map(_quoted, items)) + "]"


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else _quoted(name)
