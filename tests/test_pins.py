"""Pins: read, edited, resolved from real repositories, and what uv makes of them."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import wheels
from tasks.pins import apply, command, difference
from tasks.pins.edit import put, remove
from tasks.pins.model import PinError, Pins, parse
from tasks.pins.source import Repository, parse_target
from tasks.tree import Package

TODAY = date(2026, 11, 25)
PROJECT = """\
[build-system]
requires = ["uv_build>=0.9,<1"]
build-backend = "uv_build"

[project]
name = "mirage-{name}"
version = "{version}"
requires-python = ">=3.11"
dependencies = {needs}

[tool.uv.build-backend]
module-name = "mirage.{name}"
"""


def git(place: Path, *words: str) -> str:
    """Git's output, with an identity of its own."""
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *who, *words], cwd=place, check=True, capture_output=True, text=True).stdout.strip()


def put_package(root: Path, name: str, version: str, needs: str, word: str) -> None:
    """A package whose module says a word."""
    place = root / "packages" / "core" / name
    (place / "src" / "mirage" / name).mkdir(parents=True, exist_ok=True)
    (place / "pyproject.toml").write_text(PROJECT.format(name=name, version=version, needs=needs))
    (place / "src" / "mirage" / name / "__init__.py").write_text(f"WORD = {word!r}\n")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with two packages, under git."""
    monkeypatch.delenv("MIRAGE_PINS", raising=False)
    place = tmp_path / "tree"
    put_package(place, "low", "0.1.0", "[]", "base")
    put_package(place, "high", "0.1.0", '["mirage-low>=0.1,<0.2"]', "base")
    git(tmp_path, "init", "-q", "tree")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "base")
    return place


@pytest.fixture
def fork(root: Path, tmp_path: Path) -> Path:
    """A fork with a branch that changes `low`, and a tag."""
    git(tmp_path, "clone", "-q", "tree", "fork")
    place = tmp_path / "fork"
    git(place, "checkout", "-qb", "fix/rst")
    put_package(place, "low", "0.9.0", "[]", "fork")
    git(place, "commit", "-qam", "fix")
    git(place, "tag", "-am", "a tag", "v9")
    git(place, "update-ref", "refs/pull/12/head", "HEAD")
    return place


def packages(root: Path) -> list[Package]:
    """The packages of a tree."""
    return [Package("core", name, root / "packages" / "core" / name) for name in ("low", "high")]


def pin(root: Path, *words: str) -> str:
    """What the pin session prints."""
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    return command.run(root, packages(root), parser.parse_args(words), TODAY)


def test_a_branch_pins_what_it_changed(root: Path, fork: Path) -> None:
    """The revision is resolved at once, and the ceiling that is passed over is said."""
    said = pin(root, "add", f"{fork}#fix/rst", "--why", "a reset", "--expires", "2026-12-01")
    assert "mirage-low is pinned to fix/rst at " + git(fork, "rev-parse", "HEAD")[:12] in said
    assert "mirage-low 0.9.0 passes over mirage-low<0.2,>=0.1 of mirage-high" in said
    pins = apply.current(root)
    assert list(pins.git) == ["mirage-low"]
    assert pins.git["mirage-low"].rev == git(fork, "rev-parse", "HEAD")
    assert pins.git["mirage-low"].expires == date(2026, 12, 1)
    assert pin(root, "export").endswith("#subdirectory=packages/core/low")


@pytest.mark.parametrize(("target", "followed"), [("tags/v9", "tags/v9"), ("pull/12", "pull/12")])
def test_tags_and_pull_requests(root: Path, fork: Path, target: str, followed: str) -> None:
    """An annotated tag is followed to its commit; a package that did not change can be named."""
    pin(root, "add", "high", f"{fork}#{target}")
    found = apply.current(root).git["mirage-high"]
    assert (found.rev, found.followed) == (git(fork, "rev-parse", "HEAD"), followed)


def test_list_and_update_follow_the_branch(root: Path, fork: Path) -> None:
    """A pin that is behind says so, and is moved when it is asked for; comments stay."""
    pin(root, "add", "low", f"{fork}#fix/rst", "--expires", "2026-11-01")
    file = root / "pins.toml"
    file.write_text("# ours\n" + file.read_text() + "# the end\n")
    assert "expired on 2026-11-01; current" in pin(root, "list")
    put_package(fork, "low", "0.9.1", "[]", "fork")
    git(fork, "commit", "-qam", "more")
    assert f"behind, fix/rst is at {git(fork, 'rev-parse', 'HEAD')[:12]}" in pin(root, "list")
    assert "->" in pin(root, "update")
    assert apply.current(root).git["mirage-low"].version == "0.9.1"
    assert "already" in pin(root, "update", "low")
    assert file.read_text().startswith("# ours\n")
    assert file.read_text().endswith("# the end\n")
    assert "state         expired on 2026-11-01; current" in pin(root, "show", "low")


def test_a_pin_goes_once_the_base_has_it(root: Path, fork: Path) -> None:
    """Merged by whatever way keeps the revision."""
    pin(root, "add", f"{fork}#fix/rst")
    assert apply.settle(root, {"mirage-low"}) == []
    git(root, "fetch", "-q", str(fork), "fix/rst")
    assert apply.settle(root, {"mirage-low"}) == []
    git(root, "merge", "-q", "--no-ff", "-m", "merge", "FETCH_HEAD")
    assert "merged" in pin(root, "list")
    (said,) = apply.settle(root, {"mirage-low"})
    assert "is in the base now" in said
    assert not apply.current(root)


@pytest.mark.parametrize("how", ["squash", "rebase", "others", "same file"])
def test_a_pin_goes_once_the_base_has_its_change(root: Path, fork: Path, how: str) -> None:
    """A squashed or rebased branch leaves its files and not its revision; later work on them does not matter."""
    module = "packages/core/low/src/mirage/low/__init__.py"
    lines = [f"LINE_{n} = {n}\n" for n in range(30)]
    if how == "same file":  # the base changes it too, elsewhere, so that it never is as on the branch
        for place in (root, fork):
            (place / module).write_text("WORD = 'base'\n" + "".join(lines))
            git(place, "add", "-A")
        git(root, "commit", "-qm", "longer")
        git(fork, "reset", "-q", "--hard")
        git(fork, "fetch", "-q", str(root), "HEAD")
        git(fork, "reset", "-q", "--hard", "FETCH_HEAD")
        (fork / module).write_text("WORD = 'fork'\n" + "".join(lines))
        git(fork, "commit", "-qam", "fix")
        (root / module).write_text("WORD = 'base'\n" + "".join([*lines[:-1], "LINE_29 = 'other'\n"]))
        git(root, "commit", "-qam", "meanwhile")
    put_package(root, "high", "0.1.1", '["mirage-low>=0.1"]', "base")
    git(root, "commit", "-qam", "meanwhile")
    pin(root, "add", f"{fork}#fix/rst")
    assert apply.settle(root, {"mirage-low"}) == []
    git(root, "fetch", "-q", str(fork), "fix/rst")
    if how == "rebase":
        git(root, "cherry-pick", "FETCH_HEAD")
    else:
        git(root, "merge", "-q", "--squash", "FETCH_HEAD")
        git(root, "commit", "-qm", "squashed")
    if how == "others":
        put_package(root, "low", "0.9.1", "[]", "later")
        git(root, "commit", "-qam", "more")
    assert "merged" in pin(root, "list")
    (said,) = apply.settle(root, {"mirage-low"})
    assert "is in the base now" in said
    assert not apply.current(root)


def test_a_pin_stays_while_the_base_has_a_part_of_its_change(root: Path, fork: Path) -> None:
    """Another squash of the same branch, before its last commit, is not the pinned revision."""
    git(root, "fetch", "-q", str(fork), "fix/rst")
    git(root, "merge", "-q", "--squash", "FETCH_HEAD")
    git(root, "commit", "-qm", "squashed")
    put_package(fork, "low", "0.9.0", "[]", "once more")
    git(fork, "commit", "-qam", "more")
    pin(root, "add", f"{fork}#fix/rst")
    assert apply.settle(root, {"mirage-low"}) == []
    assert "merged" not in pin(root, "list")


def test_a_pull_requests_text_pins(root: Path, fork: Path, tmp_path: Path) -> None:
    """Each line that asks for a branch is the same as adding it; a text without one changes nothing."""
    text = tmp_path / "body.md"
    text.write_text(f"Needs the fix below.\n\npin: {fork}#fix/rst\n")
    assert "mirage-low is pinned to fix/rst" in pin(root, "read", str(text))
    text.write_text("Nothing.\n")
    assert pin(root, "read", str(text)) == "the text pins nothing"
    assert list(apply.current(root).git) == ["mirage-low"]


@pytest.mark.parametrize("target", ["#gone", "-nowhere#main"])
def test_what_cannot_be_reached_changes_nothing(root: Path, fork: Path, target: str) -> None:
    """The error names the address and the branch."""
    pin(root, "add", "low", f"{fork}#fix/rst")
    before = (root / "pins.toml").read_bytes()
    with pytest.raises(PinError) as caught:
        pin(root, "add", "low", f"{fork}{target}")
    assert str(fork) in str(caught.value)
    assert target.rpartition("#")[2] in str(caught.value)
    assert (root / "pins.toml").read_bytes() == before
    git(fork, "checkout", "-q", "main")
    git(fork, "branch", "-qD", "fix/rst")
    assert "unknown" in pin(root, "list")
    with pytest.raises(PinError, match="fix/rst"):
        pin(root, "update")
    assert (root / "pins.toml").read_bytes() == before


def test_holds_and_paths(root: Path, fork: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is pinned with its edits, which are said; a hold that contradicts a pin is shown."""
    monkeypatch.chdir(root)
    pin(root, "add", "../fork/packages/core/low", "--owner", "@ann")
    pin(root, "add", "mirage_low", "<0.5", "--why", "too new")
    assert "in conflict with its hold <0.5" in pin(root, "list")
    clean = apply.state(apply.current(root))
    assert "edits that are not committed" not in apply.lines(apply.current(root), packages(root))[0]
    (fork / "packages/core/low/src/mirage/low/__init__.py").write_text("WORD = 'edited'\n")
    assert "edits that are not committed" in apply.lines(apply.current(root), packages(root))[0]
    assert apply.state(apply.current(root)) != clean
    pin(root, "remove", "low")
    assert not (root / "pins.toml").exists()


