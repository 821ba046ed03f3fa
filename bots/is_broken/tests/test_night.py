"""Whole nights over a made-up family of packages: outcome, probes and words of every kind of upstream event.

Everything is real but the packages: an index on loopback, uv, environments, processes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bots.is_broken import process, store
from bots.is_broken.config import Downstream, Repository
from bots.is_broken.errors import Busy
from bots.is_broken.model import INFRASTRUCTURE_KEY, Finding, Night, Outcome, Reason
from bots.is_broken.testing.family import EPOCH, Family
from bots.is_broken.testing.stage import PYTHON

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv: ./noxw -s tests")]


def outcomes(night: Night) -> dict[str, str]:
    """By lane."""
    return {result.job.lane.name: result.outcome.value for result in night.results}


def only_finding(family: Family) -> Finding:
    """The one that there is."""
    (finding,) = family.state.findings.values()
    return finding


def named(finding: Finding) -> list[str]:
    """Its culprits."""
    return [change.spelled for change in finding.culprits.changes]


def test_a_single_break_is_named_with_everything_to_act_on(family: Family) -> None:
    """Culprit, first failing line, date, changelog, difference, reproduction and hold."""
    family.release("a", "2.0", day=101)
    family.release("b", "2.0", day=102, breaks=True)
    family.release("c", "2.0", day=103)
    family.release("b", "2.1", day=104, breaks=True)
    night = family.night()
    assert outcomes(night) == {"control": "good", "newest": "regressed"}
    finding = only_finding(family)
    assert named(finding) == ["fam-b 2.0"]
    assert finding.culprits.minimal
    assert finding.culprits.probes == 4
    assert finding.jobs == (f"newest-family---{PYTHON}",)
    text = finding.explanation
    assert text.failure.step == "check"
    assert text.failure.line.startswith("AttributeError: module 'fam_b' has no attribute 'greet' (at /environments/")
    assert finding.signature == "check: AttributeError: module 'fam_b' has no attribute 'greet' (at site-packages)"
    assert text.difference == ("fam-b 1.0 -> 2.0",)
    assert text.notes == (
        "fam-b 2.0: release of 2026-01-19 08:53 UTC; 1.0 was good; what changed: https://fam-b.example/changes",
    )
    assert text.reproduce == f"./noxw -s is_broken -- repro {finding.key}"
    assert text.hold.splitlines()[:2] == ["[hold.fam-b]", 'spec = "<2.0"']
    assert "Traceback (most recent call last):" in text.failure.excerpt
    result = night.results[-1]
    log = (family.data / result.log).read_text()
    assert log.startswith("==== install: ")
    assert log.count("==== check: python check.py") == 2, "a failure is run again before it is believed"
    assert str(family.folder) not in log, "where things lie on a machine is nobody's business"


def test_a_break_by_a_pair(family: Family) -> None:
    """Neither alone does it."""
    family.release("d", "2.0", day=101)
    family.release("a", "2.0", day=102, beside={"c": 2}, breaks=True)
    family.release("b", "2.0", day=103)
    family.release("c", "2.0", day=104)
    family.night()
    finding = only_finding(family)
    assert named(finding) == ["fam-a 2.0", "fam-c 2.0"]
    assert finding.culprits.spelled == "fam-a 2.0 with fam-c 2.0"
    assert finding.culprits.minimal
    assert finding.culprits.probes <= 7
    assert finding.explanation.hold.startswith('[hold.fam-c]\nspec = "<2.0"')
    assert "beside fam-a 2.0" in finding.explanation.hold


def test_a_release_that_brings_another_is_named_with_it(family: Family) -> None:
    """And it is said which of them to look at first."""
    family.release("b", "2.0", day=101)
    family.release("c", "2.0", day=102)
    family.release("a", "2.0", day=103, requires=("fam-c>=2",), breaks=True)
    family.night()
    finding = only_finding(family)
    assert named(finding) == ["fam-c 2.0", "fam-a 2.0"]
    assert finding.explanation.notes[2:] == (
        "fam-a 2.0 cannot be had without fam-c 2.0; without fam-a 2.0 nothing fails",
    )


def test_a_break_by_a_triple(family: Family) -> None:
    """No two of them do it."""
    family.release("a", "2.0", day=101, beside={"b": 2, "d": 2}, breaks=True)
    for day, member in enumerate("bcd", 102):
        family.release(member, "2.0", day=day)
    family.night()
    finding = only_finding(family)
    assert named(finding) == ["fam-a 2.0", "fam-b 2.0", "fam-d 2.0"]
    assert finding.culprits.minimal
    assert finding.culprits.probes <= 10


def test_two_breaks_in_one_night_are_two_findings(family: Family) -> None:
    """What is behind the first is looked for with the first held back."""
    family.release("a", "2.0", day=101, breaks=True)
    family.release("c", "2.0", day=102, breaks=True)
    family.night()
    assert sorted(named(finding)[0] for finding in family.state.findings.values()) == ["fam-a 2.0", "fam-c 2.0"]


def test_a_break_that_upstream_mends(family: Family) -> None:
    """Regressed, still so without a second search, then fixed; the finding is seen no more."""
    family.release("a", "2.0", day=101, breaks=True)
    first = family.night()
    family.release("b", "2.0", day=102)
    second = family.night()
    assert outcomes(second) == {"control": "good", "newest": "regressed"}
    assert second.findings == first.findings
    assert second.probes == 2, "the newest once, and the culprit held back: the culprit itself is known"
    family.release("a", "2.1", day=103)
    third = family.night()
    assert outcomes(third) == {"control": "good", "newest": "fixed"}
    assert third.findings == ()
    assert only_finding(family).last == second.started
    family.release("d", "2.0", day=104)
    assert outcomes(family.night()) == {"control": "good", "newest": "good"}


def test_what_was_broken_and_mended_between_two_nights_is_nobodys_fault(family: Family) -> None:
    """A release that was superseded is not named for another's break."""
    family.release("a", "2.0", day=101, breaks=True)
    family.release("a", "2.1", day=102)
    family.release("b", "2.0", day=103, breaks=True)
    family.night()
    assert named(only_finding(family)) == ["fam-b 2.0"]


