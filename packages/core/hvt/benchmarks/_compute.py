"""Computing in a guest and natively, and what a system call costs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from _figures import PATHS, Bench, Figure, speed, within
from mirage.hvt import Tender

COMPUTE = """
import gc, hashlib, json, os, sys, time, zlib
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
def loop():
    n = 0
    for i in range(1_000_000): n += i & 7
def fib(n=22): return n if n < 2 else fib(n - 1) + fib(n - 2)
block, tree = bytes(1 << 20), [{"a": [1, 2.5, "x" * 10]}] * 2000
# Small enough that no side asks its system for the memory of a result.
cipher, piece = AESGCM(bytes(16)), bytes(1 << 16)
def sha256(): [hashlib.sha256(block).digest() for _ in range(8)]
def aesgcm(): [cipher.encrypt(bytes(12), piece, None) for _ in range(128)]
def json_(): [json.loads(json.dumps(tree)) for _ in range(3)]
def deflate(): zlib.compress(block * 4, 6)
def memory(): [bytearray(1 << 20) for _ in range(16)]
def calls(call=os.getppid):
    for _ in range(50_000): call()
def no_calls(): calls(sys.getrecursionlimit)
found = {}
for work in (loop, fib, sha256, aesgcm, json_, deflate, memory, calls, no_calls):
    best = 1e9
    for _ in range(5):
        gc.collect()
        start = time.perf_counter(); work(); best = min(best, time.perf_counter() - start)
    found[work.__name__] = best
print(json.dumps(found), flush=True)
"""
CALLS = 50_000
FIGURES = {
    "loop": "plain loop",
    "fib": "calls of functions",
    "sha256": "SHA-256 of 8 MiB",
    "aesgcm": "AES-GCM of 8 MiB",
    "json_": "JSON there and back",
    "deflate": "deflate of 4 MiB",
}


def compute(bench: Bench) -> Iterator[Figure]:
    """Processor-bound work; guest and native run in turn."""
    guest, native = times(bench)
    for name, what in FIGURES.items():
        yield speed(f"speed of {what}, ms", guest[name] * 1e3, native[name] * 1e3, ">= 0.95")
    yield speed("speed of touching 16 MiB of new memory, ms", guest["memory"] * 1e3, native["memory"] * 1e3)
    call, native_call = call_cost(guest), call_cost(native)
    yield within("a rewritten system call, us", call, 0.1)
    yield within("a system call that traps, us", call_cost(trapped(bench)), 1.5)
    yield speed("speed of a system call, us", call, native_call)


def call_cost(found: dict[str, float]) -> float:
    """Microseconds of getppid, without what the loop and the call of a function cost."""
    return (found["calls"] - found["no_calls"]) / CALLS * 1e6


def trapped(bench: Bench) -> dict[str, float]:
    """The least seconds in a guest whose system calls are not rewritten."""
    image = bench.image("traps", COMPUTE, rewrite=False)
    found: dict[str, float] = {}
    for _ in range(3):
        keep_least(found, in_guest(image))
    return found


def in_guest(image: Path) -> dict[str, float]:
    """What one guest measured."""
    said: list[bytes] = []
    with Tender(image, console=said.append) as tender:
        tender.run()
    found: dict[str, float] = json.loads(b"".join(said))
    return found


def times(bench: Bench) -> tuple[dict[str, float], dict[str, float]]:
    """The least seconds of each piece of work in the guest and natively."""
    image = bench.image("compute", COMPUTE)
    guest: dict[str, float] = {}
    native: dict[str, float] = {}
    for _ in range(max(3, bench.runs // 2)):
        keep_least(guest, in_guest(image))
        done = subprocess.run(bench.native("compute"), capture_output=True, check=True, env=PATHS)
        keep_least(native, json.loads(done.stdout))
    return guest, native


def keep_least(best: dict[str, float], found: dict[str, float]) -> None:
    """The lesser of each."""
    for name, value in found.items():
        best[name] = min(value, best.get(name, value))