def test_the_lock_gives_way() -> None:
    """A package that is held or pinned is taken out of the lock, hashes and all."""
    pins = parse('[hold.b-c]\nspec = "<2"\n', Path())
    lock = "a==1 \\\n    --hash=sha256:1\nB_c==2 \\\n    --hash=sha256:2 \\\n    --hash=sha256:3\n"
    lock += "d==3 \\\n    --hash=sha256:4\n"
    assert apply.lock_without(lock, pins) == "a==1 \\\n    --hash=sha256:1\nd==3 \\\n    --hash=sha256:4\n"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("uv"), reason="needs uv: ./noxw puts its own on the path")
def test_uv_installs_what_is_pinned(root: Path, fork: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the branch, then with a folder's edits, then from the tree again, whatever the ceilings say."""
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run(["uv", "venv", "-q", "--python", sys.executable, str(python.parent.parent)], check=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k != "VIRTUAL_ENV"}

    def word() -> str:
        pins = apply.fetched(packages(root), apply.current(root), root)
        options = [*apply.arguments(packages(root), pins), *apply.constraint_files(pins, tmp_path / "pins")]
        install = ["uv", "pip", "install", "-q", "--offline", "--python", str(python), *options]
        subprocess.run(install, env=environment, check=True)
        program = "import mirage.high, mirage.low; print(mirage.low.WORD)"
        return subprocess.run(
            [str(python), "-c", program], env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert word() == "base\n"
    pin(root, "add", f"{fork}#fix/rst")
    assert word() == "fork\n"
    monkeypatch.chdir(root)
    pin(root, "add", "../fork/packages/core/low")
    for edit in ("edited", "again"):
        (fork / "packages/core/low/src/mirage/low/__init__.py").write_text(f"WORD = {edit!r}\n")
        assert word() == f"{edit}\n"
    pin(root, "remove", "low")
    assert word() == "base\n"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("uv"), reason="needs uv: ./noxw puts its own on the path")
def test_wheels_are_built_from_where_packages_are_pinned(
    root: Path, fork: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the branch, also in a clone that never fetched it; installed whatever others' ceilings say."""
    pin(root, "add", f"{fork}#fix/rst")
    shutil.rmtree(root / "_build")
    pins = apply.current(root)
    sources = apply.sources(packages(root), pins, root)
    assert [p.path for p in sources if p.short == "high"] == [root / "packages" / "core" / "high"]
    assert [p.pyproject["project"]["version"] for p in sources if p.short == "low"] == ["0.9.0"]
    dist, lock = tmp_path / "dist", tmp_path / "lock.txt"
    wheels.build_twice(sources[1:], dist)
    lock.write_text("")
    overrides = wheels.overrides(sources[:1], dist)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run(["uv", "venv", "-q", "--python", sys.executable, str(python.parent.parent)], check=True)
    install = wheels.installation(sources[1], dist, lock, python, overrides)
    subprocess.run([*install, "--no-index"], check=True)
    program = "import mirage.high, mirage.low; print(mirage.low.WORD)"
    said = subprocess.run([str(python), "-I", "-c", program], check=True, capture_output=True, text=True).stdout
    assert said == "fork\n"
    shutil.rmtree(fork)
    shutil.rmtree(root / "_build")
    with pytest.raises(PinError, match="cannot be had from there any more"):
        apply.sources(packages(root), pins, root)


TEXT = st.text(alphabet="ab \"'#\\=[]é", max_size=12)


@given(whys=st.lists(TEXT, min_size=1, max_size=4), again=TEXT)
def test_edits_are_read_back_and_leave_the_rest(whys: list[str], again: str) -> None:
    """Whatever is written is read, other tables and comments stay as they are, and removing undoes adding."""
    text = "# head\n"
    for number, why in enumerate(whys):
        text = put(text, "hold", f"p{number}", {"spec": "<2", "why": why})
    assert [h.why for h in parse(text, Path()).hold.values()] == whys
    noted = text.replace("[hold.p0]", "# of p0\n[hold.p0]  # here")
    changed = put(noted, "hold", "p0", {"why": again})
    assert [h.why for h in parse(changed, Path()).hold.values()] == [again, *whys[1:]]
    assert [line for line in changed.splitlines() if not line.startswith("why")] == [
        line for line in noted.splitlines() if not line.startswith("why")
    ]
    gone = remove(noted, "hold", "p0")
    assert "of p0" not in gone
    assert list(parse(gone, Path()).hold) == [f"p{n}" for n in range(1, len(whys))]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x", "no TOML"),
        ("[got.a]\n", "not \\[got\\]"),
        ('[git.a]\nurl = "u"\nrev = "r"\nversion = "1"\n', "one of branch, tag and pull"),
        ('[git.a]\nurl = "u"\nrev = "abc"\nversion = "1"\nbranch = "b"\n', "no full revision"),
        ('[hold.a]\nspec = "47"\n', "needs a spec"),
        ('[hold.a]\nspec = "<47"\nwho = "me"\n', "has who"),
        ('[hold.a]\nspec = "<47"\nuntil = "soon"\n', "to be date"),
        ('[path.a]\npath = "nowhere"\nversion = "1"\n', "there is no nowhere/pyproject.toml"),
    ],
)
def test_what_is_wrong_is_named(text: str, reason: str) -> None:
    """Each error says where and what."""
    with pytest.raises(PinError, match=reason):
        parse(text, Path())


