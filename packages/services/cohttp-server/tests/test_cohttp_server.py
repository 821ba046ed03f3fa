"""The command as its users meet it: started in a process of its own, asked by curl, stopped by signals."""

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
curl = pytest.mark.tool("curl")


class Running:
    """A started command, its address, and what it said."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mirage.cohttp_server", "-p", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.first = self.process.stdout.readline()
        found = re.search(r"at (http://\S+/)\n", self.first)
        assert found, self.first
        self.url = found[1]
        self.port = int(self.url.rstrip("/").rpartition(":")[2])

    def stop(self, number: int = signal.SIGTERM) -> str:
        """Send a signal, and give what it said after its first line; the status must be 0."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, out
        return out

    def peak_memory(self) -> int:
        """The most memory that was ever resident, in octets."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", text)
        assert found
        return int(found[1]) * 1024


@pytest.fixture
def docroot(tmp_path: Path) -> Path:
    root = tmp_path / "docroot"
    (root / "sub").mkdir(parents=True)
    (root / "index.html").write_bytes(b"<h1>home</h1>")
    (root / "sub" / "file.txt").write_bytes(b"0123456789" * 10)
    (root / "home.html").write_bytes(b"<h1>other</h1>")
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "link").symlink_to("../secret")
    return root


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[Running]:
    server = Running(*arguments)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()


def fetch(*arguments: str) -> str:
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "60", "--path-as-is", *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout


@curl
def test_serves_files(docroot: Path) -> None:
    """Index, file, range, HEAD, condition, redirect, listing, and what is not there, through curl."""
    with running(str(docroot)) as server:
        url = server.url
        assert str(docroot) in server.first
        assert fetch(url) == "<h1>home</h1>"
        assert fetch("-r", "5-9", f"{url}sub/file.txt") == "56789"
        head = fetch("-I", f"{url}sub/file.txt")
        assert head.startswith("HTTP/1.1 200 ")
        assert "content-length: 100\n" in head.lower()
        etag = re.search(r"etag: (\S+)", head, re.IGNORECASE)
        assert etag
        status = ["-o", "/dev/null", "-w", "%{http_code}"]
        assert fetch(*status, "-H", f"If-None-Match: {etag[1]}", f"{url}sub/file.txt") == "304"
        assert fetch(*status, "-w", "%{http_code} %{redirect_url}", f"{url}sub") == f"301 {url}sub/"
        assert "file.txt" in fetch("-L", f"{url}sub")
        for path in ("missing", "link", "../secret", "%2e%2e/secret", "sub/../../secret", "sub//file.txt"):
            assert fetch(*status, url + path) == "404", path
        assert fetch(*status, "-X", "DELETE", url) == "405"
        assert (docroot / "index.html").exists()
        assert server.stop() == "stopping\nstopped\n"


@curl
def test_index_and_listing_options(docroot: Path) -> None:
    """-i names another index; --no-listing hides what has none."""
    with running("-i", "home.html", "--no-listing", str(docroot)) as server:
        assert fetch(server.url) == "<h1>other</h1>"
        assert fetch("-o", "/dev/null", "-w", "%{http_code}", f"{server.url}sub/") == "404"


@curl
def test_access_log(docroot: Path) -> None:
    """With -v each request is a line: who, what, status, octets, seconds. Without, none is."""
    with running("-v", str(docroot)) as server:
        fetch(f"{server.url}sub/file.txt?q=1")
        fetch(f"{server.url}missing")
        lines = server.stop().splitlines()
    assert re.fullmatch(r'127\.0\.0\.1\S* "GET /sub/file.txt\?q=1" 200 100 \d+\.\d{4}', lines[0])
    assert re.fullmatch(r'127\.0\.0\.1\S* "GET /missing" 404 \d+ \d+\.\d{4}', lines[1])


@curl
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_finish(docroot: Path, number: int) -> None:
    """A download that has begun is completed after the signal; new connections are refused; the status is 0."""
    size = 64 << 20
    with open(docroot / "zeros", "wb") as file:
        file.truncate(size)
    with running("--drain", "30", str(docroot)) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"GET /zeros HTTP/1.1\r\nHost: x\r\n\r\n")
            received = len(connection.recv(1 << 16))
            server.process.send_signal(number)
            assert server.process.stdout is not None
            assert server.process.stdout.readline() == "stopping; 1 connections open\n"
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", server.port)).close()
            while data := connection.recv(1 << 20):
                received += len(data)
        assert received > size
        out, _ = server.process.communicate(timeout=20)
        assert (server.process.returncode, out) == (0, "stopped\n")


def test_a_second_signal_breaks_off(docroot: Path) -> None:
    """A client that does not read holds nobody up who asks twice; idle connections do not count."""
    with open(docroot / "zeros", "wb") as file:
        file.truncate(64 << 20)
    with (
        running("--drain", "600", str(docroot)) as server,
        socket.create_connection(("127.0.0.1", server.port)) as connection,
    ):
        connection.sendall(b"GET /zeros HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.stdout is not None
        server.process.stdout.readline()
        assert server.stop() == "stopped; connections were broken off\n"


def test_an_idle_connection_does_not_delay_the_end(docroot: Path) -> None:
    """A client that only stays connected is let go of at once."""
    with running("--drain", "600", str(docroot)) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
            server.process.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            assert connection.recv(1) == b""
            out, _ = server.process.communicate(timeout=20)
        assert out.endswith("stopped\n")
        assert time.monotonic() - begun < 60  # not 600


@curl
@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads a process's memory from /proc")
def test_a_gibibyte_in_bounded_memory(docroot: Path) -> None:
    """A download of 1 GiB, and a client that reads none of one, take no more than 16 MiB beyond a small request."""
    with open(docroot / "zeros", "wb") as file:
        file.truncate(1 << 30)
    with running(str(docroot)) as server:
        fetch(server.url)
        before = server.peak_memory()
        assert fetch("-o", "/dev/null", "-w", "%{size_download}", f"{server.url}zeros") == str(1 << 30)
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"GET /zeros HTTP/1.1\r\nHost: x\r\n\r\n")
            select.select([connection], [], [])
            parts = "0-400000000,500000000-1000000000"
            size = fetch("-r", parts, "-o", "/dev/null", "-w", "%{size_download}", f"{server.url}zeros")
            assert int(size) > 900_000_000
        assert server.peak_memory() - before < 16 << 20
