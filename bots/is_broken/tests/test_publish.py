"""The published data says what the nights were, is the same octets twice, and holds no text that is more than text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import feedparser
import pytest

from bots.is_broken import feed, history
from bots.is_broken.errors import StateError
from bots.is_broken.model import Job, JobResult, Lane, LaneKind, Lock, Night, Outcome, State
from bots.is_broken.publish import LOG_SIZE, publish, tree

from .sample import CHANGE, EPOCH, FAILURE, NEW, after, bad, finding, good

ATOM = "{http://www.w3.org/2005/Atom}"


def three_nights() -> State:
    """Good, broken, broken with one more."""
    other = finding(replace(CHANGE, name="other"))
    state = after(State(), good(0))
    state = after(state, bad(1, finding()), finding())
    return after(state, bad(2, finding(), other), finding(night=2), other)


def logs_of(state: State, folder: Path, text: str = "line\n") -> State:
    """Write an output for every job of every night."""
    nights = []
    for night in state.nights:
        results = []
        for result in night.results:
            log = f"logs/{night.name}/{history.file_name(result.job.key)}.log"
            (folder / log).parent.mkdir(parents=True, exist_ok=True)
            (folder / log).write_text(text)
            results.append(replace(result, log=log))
        nights.append(replace(night, results=tuple(results)))
    return replace(state, nights=tuple(nights))


def status(out: Path) -> Any:
    """What was published."""
    return json.loads((out / "status.json").read_text())


def test_a_night_is_published(tmp_path: Path) -> None:
    """Matrix, history, findings and index; and a second time nothing is written."""
    state = logs_of(three_nights(), tmp_path / "run")
    out = tmp_path / "data"
    publish(state, tmp_path / "run", out)
    found = status(out)
    assert (found["word"], found["mood"]) == ("2 broken", "bad")
    (table,) = found["matrix"]
    assert table["lane"] == "newest"
    (row,) = table["rows"]
    assert row["cells"][0]["history"] == ["good", "regressed", "regressed"]
    assert [one["name"] for one in found["nights"]] == [night.name for night in reversed(state.nights)]
    assert {one["key"] for one in found["findings"]} == set(state.findings)
    assert (out / row["cells"][0]["log"]).read_text() == "line\n"
    assert publish(state, tmp_path / "run", out) == []


def test_what_differs_between_any_two_nights(tmp_path: Path) -> None:
    """Each night is held against every earlier one: jobs, releases, findings that appeared and went."""
    state = three_nights()
    files = tree(after(state, good(3, revision="b" * 40)), lambda result: None, "https://x.example")
    last = json.loads(files[f"nights/{good(3).name}.json"])
    assert [one["night"] for one in last["against"]] == [night.name for night in reversed(state.nights)]
    nearest, _, first = last["against"]
    assert nearest["jobs"] == [{"job": "newest-website-unix-3.11", "before": "regressed", "after": "good"}]
    assert nearest["releases"] == ["leftpad 2.0 -> 1.9"]
    assert nearest["revisions"] == ["a" * 40, "b" * 40]
    assert len(nearest["gone"]) == 2
    assert (first["jobs"], first["releases"], first["gone"]) == ([], [], [])


def test_the_feed(tmp_path: Path) -> None:
    """What broke and what was mended, once each; a finding that the state has forgotten keeps its title."""
    state = three_nights()
    publish(state, tmp_path, tmp_path / "data")
    forgotten = replace(after(state, good(3)), findings={})
    publish(forgotten, tmp_path, tmp_path / "data")
    document = (tmp_path / "data" / "atom.xml").read_bytes()
    parsed = feedparser.parse(document)
    assert not parsed.bozo
    titles = [entry.title for entry in parsed.entries]
    assert len(titles) == 4
    assert sum(title.startswith("Mended: leftpad 2.0 breaks the build") for title in titles) == 1
    root = ET.fromstring(document)
    ids = [element.text for element in root.iter(f"{ATOM}id")]
    assert len(set(ids)) == len(ids)
    for element in [root, *root.iter(f"{ATOM}entry")]:
        for required in ("id", "title", "updated"):  # RFC 4287 4.1.1 and 4.1.2
            assert len(element.findall(f"{ATOM}{required}")) == 1


def test_old_nights_and_logs_go(tmp_path: Path) -> None:
    """The folder stays small: thirty nights, and the output of two."""
    state = State()
    for number in range(40):
        state = after(state, good(number))
    state = logs_of(state, tmp_path / "run")
    publish(replace(state, nights=state.nights[:20]), tmp_path / "run", tmp_path / "data")
    publish(state, tmp_path / "run", tmp_path / "data")
    assert len(list((tmp_path / "data" / "nights").iterdir())) == 30
    assert len(list((tmp_path / "data" / "logs").iterdir())) == 2
    assert len(status(tmp_path / "data")["nights"]) == 30


def test_a_log_is_whole_or_says_what_it_lacks(tmp_path: Path) -> None:
    """Controls are spelled, colours gone, octets that are no text replaced; too long a log lacks its middle."""
    state = logs_of(after(State(), bad(0, finding()), finding()), tmp_path)
    (file,) = (tmp_path / "logs").rglob("*.log")
    file.write_bytes(b"\x1b[31mred\x1b[0m \xff\x00 <script>\n" + b"x" * (2 * LOG_SIZE) + b"\nthe end\n")
    publish(state, tmp_path, tmp_path / "data")
    (log,) = (tmp_path / "data" / "logs").rglob("*.txt")
    text = log.read_text()
    assert text.startswith("red \ufffd\\u0000 <script>\n")
    assert text.endswith("\nthe end\n")
    assert "characters left out]" in text
    assert len(text) < LOG_SIZE + 200


@pytest.mark.parametrize("evil", ["../../etc/passwd", "a/b", "..", ".hidden", "x" * 500, "\x00", "<img src=x>", "a b"])
def test_a_hostile_name_is_no_path(tmp_path: Path, evil: str) -> None:
    """A job's name may hold anything; files stay in the folder."""
    job = Job(Lane(LaneKind.DOWNSTREAM, evil), evil, evil, evil)
    night = Night(
        EPOCH, EPOCH + 1, evil, (replace(CHANGE, name=evil, link=evil),), (JobResult(job, Outcome.GOOD, evil),)
    )
    files = tree(after(State(), night), lambda result: "output", "https://x.example")
    for path in files:
        assert (tmp_path / path).resolve().is_relative_to(tmp_path)
        assert all(part not in {"", ".", ".."} and part.isprintable() for part in path.split("/"))
        assert len(path) < 200
    ET.fromstring(files["atom.xml"].encode())


