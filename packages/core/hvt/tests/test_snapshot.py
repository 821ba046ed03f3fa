"""Snapshots: a guest saves itself, and any number of guests go on from the file."""

from __future__ import annotations

import os
import signal
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import mirage.hvt
import mirage.libos
import mirage.types
import pytest
from mirage.hvt import GuestFault, HostError, Image, ImageError, Tender, build, guest
from mirage.hvt._snapshot import MAGIC, Snapshot

SCRIPT = """
import os, random, threading, time
counts, stop = [0], False
def count():
    while not stop: counts[0] += 1
thread = threading.Thread(target=count); thread.start()
before, state = time.monotonic(), random.getstate()
def snapshot():
    device = os.open("/dev/snapshot", os.O_RDWR)
    os.write(device, b"1")
    return int(os.read(device, 9))
resumed = snapshot()
at = counts[0]
time.sleep(0.05)
went_on, stop = counts[0] > at, True
thread.join()
print(resumed, time.monotonic() - before < 60, abs(time.time()) > 0, went_on, os.urandom(16).hex())
"""


def test_what_is_no_snapshot_is_refused(tmp_path: Path) -> None:
    """Neither other files nor cut ones."""
    (tmp_path / "x").write_bytes(b"?" * 10000)
    with pytest.raises(ImageError, match="no snapshot"):
        Tender.resume(tmp_path / "x")
    words = struct.pack("<16s5Q24s", MAGIC, 1 << 50, 1, 1, 0, 0, b"")
    (tmp_path / "x").write_bytes(words.ljust(20000, b"\0"))
    with pytest.raises(ImageError):
        Tender.resume(tmp_path / "x")


def with_guest(folder: Path, script: str, **more: Any) -> Image:
    """An image of a script that imports `mirage.hvt.guest`."""
    (folder / "main.py").write_text(script)
    path = {str(Path(str(package.__file__)).parents[2]) for package in (mirage.hvt, mirage.libos, mirage.types)}
    return build(folder / "image.hvt", folder / "main.py", path=sorted(path), **more)


def said_by_clones(image: Image, state: Path) -> list[str]:
    """What a guest that saves itself prints, and then two that go on from there; line by line."""
    said: list[bytes] = []
    with Tender(image.path, memory=64 << 20, console=said.append, snapshot=state) as tender:
        assert tender.run() == 0
    for _ in range(2):
        with Tender.resume(state, console=said.append) as tender:
            assert tender.run() == 0
    return b"".join(said).decode().splitlines()


SAVING = "import os\nos.write(os.open('/dev/snapshot', 1), b'1')\nprint('on')\n"


def saved(folder: Path, script: str = SAVING) -> tuple[Path, Path]:
    """An image and a snapshot of it."""
    (folder / "main.py").write_text(script)
    image = build(folder / "image.hvt", folder / "main.py")
    with Tender(image.path, memory=32 << 20, console=lambda _: None, snapshot=folder / "state") as tender:
        assert tender.run() == 0
    return image.path, folder / "state"


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_it_holds_only_what_changed(tmp_path: Path) -> None:
    """What the guest has not changed in its image takes no room, and neither do zeros."""
    image, state = saved(tmp_path)
    assert state.stat().st_blocks * 512 < image.stat().st_size / 2


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_it_goes_with_its_image(tmp_path: Path) -> None:
    """The image may be touched or moved, and must be there unchanged."""
    image, state = saved(tmp_path)
    os.utime(image, (0, 0))
    moved = image.rename(tmp_path / "moved.hvt")
    with pytest.raises(ImageError, match=r"image\.hvt: No such file.*--image"):
        Tender.resume(state)
    said: list[bytes] = []
    with Tender.resume(state, image=moved, console=said.append) as tender:
        assert tender.run() == 0
    assert said == [b"on\n"]
    with moved.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    with pytest.raises(ImageError, match="not the image"):
        Tender.resume(state, image=moved)


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_a_damaged_index_is_refused(tmp_path: Path) -> None:
    """Runs that are out of order, empty, or outside, and an index that is cut short."""
    _, state = saved(tmp_path)
    whole = state.read_bytes()
    snapshot = Snapshot.read(state)
    at = 3 * 4096 + snapshot.image + snapshot.ram + snapshot.tables
    pages = snapshot.image // 4096
    for bad in (b"", whole[at : at + 8], whole[at:-1], struct.pack("<5I", 1, 0, 0, 0, 0)):
        state.write_bytes(whole[:at] + bad)
        with pytest.raises(ImageError, match="damaged"):
            Snapshot.read(state)
    for runs in ((1, pages, 1), (1, 0, pages + 1), (1, 0xFFFFFFFF, 0xFFFFFFFF), (2, 5, 1, 5, 1)):
        counts = (runs[0], 0, 0)
        state.write_bytes(whole[:at] + struct.pack(f"<{3 + 2 * runs[0]}I", *counts, *runs[1:]))
        with pytest.raises(ImageError, match="damaged"):
            Snapshot.read(state)


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_guests_go_on_from_one_file(tmp_path: Path) -> None:
    """Threads, clocks and preemption go on; each guest has random octets of its own."""
    script = tmp_path / "main.py"
    script.write_text(SCRIPT)
    image = build(tmp_path / "image.hvt", script)
    said: list[bytes] = []
    with Tender(image.path, memory=32 << 20, console=said.append, snapshot=tmp_path / "state") as tender:
        assert tender.run() == 0
    for _ in range(3):
        with Tender.resume(tmp_path / "state", console=said.append) as tender:
            assert tender.run() == 0
    lines = [line.split() for line in b"".join(said).decode().splitlines()]
    assert [line[0] for line in lines] == ["0", "1", "1", "1"]
    assert all(line[1:4] == ["True"] * 3 for line in lines)
    assert len({line[4] for line in lines}) == 4


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_every_generator_is_seeded_anew(tmp_path: Path) -> None:
    """`mirage.hvt.guest.snapshot` sees to `random` and OpenSSL, and calls back."""
    script = (
        "import random, ssl\n"
        "from mirage.hvt import guest\n"
        "guest.on_resume(lambda: print('again', end=' '))\n"
        "guest.snapshot()\n"
        "print(random.getrandbits(64), ssl.RAND_bytes(8).hex())\n"
    )
    lines = said_by_clones(with_guest(tmp_path, script), tmp_path / "state")
    assert [line.startswith("again") for line in lines] == [False, True, True]
    assert len({word for line in lines for word in line.split()[-2:]}) == 6


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_the_wheel_of_cryptography_is_seeded_anew(tmp_path: Path) -> None:
    """It brings an OpenSSL of its own, whose generators (one a thread) had output before the guest was saved."""
    script = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey\n"
        "from cryptography.hazmat.primitives.asymmetric import ec\n"
        "from mirage.hvt import guest\n"
        "def draw():\n"
        "    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value\n"
        "    return f'{X25519PrivateKey.generate().private_bytes_raw().hex()} {number:x}'\n"
        "with ThreadPoolExecutor(1) as pool:\n"
        "    print(draw(), pool.submit(draw).result(), flush=True)\n"
        "    guest.snapshot()\n"
        "    print(draw(), pool.submit(draw).result(), flush=True)\n"
    )
    lines = said_by_clones(with_guest(tmp_path, script, distributions=["cryptography"]), tmp_path / "state")
    assert len(lines) == 4
    assert len({word for line in lines for word in line.split()}) == 16


