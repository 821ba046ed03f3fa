"""The website, saved as a virtual machine that serves, goes on elsewhere."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from . import targets
from .client import Answer, Client
from .targets import Artifact


def first_answer(url: str, patience: float = 20.0) -> Answer:
    """What the first request that gets through is answered with."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), Client(url, timeout=2) as client:
            return client.get("/")
    raise AssertionError(f"nothing answers at {url}")


def test_a_saved_website_goes_on(artifact: Artifact, tmp_path: Path) -> None:
    """Twice from one file, on networks of their own: each asks for its address again and answers the same page."""
    if artifact.target != "hvt":
        pytest.skip("only a virtual machine can be saved, and behind the gateway its network can be made again")
    saved = tmp_path / "site.snapshot"
    running = targets.boot(artifact, snapshot=saved)
    page = first_answer(running.url)
    deadline = time.monotonic() + 20
    while not saved.stat().st_size and time.monotonic() < deadline:
        time.sleep(0.05)
    port = int(running.url.rpartition(":")[2])
    assert running.stop()[0] == 0, running.console
    for _ in range(2):
        with targets.resume(artifact, saved, port) as url:
            again = first_answer(url)
            assert (again.status, again.body) == (200, page.body)
