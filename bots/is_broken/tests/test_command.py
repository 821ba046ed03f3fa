"""The command as people call it: its parts, its flags, its statuses, and what it leaves in the data folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bots.is_broken import store
from bots.is_broken.command import main
from bots.is_broken.testing import Upstream
from bots.is_broken.testing.family import Family
from bots.is_broken.testing.stage import PYTHON

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv: ./noxw -s tests")]
ROOT = Path(__file__).resolve().parents[3]

CONFIG = """\
lanes = ["control", "newest"]
pythons = ["{python}"]

[[suites]]
name = "family"
packages = false
requirements = ["fam-a>=1", "fam-b>=1", "fam-c>=1", "fam-d>=1"]
environ = {{ FAMILY_NOTES = "{notes}" }}
steps = [{{ name = "check", run = ["python", "check.py", "fam_a", "fam_b", "fam_c", "fam_d"] }}]

[reporting]
channels = ["github"]
"""


class Tree(Family):
    """A family whose project is looked after by the command."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        super().__init__(folder, upstream)
        self.file = folder / "config.toml"
        self.file.write_text(CONFIG.format(python=PYTHON, notes=folder / "notes"))

    def words(self, *words: str) -> list[str]:
        """The arguments of a call."""
        places = ("config", self.file), ("data", self.data), ("root", self.folder / "project")
        return [*words, *(word for name, path in places for word in (f"--{name}", str(path)))]

    def call(self, *words: str) -> int:
        """Run the command."""
        return main(self.words(*words))


@pytest.fixture
def tree(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tree]:
    """One that was never looked at."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", upstream.url)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    for key in ("UV_INDEX", "UV_EXTRA_INDEX_URL"):
        monkeypatch.delenv(key, raising=False)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield Tree(tmp_path, upstream)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_nights_from_the_first_to_the_mend(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed, what is written for people, what is published."""
    assert tree.call() == 0
    assert "is_broken: 0 broken, probes 1, 0 known already" in capsys.readouterr().out
    tree.release("a", "2.0", day=101)
    tree.release("b", "2.0", day=102, breaks=True)
    assert tree.call("watch") == 0
    assert capsys.readouterr().out == "fam-a  1.0  2.0\nfam-b  1.0  2.0\n"
    assert tree.call() == 0
    said = capsys.readouterr().out
    (key,) = tree.state.findings
    assert f"{key}  fam-b 2.0: check: AttributeError: module 'fam_b' has no attribute 'greet'" in said
    assert f"./noxw -s is_broken -- repro {key}" in said
    assert f"files: opened {key}" in said
    text = (tree.data / "reports" / f"{key}.md").read_text()
    for part in (
        "# fam-b 2.0 breaks the build",
        "has no attribute 'greet'",
        "https://fam-b.example/changes",
        f"./noxw -s is_broken -- repro {key}",
        "[hold.fam-b]",
        'spec = "<2.0"',
        "fam-b 1.0 -&gt; 2.0" if "-&gt;" in text else "fam-b 1.0 -> 2.0",
    ):
        assert part in text
    assert (tree.data / "published" / "status.json").exists()
    assert tree.call("repro", key) == 1
    assert "fam-b==2.0" in capsys.readouterr().out
    assert tree.call("repro", f"control-family---{PYTHON}") == 0
    assert "it passes" in capsys.readouterr().out
    assert tree.call("repro", "nonsense") == 2
    assert f"nothing is known of 'nonsense' that could be run again; there are {key}" in capsys.readouterr().err
    assert tree.call() == 0
    assert "is_broken: 1 broken, nothing is new" in capsys.readouterr().out
    tree.release("b", "2.1", day=103)
    for closed in (False, True):
        assert tree.call() == 0
        assert (f"files: closed {key}" in capsys.readouterr().out) is closed
    assert tree.call("history") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[2] for line in lines if line.startswith("20")] == [
        "quiet: 1 good, 1 fixed",
        "1 good, 1 fixed",
        "quiet: 1 good, 1 regressed",
        "1 good, 1 regressed",
        "1 good",
    ]