def test_a_wheel_that_cannot_be_seeded_is_not_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything is written: equal keys in two guests would be worse."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.bindings._rust", ModuleType("_rust"))
    with pytest.raises(RuntimeError, match="no RAND_add"):
        guest.snapshot()


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_it_is_taken_from_outside(tmp_path: Path) -> None:
    """A signal to the tender saves a guest that sleeps in asyncio; it goes on, and so does its clone."""
    script = (
        "import asyncio, os, signal\n"
        "from mirage.hvt import guest\n"
        "resumed = []\n"
        "guest.on_resume(lambda: resumed.append('clone'))\n"
        "guest.snapshot_on(signal.SIGUSR2)\n"
        "async def main():\n"
        "    done = asyncio.Event()\n"
        "    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, done.set)\n"
        "    print('ready', flush=True)\n"
        "    while not done.is_set() and not resumed:\n"
        "        await asyncio.sleep(0.01)\n"
        "    print(*resumed or ['first'])\n"
        "asyncio.run(main())\n"
    )
    image, state = with_guest(tmp_path, script), tmp_path / "state"
    said: list[bytes] = []

    def hear(text: bytes) -> None:
        said.append(text)
        if text == b"ready\n":
            os.kill(os.getpid(), signal.SIGUSR2)

    class Saving(Tender):
        def _save(self, *arguments: int) -> int:
            result = super()._save(*arguments)
            os.kill(os.getpid(), signal.SIGUSR1)
            return result

    with Saving(image.path, memory=64 << 20, console=hear, snapshot=state) as tender:
        assert tender.run() == 0
    with Tender.resume(state, console=said.append) as clone:
        assert clone.run() == 0
    assert b"".join(said) == b"ready\nfirst\nclone\n"


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_another_processor_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code was chosen by what the processor could; where it can other things the guest must not go on."""
    from mirage.hvt import tender as module

    script = tmp_path / "main.py"
    script.write_text("open('/dev/snapshot', 'wb').write(b'1')")
    image = build(tmp_path / "image.hvt", script)
    with Tender(image.path, memory=32 << 20, snapshot=tmp_path / "state") as tender:
        tender.run()

    class Other(module.Machine):
        def __init__(self) -> None:
            super().__init__()
            self.features = bytes(24)

    monkeypatch.setattr(module, "Machine", Other)
    with pytest.raises(HostError, match="other features"):
        Tender.resume(tmp_path / "state")


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_without_a_file_the_guest_is_told(tmp_path: Path) -> None:
    """The write to /dev/snapshot fails, and the guest goes on."""
    script = tmp_path / "main.py"
    script.write_text(
        "import os\ntry:\n    os.write(os.open('/dev/snapshot', 1), b'1')\n"
        "except OSError as error:\n    print(error.strerror)\n"
    )
    said: list[bytes] = []
    with Tender(build(tmp_path / "image.hvt", script).path, memory=32 << 20, console=said.append) as tender:
        assert tender.run() == 0
    assert b"".join(said) == b"Operation not supported\n"


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
def test_a_resumed_guest_that_faults_is_reported_in_full(tmp_path: Path) -> None:
    """Functions, Python stack and core are as in the first guest."""
    script = tmp_path / "main.py"
    script.write_text("import ctypes\nopen('/dev/snapshot', 'wb').write(b'1')\nctypes.string_at(0)\n")
    image = build(tmp_path / "image.hvt", script)
    faults = []
    with Tender(image.path, memory=32 << 20, snapshot=tmp_path / "state") as tender:
        with pytest.raises(GuestFault) as raised:
            tender.run()
        faults.append(str(raised.value))
    with Tender.resume(tmp_path / "state", core=tmp_path / "core") as tender:
        with pytest.raises(GuestFault) as raised:
            tender.run()
        faults.append(str(raised.value))
    assert faults[0].splitlines()[1:2] == faults[1].splitlines()[1:2]
    assert all("  /app/main.py:3 in <module>" in fault for fault in faults)
    assert (tmp_path / "core").read_bytes()[:4] == b"\x7fELF"
