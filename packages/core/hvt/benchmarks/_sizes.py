"""How large images are, how long they take to build, and in how little memory their guests run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from _figures import APPLICATION, HELLO, Bench, Figure, beside, within
from mirage.hvt import GuestFault, Tender, build

STEP = 2
"""MiB: what a guest's memory is a multiple of."""


def builds(bench: Bench) -> Iterator[Figure]:
    """Building hello with an empty cache, the library OS included, and again when only its data changed."""
    script, data = bench.script("hello", HELLO), bench.folder / "data"
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(bench.folder / "cache")
    try:
        times = []
        for text in ("first", "second"):
            data.write_text(text)
            start = time.perf_counter()
            image = build(bench.folder / "built.hvt", script, data={"/data": data})
            times.append(time.perf_counter() - start)
    finally:
        del os.environ["XDG_CACHE_HOME"]
        if before is not None:
            os.environ["XDG_CACHE_HOME"] = before
    yield within("cold build of hello, s", times[0], 3.0)
    yield within("build of hello, data changed, s", times[1], 0.5)
    yield within("image of hello, MB", image.size / 1e6, 20)


def memory(bench: Bench) -> Iterator[Figure]:
    """The least memory in which a guest runs to its end."""
    for name, text, budget in (("hello", HELLO, 16), ("application", APPLICATION, 32)):
        image = bench.image(name, text)
        enough = budget
        while enough > 8 and runs(image, enough - STEP):
            enough -= STEP
        while not runs(image, enough):
            enough += STEP
        yield within(f"least memory of {name}, MiB", enough, budget)


PRIVATE = """
import re, sys
from pathlib import Path
from mirage.hvt import Tender
def private():
    text = Path("/proc/self/smaps_rollup").read_text()
    return int(re.search(r"Anonymous:\\s+(\\d+)", text)[1])
found = []
see = lambda _: found.append(private())
before = private()
how, file = sys.argv[1:]
with Tender(file, console=see) if how == "boot" else Tender.resume(file, console=see, share=how == "share") as tender:
    tender.run()
print(before, found[0])
"""
"""KiB that a tender's process shares with no file before a guest, and when the guest prints its first line."""


def clones(bench: Bench) -> Iterator[Figure]:
    """What a clone adds to the memory of the machine, beside a cold guest with its tender."""
    state, image = bench.folder / "clone", bench.image("application", APPLICATION)
    with Tender(image, ["save"], snapshot=state, console=lambda _: None) as tender:
        tender.run()

    def private(how: str, file: Path) -> tuple[int, ...]:
        done = subprocess.run([sys.executable, "-c", PRIVATE, how, str(file)], capture_output=True, check=True)
        return tuple(map(int, done.stdout.split()))

    (_, cold), (before, clone) = private("boot", image), private("share", state)
    yield beside("memory that a clone adds that shares, KiB", clone - before, cold, "<= 0.25", "a cold guest")
    before, clone = private("resume", state)
    yield beside("memory that another clone adds, KiB", clone - before, cold, peer="a cold guest")
    yield beside(
        "room that its snapshot takes, KiB", state.stat().st_blocks / 2, image.stat().st_size / 1024, peer="its image"
    )


def runs(image: Path, mebibytes: int) -> bool:
    """Whether a guest with so much memory prints its line and ends well."""
    said: list[bytes] = []
    try:
        with Tender(image, memory=mebibytes << 20, console=said.append) as tender:
            return tender.run() == 0 and bool(said)
    except GuestFault:
        return False