def test_a_yanked_release_is_skipped(family: Family) -> None:
    """Yanked before the night: nothing happened. Yanked after it: mended by that."""
    family.release("a", "2.0", day=101, breaks=True)
    family.upstream.yank("fam-a", "2.0", "broken on arrival")
    assert outcomes(family.night()) == {"control": "good", "newest": "good"}
    family.release("a", "3.0", day=102, breaks=True)
    family.night()
    assert named(only_finding(family)) == ["fam-a 3.0"]
    family.upstream.yank("fam-a", "3.0", "broken as well")
    assert outcomes(family.night())["newest"] == "fixed"


def test_the_yank_of_what_was_good_leads_to_an_older_release(family: Family) -> None:
    """And where that one breaks us, the way back is named."""
    family.release("a", "0.9", day=0, breaks=True)
    suite = family.config.suites[0]
    family.config = replace(family.config, suites=(replace(suite, requirements=("fam-a", *suite.requirements[1:])),))
    family.night()
    family.upstream.yank("fam-a", "1.0", "legal")
    night = family.night()
    assert outcomes(night) == {"control": "good", "newest": "regressed"}
    assert named(only_finding(family)) == ["fam-a 0.9"]
    assert only_finding(family).explanation.difference == ("fam-a 1.0 -> 0.9",)


def test_a_resolver_conflict_is_an_outcome_of_its_own(family: Family) -> None:
    """Two releases that cannot be had together are named without running a suite for it."""
    family.release("a", "2.0", day=101, requires=("fam-c<2",))
    family.release("b", "2.0", day=102)
    family.release("c", "2.0", day=103)
    night = family.night()
    assert outcomes(night) == {"control": "good", "newest": "unresolvable"}
    assert night.probes == 1
    finding = only_finding(family)
    assert finding.outcome is Outcome.UNRESOLVABLE
    assert named(finding) == ["fam-a 2.0", "fam-c 2.0"]
    assert finding.explanation.failure.reason is Reason.CONFLICT
    assert finding.explanation.failure.line.startswith("Because fam-a")
    assert "depends on fam-c<2 and" in finding.explanation.failure.line
    assert finding.explanation.hold.startswith('[hold.fam-c]\nspec = "<2.0"')


