"""What runs within bounds stays within them, and leaves nothing behind."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from bots.is_broken import process
from bots.is_broken.config import Limits
from bots.is_broken.model import Reason

pytestmark = pytest.mark.slow
LIMITS = Limits(memory=256 << 20, output=10_000, file=1 << 20)


def run(program: str, log: Path, seconds: float = 60.0, **options: object) -> process.Ended:
    """Run a Python program."""
    return process.run([sys.executable, "-c", program], log, LIMITS, seconds=seconds, **options)  # type: ignore[arg-type]


def test_a_status_and_the_whole_output_are_kept(tmp_path: Path) -> None:
    """Both streams, in one file, behind what was there."""
    log = tmp_path / "log"
    log.write_text("before\n")
    ended = run("import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)", log)
    assert (ended.reason, ended.status) == (Reason.FAILED, 3)
    assert log.read_text() == "before\nout\nerr\n"
    assert run("pass", log).reason is Reason.NONE


def test_a_program_that_is_not_there_has_failed(tmp_path: Path) -> None:
    """And says so."""
    ended = process.run(["no-such-program"], tmp_path / "log", LIMITS, seconds=60)
    assert ended.reason is Reason.FAILED
    assert (tmp_path / "log").read_text() == "error: no-such-program: No such file or directory\n"


def test_what_hides_is_killed_too(tmp_path: Path) -> None:
    """A daemon in a session of its own, that ignores signals and holds the output open."""
    daemon = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(9e3)"
    )
    program = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {daemon!r}], start_new_session=True)\n"
        "print(child.pid, flush=True); time.sleep(0.5)\n"
    )
    ended = run(program, tmp_path / "log")
    pid = int((tmp_path / "log").read_text().split()[0])
    assert ended.reason is Reason.NONE
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()


def test_time_output_and_file_sizes_are_bounded(tmp_path: Path) -> None:
    """Each with its reason."""
    assert run("import time; time.sleep(9e3)", tmp_path / "a", 0.5).reason is Reason.TIME
    assert "it was ended after 0.5 s, its limit" in (tmp_path / "a").read_text()
    assert run("while True: print('x' * 100)", tmp_path / "b").reason is Reason.OUTPUT
    assert (tmp_path / "b").stat().st_size < 10_200
    assert run(f"open({str(tmp_path / 'big')!r}, 'wb').write(bytes(2 << 20))", tmp_path / "c").reason is Reason.FAILED
    assert (tmp_path / "big").stat().st_size <= 1 << 20


def test_memory_is_bounded_over_all_processes(tmp_path: Path) -> None:
    """Two that stay below the limit each, and not together."""
    program = (
        "import os, time\n"
        "os.fork()\n"
        "kept = []\n"
        "for _ in range(50): kept.append(bytearray(b'x') * (4 << 20)); time.sleep(0.02)\n"
        "time.sleep(9e3)\n"
    )
    ended = run(program, tmp_path / "log")
    assert (ended.reason, ended.why) == (Reason.MEMORY, "it was ended when it used more than 256 MiB")


def test_a_stop_ends_the_program(tmp_path: Path) -> None:
    """And is no verdict on it."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(process.Interrupted):
        run("import os, time; print(os.getpid(), flush=True); time.sleep(9e3)", tmp_path / "log", stopped=stop.is_set)
    said = (tmp_path / "log").read_text()
    assert not said or not os.path.exists(f"/proc/{said.strip()}")
