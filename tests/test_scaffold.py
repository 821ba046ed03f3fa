"""`./noxw -s new` makes a package that passes every gate at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import scaffold
from tasks.tree import ROOT


def run(*command: str, cwd: Path, **environment: str) -> None:
    """Run one gate and show its output when it fails."""
    result = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An empty tree with the shared settings."""
    for name in ("pyproject.toml", "conftest.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pioneer", "irmin-like"])
def test_a_new_package_passes_every_gate(tree: Path, name: str) -> None:
    """Formatted, without lint, typed, tested; its README's example runs."""
    told = scaffold.create(tree, "storage", name)
    assert f"./noxw -s tests -- {name}" in told
    package = tree / "packages" / "storage" / name
    run("ruff", "format", "--check", ".", cwd=tree)
    run("ruff", "check", ".", cwd=tree)
    run("mypy", "packages/storage", cwd=tree, MYPYPATH=f"{package / 'src'}:{ROOT / 'packages/core/types/src'}")
    # `mirage` is a namespace: one more entry on the path is all that an installation adds.
    run("pytest", "-q", "-p", "no:cacheprovider", "packages", cwd=tree, PYTHONPATH=str(package / "src"))
    for page in (package / "README.md", tree / "docs" / f"{name}.md"):
        example = page.read_text().split("```python\n")[1].split("```")[0]
        subprocess.run(
            [sys.executable, "-c", example], env={**os.environ, "PYTHONPATH": str(package / "src")}, check=True
        )


@pytest.mark.parametrize(
    ("family", "name", "expected"),
    [
        ("stock", "tcpip", "the families are"),
        ("stack", "TCPIP", "is no package name"),
        ("stack", "a/../b", "is no package name"),
        ("stack", "-x", "is no package name"),
    ],
)
def test_a_bad_request_is_refused_and_writes_nothing(tree: Path, family: str, name: str, expected: str) -> None:
    """The message says what is allowed."""
    with pytest.raises(scaffold.Refused, match=expected):
        scaffold.create(tree, family, name)
    assert not (tree / "packages").exists()


def test_nothing_is_overwritten(tree: Path) -> None:
    """A second call for the same name, in any family, is refused."""
    scaffold.create(tree, "stack", "pioneer")
    readme = tree / "packages/stack/pioneer/README.md"
    readme.write_text("mine")
    with pytest.raises(scaffold.Refused, match="exists"):
        scaffold.create(tree, "web", "pioneer")
    assert readme.read_text() == "mine"
