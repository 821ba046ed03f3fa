"""The ping example of the guide as a unikernel, on a TAP in a network namespace, against the host's own `ping -f`.

A thousand requests in the short form; `MIRAGE_HVT_TESTS=all` sends ten thousand.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mirage.types
import pytest
from mirage.hvt import build

EXAMPLE = next(
    (
        p / "docs" / "examples" / "ping" / "ping.py"
        for p in Path(__file__).resolve().parents
        if (p / "noxfile.py").exists()
    ),
    None,
)
COUNT = 10_000 if os.environ.get("MIRAGE_HVT_TESTS") == "all" else 1_000
HOST, GUEST = "10.9.0.1", "10.9.0.2"

pytestmark = [
    pytest.mark.kvm,
    pytest.mark.root,
    pytest.mark.slow,
    *(pytest.mark.tool(name) for name in ("gcc", "ip", "ping")),
]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """A command of the host."""
    return subprocess.run(words, check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its driver."""
    net = pytest.importorskip("mirage.net", reason="needs the driver: pip install mirage-net")
    if EXAMPLE is None:
        pytest.skip("needs the source tree: the guide is not part of the package")
    folders = sorted({str(Path(str(module.__file__)).parents[2]) for module in (net, mirage.types)})
    place = tmp_path_factory.mktemp("ping") / "ping.hvt"
    return build(place, EXAMPLE, path=folders, devices={"net0": "net"}, memory=32 << 20).path


@pytest.fixture
def interface() -> Iterator[str]:
    """A TAP in a network namespace of this test's own."""
    testing = pytest.importorskip("mirage.net.testing", reason="needs the driver: pip install mirage-net")
    try:
        namespace = testing.network_namespace()
        namespace.__enter__()
    except PermissionError:
        pytest.skip("root may make no network namespace here: in a container, docker run --privileged")
    try:
        if not os.path.exists("/dev/net/tun"):
            pytest.skip("needs /dev/net/tun: modprobe tun")
        run("ip", "tuntap", "add", "dev", "ping0", "mode", "tap")
        run("ip", "address", "add", f"{HOST}/24", "dev", "ping0")
        run("ip", "link", "set", "ping0", "up")
        yield "ping0"
    finally:
        namespace.__exit__(None, None, None)


@pytest.mark.parametrize("size", [56, 1400])
def test_every_ping_is_answered(image: Path, interface: str, size: int) -> None:
    """None is lost, the answers bear the content of the requests, and each costs little more than one exit."""
    words = ["--times", "--net", f"net0=tap:{interface}", "--arg", f"ipv4={GUEST}"]
    command = [sys.executable, "-m", "mirage.hvt", "run", *words, str(image)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True) as tender:
        assert tender.stdout is not None
        try:
            assert f"answers for {GUEST}" in tender.stdout.readline()
            said = run("ping", "-q", "-f", "-c", str(COUNT), "-s", str(size), "-w", "60", GUEST).stdout
        finally:
            tender.send_signal(signal.SIGINT)
            output, errors = tender.communicate(timeout=30)
    print(said, output, errors)
    assert f"{COUNT} packets transmitted, {COUNT} received, 0% packet loss" in said
    assert "corrupt" not in said
    assert tender.returncode == 0
    assert "0 were dropped" in output
    assert (exits := re.search(r"exits to the tender: (\d+)", errors))
    assert int(exits[1]) < 2 * COUNT + 500
