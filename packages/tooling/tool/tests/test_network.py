"""`mirage net`: tables and JSON from a running program, over the gateway, as a process and as a virtual machine."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mirage.tool.network import tables

SERVER = """
from mirage.tool.devices import *
register("files", http_server(static_site(crunch("pages"))))
"""
INTERFACE = {
    "name": "eth0", "mac": "02:00:00:00:00:01", "mtu": 1500, "offload": ["tso4"], "groups": [],
    "addresses": [{"address": "10.0.0.2/24", "state": "tentative"}],
    "in": {"frames": 3, "octets": 180}, "out": {"frames": 2, "octets": 90, "dropped": 7},
}  # fmt: skip
CONNECTION = {
    "local": "10.0.0.2:80", "remote": "[fd00::1]:1025", "state": "ESTABLISHED", "unread": 5, "unsent": 6,
    "info": {"rtt": 0.0123, "snd_cwnd": 14600},
}  # fmt: skip


def test_tables() -> None:
    """What people look for is there, in columns."""
    route = {"to": "0.0.0.0/0", "by": "10.0.0.1", "interface": "eth0", "metric": 0, "expires": None}
    peer = {"address": "10.0.0.1", "mac": None, "interface": "eth0", "state": "incomplete", "router": True}
    told = tables("show", {"interfaces": [INTERFACE], "routes": [route], "neighbours": [peer]})
    for part in (
        "eth0: 02:00",
        "10.0.0.2/24  tentative",
        "3 frames",
        "7 frames that",
        "by 10.0.0.1",
        "incomplete, router",
    ):
        assert part in told
    answer = {"total": {"listeners": 0, "tcp": 5, "udp": 0}, "listeners": [], "tcp": [CONNECTION], "udp": []}
    told = tables("connections", answer)
    assert "10.0.0.2:80  [fd00::1]:1025  ESTABLISHED  5       6       12.3 ms  14600" in told
    assert "and 4 more" in told
    assert tables("counters", {"ip4.bad-checksum": 1, "tcp.retransmitted": 22}) == (
        "ip4\n  bad-checksum  1\ntcp\n  retransmitted  22\n"
    )


@contextlib.contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """Something that gives anybody the same answer."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            sock, _ = server.accept()
            with sock:
                sock.recv(1024)
                sock.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (b"", 1, "gave no answer"),
        (b"[1]\n", 1, "no stack"),
        (b"{}\n", 1, "no stack"),
        (b'{"show": []}\n', 1, "something else"),
        (b'{"show": {"interfaces": 3}}\n', 1, "something else"),
        (b'{"error": "no\\u001b[2J"}\n', 2, "no\\x1b"),
    ],
)
def test_a_target_that_lies(answer: bytes, code: int, words: str, mirage, tmp_path: Path) -> None:
    """Is no traceback, and no command to the terminal."""
    with answering(tmp_path / "ask", answer):
        found, _, errors = mirage("net", "show", str(tmp_path / "ask"))
    assert found == code
    assert words in errors
    assert "\x1b" not in errors


def test_the_command_line(application, mirage, tmp_path: Path) -> None:
    """What cannot be asked for says what can."""
    code, _, errors = mirage("net", "show", str(tmp_path / "nothing"))
    assert code == 1
    assert "nobody answers" in errors
    assert mirage("net", "secrets", "x")[0] == 2
    assert "capture" in mirage("net", "--help")[1]
    application(SERVER)
    code, _, errors = mirage("run", "--dry-run", "--inspect", "ask")
    assert code == 2
    assert "the host's" in errors
    code, _, errors = mirage("run", "--dry-run", "-t", "hvt", "--net", "tap:tap0", "--inspect", "ask")
    assert code == 2
    assert "mirage net show ADDRESS:" in errors
    code, _, errors = mirage("run", "--dry-run", "--net", "tap:tap0", "--inspect", "80")
    assert code == 2
    assert "path" in errors
    words = mirage("run", "--dry-run", "--net", "tap:tap0", "--inspect", "ask")[1].split()
    assert "--inspect=ask" in words


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mirage.gateway") is None, reason="mirage-gateway is not installed here")
@pytest.mark.parametrize("target", ["unix", pytest.param("hvt", marks=pytest.mark.kvm)])
def test_a_running_program(target: str, application: Callable[..., Path], mirage, tmp_path: Path) -> None:
    """Its interfaces, connections, counters and frames can be seen while it serves."""
    folder = application(SERVER)
    (folder / "pages").mkdir()
    (folder / "pages" / "index.html").write_text("hello")
    path = tmp_path / "ask"
    words = [sys.executable, "-m", "mirage.tool.cli", "run", "-t", target, "--net", "gateway", "--publish", "0:8080"]
    process = subprocess.Popen(
        [*words, "--inspect", str(path)], cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "is port 8080" in line:
                break
        address = lines[-1].split()[0]
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                assert urllib.request.urlopen(f"http://{address}/", timeout=30).read() == b"hello"
                break
            assert process.poll() is None, "".join(lines)
            assert time.monotonic() < deadline, "".join(lines)
            time.sleep(0.1)

        code, told, errors = mirage("net", "connections", "--json", str(path))
        assert code == 0, errors
        assert "*:8080" in [one["local"] for one in json.loads(told)["listeners"]]
        told = mirage("net", "show", str(path))[1]
        assert "10.0.2.15/24" in told
        assert "by 10.0.2.2" in told
        assert mirage("net", "counters", str(path))[0] == 0

        file = tmp_path / "frames.pcapng"
        capture = subprocess.Popen(
            [sys.executable, "-m", "mirage.tool.cli", "net", "capture", str(path), "-c", "8", "-o", str(file)],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert capture.stderr is not None
        assert "capturing from 'eth0'" in capture.stderr.readline()
        urllib.request.urlopen(f"http://{address}/", timeout=30).read()
        assert "8 frames" in capture.communicate(timeout=30)[1]
        assert b"GET / HTTP/1.1" in file.read_bytes()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)
    assert not path.exists()
