"""The `mirage-assemblage` command. Exit codes: 0 done, 1 files have drifted or cannot be read, 2 wrong command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mirage.types import MirageError

from ._description import Description
from ._drift import descriptions, drift
from ._generate import matrix, opam, pyproject, table
from .errors import AssemblageError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        "mirage-assemblage", description="Packages' descriptions, and what follows from them."
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the tree (default: here)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, words in (
        ("check", "show where files have drifted from the descriptions"),
        ("matrix", "the matrix for CI, as JSON"),
        ("table", "the packages as a table"),
        ("show", "a package's description, as JSON"),
        ("pyproject", "a package's pyproject.toml as its description alone makes it"),
        ("opam", "a package's opam file for the source tree"),
    ):
        made = commands.add_parser(name, help=words, description=words)
        if name in {"show", "pyproject", "opam"}:
            made.add_argument("name")
    try:
        chosen = parser.parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    try:
        return _run(chosen)
    except MirageError as error:
        print(f"mirage-assemblage: {error}", file=sys.stderr)
        return 1


def _run(chosen: argparse.Namespace) -> int:
    if chosen.command == "check":
        found = drift(chosen.root)
        print("\n".join(found) or "every file says what its package's description says")
        return 1 if found else 0
    every = descriptions(chosen.root)
    if chosen.command == "matrix":
        print(json.dumps(matrix(every)))
    elif chosen.command == "table":
        print(table(every), end="")
    else:
        what = _named(every, chosen.name)
        made = {"pyproject": pyproject, "opam": opam, "show": _shown}
        print(made[chosen.command](what), end="")
    return 0


def _shown(what: Description) -> str:
    return json.dumps(asdict(what), indent=2) + "\n"


def _named(every: list[Description], name: str) -> Description:
    for what in every:
        if name in {what.name, what.distribution}:
            return what
    raise AssemblageError(f"there is no package {name}; there are {', '.join(p.name for p in every)}")
