"""System calls of the C library as jumps into the library OS: no exception, no privileged stub.

`syscall` has two octets and a jump has five, so the jump takes the place of the instruction and of one or two beside
it. They move to a stub of their own behind the library's last page, where they stand around the way in:

    (what stood before)            at the place of the system call:
    lea    next(%rip), %rcx          jmp stub
    mov    $entry_call, %r11d        (the rest is int3)
    jmp    *%r11
    next: (what stood behind)
    jmp    (to where it goes on)

It is a jump and no call, because nothing may be written to the application's stack: a function that calls none keeps
what it likes in the 128 octets below its stack pointer. RCX and R11 are lost, as in a system call.

A program that jumped between the octets replaced would run nonsense, so a system call is rewritten only where none can:
its function, whose bounds the unwind tables give, decodes from its beginning to just its end; every branch in it leads
to an instruction; and no address that could be a branch's target lies within. Could be: for whatever looks like a
branch or a loaded address anywhere in executable octets, at whatever alignment; for the entries of whatever could be a
switch's table; for every aligned word of the file, and so relocations and symbols; for every function and landing pad.
A system call of which one of these is not so stays as it was, and is counted.
"""

from __future__ import annotations

import json
import re
import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mirage.hvt._elf import Elf
from mirage.hvt._unwind import PT_GNU_EH_FRAME, Function, functions
from mirage.hvt._x86 import Instruction, decode
from mirage.hvt.errors import BuildError

ALLOWED = {
    "libc.so.6": rb"GNU C Library \([^)\n]*\) \w+ release version 2\.",
    "ld-linux-x86-64.so.2": rb"ld\.so \([^)\n]*\) \w+ release version 2\.",
}
"""Files whose system calls are rewritten: the name that they give themselves, and how they say whose they are.

In others `0f 05` may well be data: OpenSSL keeps tables among its code.
"""
_SYSCALL = b"\x0f\x05"
_JUMP = 5
_BESIDE = 3
"""Instructions that may move with a system call, on each side."""
_SIGNAL_RETURN = b"\x48\xc7\xc0\x0f\0\0\0\x0f\x05"
"""By these octets debuggers and unwinders know a signal handler's return, so they stay."""

_NEAR = re.compile(rb"(?=(?:[\xe8\xe9]|\x0f[\x80-\x8f])(....))", re.DOTALL)
_LOADED = re.compile(rb"(?=\x8d[\x05\x0d\x15\x1d\x25\x2d\x35\x3d](....))", re.DOTALL)
_SHORT = re.compile(rb"(?=[\x70-\x7f\xe0-\xe3\xeb](.))", re.DOTALL)
_REACH = 130
_NEAR_BY = 64
"""Octets from a system call within which all lies that may move with it."""
_TABLE = 4096
"""Entries of a switch's table that are read at most."""


@dataclass(slots=True)
class Rewritten:
    """A library laid out, with its stubs behind it; how many system calls go through one, and why the rest do not."""

    data: bytes
    rewritten: int
    left: Counter[str] = field(default_factory=Counter)

    def pack(self) -> bytes:
        """For the cache."""
        counts = json.dumps([self.rewritten, self.left], sort_keys=True).encode()
        return struct.pack("<I", len(counts)) + counts + self.data

    @classmethod
    def unpack(cls, packed: bytes) -> Rewritten:
        """What `pack` gave."""
        (length,) = struct.unpack_from("<I", packed)
        rewritten, left = json.loads(packed[4 : 4 + length])
        return cls(packed[4 + length :], rewritten, Counter(left))

    def summary(self) -> dict[str, object]:
        """For the manifest."""
        return {"rewritten": self.rewritten, "left": dict(sorted(self.left.items()))}


@dataclass(frozen=True, slots=True)
class _Site:
    """What moves to a stub: some instructions, the system call among them."""

    moved: tuple[Instruction, ...]
    place: int

    @property
    def start(self) -> int:
        return self.moved[0].start

    @property
    def end(self) -> int:
        return self.moved[-1].end

    def within(self) -> Iterator[int]:
        """Where nothing may jump to."""
        return (one.start for one in self.moved[1:])


def allowed(elf: Elf) -> bool:
    """Whether a file's system calls may be rewritten."""
    says = ALLOWED.get(elf.soname)
    return says is not None and re.search(says, elf.data) is not None


def rewrite(elf: Elf, data: bytes, entry: int) -> Rewritten:
    """Rewrite what can be in an allowed file that is laid out, its first octet at address 0. `entry`: `entry_call`."""
    executable = [(s.address, s.address + s.memory_size) for s in elf.loaded if s.flags & 1]
    every = sorted(at for low, high in executable for at in _places(data, _SYSCALL, low, high))
    outside = set(every)
    left: Counter[str] = Counter()
    try:
        known = sorted(_functions(elf, data), key=lambda one: one.start)
    except BuildError:
        return Rewritten(data, 0, Counter({"in a file without usable unwind tables": len(every)}))
    targets = _targets(data, executable, known, every)
    out, stubs, count = bytearray(data), bytearray(), 0
    for function in known:
        inside = every[bisect_left(every, function.start) : bisect_left(every, function.end)]
        if not inside:
            continue
        code = _decoded(data, function)
        starts = {one.start for one in code}
        outside.difference_update(inside)
        if not code:
            left["in a function that is not all instructions"] += len(inside)
            continue
        inside = [at for at in inside if at in starts]  # the others are octets of something else
        own = {one.target for one in code if one.target is not None}
        if any(function.start <= at < function.end and at not in starts for at in own):
            left["in a function that branches between instructions"] += len(inside)
            continue
        done = function.start
        for at in inside:
            site = _site(data, code, at, done, own | targets.near(function, at))
            if isinstance(site, str):
                left[site] += 1
                continue
            done, count = site.end, count + 1
            stub = len(data) + len(stubs)
            stubs += _stub(data, site, stub, entry)
            out[site.start : site.end] = _jump(site.start, stub).ljust(site.end - site.start, b"\xcc")
    if outside:
        left["outside every function that is known"] += len(outside)
    return Rewritten(bytes(out + stubs), count, left)


