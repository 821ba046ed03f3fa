"""Nights beside each other: what a night's matrix looks like, and what differs between any two."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from .markdown import line, plain
from .model import Change, JobResult, Lock, Night, Outcome

__all__ = ["cell", "change", "difference", "file_name", "matrix", "summary"]

_LANES = ("control", "newest", "lowest", "pre", "downstream")


def file_name(key: str) -> str:
    """A job's key as the name of a file and a part of an address."""
    good = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}", key) and ".." not in key
    return key if good else hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:16]


def summary(night: Night) -> dict[str, Any]:
    """A line of the index of nights."""
    counts = Counter(result.outcome.value for result in night.results)
    return {
        "name": night.name,
        "started": night.started,
        "ended": night.ended,
        "revision": plain(night.revision),
        "quiet": night.quiet,
        "findings": list(night.findings),
        "outcomes": {outcome.value: counts[outcome.value] for outcome in Outcome if counts[outcome.value]},
    }


def cell(result: JobResult, log: str) -> dict[str, Any]:
    """One job's result. `log` is where its output is, or nothing."""
    failure = result.failure
    return {
        "job": line(result.job.key),
        "id": file_name(result.job.key),
        "lane": line(result.job.lane.name),
        "package": line(result.job.package),
        "target": line(result.job.target),
        "python": line(result.job.python),
        "outcome": result.outcome.value,
        "started": result.started,
        "seconds": result.seconds,
        "attempts": result.attempts,
        "lock": result.lock,
        "finding": result.finding,
        "reason": failure.reason.value if failure else "",
        "step": line(failure.step) if failure else "",
        "line": line(failure.line, 300) if failure else "",
        "log": log,
    }


def change(one: Change) -> dict[str, Any]:
    """Something new upstream."""
    return {
        "kind": one.kind.value,
        "name": line(one.name),
        "old": line(one.old),
        "new": line(one.new),
        "spelled": line(one.spelled),
        "when": one.when,
        "link": one.link if re.fullmatch(r"https?://[!-~]+", one.link) else "",
        "prerelease": one.prerelease,
    }


def matrix(cells: list[dict[str, Any]], nights: tuple[Night, ...]) -> list[dict[str, Any]]:
    """Cells as tables: one a lane, with a row a package and a column a target and Python.

    Each cell gets its `history`: the outcomes of `nights` (oldest first), an empty one where it did not run.
    """
    past = [{result.job.key: result.outcome.value for result in night.results} for night in nights]
    tables = []
    for lane in sorted({c["lane"] for c in cells}, key=_lane_order):
        own = [c for c in cells if c["lane"] == lane]
        columns = sorted({(c["target"], c["python"]) for c in own}, key=lambda c: (c[0], _version(c[1])))
        rows = []
        for package in sorted({c["package"] for c in own}):
            by_place = {(c["target"], c["python"]): c for c in own if c["package"] == package}
            row = [by_place.get(column) for column in columns]
            for one in row:
                if one is not None:
                    one["history"] = [outcomes.get(one["job"], "") for outcomes in past]
            rows.append({"package": package, "cells": row})
        tables.append({"lane": lane, "columns": [{"target": t, "python": p} for t, p in columns], "rows": rows})
    return tables


def _lane_order(name: str) -> tuple[int, str]:
    kind = name.partition("-")[0]
    return (_LANES.index(kind) if kind in _LANES else len(_LANES), name)


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d{1,6}", text)))


def difference(old: Night, new: Night, locks: Mapping[str, Lock]) -> dict[str, Any]:
    """What differs between two nights: jobs with another outcome, the tree's revision, and the releases that it took.

    `locks` are those that the state remembers; of forgotten ones nothing is said.
    """
    before = {result.job.key: result for result in old.results}
    after = {result.job.key: result for result in new.results}
    jobs, releases = [], set()
    for key in sorted(before.keys() | after.keys()):
        one, other = before.get(key), after.get(key)
        outcomes = (one.outcome.value if one else "", other.outcome.value if other else "")
        if outcomes[0] != outcomes[1]:
            jobs.append({"job": line(key), "before": outcomes[0], "after": outcomes[1]})
        if one and other and one.lock in locks and other.lock in locks:
            releases |= set(_releases(locks[one.lock].versions, locks[other.lock].versions))
    revisions = [plain(old.revision), plain(new.revision)]
    return {
        "night": old.name,
        "started": old.started,
        "jobs": jobs,
        "releases": sorted(releases),
        "revisions": revisions if revisions[0] != revisions[1] else [],
        "appeared": [key for key in new.findings if key not in old.findings],
        "gone": [key for key in old.findings if key not in new.findings],
    }


def _releases(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Each distribution of which another release is taken: ``urllib3 1.26.20 -> 2.0.2``."""
    changed = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
    return [line(f"{name} {old.get(name, 'none')} -> {new.get(name, 'none')}", 200) for name in changed]
