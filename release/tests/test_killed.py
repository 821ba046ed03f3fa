"""A train that is killed at every moment arrives all the same, and as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from release import cli, index_data
from release.journal import STAGES, journals

from .conftest import Tree

pytestmark = pytest.mark.slow

RUN = ["run", "--without", "opam,newest,lowest,slow", "--accept-unverified"]
"""Without what takes minutes: each of those is a step like the others."""


def forked(root: Path, words: list[str], shell: cli.Shell) -> int:
    """Run the command in a process of its own; its exit status, or minus the signal that ended it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            with open(root.parent / "said.txt", "a") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
            status = cli.main(root, words, shell)
            sys.stdout.flush()
        except BaseException as error:  # a forked child must never return into pytest
            os.write(2, repr(error).encode())
            status = 70
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended)


def outcome(tree: Tree) -> dict[str, object]:
    """All that a train leaves behind, but for times and the revisions that hold them."""
    releases = [{k: v for k, v in r.items() if k != "commit"} for r in index_data.IndexData(tree.root).releases]
    content = {
        name: (tree.root / name).read_bytes()
        for name in tree.git("ls-files").splitlines()
        if not name.endswith((".json",)) and (tree.root / name).exists()
    }
    (journal,) = journals(tree.root)
    steps = {stage: sorted(journal.steps(stage)) for stage in STAGES}
    return {
        "releases": releases,
        "content": content,
        "steps": steps,
        "tags": tree.git("tag").splitlines(),
        "dirt": tree.git("status", "--porcelain"),
        "messages": tree.git("log", "--format=%B").splitlines(),
    }


def test_killed_at_every_moment(
    tree: Tree, template: Path, clock: Callable[[], float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line that a stage says is a moment: before a step, after its work and before its record, and in between.

    The train is killed at each moment that it has not been killed at yet, and started again, until it arrives.
    """
    for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
        monkeypatch.setenv(name, "2026-11-25T12:00:00Z")  # the files are dated by the commit that they are built from
    seen = tmp_path / "seen.txt"
    seen.touch()

    def killing(line: str) -> None:
        if line not in seen.read_text().split("\0"):
            with seen.open("a") as out:
                out.write(f"{line}\0")
            os.kill(os.getpid(), signal.SIGKILL)

    kills = 0
    while (status := forked(tree.root, RUN, cli.Shell(clock, killing))) == -signal.SIGKILL:
        kills += 1
    assert status == 0, (tree.root.parent / "said.txt").read_text()[-3000:]
    moments = [line for line in seen.read_text().split("\0") if line]
    assert kills == len(moments)
    for stage in STAGES:
        assert f"{stage}: done" in moments
        assert sum(line.startswith(f"{stage}: ") for line in moments) > 4

    calm = Tree(tmp_path / "calm" / "tree")
    calm.root.parent.mkdir()
    os.system(f"cp -r '{template}' '{calm.root}'")
    assert forked(calm.root, RUN, cli.Shell(clock, lambda line: None)) == 0
    assert outcome(tree) == outcome(calm)


def test_a_journal_is_whole_at_every_moment(tree: Tree, clock: Callable[[], float]) -> None:
    """Whoever reads it while a train runs finds JSON, whose steps only ever become more."""
    file, counts = tree.root / "release" / "trains" / "2026-11-25.json", [0]

    def look(line: str) -> None:
        stages = json.loads(file.read_text())["stages"]
        counts.append(sum(len(s.get("steps", {})) for s in stages.values()))

    assert cli.main(tree.root, ["plan"], cli.Shell(clock, look)) == 0
    assert cli.main(tree.root, ["build"], cli.Shell(clock, look)) == 0
    assert counts == sorted(counts)
    assert counts[-1] == 6
