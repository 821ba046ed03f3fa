"""System calls that became jumps: which may, what stands there then, and that guests are none the wiser."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mirage.hvt import GuestFault, Tender, build
from mirage.hvt._elf import Elf
from mirage.hvt._kvm import MSR_LSTAR
from mirage.hvt._layout import lay_out
from mirage.hvt._rewrite import Rewritten, allowed, rewrite
from mirage.hvt._x86 import decode

Boot = Callable[..., Any]
ENTRY = 0x40002040
BETWEEN, LITTLE = "something may jump between", "too little beside it that can move"
FUNCTIONS = {
    "the usual one": ("mov $39, %eax; syscall; ret", ""),
    "tested behind": ("mov $39, %eax; 1: syscall; test %rax, %rax; js 1b; ret", ""),
    "its error looked at": ("xor %eax, %eax; syscall; cmp $-4095, %rax; jae 1f; ret; 1: neg %eax; ret", ""),
    "the red zone in use": ("mov %rdi, -8(%rsp); mov $39, %eax; syscall; mov -8(%rsp), %rdx; ret", ""),
    "a loop back to it, nothing behind": ("mov $39, %eax; 1: syscall; jmp 1b", BETWEEN),
    "a loop to both sides": ("mov $39, %eax; 1: syscall; 2: test %rax, %rax; js 1b; jp 2b; ret", BETWEEN),
    "alone": ("call 1f; syscall; jmp 1f; 1: ret", LITTLE),
    "beside what is near": ("mov 1f(%rip), %eax; syscall; 1: ret", LITTLE),
    "a pointer to it": (
        "mov $39, %eax; 1: syscall; ret; .pushsection .data; .balign 8; .quad 1b; .popsection",
        BETWEEN,
    ),
    "its address is taken": ("lea 1f(%rip), %rdx; mov $39, %eax; 1: syscall; ret", BETWEEN),
    "a case of a switch": (
        "lea 2f(%rip), %rdx; movslq (%rdx,%rdi,4), %rax; add %rdx, %rax; jmp *%rax; mov $39, %eax;"
        "1: syscall; ret; 3: ret;"
        ".pushsection .rodata; .balign 4; 2: .long 3b - 2b, 1b - 2b; .popsection",
        BETWEEN,
    ),
    "a jump from the function before": ("mov $39, %eax; from_neighbour: syscall; ret", BETWEEN),
    "a call from far away": ("mov $39, %eax; from_afar: syscall; ret", BETWEEN),
    "data among code": ("mov $39, %eax; syscall; ret; .byte 0x06", "in a function that is not all instructions"),
    "a branch into an instruction": (
        "mov $39, %eax; syscall; jz 1f + 1; 1: mov $1, %eax; ret",
        "in a function that branches between instructions",
    ),
    "the return from a signal": ("mov $15, %rax; syscall; hlt", "the return from a signal handler"),
    "no system call": ("mov $0x050f, %eax; ret", None),
}


def assembled(folder: Path, bodies: dict[str, str]) -> tuple[Elf, bytes]:
    """A library of these functions, laid out."""
    text = [".text"]
    for i, body in enumerate(bodies.values()):
        if "from_neighbour:" in body:
            text.append("before: .cfi_startproc; jz from_neighbour; ret; .cfi_endproc")
        text += [f"f{i}: .cfi_startproc", body, ".cfi_endproc"]
    if any("from_afar:" in body for body in bodies.values()):
        text.append(".skip 300, 0x90")
        text.append("afar: .cfi_startproc; call from_afar; ret; .cfi_endproc")
    source, library = folder / "calls.s", folder / "calls.so"
    source.write_text("\n".join(text) + '\n.section .note.GNU-stack, "", @progbits\n')
    subprocess.run(["gcc", "-shared", "-nostdlib", "-o", str(library), str(source)], check=True)
    elf = Elf(str(library), library.read_bytes())
    return elf, lay_out(elf)[0]


@pytest.mark.tool("gcc")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_rewritten_where_nothing_can_jump_between(tmp_path: Path, name: str) -> None:
    """Either the function jumps to a stub that is right, or its octets are as they were and the reason is counted."""
    body, reason = FUNCTIONS[name]
    elf, data = assembled(tmp_path, {name: body})
    done = rewrite(elf, data, ENTRY)
    if reason == "":
        assert (done.rewritten, done.left) == (1, Counter())
        check_stubs(data, done)
    else:
        assert (done.rewritten, done.data) == (0, data)
        assert done.left == (Counter({reason: 1}) if reason else Counter())


def check_stubs(before: bytes, done: Rewritten) -> None:
    """Each place that changed holds a jump; its stub does what stood there, enters for `syscall`, and returns."""
    after, stub, found = done.data, len(before), 0
    while stub < len(after):
        moved = b""
        jump = after[stub:].index(b"\x48\x8d\x0d\x09\0\0\0\x41\xbb" + ENTRY.to_bytes(4, "little") + b"\x41\xff\xe3")
        moved += after[stub : stub + jump] + b"\x0f\x05"
        at = tail = stub + jump + 16
        while after[at] != 0xE9 or decode(after, at, len(after)).target >= len(before):  # type: ignore[union-attr,operator]
            one = decode(after, at, len(after))
            assert one is not None
            assert one.movable
            at = one.end
        back = decode(after, at, len(after))
        assert back is not None
        assert back.target is not None
        moved += after[tail:at]
        start = back.target - len(moved)
        assert before[start : back.target] == moved
        into = decode(after, start, back.target)
        assert into is not None
        assert into.target == stub
        assert set(after[into.end : back.target]) <= {0xCC}
        stub, found = back.end, found + 1
    assert found == done.rewritten
    changed = sum(a != b for a, b in zip(before, after, strict=False))
    assert changed <= sum(15 * 7 for _ in range(found))


def test_the_c_library(c_library: list[Path]) -> None:
    """It is allowed, nineteen in twenty of its system calls are rewritten, and every stub is right."""
    for file in c_library:
        elf = Elf(str(file), file.read_bytes())
        assert allowed(elf)
        data = lay_out(elf)[0]
        done = rewrite(elf, data, ENTRY)
        assert done.rewritten >= 19 * done.left.total() > 0
        check_stubs(data, done)
        assert Rewritten.unpack(done.pack()) == done


@pytest.mark.tool("gcc")
def test_others_are_not_allowed(tmp_path: Path) -> None:
    """Neither by their name alone nor without one."""
    source = tmp_path / "empty.c"
    source.write_text("int f(void) { return 1; }\n")
    for name in ("libc.so.6", "libother.so"):
        library = tmp_path / name
        subprocess.run(
            ["gcc", "-shared", "-nostdlib", f"-Wl,-soname,{name}", "-o", str(library), str(source)], check=True
        )
        elf = Elf(str(library), library.read_bytes())
        assert elf.soname == name
        assert not allowed(elf)
    for name in ("libcrypto.so.3", "libsqlite3.so.0"):
        file = Path("/usr/lib/x86_64-linux-gnu", name)
        if file.exists():
            assert not allowed(Elf(name, file.read_bytes()))


# ---- Guests ----------------------------------------------------------------------------------------------------------


class WithoutStub(Tender):
    """A guest whose `syscall` leads nowhere."""

    def _set_system_calls(self) -> None:
        super()._set_system_calls()
        self.machine.set_msr(MSR_LSTAR, 0x1000)


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
@pytest.mark.parametrize("rewritten", [True, False])
def test_a_guest_of_cpython_traps_no_more(tmp_path: Path, rewritten: bool) -> None:
    """Where `syscall` leads nowhere, one that is rewritten runs all the same; the other cannot.

    (Only `clone` still traps: the C library does not tell unwinders where that function ends.)
    """
    script = tmp_path / "main.py"
    script.write_text(
        "import time, tempfile\ntime.sleep(0.001)\nwith tempfile.TemporaryFile() as file: print(file.write(b'1234'))\n"
    )
    image = build(tmp_path / "image.hvt", script, rewrite=rewritten)
    said: list[bytes] = []
    with WithoutStub(image.path, console=said.append) as tender:
        if rewritten:
            assert (tender.run(), said) == (0, [b"4\n"])
        else:
            with pytest.raises(GuestFault):
                tender.run()


STORM = """
import os, signal, sys, threading, time
heard = 0
def handler(number, frame):
    global heard
    heard += 1
    assert os.getppid() == 0  # a system call within whatever was interrupted
