"""Run a program within bounds of time, memory, output and file sizes, and leave nothing of it behind.

Each run has a word of its own in its environment, which its children inherit, daemons too: whatever has it is counted
and, at the end, killed. Linux only, as the suites are.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .config import Limits
from .model import Reason

MARK = "MIRAGE_IS_BROKEN_JOB"
EVERY = 0.1
"""Seconds between two looks at what a job uses, at most."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Runs in the child before the program: in a process of its own, because the bot has threads.
_LAUNCH = """
import os, resource, sys
size = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"error: {sys.argv[2]}: {error.strerror}")
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    reason: Reason
    """NONE for status 0; FAILED for any other; else the bound that was met."""
    status: int
    seconds: float
    memory: int
    """The most octets that its processes were seen to use together."""
    why: str = ""
    """The bound in words."""


class Interrupted(Exception):
    """The bot was told to stop while a program ran; the program is gone."""


def run(
    words: Sequence[str],
    log: Path,
    limits: Limits,
    *,
    seconds: float,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run a program with its output appended to a file; at most `seconds`. Raises `Interrupted`."""
    mark = secrets.token_hex(16)
    environ = {**os.environ, **(environ or {}), MARK: mark}
    started = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _LAUNCH, str(limits.file), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            cwd=cwd,
            start_new_session=True,
        )
        copier = _Copier(process, output, limits.output)
        copier.start()
        most, reason, why = 0, Reason.NONE, ""
        try:
            pause = 0.005
            while reason is Reason.NONE and process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(pause)
                    break
                pause = min(2 * pause, EVERY)
                most = max(most, used := sum(map(_memory, _marked(mark, process.pid))))
                if stopped():
                    raise Interrupted
                if time.monotonic() - started > seconds:
                    reason, why = Reason.TIME, f"it was ended after {seconds:g} s, its limit"
                elif used > limits.memory:
                    reason, why = Reason.MEMORY, f"it was ended when it used more than {_size(limits.memory)}"
                elif copier.full:
                    reason, why = Reason.OUTPUT, f"it was ended when it had printed {_size(limits.output)}"
        finally:
            _end(mark, process)
            copier.join(5.0)  # whoever hid from its mark may hold the pipe
        if why:
            output.write(f"\n{why}\n".encode())
    if reason is Reason.NONE and copier.full:
        reason, why = Reason.OUTPUT, f"it printed more than {_size(limits.output)}"
    if reason is Reason.NONE and process.returncode:
        reason = Reason.FAILED
    return Ended(reason, process.returncode, time.monotonic() - started, most, why)


class _Copier(threading.Thread):
    """Takes a program's output to a file, up to a size; what comes after that is read and dropped."""

    def __init__(self, process: subprocess.Popen[bytes], file: object, most: int) -> None:
        super().__init__(daemon=True)
        self.pipe = process.stdout
        self.file = file
        self.left = most
        self.full = False

    def run(self) -> None:
        """Until every holder of the pipe is gone."""
        assert self.pipe is not None
        descriptor = self.pipe.fileno()
        while octets := os.read(descriptor, 1 << 16):
            os.write(self.file.fileno(), octets[: self.left])  # type: ignore[attr-defined]
            self.full = self.full or len(octets) > self.left
            self.left = max(0, self.left - len(octets))
        self.pipe.close()


def _marked(mark: str, first: int) -> list[int]:
    """The processes of a run. The first has its mark from the start, but is not always seen with it."""
    wanted = f"{MARK}={mark}".encode()
    found = {first}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/environ", "rb") as environ:
                    if wanted in environ.read().split(b"\0"):
                        found.add(int(name))
            except OSError:
                continue  # it is gone, or somebody else's
    return list(found)


def _memory(pid: int) -> int:
    """Octets of RAM that a process uses and does not share with a file."""
    try:
        with open(f"/proc/{pid}/statm") as statm:
            _, resident, shared, *_ = map(int, statm.read().split())
    except (OSError, ValueError):
        return 0
    return (resident - shared) * _PAGE


def _end(mark: str, process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a run, until nothing is; what it starts meanwhile has the mark too."""
    own = {os.getpid(), process.pid}
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(100):
        left = [pid for pid in _marked(mark, process.pid) if pid not in own and _alive(pid)]
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b") ")[2][:1] not in {b"Z", b"X"}
    except OSError:
        return False


def _size(octets: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if octets >= unit:
            return f"{octets / unit:g} {name}"
    return f"{octets} octets"
