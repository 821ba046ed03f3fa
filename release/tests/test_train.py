"""Whole trains on the made-up tree: the first, one with a break, a bad release and its patch train; and the gate."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from release import cli, signing
from release.index_data import IndexData
from release.journal import journals

from .conftest import Tree

QUICK = ["--without", "opam,pip,uv,newest,lowest,slow", "--accept-unverified"]
"""What installs and tests is tried elsewhere."""


@pytest.fixture
def release(tree: Tree, clock: Callable[[], float]) -> Callable[..., int]:
    """The command in the made-up tree; what stages say goes nowhere."""
    return lambda *words: cli.main(tree.root, words, cli.Shell(clock, lambda line: None))


def versions(tree: Tree) -> dict[str, list[str]]:
    return {name: [str(p.version) for p in each] for name, each in IndexData(tree.root).published().items()}


@pytest.mark.slow
def test_three_trains(tree: Tree, release: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """First releases; then a break that moves its users; then a yank, and a patch train of one package."""
    key = tree.root.parent / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    assert release("run", *QUICK, "--sign", str(key)) == 0
    assert versions(tree) == {f"mirage-{name}": ["0.1.0"] for name in ("base", "middle", "top")}
    assert tree.git("status", "--porcelain") == ""
    assert len(tree.git("tag").split()) == 3
    changelog = (tree.root / "packages/core/base/CHANGELOG.md").read_text()
    assert changelog == "# Changes of mirage-base\n\n## 0.1.0 - 2026-11-25\n\nAdded:\n\n- There is base.\n"
    assert not list(tree.root.glob("packages/*/*/changes.d/*"))
    assert "\n## mirage-base 0.1.0\n" in (tree.root / "release/trains/2026-11-25.notes.md").read_text()
    allowed = tree.root.parent / "allowed"
    allowed.write_text(f"release {key.with_suffix('.pub').read_text()}")
    for file in (tree.root / "site/index/files").glob("*.whl"):
        signing.verify(file, allowed, "release")
    assert (tree.root / "site/index/SHA256SUMS.sig").exists()

    assert release("run", *QUICK) == 1  # nothing has changed
    assert "nothing has changed" in capsys.readouterr().err

    tree.package("base", code="def two():\n    return 2\n\n\ndef later():\n    return 3\n")
    tree.package("middle", ["mirage-base>=0.1,<0.2"], "from mirage.base import later\n\nthree = later()\n")
    for name in ("base", "middle"):
        (tree.root / f"packages/core/{name}/changes.d/first.added.md").unlink()
    tree.fragment("base", "later.fixed", "one is gone, later is there.")
    tree.fragment("middle", "later.fixed", "It uses later.")
    tree.commit("one is gone")
    assert release("run", *QUICK) == 0, capsys.readouterr().err
    assert versions(tree) == {
        "mirage-base": ["0.1.0", "0.2.0"],
        "mirage-middle": ["0.1.0", "0.1.1"],
        "mirage-top": ["0.1.0", "0.1.1"],
    }
    bounds = {name: (tree.root / f"packages/core/{name}/pyproject.toml").read_text() for name in ("middle", "top")}
    assert '"mirage-base>=0.2.0,<0.3"' in bounds["middle"], "it imports what only 0.2.0 has"
    assert '"mirage-base>=0.1,<0.3"' in bounds["top"], "it runs with either"
    page = (tree.root / "release/trains/2026-11-25-2.md").read_text()
    assert "`mirage.base.one: public object was removed`" in page
    steps = json.loads((tree.root / "release/trains/2026-11-25-2.json").read_text())["stages"]["verify"]["steps"]
    assert steps == {"upgrade from the previous releases": 3}

    assert release("yank", "base==0.2.0", "two is wrong") == 0
    assert tree.git("status", "--porcelain") == ""
    assert IndexData(tree.root).published()["mirage-base"][-1].yanked == "two is wrong"
    tree.write(
        "packages/core/base/src/mirage/base/__init__.py", '"""base."""\ndef two():\n    return 2.0\ndef later(): ...\n'
    )
    tree.fragment("base", "two.fixed", "two is right.")
    tree.fragment("top", "unready.added", "Not yet.")
    tree.commit("two is right")
    assert release("run", "base", *QUICK) == 0, capsys.readouterr().err
    assert versions(tree)["mirage-base"] == ["0.1.0", "0.2.0", "0.2.1"]
    assert versions(tree)["mirage-top"] == ["0.1.0", "0.1.1"]
    assert "0.2.0 was yanked: two is wrong" in (tree.root / "release/trains/2026-11-25-3.md").read_text()
    capsys.readouterr()
    assert release("status") == 0
    assert capsys.readouterr().out.count("announce   done") == 3


@pytest.mark.slow
def test_a_stage_that_fails_holds_the_train(
    tree: Tree, release: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """A website that cannot be built stops it; nothing is published; given up, the next train takes its place."""
    tree.write("integration/website.py", "raise SystemExit('no website')\n")
    tree.commit("a broken website")
    assert release("run", *QUICK) == 1
    assert "no website" in capsys.readouterr().err
    assert release("publish") == 1
    assert "publish comes after stage, which is started" in capsys.readouterr().err
    assert not (tree.root / "site/index").exists()
    assert release("plan") == 1
    assert "the train 2026-11-25 is under way, stage is next" in capsys.readouterr().err
    assert release("abandon", "the website is broken") == 0
    assert release("plan", "--train", "again") == 0
    assert (tree.root / "release/trains/again.json").exists()
    assert tree.git("status", "--porcelain") == " M release/trains/again.json\n"


def test_the_gate_names_dirt_pins_and_missing_fragments_at_once(
    tree: Tree, release: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """A release is of a commit that builds on releases."""
    (tree.root / "packages/core/base/changes.d/first.added.md").unlink()
    tree.write("pins.toml", '[hold.packaging]\nspec = "<27"\n')
    before = tree.git("rev-parse", "HEAD")
    assert release("plan") == 1
    said = capsys.readouterr().err
    assert "the tree is not clean: packages/core/base/changes.d/first.added.md, pins.toml" in said
    assert "packaging is pinned" in said
    assert "mirage-base changed and no fragment says how" in said
    assert tree.git("rev-parse", "HEAD") == before
    assert not (tree.root / "release").exists()


@pytest.mark.slow
def test_a_dry_run_writes_nothing(tree: Tree, release: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """Neither plan nor any stage; the page of the plan lies in _build."""
    before = tree.git("rev-parse", "HEAD")
    assert release("plan", "--dry-run") == 0
    assert "mirage-top" in capsys.readouterr().out
    assert (tree.root / "_build/release/plan/2026-11-25.md").exists()
    assert tree.git("status", "--porcelain") + tree.git("rev-parse", "HEAD") == before
    assert release("plan") == 0
    state = tree.git("status", "--porcelain") + tree.git("rev-parse", "HEAD")
    for stage in ("build", "stage", "verify", "publish", "announce"):
        assert release(stage, "--dry-run") == 0
    assert release("run", "--dry-run") == 0
    assert release("abandon", "x", "--dry-run") == 0
    assert tree.git("status", "--porcelain") + tree.git("rev-parse", "HEAD") == state
    assert not (tree.root / "_build/release/2026-11-25").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan", "nothing"], "there is no package nothing; there are base, middle, top"),
        (["build"], "no train is under way"),
        (["abandon", "why"], "no train is under way"),
        (["yank", "base==0.1.0", "why"], "mirage-base 0.1.0 was never published"),
        (["yank", "base", "why"], "names no version"),
        (["plan", "--train", "../x"], "no name of a train"),
    ],
)
def test_what_cannot_be_is_told(
    words: list[str], said: str, release: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """In one sentence, with status 1."""
    assert release(*words) == 1
    assert said in capsys.readouterr().err


def test_help_has_examples(release: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """Of every command."""
    for words in ([], ["plan"], ["publish"], ["yank"], ["rehearse"]):
        assert release(*words, "--help") == 0
        assert "examples:" in capsys.readouterr().out


def test_a_journal_that_is_none_is_refused(
    tree: Tree, release: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a merge, say."""
    tree.write("release/trains/x.json", "<<<<<<<")
    assert release("status") == 1
    assert "is no journal" in capsys.readouterr().err