def test_the_parts_one_after_the_other_are_a_night(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """Each picks up what the one before has left."""
    assert tree.call() == 0
    tree.release("c", "2.0", day=101, breaks=True)
    assert tree.call("try") == 0
    current = tree.state.current
    assert current is not None
    assert [(r.outcome.value, r.finding) for r in current.results] == [("good", ""), ("regressed", "")]
    assert tree.call("bisect") == 0
    assert tree.state.current is None
    (finding,) = tree.state.findings.values()
    assert finding.culprits.spelled == "fam-c 2.0"
    capsys.readouterr()
    assert tree.call("report") == 0
    assert "opened" not in capsys.readouterr().out, "it was said by the part before"


def test_a_dry_run_leaves_nothing(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """But logs, and the lock that keeps others away meanwhile."""
    assert tree.call("--dry-run") == 0
    assert "is_broken: 0 broken, probes 1" in capsys.readouterr().out
    assert {path.name for path in tree.data.iterdir()} == {"night.lock", "logs"}


def test_only_some_jobs_and_since_a_date(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """What was newest on a day is what was good."""
    tree.release("d", "2.0", day=101, breaks=True)
    assert tree.call("--only", "newest", "--since", "2026-01-01") == 0
    said = capsys.readouterr().out
    assert "fam-d 2.0" in said
    assert [result.job.lane.name for result in tree.state.nights[0].results] == ["newest"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["repro"], 2, "a KEY belongs behind `repro`"),
        (["history", "x"], 2, "a KEY belongs behind `repro`"),
        (["--jobs", "-1"], 2, "--jobs has to be 1 or more"),
        (["nonsense"], 2, "invalid choice"),
    ],
)
def test_words_that_make_no_sense(
    tree: Tree, capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    """Are refused before anything happens."""
    with pytest.raises(SystemExit) as ended:
        tree.call(*words)
    assert ended.value.code == status
    assert said in capsys.readouterr().err
    assert not tree.data.exists()


def test_a_configuration_that_is_wrong_is_said(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """With file, line and key."""
    tree.file.write_text(tree.file.read_text().replace('"newest"', '"latest"'))
    assert tree.call() == 2
    assert f"{tree.file}:1: lanes: 'latest' is not known" in capsys.readouterr().err


def test_a_signal_saves_the_night(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """The program that runs is ended, and the next call goes on."""
    tree.release("a", "2.0", day=101, run="import time; (notes / 'begun').touch(); time.sleep(9e3)")
    words = [sys.executable, "-m", "bots.is_broken.command", *tree.words()]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as night:
        while not (tree.folder / "notes" / "begun").exists():
            assert night.poll() is None
            time.sleep(0.05)
        night.send_signal(signal.SIGTERM)
        _, said = night.communicate(timeout=60)
    assert night.returncode == 75
    assert "the state is saved, and the next run goes on from here" in said
    current = store.load(tree.data).current
    assert current is not None
    tree.upstream.yank("fam-a", "2.0")
    assert tree.call() == 0
    assert f"going on with the night of {current.name}" in capsys.readouterr().out
    assert len(tree.state.nights) == 1


def test_suites_side_by_side_work_in_trees_of_their_own(tree: Tree) -> None:
    """So that what one builds is not in another's way."""
    own = "import os, pathlib; here = pathlib.Path('built-here'); assert not here.exists(); here.touch()"
    (tree.folder / "project" / "check.py").write_text(own)
    other = CONFIG[CONFIG.index("[[suites]]") : CONFIG.index("[reporting]")].replace('"family"', '"second"')
    tree.file.write_text((CONFIG + other).format(python=PYTHON, notes=tree.folder / "notes"))
    assert tree.call("--jobs", "2") == 0
    assert {result.outcome.value for result in tree.state.nights[0].results} == {"good"}
    assert not (tree.folder / "project" / "built-here").exists()
