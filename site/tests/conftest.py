"""The site's folder is put on the path, as the tool does when it builds; one rendering serves all tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "site"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The source tree."""
    return ROOT


@pytest.fixture(scope="session")
def files(root: Path) -> dict[str, bytes]:
    """The rendered site."""
    from render import Sources, build

    return build(Sources.of(root))


@pytest.fixture(scope="session")
def pages(files: dict[str, bytes]) -> dict[str, str]:
    """The rendered site's pages for people, as text."""
    return pages_of(files)


def pages_of(files: dict[str, bytes]) -> dict[str, str]:
    """The pages of a rendered tree that are for people, as text."""
    found = {key: value for key, value in files.items() if key.endswith(".html") and not key.startswith("simple/")}
    return {key: value.decode("utf-8") for key, value in found.items()}