def _places(data: bytes, octets: bytes, low: int, high: int) -> Iterator[int]:
    at = data.find(octets, low, high)
    while at >= 0:
        yield at
        at = data.find(octets, at + 1, high)


def _functions(elf: Elf, data: bytes) -> Iterable[Function]:
    for segment in elf.segments:
        if segment.kind == PT_GNU_EH_FRAME:
            return functions(data, segment.address)
    raise BuildError(f"{elf.name} has no unwind tables")


def _decoded(data: bytes, function: Function) -> list[Instruction]:
    """Its instructions from its first octet to its last; none when they do not come out even."""
    found: list[Instruction] = []
    at = function.start
    while at < function.end:
        one = decode(data, at, function.end)
        if one is None:
            return []
        found.append(one)
        at = one.end
    return found


@dataclass(frozen=True, slots=True)
class _Targets:
    """Where something may jump to."""

    data: bytes
    anywhere: frozenset[int]
    calls: dict[int, list[int]]
    """Of what looks like a branch of four octets: the places, by where it leads."""

    def near(self, function: Function, around: int) -> set[int]:
        """Those about a place, without what is no branch as the function's own instructions say."""
        low, high = around - _NEAR_BY, around + _NEAR_BY
        found = {at for at in range(low, high) if at in self.anywhere}
        for at in range(low, high):
            if any(not function.start <= place < function.end for place in self.calls.get(at, ())):
                found.add(at)
        first = max(0, low - _REACH)
        for match in _SHORT.finditer(self.data[first : high + _REACH]):
            place = first + match.start()
            if not function.start <= place < function.end:
                found.add(place + 2 + int.from_bytes(match[1], "little", signed=True))
        return found


def _targets(data: bytes, executable: list[tuple[int, int]], known: list[Function], every: list[int]) -> _Targets:
    """What leads near a system call; `every` are their places."""
    wanted = {near for at in every for near in range(at - _NEAR_BY, at + _NEAR_BY)}
    anywhere = wanted & {one.start for one in known} | wanted & {at for one in known for at in one.landings}
    anywhere |= wanted & {word for (word,) in struct.iter_unpack("<Q", data[: len(data) // 8 * 8])}
    calls: dict[int, list[int]] = {}
    tables: set[int] = set()
    signed = struct.Struct("<i").unpack
    for low, high in executable:
        code = data[low:high]
        for match in _NEAR.finditer(code):
            target = low + match.end(1) + signed(match[1])[0]
            if target in wanted:
                calls.setdefault(target, []).append(low + match.start())
        for match in _LOADED.finditer(code):
            target = low + match.end(1) + signed(match[1])[0]
            if target in wanted:
                anywhere.add(target)
            elif 0 <= target < len(data) and not low <= target < high:
                tables.add(target)
    for table in tables:
        for at in range(table, min(table + 4 * _TABLE, len(data) - 3), 4):
            target = table + signed(data[at : at + 4])[0]
            if not any(low <= target < high for low, high in executable):
                break
            if target in wanted:
                anywhere.add(target)
    return _Targets(data, frozenset(anywhere), calls)


def _site(data: bytes, code: list[Instruction], at: int, free: int, targets: set[int]) -> _Site | str:
    """What to move with the system call at a place, or why it cannot be done. Nothing before `free` may move."""
    place = next(i for i, one in enumerate(code) if one.start == at)
    if data[at - len(_SIGNAL_RETURN) + 2 : at + 2] == _SIGNAL_RETURN:
        return "the return from a signal handler"
    hit = False
    for before, behind in sorted(
        ((b, a) for b in range(_BESIDE + 1) for a in range(_BESIDE + 1)), key=lambda pair: (sum(pair), pair)
    ):
        if place < before or place + behind >= len(code):
            continue
        site = _Site(tuple(code[place - before : place + behind + 1]), at)
        if site.end - site.start < _JUMP or site.start < free:
            continue
        if not all(one.movable or one.start == at for one in site.moved):
            continue
        if any(inner in targets for inner in site.within()):
            hit = True
            continue
        return site
    return "something may jump between" if hit else "too little beside it that can move"


def _jump(at: int, to: int) -> bytes:
    return b"\xe9" + struct.pack("<i", to - at - _JUMP)


def _entry(entry: int) -> bytes:
    return b"\x41\xbb" + struct.pack("<I", entry) + b"\x41\xff\xe3"


def _stub(data: bytes, site: _Site, at: int, entry: int) -> bytes:
    go = _entry(entry)
    out = data[site.start : site.place] + b"\x48\x8d\x0d" + struct.pack("<i", len(go)) + go
    out += data[site.place + len(_SYSCALL) : site.end]
    return out + _jump(at + len(out), site.end)
