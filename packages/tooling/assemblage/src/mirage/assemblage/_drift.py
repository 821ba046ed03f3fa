"""Where the files of a tree have drifted from its descriptions, each as a diff that says how to mend it."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from pathlib import Path

from ._description import Description, read
from ._generate import matrix, required_parts, value_at

__all__ = ["descriptions", "drift"]

WORKFLOW = ".github/workflows/ci.yml"


def descriptions(root: Path) -> list[Description]:
    """Every package below ``packages/``, in order. Raises `InvalidDescription`."""
    files = sorted(root.glob("packages/*/*/pyproject.toml"))
    return [read(f.read_text(), f.parent.parent.name, f.parent.name) for f in files]


def drift(root: Path) -> list[str]:
    """A unified diff for each file that does not say what its package's description says; none when all is well."""
    found = []
    for what in descriptions(root):
        place = Path("packages", what.family, what.name)
        pyproject = tomllib.loads((root / place / "pyproject.toml").read_text())
        wanted = required_parts(what)
        here = {key: value_at(pyproject, key) for key in wanted}
        found += _diff(f"{place}/pyproject.toml", _parts(here), _parts(dict(wanted)))
        found += _page(root, what)
    return found + _workflow(root)


def _workflow(root: Path) -> list[str]:
    """The workflow's gates run with each Python that the matrix has; one line of it says so, as a list."""
    path = root / WORKFLOW
    if not path.exists():
        return []
    pythons = sorted({row["python"] for row in matrix(descriptions(root))["include"]}, key=_number)
    line = re.search(r"^ *python: (\[.*\]) *$", path.read_text(), re.MULTILINE)
    return _diff(WORKFLOW, [f"python: {line[1]}"] if line else [], [f"python: {json.dumps(pythons)}"])


def _number(python: str) -> tuple[int, ...]:
    return tuple(map(int, python.split(".")))


def _page(root: Path, what: Description) -> list[str]:
    """The guide page exists, and its front matter names the package and has a title, a summary and an order."""
    path = root / "docs" / what.guide
    text = path.read_text() if path.exists() else ""
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    fields = dict(line.partition(": ")[::2] for line in front[1].splitlines()) if front else {}
    wanted = {"package": what.distribution}
    wanted |= {key: fields.get(key) or "..." for key in ("title", "summary", "order")}
    here = {key: fields.get(key) for key in wanted}
    return _diff(f"docs/{what.guide}", _parts(dict(here)), _parts(dict(wanted)))


def _parts(values: dict[str, object]) -> list[str]:
    return [f"{key}: {value}" for key, value in sorted(values.items()) if value is not None]


def _diff(name: str, here: list[str], wanted: list[str]) -> list[str]:
    lines = list(difflib.unified_diff(here, wanted, name, f"{name}, as described", lineterm="", n=1))
    return ["\n".join(lines)] if lines else []