def test_requirements_that_nothing_satisfies_are_unresolvable(family: Family) -> None:
    """The only release was taken back."""
    family.upstream.projects["fam-d"].clear()
    night = family.night()
    assert outcomes(night) == {"control": "infrastructure", "newest": "unresolvable"}
    finding = next(one for one in family.state.findings.values() if one.key != INFRASTRUCTURE_KEY)
    assert (finding.outcome, named(finding)) == (Outcome.UNRESOLVABLE, [])
    assert "there are no versions of fam-d" in finding.explanation.failure.line


def test_a_flaky_test_blames_nobody(family: Family) -> None:
    """It failed once and passed again."""
    once = "mark = notes / 'seen'; seen = mark.exists(); mark.touch(); assert seen, 'the first time is the worst'"
    family.release("a", "2.0", day=101, run=once)
    night = family.night()
    assert outcomes(night) == {"control": "good", "newest": "flaky"}
    assert night.results[-1].attempts == 2
    assert night.results[-1].failure is not None
    assert "the first time is the worst" in night.results[-1].failure.line
    assert family.state.findings == {}


def test_a_release_that_hangs_is_ended_and_named(family: Family) -> None:
    """With everything that it started."""
    family.config = replace(family.config, limits=replace(family.limits, seconds=6.0), attempts=1)
    family.release("a", "2.0", day=101)
    family.release("b", "2.0", day=102, run="import subprocess; subprocess.run(['sleep', '4567'])")
    family.night()
    finding = only_finding(family)
    assert named(finding) == ["fam-b 2.0"]
    assert finding.explanation.failure.reason is Reason.TIME
    assert finding.signature == "check: out of time"
    left = [one for one in Path("/proc").glob("[0-9]*/cmdline") if b"4567" in _octets(one)]
    assert left == []


def test_a_release_that_eats_memory_is_ended_and_named(family: Family) -> None:
    """Before the machine notices."""
    family.config = replace(family.config, limits=replace(family.limits, memory=160 << 20), attempts=1)
    family.release("a", "2.0", day=101)
    hog = "import time; kept = []\n    while True: kept.append(bytearray(b'x') * (4 << 20)); time.sleep(0.01)"
    family.release("b", "2.0", day=102, run=hog)
    family.night()
    finding = only_finding(family)
    assert named(finding) == ["fam-b 2.0"]
    assert finding.explanation.failure.reason is Reason.MEMORY
    assert finding.explanation.failure.line == "it was ended when it used more than 160 MiB"


def test_a_release_that_prints_without_end_is_ended_and_named(family: Family) -> None:
    """And its log is no longer than the limit."""
    family.config = replace(family.config, limits=replace(family.limits, output=100_000), attempts=1)
    family.release("a", "2.0", day=101, run="\n    while True: print('all work and no play')")
    night = family.night()
    assert named(only_finding(family)) == ["fam-a 2.0"]
    assert only_finding(family).explanation.failure.reason is Reason.OUTPUT
    assert (family.data / night.results[-1].log).stat().st_size < 110_000


def test_an_index_that_fails_is_infrastructure(family: Family) -> None:
    """At the first question, and half-way through; the next night goes on, and names the culprit."""
    family.release("a", "2.0", day=101, breaks=True)
    family.release("b", "2.0", day=102)
    family.upstream.failing = "/simple/"
    assert outcomes(family.night()) == {"newest": "infrastructure"}
    assert only_finding(family).key == INFRASTRUCTURE_KEY
    assert "503" in only_finding(family).explanation.notes[0]
    family.upstream.failing = "fam_b-2.0-py3-none-any.whl"
    night = family.night()
    assert outcomes(night) == {"control": "good", "newest": "infrastructure"}
    assert only_finding(family).key == INFRASTRUCTURE_KEY
    family.upstream.failing = ""
    assert outcomes(family.night()) == {"control": "good", "newest": "regressed"}
    assert [named(f) for f in family.state.findings.values() if f.key != INFRASTRUCTURE_KEY] == [["fam-a 2.0"]]


