"""What a unikernel says, and how it ends."""

from __future__ import annotations

import signal
import socket
import threading

import pytest

from . import targets
from .client import Client, connect
from .targets import Artifact, Running


def test_it_says_what_started_and_where(website: Running) -> None:
    """The console names the application and the address that it answers at."""
    assert "website" in website.console
    assert website.said in website.console


def test_a_stop_is_clean_and_within_a_second(artifact: Artifact) -> None:
    """SIGTERM ends it with status 0 within a second, idle connections or not, and the console says so."""
    running = targets.boot(artifact)
    idle = [connect(running.url) for _ in range(5)]
    with Client(running.url) as client:
        client.get("/")
        status, seconds = running.stop()
    assert status == 0, running.console
    assert seconds < 1.0
    assert "stop" in running.console.lower()
    assert "Traceback" not in running.console
    for connection in idle:
        connection.close()


def test_ctrl_c_is_a_clean_stop_too(artifact: Artifact) -> None:
    """SIGINT is what a person sends."""
    running = targets.boot(artifact)
    assert running.stop(signal.SIGINT)[0] == 0, running.console
    assert "Traceback" not in running.console


def test_requests_in_flight_are_finished(load: Running) -> None:
    """A stop waits for the request that is being served, and takes no new connection meanwhile."""
    answers = []
    with connect(load.url) as connection:
        connection.sendall(b"GET /wait/0.6 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        thread = threading.Thread(target=lambda: answers.append(connection.recv(4096)))
        thread.start()
        with Client(load.url) as client:
            client.get("/wait/0")  # The request above has been read by now.
        load.send_signal(signal.SIGTERM)
        thread.join()
        assert answers[0].startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answers[0].lower()
    assert load.wait() == 0, load.console


def test_boot_arguments_are_explained(artifact: Artifact) -> None:
    """`--help` lists the boot arguments with their defaults, and a bad one is refused with a message."""
    told = targets.run(artifact, "--help")
    assert told.returncode == 0
    assert "--port" in told.stdout
    bad = targets.run(artifact, "--port", "eighty")
    assert bad.returncode == 2
    assert "--port" in bad.stdout
    assert "Traceback" not in bad.stdout


def test_a_taken_port_is_a_clear_error(artifact: Artifact) -> None:
    """The message names the address; the status is not 0; there is no traceback."""
    if targets.TARGETS[artifact.target].tap:
        pytest.skip("on a TAP interface there is nobody else who could have the port")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = targets.run(artifact, "--port", port, publish=f"{port}:{port}")
    assert result.returncode != 0
    assert port in result.stdout
    assert "Traceback" not in result.stdout
