"""How large images are, how long they take to build, and in how little memory their guests run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from _figures import APPLICATION, HELLO, Bench, Figure, within
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


def runs(image: Path, mebibytes: int) -> bool:
    """Whether a guest with so much memory prints its line and ends well."""
    said: list[bytes] = []
    try:
        with Tender(image, memory=mebibytes << 20, console=said.append) as tender:
            return tender.run() == 0 and bool(said)
    except GuestFault:
        return False
