"""The command says the version that its distribution has."""

from __future__ import annotations

import importlib.metadata

from mirage.tool import __version__


def test_one_version() -> None:
    """The guard in a config.py is compared with it."""
    assert importlib.metadata.version("mirage-tool") == __version__
