"""A small tree that is made up, so that a whole train takes seconds."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

PYPROJECT = """\
[build-system]
requires = ["uv_build>=0.9,<1"]
build-backend = "uv_build"

[project]
name = "mirage-{name}"
version = "{version}"
description = "The {name} of a test"
readme = "README.md"
requires-python = ">=3.11"
license = "ISC"
dependencies = [{needs}]

[dependency-groups]
test = ["pytest>=8"]

[tool.uv.build-backend]
module-name = "mirage.{name}"
"""

TEST = "import mirage.{name}\n\n\ndef test_there():\n    assert mirage.{name}\n"

WEBSITE = '''"""Stands for the website: imports every package, and says that it served a page."""
import mirage.base, mirage.middle, mirage.top
assert "site-packages" in mirage.base.__file__, mirage.base.__file__
print("website: 1 pages, 0 links, 0 broken, target unix")
'''


class Tree:
    """The made-up tree: three packages, each of which needs the one before it, and a site."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def git(self, *words: str) -> str:
        result = subprocess.run(["git", *words], cwd=self.root, check=True, capture_output=True, text=True)
        return result.stdout

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def package(self, name: str, needs: Sequence[str] = (), code: str = "", version: str = "0.1.0") -> None:
        place = f"packages/core/{name}"
        listed = ", ".join(f'"{need}"' for need in needs)
        self.write(f"{place}/pyproject.toml", PYPROJECT.format(name=name, version=version, needs=listed))
        self.write(f"{place}/README.md", f"# mirage-{name}\n\nOf a test.\n")
        self.write(f"{place}/src/mirage/{name}/__init__.py", f'"""{name}."""\n{code}')
        self.write(f"{place}/tests/test_{name}.py", TEST.format(name=name))
        self.fragment(name, "first.added", f"There is {name}.")

    def fragment(self, name: str, topic: str, text: str) -> None:
        self.write(f"packages/core/{name}/changes.d/{topic}.md", f"{text}\n")

    def commit(self, message: str = "a change") -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)
        return self.git("rev-parse", "HEAD").strip()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as it is before its first release."""
    tree = Tree(tmp_path_factory.mktemp("template") / "tree")
    tree.root.mkdir()
    tree.git("init", "--quiet", "-b", "main")
    for key, value in (("user.name", "Somebody"), ("user.email", "somebody@example.org"), ("commit.gpgsign", "false")):
        tree.git("config", key, value)
    tree.package("base", code="def one(x):\n    return x\n\n\ndef two():\n    return 2\n")
    tree.package("middle", ["mirage-base>=0.1,<0.2"], "from mirage.base import one\n\nthree = one(3)\n")
    tree.package("top", ["mirage-middle>=0.1,<0.2", "mirage-base>=0.1,<0.2"], "from mirage.middle import three\n")
    tree.write("site/content/site.md", "---\ntitle: A test\nurl: https://mirage.example\n---\n")
    tree.write(
        "site/pyproject.toml", '[project]\nname = "site"\nversion = "0"\ndependencies = ["mirage-top>=0.1,<0.2"]\n'
    )
    tree.write("integration/__init__.py", '"""Of a test."""\n')
    tree.write("integration/website.py", WEBSITE)
    tree.write(".gitignore", "_build/\n")
    tree.commit("the tree")
    return tree.root


@pytest.fixture
def tree(template: Path, tmp_path: Path) -> Tree:
    """A copy of the made-up tree."""
    subprocess.run(["cp", "-r", str(template), str(tmp_path / "tree")], check=True)
    return Tree(tmp_path / "tree")


@pytest.fixture
def clock() -> Callable[[], float]:
    """The 25th of November 2026, at noon."""
    return lambda: 1_795_608_000.0
