"""A small world of devices for the tests of the language."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mirage.functoria import ConfigError, Configuration, load_source

PRELUDE = """
from mirage.functoria import *
STORE = Typ("STORE", "m:Store")
DISK = Typ("DISK", "m:Disk", parents=(STORE,))
CLOCK = Typ("CLOCK", "m:Clock")
def make(name, gives, *takes, **more):
    return device(Device(name, gives, f"{name}()", takes=takes, **more))
disk, clock = make("disk", DISK)(), make("clock", CLOCK)()
app = foreign("app:main", takes=(STORE, CLOCK), gives=JOB)
"""


@pytest.fixture
def world() -> dict[str, Any]:
    """The names of the prelude."""
    names: dict[str, Any] = {"__name__": "prelude"}
    exec(PRELUDE, names)
    return names


@pytest.fixture
def configured(tmp_path: Path) -> Callable[[str], Configuration]:
    """A configuration from the text of a config.py, the prelude before it on one line."""

    def load(text: str) -> Configuration:
        (tmp_path / "prelude.py").write_text(PRELUDE)
        return load_source(f"from prelude import *\n{text}", tmp_path / "config.py")

    return load


@pytest.fixture
def complaint(configured: Callable[[str], Configuration], tmp_path: Path) -> Callable[[str], str]:
    """What is said of a config.py that is wrong, without the folder."""

    def load(text: str) -> str:
        with pytest.raises(ConfigError) as caught:
            configured(text)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return load