def test_words_and_moods() -> None:
    """What the badge says; the stale one is there beforehand."""

    def said(state: State) -> tuple[str, str]:
        files = tree(state, lambda result: None, "https://x.example")
        found = json.loads(files["status.json"])
        assert found["word"] in files["badge.svg"]
        ET.fromstring(files["badge.svg"])
        assert "stale" in files["badge-stale.svg"]
        return found["word"], found["mood"]

    assert said(State()) == ("never run", "unknown")
    assert said(after(State(), good(0))) == ("good", "good")
    assert said(after(State(), bad(0, finding()), finding())) == ("1 broken", "bad")
    lost = replace(bad(0, finding(), outcome=Outcome.INFRASTRUCTURE), findings=("infrastructure",))
    assert said(after(State(), lost)) == ("in trouble", "unknown")
    unfinished = replace(good(0), ended=0.0)
    assert said(after(State(), unfinished)) == ("never run", "unknown")


def test_the_badge_escapes() -> None:
    """A word is text."""
    root = ET.fromstring(feed.badge('<b> & "x"', "bad"))
    assert 'nightly: <b> & "x"' in {element.text for element in root.iter()}


def test_columns_are_in_order() -> None:
    """3.9 before 3.11, the control before the newest; a job that did not run has no cell."""
    jobs = [
        Job(Lane(kind), "unix", python, package)
        for kind in (LaneKind.NEWEST, LaneKind.CONTROL)
        for python, package in (("3.11", "a"), ("3.9", "a"), ("3.11", "b"))
    ]
    night = Night(EPOCH, EPOCH + 1, results=tuple(JobResult(job, Outcome.GOOD, failure=FAILURE) for job in jobs))
    tables = history.matrix([history.cell(result, "") for result in night.results], (night,))
    assert [table["lane"] for table in tables] == ["control", "newest"]
    assert [column["python"] for column in tables[0]["columns"]] == ["3.9", "3.11"]
    assert [[cell is not None for cell in row["cells"]] for row in tables[0]["rows"]] == [[True, True], [False, True]]


def test_another_folder_is_left_alone(tmp_path: Path) -> None:
    """What is not the bot's is not overwritten."""
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(StateError, match="something else"):
        publish(State(), tmp_path, tmp_path)
    (tmp_path / "status.json").write_text("[1]")
    with pytest.raises(StateError, match="was not written by the bot"):
        publish(State(), tmp_path, tmp_path)


def test_locks_that_were_forgotten() -> None:
    """Of a lock that the state does not remember nothing is claimed."""
    one, other = good(0), good(1, NEW)
    assert history.difference(one, other, {})["releases"] == []
    locks = {NEW.hash: NEW, one.results[0].lock: Lock("3.11", ("x @ git+https://h/x@1",))}
    assert history.difference(one, other, locks)["releases"] == ["leftpad none -> 2.0", "x git+https://h/x@1 -> none"]
