"""Keys and boot arguments: their kinds, and where their values come from."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.functoria import (
    BOOL,
    FLOAT,
    INT,
    PATH,
    STR,
    ConfigError,
    Kind,
    Setting,
    UnknownKey,
    assign,
    enum,
    key,
)

VALUES: dict[str, tuple[Kind[Any], st.SearchStrategy[Any]]] = {
    "bool": (BOOL, st.booleans()),
    "int": (INT, st.integers()),
    "str": (STR, st.text()),
    "path": (PATH, st.text("ab/.", min_size=1).map(PurePosixPath)),
    "enum": (enum("x", "y"), st.sampled_from(["x", "y"])),
}


@pytest.mark.parametrize("name", VALUES)
@given(data=st.data())
def test_what_is_shown_parses_to_itself(name: str, data: st.DataObject) -> None:
    """A saved choice is read back as what it was."""
    kind, strategy = VALUES[name]
    value = data.draw(strategy)
    assert kind.accepts(value)
    assert kind.parse(kind.show(value)) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (BOOL, "maybe", "--k: expected true or false, got 'maybe'"),
        (INT, "12x", "--k: expected a whole number, got '12x'"),
        (FLOAT, "fast", "--k: expected a number, got 'fast'"),
        (enum("x", "y"), "z", "--k: expected one of x, y; got 'z'"),
    ],
)
def test_what_is_no_value(kind: Kind[Any], text: str, message: str) -> None:
    """The message says what was expected."""
    one = key("k", kind, kind.parse({"true or false": "no", "one of x, y": "x"}.get(kind.name, "1")), "")
    with pytest.raises(ConfigError) as caught:
        assign([one], {"k": text})
    assert str(caught.value) == message


def test_precedence() -> None:
    """Command line before saved before environment before default."""
    one = key("port", INT, 1, "", environment="PORT")

    def setting(**more: Any) -> tuple[int, str]:
        found: Setting = assign([one], **{"given": {}, **more})["port"]
        return found.value, found.origin

    environment, saved, given = {"PORT": "2"}, {"port": "3", "gone": "9"}, {"port": "0x4"}
    assert setting() == (1, "default")
    assert setting(environment={"OTHER": "5"}) == (1, "default")
    assert setting(environment=environment) == (2, "environment PORT")
    assert setting(environment=environment, saved=saved) == (3, "saved")
    assert setting(environment=environment, saved=saved, given=given) == (4, "command line")


def test_an_unknown_key_suggests_the_nearest() -> None:
    """And lists all."""
    keys = [key("port", INT, 1, ""), key("host", STR, "", "")]
    with pytest.raises(UnknownKey) as caught:
        assign(keys, {"prot": "1"})
    assert str(caught.value) == (
        "there is no key --prot. Did you mean 'port'? The keys of this application: --port, --host"
    )


def test_the_environment_is_named_when_it_is_wrong() -> None:
    """The reader need not guess where the value came from."""
    with pytest.raises(ConfigError, match="the environment variable PORT: expected a whole number, got 'x'"):
        assign([key("port", INT, 1, "", environment="PORT")], {}, environment={"PORT": "x"})
