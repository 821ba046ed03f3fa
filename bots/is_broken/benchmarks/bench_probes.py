"""How many suites the bot runs until it can name what broke us, and what a night costs in which nothing is new.

The histories are made up by chance, a hundred for each row: releases in the order of their uploads, each project with
three of them, of which one set breaks everything from some release on. A probe is a suite that is run on a lock.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bots.is_broken import store
from bots.is_broken.bisect import find
from bots.is_broken.testing import Upstream
from bots.is_broken.testing.family import Family
from bots.is_broken.testing.histories import monotone

HISTORIES = 100
TARGETS = {(40, 1): 7, (40, 2): 13, (40, 3): 19, (300, 1): 10, (300, 2): 19, (300, 3): None}
SECONDS = 5.0


def main() -> None:
    """Print the tables, and write them with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    file = parser.parse_args().json
    figures: list[dict[str, object]] = []
    rows: list[dict[str, object]] = []
    print("releases  culprits  probes until the set is named  and until every proper subset is tried  most")
    for (releases, culprits), most in TARGETS.items():
        named, whole = [], []
        for seed in range(HISTORIES):
            history = monotone(random.Random(seed), releases, culprits, releases // 3)
            found = find(history.changes, history)
            assert history.is_minimal(found.changes)
            named.append(found.questions)
            whole.append(found.questions + found.confirmations)
        median = statistics.median(named)
        print(f"{releases:8}  {culprits:8}  {median:29g}  {statistics.median(whole):37g}  {max(whole):4}")
        rows.append({"releases": releases, "culprits": culprits, "named": named, "whole": whole})
        label = f"probes, {culprits} of {releases} releases, median"
        figures.append(_figure(label, median, most or 0, f"<= {most}" if most else ""))
    figures += nights()
    if file:
        file.write_text(json.dumps({"figures": figures, "rows": rows}, indent=1))


def nights() -> list[dict[str, object]]:
    """A night with nothing new, and one whose locks were all seen before."""
    with Upstream() as upstream, tempfile.TemporaryDirectory() as folder:
        family = Family(Path(folder), upstream)
        family.night()
        started = time.perf_counter()
        assert family.night().quiet
        quiet = time.perf_counter() - started
        for day, member in enumerate("abcd", 101):
            family.release(member, "2.0", day=day, breaks=member == "b")
        first = family.night()
        store.save(family.data, replace(family.state, findings={}, seen=""))
        again = family.night()
    print(f"a night with nothing new: {quiet:.2f} s; the probes of a night: {first.probes}, and again: {again.probes}")
    return [
        _figure("a night with nothing new, s", quiet, SECONDS, f"<= {SECONDS:g}"),
        _figure("probes whose locks were seen before", again.probes, first.probes, "<= 0"),
    ]


def _figure(figure: str, ours: float, theirs: float, target: str) -> dict[str, object]:
    return {"figure": figure, "ours": ours, "peer": "budget", "theirs": theirs, "ratio": ours, "target": target}


if __name__ == "__main__":
    main()
