"""Boots a kernel under QEMU's emulation of AMD's virtualisation, and reads its serial console."""

from __future__ import annotations

import subprocess
from pathlib import Path

PROGRAM = "qemu-system-x86_64"
LIMIT = 600
"""Seconds after which a machine that says nothing more is ended: many times what it takes."""
_COMMAND_LINE = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable"


def boot(kernel: Path, initramfs: Path, *words: str) -> str:
    """Boot until the machine turns itself off; returns what it said. `words` go to the kernel's command line."""
    command = [
        *(PROGRAM, "-accel", "tcg", "-cpu", "EPYC,+svm,+npt", "-M", "pc", "-smp", "1", "-m", "2G"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"),
        *("-kernel", str(kernel), "-initrd", str(initramfs), "-append", " ".join([_COMMAND_LINE, *words])),
    ]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"").decode(errors="replace")
        raise AssertionError(f"the machine did not end within {LIMIT} s; it said:\n{said[-4000:]}") from None
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(errors="replace")
