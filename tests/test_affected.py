"""Which packages `./noxw -s affected` takes for a change."""

from __future__ import annotations

import pytest

from tasks import tree

ALL = [p.short for p in tree.packages()]


def affected(*files: str) -> list[str]:
    """The packages that a change of these files reaches."""
    return [p.short for p in tree.affected_by(files)]


def test_a_package_reaches_what_depends_on_it() -> None:
    """Directly or not; what it depends on itself is not reached."""
    assert affected("packages/core/types/src/mirage/types/errors.py") == ALL
    reached = affected("packages/web/re/README.md")
    assert {"re", "opium"} <= set(reached)
    assert "types" not in reached


@pytest.mark.parametrize(
    "file", ["docs/kv.md", "site/content/pages/home.md", "tests/test_tree.py", "integration/crawl.py", "README.md"]
)
def test_what_lies_beside_the_packages_reaches_none(file: str) -> None:
    """The guards and the site's tests, which always run, are what reads these files."""
    assert affected(file) == []


@pytest.mark.parametrize("file", ["conftest.py", "pyproject.toml", "ci.lock.txt", "tasks/machine.py", "noxw"])
def test_what_all_packages_share_reaches_all(file: str) -> None:
    """However few files of packages are among the rest."""
    assert affected(file, "packages/web/re/README.md") == ALL


def test_nothing_reaches_nothing() -> None:
    """No change, no package."""
    assert affected() == []


def test_an_unknown_package_is_named_with_its_nearest() -> None:
    """A slip of the pen costs one look."""
    with pytest.raises(LookupError, match="did you mean cohttp"):
        tree.select(["cohtp"])
