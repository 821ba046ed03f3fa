"""One build and one boot of the website for each target, shared by the whole suite."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import crawl as crawler
from . import scratch, targets
from .client import Client


def _wanted() -> Iterator[object]:
    """The targets to try, each with what it needs: those that MIRAGE_TARGETS names, or all."""
    named = os.environ.get("MIRAGE_TARGETS", "").split() or targets.TARGETS
    for one in (targets.TARGETS[name] for name in named):
        marks = [pytest.mark.kvm] if one.needs else []
        yield pytest.param(one.name, marks=[*marks, pytest.mark.root, pytest.mark.tool("ip")] if one.tap else marks)


@pytest.fixture(scope="session", params=list(_wanted()))
def target(request: pytest.FixtureRequest) -> str:
    """Every target that can be built today."""
    return str(request.param)


@pytest.fixture(scope="session")
def artifact(target: str) -> targets.Artifact:
    """The website, built."""
    return targets.build(target)


@pytest.fixture(scope="session")
def scratch_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the site with an index built from the tree; all targets share it."""
    return scratch.site(tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="session")
def scratch_artifact(target: str, scratch_site: Path) -> targets.Artifact:
    """That copy, built."""
    return targets.build(target, scratch_site)


@pytest.fixture(scope="session")
def website(artifact: targets.Artifact) -> Iterator[targets.Running]:
    """The website, booted once for all tests that only read.

    They go over HTTPS, or in the clear where the environment has ``MIRAGE_SCHEME=http``; `url6` is in the clear always.
    """
    with targets.booted(artifact, ("--port", "0", "--https-port", "0")) as running:
        if os.environ.get("MIRAGE_SCHEME", "https") == "https":
            running.url = running.secure
        yield running


@pytest.fixture(scope="session")
def report(website: targets.Running) -> crawler.Report:
    """Every page of it, fetched once."""
    return crawler.crawl(website.url)


@pytest.fixture
def client(website: targets.Running) -> Iterator[Client]:
    """A connection to the website."""
    with Client(website.url) as client:
        yield client


@pytest.fixture(scope="session")
def load_app(target: str) -> targets.Artifact:
    """A small application that streams, sinks and waits as a test asks; see `applications/load/unikernel.py`."""
    return targets.build(target, Path(__file__).parent / "applications" / "load")


@pytest.fixture
def load(load_app: targets.Artifact) -> Iterator[targets.Running]:
    """That application, booted for one test."""
    with targets.booted(load_app) as running:
        yield running
