"""packetdrill itself against the stack, in virtual time, over both versions of IP.

Debian has no package of it: `MIRAGE_PACKETDRILL` names the folder where it was built, which also holds the header that
the shared object needs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirage.tcpip.testing import packetdrill

BUILT = os.environ.get("MIRAGE_PACKETDRILL", "")
HOWTO = (
    "MIRAGE_PACKETDRILL names no folder: git clone https://github.com/google/packetdrill, "
    "cd packetdrill/gtests/net/packetdrill, ./configure && make, export MIRAGE_PACKETDRILL=$PWD"
)
ADDRESSES = {4: ("192.168.0.1", "192.168.0.2"), 6: ("fd3d:fa7b:d17d::1", "fd3d:fa7b:d17d::2")}
SCRIPTS = sorted(Path(__file__).with_name("packetdrill").glob("*.pkt"))

pytestmark = [pytest.mark.slow, pytest.mark.tool("gcc"), pytest.mark.skipif(not BUILT, reason=HOWTO)]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared object, compiled."""
    made = tmp_path_factory.mktemp("packetdrill") / "shim.so"
    source = Path(packetdrill.__file__).with_name("shim.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-I", BUILT, "-o", str(made), str(source)], check=True)
    return made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Path]:
    """A server for one run, in a process of its own, as it is meant to be used."""
    path = tmp_path / "socket"
    words = [sys.executable, "-m", "mirage.tcpip.testing.packetdrill", "--socket", str(path), "--runs", "1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield path
        process.kill()


@pytest.mark.parametrize("version", ADDRESSES)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script(script: Path, version: int, shim: Path, server: Path, tmp_path: Path) -> None:
    """The first line of the script says what it shows."""
    local, gateway = ADDRESSES[version]
    played = tmp_path / script.name
    played.write_text(script.read_text().replace("mss 1460", "mss 1460" if version == 4 else "mss 1440"))
    words = [
        f"{BUILT}/packetdrill", f"--ip_version=ipv{version}", f"--local_ip={local}", f"--gateway_ip={gateway}",
        *(["--remote_ip=2001:db8::1"] if version == 6 else []),
        "--tolerance_usecs=2000", f"--so_filename={shim}", f"--so_flags={server}", str(played),
    ]  # fmt: skip
    environment = {**os.environ, "LD_PRELOAD": str(shim)}
    found = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
