"""A new package that passes every gate from its first minute: code, test, README, change fragment, guide page."""

from __future__ import annotations

import importlib
import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType

from .tree import MAY_IMPORT, ROOT, guide_page

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Refused(Exception):
    """The package cannot be made; the message says why and what to type instead."""


def create(root: Path, family: str, name: str, summary: str = "") -> str:
    """Write the package's files below `root` and return what to tell the user. Raises `Refused`; overwrites nothing."""
    name = name.removeprefix("mirage-")
    if family not in MAY_IMPORT:
        raise Refused(f"there is no family {family!r}; the families are: {', '.join(MAY_IMPORT)}")
    if not _NAME.fullmatch(name):
        raise Refused(
            f"{name!r} is no package name: lower-case letters and digits, joined by single dashes, as in irmin-git"
        )
    clash = sorted(root.glob(f"packages/*/{name}"))
    if clash:
        raise Refused(f"{clash[0].relative_to(root)} exists; pick another name or work on that one")
    module = name.replace("-", "_")
    summary = (summary or f"The {name} library of MirageOS in Python").rstrip(".")
    error = "".join(part.capitalize() for part in name.split("-")) + "Error"
    errors = sorted([error, "InvalidMessage", "MessageTooLong"])
    fields = {
        "name": name,
        "module": module,
        "summary": summary,
        "error": error,
        "errors": ", ".join(errors),
        "quoted_errors": ", ".join(f'"{e}"' for e in errors),
    }
    assemblage = _assemblage()
    what = assemblage.Description(family, name, summary)
    order = 900 + len(list(root.glob("packages/*/*/pyproject.toml")))
    package = Path("packages") / family / name
    files = {
        package / "pyproject.toml": assemblage.pyproject(what),
        package / "README.md": _README,
        package / "src" / "mirage" / module / "__init__.py": _INIT,
        package / "src" / "mirage" / module / "py.typed": "",
        package / "src" / "mirage" / module / "errors.py": _ERRORS,
        package / "src" / "mirage" / module / "_wire.py": _WIRE,
        package / "tests" / "test_wire.py": _TEST,
        package / "changes.d" / "first.added.md": _FRAGMENT,
        Path("docs") / guide_page(name): assemblage.guide_stub(what, order, _EXAMPLE),
    }
    for path in files:
        target = root / path
        if target.exists():
            raise Refused(f"{path} exists already; nothing was written")
    for path, template in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        text = textwrap.dedent(template).lstrip("\n")
        target.write_text(re.sub(r"@(\w+)@", lambda found: fields[found[1]], text))
    listing = "\n".join(f"  {path}" for path in files)
    return (
        f"Made mirage-{name} in the family {family}:\n{listing}\n\n"
        f"It passes every gate as it stands. Next:\n"
        f"  1. replace the length-prefixed example in _wire.py with the real thing, its test first\n"
        f"  2. ./noxw -s tests -- {name}\n"
        f"  3. say in docs/{guide_page(name)} what it is for and what it does not do yet\n"
        f"  4. git add packages/{family}/{name} docs/{guide_page(name)}"
    )


def _assemblage() -> ModuleType:
    """This tree's own mirage.assemblage, from its source: `new` needs no environment."""
    for package in ("core/types", "tooling/index", "tooling/assemblage"):
        source = str(ROOT / "packages" / package / "src")
        if source not in sys.path:
            sys.path.append(source)
    return importlib.import_module("mirage.assemblage")


_README = """
# mirage-@name@

@summary@.

```python
from mirage.@module@ import build, parse

assert parse(build(b"ping") + b"rest") == (b"ping", 6)
```

Licence: ISC.
"""

_INIT = '''
"""@summary@.

Pure functions from bytes to values and back; nothing here does I/O.
"""

from ._wire import MAX_LENGTH, build, parse
from .errors import @errors@

__all__ = ["MAX_LENGTH", @quoted_errors@, "build", "parse"]
'''

_ERRORS = '''
"""What can go wrong: local misuse and remote misbehaviour are different classes."""

from mirage.types import MirageError

__all__ = [@quoted_errors@]


class @error@(MirageError):
    """Root of this package's errors."""


class MessageTooLong(@error@, ValueError):
    """Local misuse: the caller gave more than a message can carry."""


class InvalidMessage(@error@, ValueError):
    """Remote misbehaviour: the peer sent octets that are no message."""
'''

_WIRE = '''
"""Messages on the wire: `build` and `parse` are each other's inverse.

A message is its length in two octets, most significant first, and then its content.
"""

from .errors import InvalidMessage, MessageTooLong

__all__ = ["MAX_LENGTH", "build", "parse"]

MAX_LENGTH = 1024
"""Octets of content at the most: what a peer can make us keep."""


def build(content: bytes) -> bytes:
    """One message. Raises `MessageTooLong`."""
    if len(content) > MAX_LENGTH:
        raise MessageTooLong(f"{len(content)} octets do not fit one message; split them into parts of {MAX_LENGTH}")
    return len(content).to_bytes(2, "big") + content


def parse(data: bytes) -> tuple[bytes, int] | None:
    """The first message's content and how many octets it took, or None when more are needed.

    Raises `InvalidMessage` as soon as the length is known to be too large.
    """
    if len(data) < 2:
        return None
    length = int.from_bytes(data[:2], "big")
    if length > MAX_LENGTH:
        raise InvalidMessage(f"the peer announced {length} octets, more than the {MAX_LENGTH} of a message; close")
    if len(data) < 2 + length:
        return None
    return data[2 : 2 + length], 2 + length
'''

_TEST = '''
"""Messages on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.@module@ import MAX_LENGTH, InvalidMessage, MessageTooLong, build, parse


@given(content=st.binary(max_size=64), rest=st.binary(max_size=8))
def test_parse_inverts_build(content: bytes, rest: bytes) -> None:
    """Whatever follows a message, its content comes back and its length is known."""
    assert parse(build(content) + rest) == (content, 2 + len(content))


@given(content=st.binary(max_size=64), cut=st.integers(0, 65))
def test_a_part_of_a_message_is_not_one(content: bytes, cut: int) -> None:
    """A message that has not arrived whole asks for more."""
    message = build(content)
    if cut < len(message):
        assert parse(message[:cut]) is None


@given(data=st.binary(max_size=64))
def test_any_octets_give_a_message_or_a_declared_error(data: bytes) -> None:
    """Untrusted octets raise nothing but the declared error."""
    try:
        found = parse(data)
    except InvalidMessage:
        assert int.from_bytes(data[:2], "big") > MAX_LENGTH
    else:
        assert found is None or build(found[0]) == data[: found[1]]


def test_too_long_is_refused_where_it_is_made() -> None:
    """Local misuse is its own error."""
    with pytest.raises(MessageTooLong, match="split"):
        build(bytes(MAX_LENGTH + 1))
'''

_FRAGMENT = """
The package: a length-prefixed message, built and parsed.
"""

_EXAMPLE = """
from mirage.@module@ import build, parse

message = build(b"ping")
assert parse(message[:3]) is None  # the rest has not arrived
assert parse(message) == (b"ping", 6)
"""
