"""Releases that broke a use of popular libraries, found again in the real release lists of the configured index.

Each case is a use that once worked, and a date when it did. The bot is told nothing else.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from bots.is_broken.config import Config, Limits, Step, Suite
from bots.is_broken.errors import IndexFailed
from bots.is_broken.registry import Registry, addresses
from bots.is_broken.testing.stage import PYTHON, Stage

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv: ./noxw -s tests")]


@dataclass(frozen=True)
class Broke:
    """A use, and what is known of its end."""

    requirement: str
    use: str
    since: str
    culprit: str
    """The first release that was not taken back without it."""
    line: str


HISTORY = [
    Broke(
        "urllib3",
        "import urllib3.contrib.appengine",
        "2022-01-01",
        "urllib3 2.0.2",
        "ModuleNotFoundError: No module named 'urllib3.contrib.appengine'",
    ),
    Broke(
        "jinja2",
        "from jinja2 import Markup",
        "2021-10-01",
        "jinja2 3.1.0",
        "ImportError: cannot import name 'Markup' from 'jinja2'",
    ),
    Broke(
        "werkzeug",
        "from werkzeug.urls import url_quote",
        "2023-01-01",
        "werkzeug 3.0.0",
        "ImportError: cannot import name 'url_quote' from 'werkzeug.urls'",
    ),
    Broke(
        "itsdangerous",
        "from itsdangerous import json",
        "2021-06-01",
        "itsdangerous 2.1.0",
        "ImportError: cannot import name 'json' from 'itsdangerous'",
    ),
    Broke(
        "click",
        "import click._unicodefun",
        "2021-12-01",
        "click 8.1.0",
        "ModuleNotFoundError: No module named 'click._unicodefun'",
    ),
    Broke(
        "packaging",
        "from packaging.version import LegacyVersion",
        "2022-01-01",
        "packaging 22.0",
        "ImportError: cannot import name 'LegacyVersion' from 'packaging.version'",
    ),
    Broke(
        "httpx",
        "import httpx; httpx.Client(proxies=None)",
        "2023-06-01",
        "httpcore 1.0.0 with httpx 0.28.0",  # it cannot be had with an older one
        "TypeError: Client.__init__() got an unexpected keyword argument 'proxies'",
    ),
]


@pytest.fixture(scope="module")
def index() -> tuple[str, ...]:
    """The configured index, if it answers."""
    try:
        found = addresses()
        Registry(found, seconds=10.0).releases("urllib3")
    except IndexFailed as error:
        pytest.skip(f"needs the configured package index: {error}")
    return found


@pytest.mark.parametrize("broke", HISTORY, ids=lambda broke: broke.requirement)
def test_the_release_that_broke_a_use_is_named(broke: Broke, index: tuple[str, ...], tmp_path: Path) -> None:
    """Alone, although everything that it needs changed too; with its day, and its first failing line."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "use.py").write_text(f"{broke.use}\n")
    suite = Suite("use", (Step("use", ("python", "use.py")),), requirements=(broke.requirement,), packages=False)
    config = Config(lanes=("control", "newest"), suites=(suite,), limits=Limits(seconds=120.0), pythons=(PYTHON,))
    stage = Stage(tmp_path, index, config, 1_760_000_000.0)
    night = stage.night(since=broke.since)
    assert [result.outcome.value for result in night.results] == ["good", "regressed"]
    (finding,) = stage.state.findings.values()
    assert finding.culprits.spelled == broke.culprit, "\n".join(stage.said)
    assert finding.culprits.minimal
    assert finding.culprits.probes <= 16
    assert finding.explanation.failure.line.startswith(broke.line)
    assert ": release of 20" in finding.explanation.notes[0]
    assert "what changed: https://" in finding.explanation.notes[0]
