"""What the train does with git, on a made-up repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from release.errors import Failed
from release.git import Git

from .conftest import Tree


def test_a_commit_takes_just_its_paths_and_is_made_once(tree: Tree) -> None:
    """Somebody's own staged and unstaged work stays as it is; the trailer finds the commit again."""
    git = Git(tree.root)
    tree.write("mine.txt", "staged")
    tree.git("add", "mine.txt")
    tree.write("README.md", "unstaged")
    tree.write("a/journal.json", "{}")
    tree.write(".gitignore", "_build/\na/\n")
    made = git.commit(["a/journal.json"], "release: a test", "Train: x/plan")
    assert tree.git("show", "--name-only", "--format=", made).split() == ["a/journal.json"]
    assert git.commit(["a/journal.json"], "release: a test", "Train: x/plan") == made
    assert git.find("Train: x/plan") == made
    assert git.find("Train: x/pl.n") is None
    assert tree.git("status", "--porcelain", "-uall").splitlines() == [" M .gitignore", "A  mine.txt", "?? README.md"]


def test_a_commit_that_was_stopped_after_it_staged_a_removal(tree: Tree) -> None:
    """git forgets a path that is staged as removed; the commit is made all the same."""
    path = "packages/core/base/changes.d/first.added.md"
    (tree.root / path).unlink()
    tree.git("add", "--all", path)
    made = Git(tree.root).commit([path], "gone", "Train: x/announce")
    assert tree.git("show", "--name-status", "--format=", made).split() == ["D", path]
    assert not Git(tree.root).dirty()


def test_dirt(tree: Tree) -> None:
    """Changed, new and removed files, names with spaces; what is beside it is not counted."""
    git = Git(tree.root)
    assert git.dirty() == []
    tree.write("a new file", "x")
    tree.write("site/pyproject.toml", "x")
    tree.write("_work/x", "x")
    (tree.root / "integration/__init__.py").unlink()
    assert set(git.dirty(["_work/"])) == {"a new file", "site/pyproject.toml", "integration/__init__.py"}


def test_an_export_is_the_commit_and_no_stray_file(tree: Tree, tmp_path: Path) -> None:
    """What lies about in the working tree gets into no release."""
    git, head = Git(tree.root), Git(tree.root).head()
    tree.write("packages/core/base/src/mirage/base/stray.py", "x")
    tree.write("packages/core/base/README.md", "changed")
    git.export(head, ["packages/core/base", "not/there"], tmp_path / "out")
    found = tmp_path / "out/packages/core/base"
    assert sorted(p.name for p in (found / "src/mirage/base").iterdir()) == ["__init__.py"]
    assert "changed" not in (found / "README.md").read_text()
    assert not (tmp_path / "out/packages/core/top").exists()


def test_a_tag_never_moves(tree: Tree) -> None:
    """It is made once; elsewhere, it is an error."""
    git, first = Git(tree.root), Git(tree.root).head()
    assert git.tag("mirage-base-0.1.0", first, "x") is True
    assert git.tag("mirage-base-0.1.0", first, "x") is False
    tree.write("x", "x")
    with pytest.raises(Failed, match=r"the tag mirage-base-0\.1\.0 is at"):
        git.tag("mirage-base-0.1.0", tree.commit(), "x")
