"""Boots a kernel under Bochs, which emulates Intel's virtualisation, and reads its serial console.

Bochs boots from disks only: `boot` makes a CD with ISOLINUX on it. Debian's Bochs stops in its debugger before the
first instruction, so it gets the command to go on. It draws its screen on a pseudo-terminal whose name it says, and
stands still once nobody reads that, so `_Screen` does.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

LIMIT = 1800
"""Seconds after which a machine is ended: several times what it takes."""
PROGRAMS = ("bochs-bin", "busybox", "gcc", "xorriso")
_BOOT_LOADER = (Path("/usr/lib/ISOLINUX/isolinux.bin"), Path("/usr/lib/syslinux/modules/bios/ldlinux.c32"))
_FIRMWARE = (Path("/usr/share/bochs/BIOS-bochs-latest"), Path("/usr/share/bochs/VGABIOS-lgpl-latest"))
_SCREEN = Path("/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so")
FILES = (*_BOOT_LOADER, *_FIRMWARE, _SCREEN)
PACKAGES = (
    *("bochs", "bochs-term", "bochsbios", "busybox-static", "gcc", "isolinux", "linux-image-cloud-amd64"),
    *("syslinux-common", "xorriso"),
)
"""Debian packages that hold the programs and files, and the kernel."""
_COMMAND_LINE = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check"
# A tick's handling takes a million instructions: with a shorter tick than this the guest would not get on.
_PACE = ("MIRAGE_TICK=50000", "MIRAGE_SPIN=25")
_MENU = "default linux\nprompt 0\nlabel linux\n  kernel /kernel\n  append initrd=/initramfs {words}\n"
# Haswell has FSGSBASE, XSAVE, AVX2 and nested page tables. With Skylake-X Linux turns XSAVE off, and later models do
# not boot. ips is what Bochs believes its speed to be: its clock follows from it, so a guess gives ticks a fair rate.
_MACHINE = """\
megs: 1024
cpu: model=corei7_haswell_4770, count=1, ips=60000000, reset_on_triple_fault=0
romimage: file={firmware[0]}
vgaromimage: file={firmware[1]}
ata0-master: type=cdrom, path={cd}, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={console}
display_library: term
log: {log}
panic: action=fatal
error: action=ignore
info: action=ignore
clock: sync=none, time0=local
"""


def lacking() -> str | None:
    """None when everything is installed, else the line that installs it."""
    there = all(shutil.which(program) for program in PROGRAMS) and all(file.exists() for file in FILES)
    return None if there else f"Bochs, or what it boots from, is not there: apt-get install {' '.join(PACKAGES)}"


def _make_cd(folder: Path, kernel: Path, initramfs: bytes, words: str) -> Path:
    tree, cd = folder / "cd", folder / "cd.iso"
    (tree / "isolinux").mkdir(parents=True)
    for file in _BOOT_LOADER:
        shutil.copy(file, tree / "isolinux" / file.name)
    (tree / "isolinux" / "isolinux.cfg").write_text(_MENU.format(words=words))
    shutil.copy(kernel, tree / "kernel")
    (tree / "initramfs").write_bytes(initramfs)
    command = ["xorriso", "-as", "mkisofs", "-quiet", "-o", str(cd), "-b", "isolinux/isolinux.bin"]
    command += ["-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", str(tree)]
    subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(tree)
    return cd


def boot(kernel: Path, initramfs: bytes, folder: Path, *words: str) -> str:
    """Boot until the machine turns itself off; returns what it said. `words` go to the kernel's command line."""
    cd = _make_cd(folder, kernel, initramfs, " ".join([_COMMAND_LINE, *_PACE, *words]))
    console = folder / "console"
    machine, go = folder / "bochsrc", folder / "go"
    machine.write_text(_MACHINE.format(firmware=_FIRMWARE, cd=cd, console=console, log=folder / "log"))
    go.write_text("c\n")
    command = ["bochs-bin", "-q", "-f", str(machine), "-rc", str(go)]
    environment, late = {**os.environ, "TERM": "xterm"}, False
    with (
        open(folder / "said", "wb") as words_of_bochs,  # a pipe would want a reader too
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=words_of_bochs,
            stderr=subprocess.STDOUT,
        ) as process,
        _Screen(folder / "said"),
    ):
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            process.kill()
    said = console.read_text(errors="replace") if console.exists() else ""
    cd.unlink()
    assert not late, f"the machine did not end within {LIMIT} s; it said:\n{said[-4000:]}"
    return said


class _Screen:
    """Reads what Bochs draws, which nobody looks at, until the end of the `with` statement."""

    def __init__(self, said: Path) -> None:
        self._said = said
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        self._thread.join()

    def _read(self) -> None:
        name = None
        while name is None and not self._end.wait(0.1):
            name = re.search(r'connected to screen "(/dev/pts/\d+)"', self._said.read_text(errors="replace"))
        if name is None:
            return
        screen = os.open(name[1], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            while not self._end.wait(0.1):
                with contextlib.suppress(BlockingIOError):
                    while os.read(screen, 1 << 16):
                        pass
        except OSError:
            pass  # Bochs has gone, and its terminal with it
        finally:
            os.close(screen)