signal.signal(signal.SIGALRM, handler)
signal.signal(signal.SIGUSR1, handler)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
wrong, counts, stop = [], [0] * 4, False
file = os.open(sys.argv[0], os.O_RDONLY)
text = os.pread(file, 1000, 0)
def calls(i):
    reading, writing = os.pipe()
    word, last = bytes([65 + i]) * 300, 0.0
    while not stop:
        os.write(writing, word)
        now = time.monotonic()
        if os.read(reading, 1000) != word or now < last or os.getppid() or os.pread(file, 50, i) != text[i : i + 50]:
            wrong.append(i)
        last = now
        try:
            os.close(12345)
            wrong.append("close")
        except OSError:
            pass
        counts[i] += 1
threads = [threading.Thread(target=calls, args=(i,)) for i in range(4)]
for thread in threads: thread.start()
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end or min(counts) <= 20 or heard <= 100:
    for _ in range(100): os.getppid()
    os.kill(os.getpid(), signal.SIGUSR1)
stop = True
for thread in threads: thread.join()
for number in (signal.SIGALRM, signal.SIGUSR1): signal.signal(number, signal.SIG_IGN)
print(wrong)
"""


class Storm(Tender):
    """A guest that is interrupted every fifth of a millisecond, whatever it asks for; where that was is noted."""

    def _arm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 2e-4, 2e-4)

    def _interrupt(self) -> None:
        self.machine.finish_io()
        self.__dict__.setdefault("places", []).append(self.machine.registers()["rip"])
        super()._interrupt()


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
@pytest.mark.parametrize("rewritten", [True, False])
def test_a_storm_of_interruptions_and_signals(tmp_path: Path, rewritten: bool) -> None:
    """Interruptions by the thousand, in stubs, in the library OS and elsewhere, and signals: no call does otherwise."""
    script = tmp_path / "main.py"
    script.write_text(STORM)
    image = build(tmp_path / "image.hvt", script, rewrite=rewritten)
    said: list[bytes] = []
    with Storm(image.path, ["1"], console=said.append) as tender:
        assert tender.run() == 0
        assert b"".join(said) == b"[]\n"
        where = Counter(region(tender, place) for place in tender.__dict__["places"])
    assert where["library OS"] > 20
    assert where["application"] > 20
    assert bool(where["stub"]) == rewritten


def region(tender: Tender, place: int) -> str:
    """Whose instruction an address is."""
    if tender.header.text <= place < tender.header.text_end:
        return "library OS"
    return "stub" if ": rewritten system calls+" in tender._guest.symbols().describe(place) else "application"