def test_targets() -> None:
    """Branches, tags and pull requests; nothing that git would take for an option."""
    assert parse_target("https://example.org/x.git#fix/rst") == ("https://example.org/x.git", "refs/heads/fix/rst")
    assert parse_target("u#pull/12") == ("u", "refs/pull/12/head")
    for bad in ("u", "#b", "u#", "--upload-pack=x#b", "u#pull/x"):
        with pytest.raises(PinError):
            parse_target(bad)
    text = "Mends it.\n\npin: https://example.org/x.git#fix\nPin: `u#b`\nspin: no\n"
    assert list(command.from_text(text)) == ["https://example.org/x.git#fix", "u#b"]


def test_the_difference_names_what_differs() -> None:
    """Sizes, materials and checks side by side; what is the same is left out."""
    before = difference.Measured(True, 10, {"website.pyz": 1000}, {"mirage-low": "0.1.0 aa", "x": "1"}, "70 pages")
    after = difference.Measured(False, 11, {"website.pyz": 1020}, {"mirage-low": "0.9.0 bb", "x": "1"}, "71 pages")
    table = difference.table(before, after)
    for words in ("FAIL", "1,020 (+20)", "0.9.0 bb", "71 pages"):
        assert words in table
    assert "x  " not in table.splitlines()[-1]


def test_no_pins_cost_nothing(root: Path) -> None:
    """Without a file there is nothing to say and nothing to add."""
    pins = apply.current(root)
    assert pins == Pins()
    assert apply.constraint_files(pins, root) == []
    assert apply.lines(pins, packages(root)) == []
    assert Repository(root).merged(git(root, "rev-parse", "HEAD"))