def test_a_failing_control_is_infrastructure_and_blames_nobody(family: Family) -> None:
    """A machine on which nothing works."""
    family.release("a", "2.0", day=101)
    (family.folder / "project" / "check.py").write_text("raise SystemExit('error: no space left on device')\n")
    night = family.night()
    assert outcomes(night) == {"control": "infrastructure", "newest": "infrastructure"}
    finding = only_finding(family)
    assert (finding.key, named(finding)) == (INFRASTRUCTURE_KEY, [])
    assert "no space left on device" in " ".join(finding.explanation.notes)


def test_pre_releases_are_told_apart(family: Family) -> None:
    """They break the lane of pre-releases and no other."""
    family.config = replace(family.config, lanes=("control", "newest", "lowest", "pre"))
    family.release("a", "2.0rc1", day=101, breaks=True)
    family.release("b", "2.0", day=102)
    night = family.night()
    assert outcomes(night) == {"control": "good", "newest": "good", "lowest": "good", "pre": "regressed"}
    finding = only_finding(family)
    assert named(finding) == ["fam-a 2.0rc1"]
    assert finding.culprits.changes[0].prerelease
    assert "pre-release of 2026-01-18" in finding.explanation.notes[0]


def test_a_floor_that_is_too_low_is_named(family: Family) -> None:
    """The lowest releases are bisected against those that are good."""
    family.config = replace(family.config, lanes=("control", "newest", "lowest"))
    family.release("a", "0.5", day=-3)
    family.release("b", "0.5", day=-2, breaks=True)
    family.release("c", "0.5", day=-1)
    suite = family.config.suites[0]
    requirements = tuple(f"fam-{member}>=0.1" for member in "abcd")
    family.config = replace(family.config, suites=(replace(suite, requirements=requirements),))
    assert outcomes(family.night()) == {"control": "good", "newest": "good", "lowest": "regressed"}
    finding = only_finding(family)
    assert named(finding) == ["fam-b 0.5"]
    assert finding.explanation.difference == ("fam-b 1.0 -> 0.5",)
    assert finding.explanation.hold == ""
    assert "older release of 2025-10-07" in finding.explanation.notes[0]
    assert "1.0 was good, so a floor above it" in finding.explanation.notes[0]


def test_a_release_for_another_python_is_no_change(family: Family) -> None:
    """It is neither tried nor named."""
    family.release("a", "2.0", day=101, requires_python=">=3.99", breaks=True)
    family.release("a", "1.5", day=102, breaks=True)
    family.night()
    assert named(only_finding(family)) == ["fam-a 1.5"]


def test_with_nothing_new_nothing_is_run(family: Family) -> None:
    """And the results stay, broken or not."""
    family.release("a", "2.0", day=101, breaks=True)
    loud = family.night()
    before = len(family.upstream.requests)
    quiet = family.night()
    assert quiet.quiet
    assert (quiet.probes, quiet.results, quiet.findings) == (0, loud.results, loud.findings)
    assert only_finding(family).last == quiet.started
    assert len(family.upstream.requests) == before + 4, "one list a member, and nothing else"


