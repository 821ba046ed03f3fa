"""What counts as a change of a package, seen in a real history."""

from __future__ import annotations

import json

import pytest

from release import survey
from release.errors import Refused, TrainError
from release.model import Need

from .conftest import Tree


@pytest.fixture
def released(tree: Tree) -> Tree:
    """The made-up tree, all of it released."""
    commit = tree.git("rev-parse", "HEAD").strip()
    releases: list[dict[str, object]] = [
        {"name": f"mirage-{name}", "version": "0.1.0", "commit": commit, "yanked": None, "files": []}
        for name in ("base", "middle", "top")
    ]
    tree.write("site/index/releases.json", json.dumps(releases))
    return tree


PLACE = "packages/core/base"


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("src/mirage/base/__init__.py", "return 2", "return 3", True),
        ("README.md", "test", "trial", True),
        ("pyproject.toml", "The base", "A base", True),
        ("pyproject.toml", "uv_build>=0.9", "uv_build>=0.9.1", True),
        ("pyproject.toml", "pytest>=8", "pytest>=9", False),
        ("pyproject.toml", "[dependency-groups]", "[tool.mirage]\n[dependency-groups]", False),
        ("tests/test_base.py", "there", "here", False),
        ("changes.d/first.added.md", "base", "it", False),
    ],
)
def test_only_what_is_distributed_counts(released: Tree, file: str, old: str, new: str, changed: bool) -> None:
    """Tests, fragments and what only developers need change no release."""
    before = (released.root / PLACE / file).read_text()
    assert old in before
    released.write(f"{PLACE}/{file}", before.replace(old, new))
    released.commit()
    assert survey.survey(released.root).changed == ({"mirage-base": (file,)} if changed else {})


def test_a_folder_whose_name_begins_alike_is_another(released: Tree) -> None:
    """packages/core/base and packages/core/base-more."""
    released.package("base-more")
    released.commit()
    assert survey.survey(released.root).changed == {}


def test_what_breaks_and_who_needs_what_is_new(released: Tree) -> None:
    """From the sources at two commits."""
    released.write(
        f"{PLACE}/src/mirage/base/__init__.py", '"""base."""\ndef one(x, y): ...\ndef two(): ...\ndef later(): ...\n'
    )
    released.write("packages/core/top/src/mirage/top/__init__.py", "from mirage.base import later, two\n")
    released.commit()
    found = survey.survey(released.root)
    assert found.breaks == {"mirage-base": ("mirage.base.one: parameter was added as required",)}
    (need,) = found.needs["mirage-top", "mirage-base"]
    assert need == Need("mirage.base.later", "src/mirage/top/__init__.py:1", None)


def test_a_history_that_is_not_here(released: Tree) -> None:
    """A shallow clone cannot be planned from, and is told so."""
    text = (released.root / "site/index/releases.json").read_text()
    commit = json.loads(text)[0]["commit"]
    released.write("site/index/releases.json", text.replace(commit, "c" * 40))
    with pytest.raises(TrainError, match="fetch the whole history"):
        survey.survey(released.root)


def test_a_fragment_of_no_kind(tree: Tree) -> None:
    """The kinds are named."""
    tree.fragment("base", "x.wrong", "It is.")
    with pytest.raises(Refused, match=r"x\.wrong\.md is not TOPIC\.KIND\.md; the kinds are added, changed"):
        survey.survey(tree.root)
