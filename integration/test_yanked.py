"""A yanked release, met by pip, uv and opam in an index that the booted website serves.

The index is one that the test knows beforehand (`scratch`): of the real one nobody can say which release is yanked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import scratch, targets
from .installers import CLIENTS, Pip, Places, served

pytestmark = pytest.mark.slow

VERSION = "import importlib.metadata; print(importlib.metadata.version({name!r}))"


@pytest.fixture(scope="module")
def places(scratch_artifact: targets.Artifact) -> Iterator[Places]:
    """The copy of the website that has the index."""
    with served(scratch_artifact) as places:
        yield places


@pytest.mark.parametrize("client", CLIENTS)
def test_a_yanked_release_is_passed_over(client: type[Pip], places: Places, tmp_path: Path) -> None:
    """Nobody gets it by himself, and who names it does (PEP 592, opam's avoid-version)."""
    here = client(places, tmp_path)
    here.install(scratch.LOWEST)
    assert here.says(VERSION.format(name=scratch.LOWEST)) == scratch.BETTER
    here.install(f"{scratch.LOWEST}=={scratch.YANKED}")
    assert here.says(VERSION.format(name=scratch.LOWEST)) == scratch.YANKED
