"""What of a public API breaks, and what of it is new."""

from __future__ import annotations

from pathlib import Path

import pytest

from release import api

OLD = '''"""A package."""
from ._inner import helper
__all__ = ["Thing", "helper", "make"]

class Thing:
    """A thing."""
    size: int = 1
    def grow(self, by): ...

def make(name, *, size=1): ...
def _private(): ...
'''


def write(folder: Path, text: str, inner: str = "def helper(x): ...\n") -> Path:
    place = folder / "mirage" / "a"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(text)
    (place / "_inner.py").write_text(inner)
    return folder


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("", ""), []),
        (("def _private(): ...\n", ""), []),
        (('"""A thing."""', '"""Something."""'), []),
        (("def make(name, *, size=1)", "def make(name, *, size=1, colour=None)"), []),
        (("def make(name, *, size=1)", "def make(name, *, colour, size=1)"), ["mirage.a.make: parameter was added"]),
        (("def make(name, ", "def make(title, "), ["mirage.a.make: parameter was"]),
        (("    def grow(self, by): ...\n", ""), ["mirage.a.Thing.grow: public object was removed"]),
        (('"helper", "make"', '"helper"'), ["mirage.a.make: it is no longer in __all__"]),
    ],
)
def test_breaks(tmp_path: Path, change: tuple[str, str], expected: list[str]) -> None:
    """What is private, a docstring, or an addition with a default breaks nobody."""
    old = api.load(write(tmp_path / "old", OLD), "mirage.a")
    new = api.load(write(tmp_path / "new", OLD.replace(*change)), "mirage.a")
    assert old is not None
    assert new is not None
    found = api.breaks(old, new)
    assert all(any(said.startswith(words) for said in found) for words in expected), found
    assert bool(found) == bool(expected)


def test_a_break_behind_a_private_module_is_seen(tmp_path: Path) -> None:
    """The public name is what counts, wherever it is defined."""
    old = api.load(write(tmp_path / "old", OLD), "mirage.a")
    new = api.load(write(tmp_path / "new", OLD, "def helper(x, y): ...\n"), "mirage.a")
    assert old is not None
    assert new is not None
    (said,) = api.breaks(old, new)
    assert "parameter was added as required" in said


def test_modules_that_import_each_other(tmp_path: Path) -> None:
    """Each is looked at once, where it lies."""
    apis = []
    for name, listed in (("old", "'one', 'two'"), ("new", "'one'")):
        folder = write(tmp_path / name, OLD)
        (folder / "mirage" / "a" / "first.py").write_text("from . import second\nfrom mirage import a\n")
        text = f"from . import first\n__all__ = [{listed}]\none = two = 1\n"
        (folder / "mirage" / "a" / "second.py").write_text(text)
        apis.append(api.load(folder, "mirage.a"))
    old, new = apis
    assert old is not None
    assert new is not None
    assert api.breaks(old, new) == ("mirage.a.second.two: it is no longer in __all__",)


def test_names_that_are_there(tmp_path: Path) -> None:
    """What is there, also under another name, is not new."""
    old = api.load(write(tmp_path / "old", OLD), "mirage.a")
    assert old is not None
    names = ["mirage.a.Thing", "mirage.a.helper", "mirage.a._inner", "mirage.a.later", "mirage.a.sub.x"]
    assert [name for name in names if not api.has(old, name)] == ["mirage.a.later", "mirage.a.sub.x"]


def test_names_made_at_run_time_are_taken_on_trust(tmp_path: Path) -> None:
    """A module with __getattr__ may have anything."""
    old = api.load(write(tmp_path / "old", "def __getattr__(name): ...\n"), "mirage.a")
    assert old is not None
    assert api.has(old, "mirage.a.anything")


@pytest.mark.parametrize(
    ("change", "members", "keywords"),
    [
        (("", ""), {}, {}),
        (('"""A thing."""', '"""Something."""'), {}, {}),
        (("def _private(): ...", "def _private(x): ...\nclass _Private:\n    size = 2\n    colour = 3\n"), {}, {}),
        (("size=1): ...", "size=1, colour=None): ...\n"), {}, {"colour": "mirage.a.make"}),
        (("def make", "def paint(colour): ...\ndef make"), {"paint": "mirage.a"}, {}),
        (
            ("    size: int = 1\n", "    size: int = 1\n    colour: int = 2\n"),
            {"colour": "mirage.a.Thing"},
            {"colour": "mirage.a.Thing"},
        ),
        (
            ("def grow(self, by): ...", "def __init__(self):\n        self.colour = 2\n    def grow(self, by): ..."),
            {"colour": "mirage.a.Thing"},
            {"colour": "mirage.a.Thing"},
        ),
        (("    def grow", "    def shrink(self): ...\n    def grow"), {"shrink": "mirage.a.Thing"}, {}),
        (("def grow(self, by)", "def grow(self, by, colour=1)"), {}, {"colour": "mirage.a.Thing.grow"}),
        (
            ('import helper\n__all__ = ["Thing"', 'import helper, more\n__all__ = ["more", "Thing"'),
            {"more": "mirage.a"},
            {},
        ),
    ],
)
def test_names_that_are_new(
    tmp_path: Path, change: tuple[str, str], members: dict[str, str], keywords: dict[str, str]
) -> None:
    """What is new behind a dot, and what in a call; a new function's parameters are not, as its name is."""
    inner = "def helper(x): ...\ndef more(): ...\n"
    old = api.load(write(tmp_path / "old", OLD, inner), "mirage.a")
    assert OLD.replace(*change) != OLD or change == ("", "")
    new = api.load(write(tmp_path / "new", OLD.replace(*change), inner), "mirage.a")
    assert old is not None
    assert new is not None
    found = api.fresh(old, new)
    assert (found.members, found.keywords) == (members, keywords)
    assert members.keys() <= found.imports


def test_a_new_module_is_news_to_import(tmp_path: Path) -> None:
    """With all that it holds, private or not."""
    folder = write(tmp_path / "new", OLD)
    (folder / "mirage" / "a" / "_sub.py").write_text("import os\ndef _x(): ...\n")
    old, new = api.load(write(tmp_path / "old", OLD), "mirage.a"), api.load(folder, "mirage.a")
    assert old is not None
    assert new is not None
    assert api.fresh(old, new).imports == {"_sub", "os", "_x"}


def test_what_is_not_there_has_no_api(tmp_path: Path) -> None:
    """A package that was elsewhere at its last release is compared with nothing."""
    assert api.load(tmp_path, "mirage.nothing") is None