def test_two_nights_in_one_second_have_two_names(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published, and what was said of a finding, goes by the name."""
    monkeypatch.setattr(type(family), "clock", lambda _: 1_790_000_000.25)
    nights = [family.night() for _ in range(3)]
    assert len({night.name for night in nights}) == 3


def test_a_probe_whose_lock_was_seen_costs_nothing(family: Family) -> None:
    """The same night twice, with the state forgotten but for what was probed."""
    for day, member in enumerate("abc", 101):
        family.release(member, "2.0", day=day, breaks=member == "b")
    family.night()
    store.save(family.data, replace(family.state, findings={}, seen=""))
    night = family.night()
    assert (night.probes, named(only_finding(family))) == (0, ["fam-b 2.0"])


def test_a_night_that_is_stopped_goes_on_without_repeating_anything(family: Family) -> None:
    """Stopped after every second suite: it repeats at most what it was stopped in."""
    for day, member in enumerate("abcd", 101):
        family.release(member, "2.0", day=day, breaks=member == "c")
    family.now += 86400
    stops = 0
    checks = 0
    while True:
        with family.run() as run:
            budget = [2]

            def attempt(*arguments: object, original=run.bench.workshop.attempt, left=budget) -> object:  # type: ignore[no-untyped-def]
                nonlocal checks
                if not left[0]:
                    raise process.Interrupted
                left[0] -= 1
                checks += 1
                return original(*arguments)

            run.bench.workshop = _Patched(run.bench.workshop, attempt)  # type: ignore[assignment]
            try:
                night = run.run()
                break
            except process.Interrupted:
                stops += 1
                assert family.state.current is not None
    assert stops >= 3
    assert checks <= 8 + stops, "eight suites are run by a night that nobody stops"
    assert outcomes(night) == {"control": "good", "newest": "regressed"}
    assert named(only_finding(family)) == ["fam-c 2.0"]
    assert family.state.current is None
    assert len(family.state.nights) == 2


class _Patched:
    """A workshop with another `attempt`."""

    def __init__(self, original: object, attempt: object) -> None:
        self.original, self.attempt = original, attempt

    def __getattr__(self, name: str) -> object:
        return getattr(self.original, name)


def test_two_nights_at_once_are_refused(tmp_path: Path) -> None:
    """Whoever comes second is told who came first; a crash leaves nothing to clean up."""
    program = "import pathlib, sys; from bots.is_broken import store\nwith store.alone(pathlib.Path(sys.argv[1])):"
    program += " print('in', flush=True); sys.stdin.read()"
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    words = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"in\n"
        with pytest.raises(Busy, match=f"process {first.pid} holds"), store.alone(tmp_path):
            pass
        first.kill()
        first.wait()
    with store.alone(tmp_path):
        pass


def test_a_downstream_project_is_tried_with_its_own_tests(family: Family) -> None:
    """What breaks only it is found too."""
    other = family.folder / "other"
    other.mkdir()
    (other / "test.py").write_text("import fam_b\nassert fam_b.VERSION == '1.0', 'downstream wants the old one'\n")
    commit(other, "first")
    family.config = replace(
        family.config,
        lanes=("control", "newest", "downstream"),
        downstream=(Downstream("other", str(other), ("python", "test.py"), install=("fam-b", "fam-a")),),
    )
    assert outcomes(family.night())["downstream-other"] == "good"
    family.release("a", "2.0", day=101)
    family.release("b", "2.0", day=102)
    night = family.night()
    assert outcomes(night) == {"control": "good", "newest": "good", "downstream-other": "regressed"}
    assert named(only_finding(family)) == ["fam-b 2.0"]
    assert only_finding(family).jobs == (f"downstream-other-other---{PYTHON}",)


def test_a_git_upstream_is_bisected_to_the_commit(family: Family) -> None:
    """The head of a branch takes the place of a release."""
    source = family.folder / "fam_a"
    source.mkdir()
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "fam-a"\nversion = "5.0"\n'
    )
    shutil.copy(Path(__file__).parent / "backend.py", source / "backend.py")
    good = "VERSION = '5.0'\nBREAKS = {}\nBREAKS_BESIDE = {{}}\n\ndef run(notes):\n    pass\n# {}\n"
    (source / "fam_a.py").write_text(good.format(False, 0))
    commit(source, "good")
    family.config = replace(family.config, repositories=(Repository("fam-a-git", str(source), package="fam-a"),))
    assert outcomes(family.night())["newest"] == "good"
    revisions = []
    for number in range(1, 7):
        (source / "fam_a.py").write_text(good.format(number >= 4, number))
        revisions.append(commit(source, f"number {number}"))
    night = family.night()
    assert outcomes(night) == {"control": "good", "newest": "regressed"}
    finding = only_finding(family)
    assert [change.new for change in finding.culprits.changes] == [revisions[3]]
    assert finding.culprits.probes <= 3
    assert finding.explanation.hold == ""


def test_the_log_of_a_night_is_one_file_of_json(family: Family) -> None:
    """Readable by anything."""
    data = json.loads((family.data / "state.json").read_text())
    assert data["nights"][0]["results"][0]["outcome"] == "good"
    assert data["nights"][0]["started"] > EPOCH


def commit(folder: Path, message: str) -> str:
    """Commit everything in a folder, a repository from then on; the revision."""
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "commit.gpgsign=false"]
    if not (folder / ".git").exists():
        subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", message], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def _octets(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
