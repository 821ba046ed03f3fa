"""A configuration is read whole, or refused with the line and the key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bots.is_broken.config import Config, Downstream, load, parse
from bots.is_broken.errors import ConfigError

GOOD = """\
lanes = ["control", "newest"]
jobs = 2

[limits]
seconds = 90
memory = "512 MiB"

[[downstream]]
name = "first"
url = "../first"
test = ["python", "-m", "pytest"]

[[downstream]]
name = "second"
url = "../second"
test = ["python", "check.py"]
"""


def test_a_file_is_read_whole() -> None:
    """Numbers, sizes and lists of tables."""
    config = parse(GOOD)
    assert (config.lanes, config.jobs) == (("control", "newest"), 2)
    assert (config.limits.seconds, config.limits.memory) == (90.0, 512 << 20)
    assert config.downstream[1] == Downstream("second", "../second", ("python", "check.py"))


def test_an_empty_file_is_the_defaults() -> None:
    """So a project can begin with none."""
    assert parse("") == Config()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("jobs = 2", "jobs = 0", "c.toml:2: jobs: has to be a whole number from 1 on, not 0"),
        ("jobs = 2", "jbos = 2", "c.toml:2: jbos: is not known"),
        ("jobs = 2", "jobs = true", "c.toml:2: jobs: has to be a whole number"),
        ('"newest"', '"latest"', "c.toml:1: lanes: 'latest' is not known; there are control, newest"),
        ("seconds = 90", "seconds = -1", "c.toml:5: limits.seconds: has to be a number of seconds"),
        ('"512 MiB"', "512", 'c.toml:6: limits.memory: has to be a size such as "512 MiB", not 512'),
        ('url = "../second"', "url = 3", "c.toml:15: downstream[1].url: has to be text, not 3"),
        ('url = "../second"\n', "", "c.toml:13: downstream[1]: lacks url"),
        ('name = "second"', 'name = "first"', "downstream: the name 'first' stands there twice"),
        ('name = "second"', 'name = "a/../b"', "c.toml:14: downstream[1].name: 'a/../b' is no name"),
        ("[limits]", "[limits", "c.toml:4:"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_key(old: str, new: str, said: str) -> None:
    """As a compiler would."""
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        parse(GOOD.replace(old, new), "c.toml")
    assert str(caught.value).startswith("c.toml:")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        load(tmp_path / "none.toml")
