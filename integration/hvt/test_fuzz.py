"""Random hypercalls with random arguments, from inside guests, for three seconds; for a minute in the long form.

Each guest makes a hundred or so in a row. Nothing but a status or a `GuestFault` may come of it, and no octet outside
the guest may be read or written: pages beside each of the guest's mappings tell.
"""

from __future__ import annotations

import mmap
import os
import random
import time
from pathlib import Path

import pytest
from mirage.hvt import GuestFault, Tender

from .machine_code import LAYOUT, SMALL, hypercall, spoil

pytestmark = [pytest.mark.kvm, pytest.mark.tool("gcc"), pytest.mark.slow]

CALLS = [port for name, port in sorted(LAYOUT.items()) if name.startswith("CALL_")]
ENDING = {LAYOUT["CALL_EXIT"], LAYOUT["CALL_FAULT"]}
RAM = LAYOUT["RAM_BASE"]
EDGES = [
    0,
    1,
    LAYOUT["IMAGE_BASE"],
    LAYOUT["SHARED_ADDRESS"],
    LAYOUT["TABLES_BASE"],
    RAM,
    RAM + SMALL,
    1 << 47,
    1 << 63,
]
LEAST = 12
"""Guests, however slow the machine is meanwhile."""
SECRET = b"of the host, not of the guest" * 8


def argument(chance: random.Random) -> int:
    """An address, a length or nonsense: mostly near the edges of what is the guest's."""
    kind = chance.randrange(4)
    if kind == 0:
        value = chance.choice(EDGES) + chance.randint(-4096, 4096)
    elif kind == 1:
        value = chance.randrange(1 << chance.randint(1, 64))
    elif kind == 2:
        value = chance.randrange(RAM, RAM + SMALL)
    else:
        value = chance.randrange(1 << 17)
    return value & (1 << 64) - 1


def program(chance: random.Random) -> bytes:
    """Hypercalls in a row, then the end; one that may end the guest, or an unknown port, only now and then."""
    code = []
    for _ in range(chance.randint(1, 150)):
        port = chance.choice(CALLS)
        words = [argument(chance) for _ in range(3)]
        if port in ENDING and chance.random() < 0.95:
            continue
        if port == LAYOUT["CALL_WAIT"]:
            words[0] %= 1_000_000  # nanoseconds: a guest may sleep for ever, and this one shall not
        if chance.random() < 0.002:
            port = chance.randrange(1 << 16)
        code.append(hypercall(port, *words))
    return b"".join(code) + hypercall(LAYOUT["CALL_EXIT"], 42)


def test_any_hypercalls_are_survived(image: Path, tmp_path: Path, long_form: bool) -> None:
    """Whatever a guest asks: a status, or a fault that says so; its console never shows what is the host's."""
    seed = int.from_bytes(os.urandom(4)) if long_form else 1
    chance, end, guests, calls = random.Random(seed), time.monotonic() + (60 if long_form else 3), 0, 0
    reports: list[str] = []
    neighbour = mmap.mmap(-1, SMALL)
    neighbour[:] = (SECRET * (SMALL // len(SECRET) + 1))[:SMALL]
    expected = bytes(neighbour)
    while time.monotonic() < end or guests < LEAST:
        said: list[bytes] = []
        at = chance.getstate()
        spoilt = spoil(image, program(chance), tmp_path / "spoilt.hvt")
        try:
            with Tender(spoilt, memory=SMALL, console=said.append, snapshot=tmp_path / "state") as tender:
                header = tender._image[:4096]
                try:
                    status = tender.run()
                    assert 0 <= status <= 255, status
                except GuestFault as fault:
                    reports.append(str(fault))
                assert tender._image[:4096] == header, "the header was changed"
                calls += tender.exits
        except Exception as error:
            error.add_note(f"seed {seed}, guest {guests}, state {hash(at)}")
            raise
        assert SECRET not in b"".join(said)
        guests += 1
    assert bytes(neighbour) == expected, "the tender wrote beside the guest"
    assert [r for r in reports if "guest" not in r and " at 0x" not in r] == []
    assert calls > guests
