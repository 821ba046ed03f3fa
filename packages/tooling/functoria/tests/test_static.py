"""Much that is wrong with a configuration is seen by mypy before it is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """
from typing import Protocol
from mirage.functoria import BOOL, JOB, STR, Device, Function, Typ, device, enum
from mirage.functoria import foreign, if_key, key, match_key, register

class Store(Protocol):
    def get(self) -> bytes: ...

class Disk(Store, Protocol):
    def set(self) -> None: ...

class Clock(Protocol):
    def now(self) -> int: ...

STORE: Typ[Store] = Typ("STORE", "m:Store")
DISK: Typ[Disk] = Typ("DISK", "m:Disk", parents=(STORE,))
CLOCK: Typ[Clock] = Typ("CLOCK", "m:Clock")
make_disk: Function[[], Disk] = device(Device("disk", DISK, "d()"))
make_clock: Function[[], Clock] = device(Device("clock", CLOCK, "c()"))
app = foreign("app:main", takes=(STORE, CLOCK), gives=JOB)
wrap = foreign("app:wrap", takes=(CLOCK,), gives=STORE)
tls = key("tls", BOOL, False, "")
"""

RIGHT = [
    "register('a', app(make_disk(), make_clock()))",
    "if_key(tls, make_disk(), make_disk())",
    "(wrap >> foreign('m:f', takes=(STORE,), gives=JOB))(make_clock())",
]
WRONG = [
    "app(make_disk())",
    "app(make_clock(), make_clock())",
    "app(make_disk, make_clock())",
    "register('a', make_disk())",
    "(wrap >> foreign('m:f', takes=(CLOCK,), gives=JOB))(make_clock())",
    "if_key(key('x', STR, '', ''), make_disk(), make_disk())",
    "key('x', BOOL, 'no', '')",
    "match_key(key('x', enum('a'), 'a', ''), {1: make_disk()})",
]


@pytest.mark.slow
def test_mypy_sees_it(tmp_path: Path) -> None:
    """Each wrong line has an error, and no right one has."""
    file = tmp_path / "config.py"
    file.write_text("\n".join([GOOD.strip(), *RIGHT, *WRONG]) + "\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(tmp_path), str(file)]
    output = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path).stdout
    source = file.read_text().splitlines()
    found = {source[int(line.split(":")[1]) - 1] for line in output.splitlines() if ": error: " in line}
    assert found == set(WRONG)
