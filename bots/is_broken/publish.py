"""What a night leaves for readers: the data folder that the site's ``/status/`` is built from, and nothing beside it.

::

    status.json              the latest night: matrix with history, findings, and the index of nights
    nights/NAME.json         each night: results, changes upstream, and what differs from every earlier one
    logs/NAME/KEY.txt        the output of each job of the latest nights
    atom.xml                 what broke and what was mended
    badge.svg                good, or how much is broken
    badge-stale.svg          what is shown instead of it once the data is too old to be believed

`tree` is a function of the state and of the logs and nothing else: published twice, it gives the same octets. Text from
outside is plain text here, free of controls; who makes HTML of it escapes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tasks.files import write

from . import feed, history, wording
from .errors import StateError
from .markdown import line, plain
from .model import INFRASTRUCTURE_KEY, Finding, JobResult, Night, Outcome, State

__all__ = ["FOLDER", "publish", "tree"]

FOLDER = "published"
"""The folder, below the bot's data, that is checked in and that the site is built from."""

NIGHTS = 30
"""How many nights are kept."""
LOGS = 2
"""How many of them have their jobs' output."""
LOG_SIZE = 256 << 10
"""Characters of a published log of a job that failed. Of a longer one the middle is left out, and said to be."""
PASSED_SIZE = 16 << 10
"""The same for a job that passed, of which there are many. The machine that ran it has every log whole."""


def publish(state: State, logs: Path, out: Path, *, site: str = "https://mirage.example") -> list[str]:
    """Bring the folder `out` up to date; the paths of what was written or removed.

    `logs` is the folder that `JobResult.log` is relative to. `site` is the site's address. Raises `StateError` where
    `out` holds something else.
    """
    old = _titles(out)

    def read(result: JobResult) -> str | None:
        try:
            return (logs / result.log).read_text("utf-8", "replace") if result.log else None
        except (FileNotFoundError, IsADirectoryError):
            return None

    files = tree(state, read, site, old)
    changed = []
    for path, content in files.items():
        file = out / path
        if not file.is_file() or file.read_text("utf-8") != content:
            write(file, content)
            changed.append(path)
    for folder in ("nights", "logs"):
        for file in sorted((out / folder).rglob("*"), reverse=True):
            path = file.relative_to(out).as_posix()
            if file.is_dir() and not any(file.iterdir()):
                file.rmdir()
            elif file.is_file() and path not in files:
                file.unlink()
                changed.append(path)
    return changed


def _titles(out: Path) -> dict[str, str]:
    """The titles of findings that were published before, which the state may have forgotten."""
    try:
        value = json.loads((out / "status.json").read_text("utf-8"))
        return {str(key): str(title) for key, title in value["titles"].items()}
    except FileNotFoundError:
        if out.is_dir() and any(out.iterdir()):
            raise StateError(f"{out} holds something else than published nights; name another folder") from None
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"{out / 'status.json'} was not written by the bot; delete {out} and publish again") from error


def tree(
    state: State, read: Callable[[JobResult], str | None], site: str, titles: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Every file of the data folder, by its path. `read` gives the output of a job, None where it is not kept."""
    nights = tuple(night for night in state.nights if night.ended)[-NIGHTS:]
    mentioned = {key for night in nights for key in night.findings} | set(state.findings)
    known = {**(titles or {}), **{key: wording.title(one) for key, one in state.findings.items()}}
    names = {key: known[key] for key in sorted(mentioned & known.keys())}
    files: dict[str, str] = {}
    cells: list[dict[str, Any]] = []
    for index, night in enumerate(nights):
        cells = []
        for result in night.results:
            log = ""
            output = read(result) if index >= len(nights) - LOGS else None
            if output is not None:
                log = f"logs/{night.name}/{history.file_name(result.job.key)}.txt"
                files[log] = _trimmed(output, LOG_SIZE if result.failure else PASSED_SIZE)
            cells.append(history.cell(result, log))
        files[f"nights/{night.name}.json"] = _json(_night(night, nights[:index], cells, state, names))
    files["status.json"] = _json(_status(state, nights, cells, names, site))
    latest = nights[-1] if nights else None
    files["atom.xml"] = feed.atom(nights, names, site, latest.started if latest else 0).decode()
    files["badge.svg"] = feed.badge(*_badge(latest)).decode()
    files["badge-stale.svg"] = feed.badge("stale", "unknown").decode()
    return files


def _status(
    state: State, nights: tuple[Night, ...], cells: list[dict[str, Any]], titles: dict[str, str], site: str
) -> dict[str, Any]:
    latest = nights[-1] if nights else None
    broken = latest.findings if latest else ()
    return {
        "version": 1,
        "site": site,
        "night": history.summary(latest) if latest else None,
        "word": _badge(latest)[0],
        "mood": _badge(latest)[1],
        "matrix": history.matrix(cells, nights),
        "findings": [_finding(state.findings[key], state) for key in broken if key in state.findings],
        "nights": [history.summary(night) for night in reversed(nights)],
        "titles": titles,
    }


def _night(
    night: Night, earlier: tuple[Night, ...], cells: list[dict[str, Any]], state: State, titles: dict[str, str]
) -> dict[str, Any]:
    return {
        **history.summary(night),
        "probes": night.probes,
        "changes": [history.change(one) for one in night.changes],
        "results": cells,
        "against": [history.difference(other, night, state.locks) for other in reversed(earlier)],
        "titles": {key: titles[key] for key in night.findings if key in titles},
    }


def _finding(one: Finding, state: State) -> dict[str, Any]:
    told = one.explanation
    reports = state.reports.get(one.key, {})
    return {
        "key": one.key,
        "title": wording.title(one),
        "outcome": one.outcome.value,
        "infrastructure": one.key == INFRASTRUCTURE_KEY,
        "culprits": [history.change(change) for change in one.culprits.changes],
        "probes": one.culprits.probes,
        "minimal": one.culprits.minimal,
        "step": line(told.failure.step),
        "line": line(told.failure.line, 500),
        "excerpt": _trimmed(told.failure.excerpt, 8000),
        "notes": [line(note, 500) for note in told.notes],
        "difference": [line(row, 200) for row in told.difference],
        "reproduce": plain(told.reproduce),
        "hold": plain(told.hold),
        "jobs": [line(job) for job in one.jobs],
        "first": one.first,
        "last": one.last,
        "issue": reports["github"].number if "github" in reports else 0,
    }


def _badge(night: Night | None) -> tuple[str, str]:
    """What is said of a night in two words, and its mood."""
    if night is None or not night.results:
        return "never run", "unknown"
    broken = [key for key in night.findings if key != INFRASTRUCTURE_KEY]
    if broken:
        return f"{len(broken)} broken", "bad"
    if INFRASTRUCTURE_KEY in night.findings or any(r.outcome is Outcome.INFRASTRUCTURE for r in night.results):
        return "in trouble", "unknown"
    if not all(result.outcome.passed for result in night.results):
        return "broken", "bad"
    return "good", "good"


def _trimmed(text: str, limit: int = LOG_SIZE) -> str:
    """A text of at most about `limit` characters, in plain lines."""
    text = plain(text)
    if len(text) <= limit:
        return text
    head, tail = text[: limit // 4], text[len(text) - 3 * limit // 4 :]
    return f"{head}\n\n[{len(text) - len(head) - len(tail):,} characters left out]\n\n{tail}"


def _json(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
