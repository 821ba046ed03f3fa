"""The house's statics: which package may import which, and that what is declared is what is used."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tasks.tree import MAY_IMPORT, Package, canonical, packages, requirement_name

PACKAGES = packages()
BY_NAME = {p.name: p for p in PACKAGES}
BY_MODULE = {p.module: p for p in PACKAGES}
DISTRIBUTIONS = packages_distributions()


def imported_modules(source: Path) -> Iterator[tuple[Path, str]]:
    """Every absolute module name that the files below `source` import, function bodies included."""
    for file in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(), str(file))):
            if isinstance(node, ast.Import):
                yield from ((file, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                if node.module == "mirage":
                    yield from ((file, f"mirage.{alias.name}") for alias in node.names)
                else:
                    yield file, node.module


def imported_distributions(package: Package) -> dict[str, Path]:
    """The distributions that a package imports, each with a file that does, the standard library left out."""
    found: dict[str, Path] = {}
    for file, module in imported_modules(package.source):
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names or top in {"__future__", "test"}:  # `test`: CPython's own suite
            continue
        if top == "mirage":
            owner = BY_MODULE.get(".".join(module.split(".")[:2]))
            assert owner is not None, f"{file} imports {module}, which no package of the tree provides"
            if owner.name != package.name:
                found[owner.name] = file
        else:
            providers = {canonical(d) for d in DISTRIBUTIONS.get(top, ())}
            assert providers, f"{file} imports {module}, which nothing installed provides; declare what does"
            found.update(dict.fromkeys(providers, file))
    return found


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.short)
def test_a_package_lives_in_a_family_of_the_table(package: Package) -> None:
    """The folder above a package is one of the families."""
    assert package.family in MAY_IMPORT, f"{package.path}: the families are {', '.join(MAY_IMPORT)}"
    assert package.pyproject["project"]["name"] == package.name
    assert package.pyproject["tool"]["uv"]["build-backend"]["module-name"] == package.module


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.short)
def test_imports_go_downwards(package: Package) -> None:
    """A package imports from its own family and from the families that the table permits, no other."""
    permitted = MAY_IMPORT[package.family] | {package.family}
    for name, file in imported_distributions(package).items():
        if name in BY_NAME:
            family = BY_NAME[name].family
            assert family in permitted, f"{file} imports {name}: {package.family} may not import {family}"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.short)
def test_what_is_declared_is_what_is_imported(package: Package) -> None:
    """Dependencies are exactly the distributions that the code imports."""
    declared = {requirement_name(r) for r in package.dependencies}
    used = imported_distributions(package)
    undeclared = {name: str(file) for name, file in used.items() if name not in declared}
    assert not undeclared, f"imported and not declared in {package.path}/pyproject.toml: {undeclared}"
    assert not declared - used.keys(), f"declared in {package.path}/pyproject.toml and never imported"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.short)
def test_a_dependency_has_a_floor_and_a_ceiling(package: Package) -> None:
    """What we need is said from below and from above: `lowest` proves the floor, the bot watches the ceiling."""
    for requirement in package.dependencies:
        specifier = requirement.partition(";")[0]
        assert ">=" in specifier, f"{requirement!r} has no floor"
        assert "<" in specifier.replace("<=", ""), f"{requirement!r} has no ceiling"


def test_imports_form_no_circle() -> None:
    """Packages can be put in an order in which each comes after what it needs."""
    needs = {p.name: {n for n in map(requirement_name, p.dependencies) if n in BY_NAME} for p in PACKAGES}
    while needs:
        ready = {name for name, wanted in needs.items() if not wanted & needs.keys()}
        assert ready, f"these need each other in a circle: {sorted(needs)}"
        needs = {name: wanted for name, wanted in needs.items() if name not in ready}