def test_a_removed_file_of_the_build_is_made_again(tree: Tree, release: Callable[..., int]) -> None:
    """A stage that is done looks whether what it made is still there; the same bytes come back."""
    assert release("plan") == 0
    assert release("build") == 0
    dist = tree.root / "_build/release/2026-11-25/dist"
    before = {p.name: p.read_bytes() for p in dist.iterdir()}
    (dist / "mirage_base-0.1.0.tar.gz").unlink()
    assert release("build") == 0
    assert {p.name: p.read_bytes() for p in dist.iterdir()} == before


def test_a_tampered_file_is_not_published(tree: Tree, release: Callable[..., int]) -> None:
    """The journal holds digests: publish refuses what was changed, and build makes it again."""
    assert release("plan") == 0
    assert release("build") == 0
    file = tree.root / "_build/release/2026-11-25/dist/mirage_base-0.1.0.tar.gz"
    before = file.read_bytes()
    (journal,) = journals(tree.root)
    for stage in ("stage", "verify"):
        journal.finish(stage)
    file.write_bytes(b"evil")
    assert release("publish") == 1
    assert not (tree.root / "site/index").exists()
    assert release("build") == 0
    assert file.read_bytes() == before
    assert release("publish") == 0
    assert (tree.root / "site/index/files" / file.name).read_bytes() == before
