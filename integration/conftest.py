"""One build and one boot of the website for each target, shared by the whole suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import crawl as crawler
from . import targets
from .client import Client

_NEEDS = {"/dev/kvm": pytest.mark.kvm}


@pytest.fixture(
    scope="session",
    params=[pytest.param(t.name, marks=[_NEEDS[t.needs]] if t.needs else []) for t in targets.TARGETS.values()],
)
def target(request: pytest.FixtureRequest) -> str:
    """Every target that can be built today."""
    return str(request.param)


@pytest.fixture(scope="session")
def artifact(target: str) -> targets.Artifact:
    """The website, built."""
    return targets.build(target)


@pytest.fixture(scope="session")
def website(artifact: targets.Artifact) -> Iterator[targets.Running]:
    """The website, booted once for all tests that only read."""
    with targets.booted(artifact) as running:
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
