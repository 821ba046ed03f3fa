"""The soak: one guest works for so many minutes, and neither its memory nor its tender's grows.

The guest runs asyncio timers, allocates and drops memory, starts and joins threads, and prints after each round how
many octets its kernel side has free and how many descriptors are open. The tender's own memory and descriptors are
sampled with each line. The first fifth is for warming up; in the rest the least and the most must lie close together.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from mirage.hvt import Tender, build

MEMORY = 64 << 20
GUEST_GROWTH = 2 << 20
TENDER_GROWTH = 4 << 20
"""Octets that the median of the last fifth may exceed that of the second fifth by."""
ROUND = 2
"""Seconds of a round."""

SCRIPT = """
import asyncio, os, sys, threading, time
end = time.monotonic() + float(sys.argv[1])
def work(amount, out):
    out.append(sum(len(bytes(n)) for n in range(0, amount, 97)))
async def ticking(stop):
    count = 0
    while time.monotonic() < stop:
        await asyncio.sleep(0.005)
        count += 1
    return count
async def churning(stop):
    held, size = [], 1
    while time.monotonic() < stop:
        size = size * 7919 % 1000003
        held.append(bytearray(size % 200000))
        if len(held) > 40: del held[::2]
        await asyncio.sleep(0.002)
async def threading_(stop):
    while time.monotonic() < stop:
        out = []
        threads = [threading.Thread(target=work, args=(9000, out)) for _ in range(4)]
        for thread in threads: thread.start()
        await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
        assert len(set(out)) == 1 and len(out) == 4
async def round_():
    stop = time.monotonic() + float(sys.argv[2])
    return (await asyncio.gather(ticking(stop), churning(stop), threading_(stop)))[0]
def descriptors():
    count = 0
    for number in range(256):
        try: os.fstat(number)
        except OSError: continue
        count += 1
    return count
async def main():
    while time.monotonic() < end:
        ticks = await round_()
        print(ticks, os.sysconf("SC_AVPHYS_PAGES") * 4096, descriptors(), flush=True)
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """After one round: timers that fired in it; octets and descriptors in the guest, and of the tender."""

    seconds: float
    ticks: int
    guest_used: int
    guest_descriptors: int
    tender: int
    tender_descriptors: int


def run(minutes: float, folder: Path) -> list[Sample]:
    """Let the guest work; returns a sample for each round. Raises `HvtError`, and `AssertionError` where it fails."""
    (folder / "soak.py").write_text(SCRIPT)
    image = build(folder / "soak.hvt", folder / "soak.py")
    samples: list[Sample] = []
    start, partial = time.monotonic(), b""

    def console(data: bytes) -> None:
        nonlocal partial
        *lines, partial = (partial + data).split(b"\n")
        for line in lines:
            words = line.split()
            assert len(words) == 3, line.decode(errors="replace")
            ticks, free, descriptors = map(int, words)
            own = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
            elapsed, opened = time.monotonic() - start, len(os.listdir("/proc/self/fd"))
            samples.append(Sample(elapsed, ticks, MEMORY - free, descriptors, own, opened))

    with Tender(image.path, [str(minutes * 60), str(ROUND)], memory=MEMORY, console=console) as tender:
        status = tender.run()
    assert status == 0, f"the guest ended with status {status}"
    return samples


def median(values: list[int]) -> int:
    """The middle one."""
    return sorted(values)[len(values) // 2]


def complaints(samples: list[Sample]) -> list[str]:
    """What is not flat, one sentence each. Raises `ValueError` for fewer samples than say anything."""
    fifth = len(samples) // 5
    if fifth < 2:
        raise ValueError(f"a soak of {len(samples)} rounds says nothing; take a third of a minute or more")
    early, late = samples[fifth : 2 * fifth], samples[-fifth:]
    found = []
    for name, allowed in (
        ("guest_used", GUEST_GROWTH),
        ("tender", TENDER_GROWTH),
        ("guest_descriptors", 0),
        ("tender_descriptors", 0),
    ):
        before, after = (median([getattr(s, name) for s in part]) for part in (early, late))
        if after > before + allowed:
            found.append(f"{name.replace('_', ' ')} grew from {before:,} to {after:,}")
    if any(sample.ticks == 0 for sample in samples):
        found.append("in a whole round no timer fired")
    return found


def table(samples: list[Sample], rows: int = 10) -> str:
    """Some of the samples, evenly spread."""
    step = max(1, len(samples) // rows)
    lines = ["   time  timers   guest used  descriptors   tender resident  descriptors"]
    lines += [
        f"{s.seconds:5.0f} s {s.ticks:7} {s.guest_used / 2**20:8.1f} MiB {s.guest_descriptors:12}"
        f" {s.tender / 2**20:13.1f} MiB {s.tender_descriptors:12}"
        for s in samples[::-1][::step][::-1]
    ]
    return "\n".join(lines)


def main() -> int:
    """Run it; 1 when something is not flat."""
    parser = argparse.ArgumentParser(prog="./noxw -s soak --", description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=60, metavar="MINUTES", help="default: 60")
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        samples = run(minutes, Path(folder))
    print(table(samples))
    wrong = complaints(samples)
    print("\n".join(wrong) or f"{len(samples)} rounds, all flat")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
