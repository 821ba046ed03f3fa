"""An error in a config.py names file and line, and says what was expected; nothing of our insides shows."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mirage.functoria import JOB, ConfigError, Configuration, foreign, load, load_source, register

ERRORS = {
    "arity": (
        "register('a', app(disk))",
        "config.py:2: app:main takes 2 devices (STORE, CLOCK), but 1 was given (DISK)",
    ),
    "type": (
        "\nregister('a', app(disk, disk))",
        "config.py:3: argument 2 of app:main must be a device of type CLOCK, got disk, which is DISK (prelude.py:8)",
    ),
    "function not applied": (
        "register('a', app(make('s', STORE, DISK), clock))",
        "config.py:2: argument 1 of app:main must be a device of type STORE, "
        "got the function s (DISK -> STORE): apply it first, to (DISK)",
    ),
    "no device": (
        "register('a', app('disk', clock))",
        "config.py:2: argument 1 of app:main must be a device of type STORE, got 'disk' (a str)",
    ),
    "keyword": (
        "app(disk, clock=clock)",
        "config.py:2: app:main takes its devices by position, got clock=...",
    ),
    "job": (
        "register('a', disk)",
        "config.py:2: job 1 of register('a') must be a device of type JOB, got DISK",
    ),
    "no job": ("register('a')", "config.py:2: register('a') expects at least one job"),
    "name": (
        "register('Big Name', app(disk, clock))",
        "config.py:2: register() expects the application's name first: lower-case letters, digits, '-' and '_', "
        "got 'Big Name'",
    ),
    "twice": (
        "register('a', app(disk, clock))\nregister('b', app(disk, clock))",
        "config.py:3: register() was called already, for 'a' at config.py:2: one config.py makes one unikernel",
    ),
    "never": ("x = 1", "config.py never calls register(NAME, JOB): nothing says what the unikernel does"),
    "foreign": (
        "foreign('app.main', gives=JOB)",
        "config.py:2: foreign() expects 'package.module:function', got 'app.main'",
    ),
    "foreign types": (
        "foreign('app:main', takes=(disk,), gives=JOB)",
        "config.py:2: foreign('app:main') expects types of devices in takes and gives, got <disk: DISK>",
    ),
    "foreign argument": (
        "foreign('app:main', gives=JOB, arguments={'class': 1})",
        "config.py:2: foreign('app:main'): 'class' cannot name an argument of a Python function",
    ),
    "device name": (
        "make('two words', STORE)",
        "prelude.py:7: 'two words' cannot name a device: expected a Python identifier",
    ),
    "composition": (
        "app >> app",
        "config.py:2: cannot feed app:main (STORE -> CLOCK -> JOB) into app:main (STORE -> CLOCK -> JOB): "
        "the second must take exactly one device of type JOB",
    ),
    "key name": (
        "key('Http_Port', INT, 80, 'x')",
        "config.py:2: 'Http_Port' cannot name a key: expected lower-case words joined by hyphens, as in http-port",
    ),
    "key default": (
        "key('port', INT, 'eighty', 'x')",
        "config.py:2: the default of the key 'port' must be a whole number, got 'eighty'",
    ),
    "bool is no int": (
        "boot_argument('port', INT, True, 'x')",
        "config.py:2: the default of the boot argument 'port' must be a whole number, got True",
    ),
    "choice incomplete": (
        "match_key(key('k', enum('x', 'y', 'z'), 'x', ''), {'x': disk})",
        "config.py:2: match_key on 'k' has no case for y, z, and no default",
    ),
    "choice without default": (
        "match_key(key('k', INT, 1, ''), {1: disk})",
        "config.py:2: match_key on 'k' has no case for other values, and no default",
    ),
    "choice of no value": (
        "match_key(key('k', enum('x'), 'x', ''), {'q': disk})",
        "config.py:2: 'q' is no value of the key 'k' (one of x)",
    ),
    "choice of types": (
        "if_key(key('k', BOOL, True, ''), clock, disk)",
        "config.py:2: each case of 'k' must be a device of type CLOCK, got disk, which is DISK (prelude.py:8)",
    ),
    "choice by no key": (
        "if_key(disk, disk, disk)",
        "config.py:2: match_key() picks by a key, got DISK",
    ),
    "syntax": ("\nregister(", "config.py:3: not valid Python: '(' was never closed"),
    "name error": (
        "regster('a', app(disk, clock))",
        "config.py:2: the name 'regster' is not defined. Did you mean 'register'?",
    ),
    "import": ("import nowhere", "config.py:2: there is no module 'nowhere' in this environment"),
    "import from": (
        "from mirage.functoria import if_kay",
        "config.py:2: mirage.functoria has no 'if_kay'. Did you mean 'if_key'?",
    ),
    "exception": ("\n\nint('x')", "config.py:4: ValueError: invalid literal for int() with base 10: 'x'"),
    "exit": ("exit(3)", "config.py:2: called exit(3) instead of register()"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error(case: str, complaint: Callable[[str], str]) -> None:
    """Each mistake is told in one line."""
    text, message = ERRORS[case]
    assert complaint(text) == message


def test_error_in_a_helper_module_of_the_application(tmp_path: Path) -> None:
    """The line is the user's own, whichever of the user's files it is in."""
    (tmp_path / "helper.py").write_text("def f():\n    return 1 / 0\n")
    with pytest.raises(ConfigError, match=rf"{re.escape(str(tmp_path))}/helper.py:2: ZeroDivisionError"):
        load_source("import helper\nhelper.f()", tmp_path / "config.py")
    assert "helper" not in sys.modules


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda file: None, "there is no {file}: write one, or name another file with -f FILE"),
        (lambda file: file.mkdir(), "{file} is a directory: name the file itself with -f FILE"),
        (lambda file: file.write_bytes(b"\xff"), "cannot read {file}: .*"),
        (lambda file: file.write_bytes(b"\0"), ".*null bytes.*"),
    ],
)
def test_unreadable(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    """A file that cannot be read is told as such."""
    file = tmp_path / "config.py"
    make(file)
    with pytest.raises(ConfigError, match=message.format(file=re.escape(str(file)))):
        load(file)


def test_register_outside() -> None:
    """There is no configuration to register with outside of one."""
    with pytest.raises(ConfigError, match=r"belongs in a config\.py"):
        register("a", foreign("a:b", gives=JOB)())


def test_description_is_the_docstrings_first_line(configured: Callable[[str], Configuration], tmp_path: Path) -> None:
    """Unless `register` is given one."""
    text = '"""First.\n\nSecond."""\nfrom prelude import *\nregister("a", app(disk, clock){})'
    configured("register('a', app(disk, clock))")
    assert load_source(text.format(""), tmp_path / "config.py").doc == "First."
    assert load_source(text.format(', doc="Mine."'), tmp_path / "config.py").doc == "Mine."


def test_two_applications_may_share_names(tmp_path: Path) -> None:
    """What one config.py imports from its folder is not what the next one gets."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "names.py").write_text(f"NAME = {name!r}")
        text = "from mirage.functoria import *\nimport names\nregister(names.NAME, foreign('a:b', gives=JOB)())"
        assert load_source(text, tmp_path / name / "config.py").name == name


def test_the_file_knows_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Path(__file__).parent.parent` is the folder above, however the file was named."""
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    text = (
        "from pathlib import Path\nfrom mirage.functoria import *\n"
        "register(Path(__file__).parent.name, foreign('a:b', gives=JOB)())"
    )
    assert load_source(text, Path("config.py")).name == "inner"
