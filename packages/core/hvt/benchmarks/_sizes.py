"""How large images are, how long they take to build, and in how little memory their guests run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from _figures import APPLICATION, HELLO, Bench, Figure, within
from mirage.hvt import GuestFault, Tender, build

STEP = 2
"""MiB: what a guest's memory is a multiple of."""


def builds(bench: Bench) -> Iterator[Figure]:
    """Building hello, and how large it is. The library OS was compiled before."""
    script = bench.script("hello", HELLO)
    start = time.perf_counter()
    image = build(bench.folder / "built.hvt", script)
    yield within("build of hello, s", time.perf_counter() - start, 3.0)
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
