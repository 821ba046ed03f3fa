"""The form of the tree: what every package has, and what nobody may add."""

from __future__ import annotations

import re
import subprocess

import pytest

from tasks.tree import ROOT, Package, packages

PACKAGES = packages()
KINDS = {"added", "changed", "deprecated", "removed", "fixed", "security"}


def test_there_are_packages() -> None:
    """The checks below look at something."""
    assert PACKAGES


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.short)
def test_mirage_stays_a_namespace(package: Package) -> None:
    """A `src/mirage/__init__.py` in one package would hide every other (PEP 420)."""
    assert not (package.path / "src" / "mirage" / "__init__.py").exists()
    assert (package.source / "__init__.py").read_text().startswith('"""'), "__init__.py says what the package is"
    assert (package.source / "py.typed").exists()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.short)
def test_a_package_is_whole(package: Package) -> None:
    """Code comes with its description, tests, change fragment and guide page."""
    project = package.pyproject["project"]
    assert project["description"]
    assert not project["description"].endswith(".")
    assert project["license"] == "ISC"
    assert project["requires-python"] == ">=3.11"
    assert package.pyproject["tool"]["mirage"]["tier"] in {"core", "driver", "tool", "incubating"}
    assert (package.path / "README.md").read_text().startswith(f"# {package.name}\n")
    assert list((package.path / "tests").glob("test_*.py"))
    assert package.guide.exists(), f"docs/{package.guide.name} is the package's guide page"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.short)
def test_change_fragments_have_a_kind_and_a_sentence(package: Package) -> None:
    """`changes.d/TOPIC.KIND.md` holds text that a release note can carry."""
    for fragment in (package.path / "changes.d").glob("*"):
        found = re.fullmatch(r"[a-z0-9-]+\.([a-z]+)\.md", fragment.name)
        assert found, f"{fragment} is not named TOPIC.KIND.md"
        assert found[1] in KINDS, f"{fragment}: the kinds are {', '.join(sorted(KINDS))}"
        assert fragment.read_text().strip().endswith((".", "!")), f"{fragment} is no sentence"


@pytest.mark.parametrize("name", ["constraints.txt", "ci.lock.txt"])
def test_locks_name_no_registry(name: str) -> None:
    """Lock files work with whatever index a machine is set up with."""
    text = (ROOT / name).read_text()
    assert "==" in text
    assert "://" not in text
    assert "--index" not in text


def test_no_lock_that_records_hosts_is_tracked() -> None:
    """`uv.lock` and `pylock.toml` record registry hosts."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert not [f for f in tracked if re.search(r"(^|/)(uv\.lock|pylock.*\.toml)$", f)]


def test_no_workspace_and_no_uv_sources() -> None:
    """Either would break pins of git branches."""
    for pyproject in [ROOT / "pyproject.toml", *(p.path / "pyproject.toml" for p in PACKAGES)]:
        text = pyproject.read_text()
        assert "[tool.uv.workspace]" not in text, pyproject
        assert "[tool.uv.sources" not in text, pyproject
