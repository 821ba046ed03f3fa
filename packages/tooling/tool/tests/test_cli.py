"""The command: what it says, what it saves, what it deletes, and how it complains."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mirage.tool import __version__

CONFIG = '''
# mirage >=0.1,<0.2
"""Keeps a shop."""
from mirage.tool.devices import *

goods = key("goods", enum("memory", "disk"), default="memory", doc="Where the goods are.", environment="SHOP_GOODS")
limit = key("limit", INT, default=3, doc="How many customers.")
sign = boot_argument("sign", STR, default="open", doc="What the sign says.")
shop = foreign("shop:main", takes=(KV_RW, CONSOLE), gives=JOB, arguments={"limit": limit, "sign": sign})
register("shop", shop(match_key(goods, {"memory": memory(), "disk": directory("/srv/goods")}), console()))
'''

ERRORS = {
    "no command": (
        ["biuld"],
        2,
        "there is no command 'biuld'. Did you mean 'build'? The commands: configure, describe, ",
    ),
    "unknown target": (
        ["build", "-t", "unics"],
        2,
        "there is no target 'unics'. Did you mean 'unix'? The targets: unix, hvt, "
        "virtio (not built yet), aarch64 (not built yet), browser (not built yet)",
    ),
    "target not built yet": (
        ["configure", "-t", "virtio"],
        2,
        "the target 'virtio' (an image for QEMU and clouds) is not built yet; what can be built: unix, hvt",
    ),
    "unknown key": (
        ["configure", "--godos", "disk"],
        2,
        "there is no option or key '--godos'. Did you mean '--goods'? The keys of this application: --goods, --limit",
    ),
    "value": (["configure", "--goods", "shelf"], 1, "--goods: expected one of memory, disk; got 'shelf'"),
    "value of another kind": (["describe", "--limit=many"], 1, "--limit: expected a whole number, got 'many'"),
    "value missing": (
        ["configure", "--goods"],
        2,
        "argument --goods: expected one argument. See  mirage configure --help",
    ),
    "fact": (["query", "nmae"], 2, "argument FACT: invalid choice: 'nmae'"),
    "boot arguments elsewhere": (
        ["build", "--", "--sign", "x"],
        2,
        "only run and serve pass boot arguments on; mirage build takes nothing after --",
    ),
    "file": (["describe", "-f", "other.py"], 1, "there is no other.py: write one, or name another file with -f FILE"),
    "file before option": (["describe", "-f", "other.py", "--godos", "-t", "x"], 1, "there is no other.py"),
    "option of serve": (["serve", ".", "--prot", "1"], 2, "there is no option '--prot'. Did you mean '--port'?"),
    "no directory to serve": (["serve", "nowhere"], 2, "nowhere is not a directory: mirage serve DIR serves one"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error(case: str, application, mirage) -> None:
    """One line, an exit code that tells misuse from a wrong application, and no traceback."""
    application(CONFIG)
    arguments, code, message = ERRORS[case]
    found, out, err = mirage(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith(f"mirage: {message}"), err
    assert err.count("\n") == 1


def test_a_broken_config_is_reported_before_anything_else(application, mirage) -> None:
    """Whatever the options are."""
    application("from mirage.tool.devices import *\nregister('x', crunch('y'))\n")
    for arguments in (["describe", "--godos"], ["build", "-t", "nowhere"], ["run", "--unix"], ["clean"]):
        code, _, err = mirage(*arguments)
        assert code == 1
        assert err == "mirage: config.py:2: job 1 of register('x') must be a device of type JOB, got KV_RO\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("# mirage >=9", f"this application needs mirage >=9, and this is {__version__}: install one that fits with"),
        ("# mirage <0.1", f"this application needs mirage <0.1, and this is {__version__}: install one that fits with"),
        ("# mirage >=zero", "expected a range of versions as in '# mirage >=0.1,<0.2', got '>=zero'"),
    ],
)
def test_version_guard(line: str, message: str, application, mirage) -> None:
    """The guard is read before the file is run, which a newer one might not survive."""
    application(f"{line}\nthis is newer Python\n")
    code, _, err = mirage("describe")
    assert (code, err.startswith(f"mirage: config.py:1: {message}")) == (1, True), err


def test_a_comment_is_no_guard(application, mirage) -> None:
    """Only a range is."""
    application("# mirage is what this is for\n" + CONFIG)
    assert mirage("query", "name") == (0, "shop\n", "")


def test_describe(application, mirage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything on one page: devices, keys with their origins, boot arguments."""
    application(CONFIG)
    monkeypatch.setenv("SHOP_GOODS", "disk")
    assert mirage("describe", "--limit", "0x10")[1] == (
        "shop: Keeps a shop.\n"
        "  target    unix\n"
        "  artifact  _build/shop.pyz\n"
        "\n"
        "Devices\n"
        "  shop:main : JOB\n"
        "  ├─ directory('/srv/goods') : KV_RW\n"
        "  └─ console() : CONSOLE\n"
        "\n"
        "Keys, fixed by mirage configure\n"
        "  --goods  disk (environment SHOP_GOODS)  Where the goods are. One of: memory, disk.\n"
        "  --limit  16 (command line)              How many customers.\n"
        "\n"
        "Boot arguments, given when the program starts\n"
        "  --sign  open (default)  What the sign says.\n"
    )


def test_describe_without_evaluation(application, mirage) -> None:
    """Open choices stay choices, except those that the command line decides."""
    application(CONFIG)
    assert "choice by --goods : KV_RW\n  │  ├─ memory (default): memory() : KV_RW" in mirage("describe", "--no-eval")[1]
    assert "choice by" not in mirage("describe", "--no-eval", "--goods", "disk")[1]
    assert mirage("describe", "--dot", "--no-eval")[1].startswith('digraph "shop" {\n')


def test_describe_draws(application, mirage) -> None:
    """To the file named, or says why not."""
    folder = application(CONFIG)
    assert mirage("describe", "--svg", "shop.svg") == (0, "", "")
    assert "<title" in (folder / "shop.svg").read_text()
    assert mirage("describe", "-o", "no/where")[2] == "mirage: cannot write no/where: No such file or directory\n"


def test_choices_are_saved_and_reused(application, mirage) -> None:
    """Only what was chosen is saved; configure chooses anew; other commands' choices are for once."""
    folder = application(CONFIG)
    assert mirage("configure", "--goods", "disk", "-q") == (0, "", "")
    saved = json.loads((folder / "_build/context.json").read_text())
    assert (saved["target"], saved["keys"]) == ("unix", {"goods": "disk"})
    assert "disk (saved)" in mirage("describe")[1]
    assert "memory (command line)" in mirage("describe", "--goods", "memory")[1]
    assert "disk (saved)" in mirage("describe")[1]
    mirage("configure", "--limit", "5")
    assert "memory (default)" in mirage("describe")[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "does not hold saved choices"),
        ("[]", "does not hold saved choices"),
        ('{"mirage": "0.1.0", "target": "unix"}', "does not hold saved choices"),
        (
            '{"mirage": "9.1.0", "target": "unix", "keys": {}}',
            f"were saved by mirage 9.1.0, and this is {__version__}: run  mirage configure  again, "
            "or upgrade with  uv pip install 'mirage-tool>=9.1.0'",
        ),
        (
            '{"mirage": "0.0.1", "target": "unix", "keys": {}}',
            f"were saved by mirage 0.0.1, and this is {__version__}: run  mirage configure  again\n",
        ),
    ],
)
def test_saved_choices_are_guarded(text: str, message: str, application, mirage) -> None:
    """Another version's, or a damaged file, is not guessed at; configure writes anew what bears the header."""
    folder = application(CONFIG)
    mirage("configure")
    header = '{\n  "header": "Generated by mirage 9.1.0 configure",'
    (folder / "_build/context.json").write_text(text)
    code, _, err = mirage("describe")
    assert (code, message in err) == (1, True), err
    (folder / "_build/context.json").write_text(header)
    assert mirage("configure", "-q") == (0, "", "")


def test_dry_runs_change_nothing(application, mirage) -> None:
    """They say what would be done."""
    folder = application()
    assert "would write _build/main.py, _build/context.json" in mirage("configure", "--dry-run")[1]
    assert "mirage-types" in mirage("build", "--dry-run")[1]
    assert mirage("run", "--dry-run", "--", "--x", "a b")[1].endswith("_build/app.pyz --x 'a b'\n")
    assert not (folder / "_build").exists()
    mirage("configure")
    assert "would delete _build/main.py" in mirage("clean", "--dry-run")[1]
    assert (folder / "_build/main.py").exists()


def test_clean_deletes_only_what_bears_the_header(application, mirage) -> None:
    """A file of the user's in the way survives, and is named."""
    folder = application()
    mirage("configure")
    (folder / "_build/notes.txt").write_text("mine: 'Generated by mirage 0.1.0' stands in what mirage writes\n")
    code, out, err = mirage("clean")
    assert (code, out) == (0, "deleted _build/context.json\ndeleted _build/main.py\n")
    assert err == "left _build/notes.txt: mirage did not write it\n"
    (folder / "_build/notes.txt").unlink()
    mirage("clean")
    assert not (folder / "_build").exists()
    assert mirage("clean") == (0, "", "")


def test_nothing_of_the_users_is_overwritten(application, mirage) -> None:
    """Not by configure and not by build."""
    folder = application()
    (folder / "_build").mkdir()
    (folder / "_build/main.py").write_text("mine")
    code, _, err = mirage("configure")
    assert (code, err) == (
        1,
        "mirage: _build/main.py was not written by mirage: move it away, or name another place with -o\n",
    )
    assert (folder / "_build/main.py").read_text() == "mine"


QUERIES: dict[str, Callable[[Path], object]] = {
    "name": lambda folder: "app",
    "target": lambda folder: "unix",
    "artifact": lambda folder: "_build/app.pyz",
    "packages": lambda folder: ["mirage-types>=0.1,<0.2"],
    "keys": lambda folder: [],
    "boot-arguments": lambda folder: [],
    "devices": lambda folder: [{"name": "console()", "type": "CONSOLE"}, {"name": "app:main", "type": "JOB"}],
    "modules": lambda folder: ["app.py"],
    "data": lambda folder: [],
}


@pytest.mark.parametrize("fact", QUERIES)
def test_query(fact: str, application, mirage) -> None:
    """JSON for programs, lines for people."""
    expected = QUERIES[fact](application())
    assert json.loads(mirage("query", fact, "--json")[1]) == expected
    lines = mirage("query", fact)[1].splitlines()
    assert len(lines) == (1 if isinstance(expected, str) else len(expected))  # type: ignore[arg-type]


def test_query_keys(application, mirage) -> None:
    """Keys with value and origin, boot arguments with kind and default."""
    application(CONFIG)
    assert json.loads(mirage("query", "keys", "--json")[1])[0] == {
        "name": "goods",
        "value": "memory",
        "origin": "default",
        "doc": "Where the goods are.",
    }
    assert json.loads(mirage("query", "boot-arguments", "--json")[1]) == [
        {"name": "sign", "default": "open", "kind": "text", "doc": "What the sign says."}
    ]
    assert mirage("query", "main")[1].startswith('"""shop: Keeps a shop.\n')


def test_help(application, mirage) -> None:
    """Of all commands, with this application's keys and boot arguments; of one, with its keys."""
    application(CONFIG)
    text = mirage("help")[1]
    assert "  --goods  memory (default)  Where the goods are. One of: memory, disk.\n" in text
    assert "  --sign  open (default)  What the sign says.\n" in text
    assert "hvt      an image for a virtual machine under /dev/kvm\n" in text
    assert mirage("--help")[1] == text
    assert "Where the goods are. (one of memory, disk;" in " ".join(mirage("help", "configure")[1].split())
    assert mirage("help", "serve")[1].startswith("usage: mirage serve")
    assert mirage("--version")[1] == f"mirage {__version__}\n"


def test_help_survives_a_broken_config(application, mirage) -> None:
    """Who asks for help gets it, and is told what is wrong."""
    application("register(")
    trouble = "The keys of this application cannot be shown: config.py:1: not valid Python: '(' was never closed\n"
    for arguments in (["--help"], ["build", "--help"], ["configure", "-h", "-f", "config.py"]):
        code, out, err = mirage(*arguments)
        assert (code, err, trouble in out) == (0, "", True)


def test_a_key_cannot_take_an_option_of_the_command(application, mirage) -> None:
    """It could never be set."""
    application(CONFIG.replace('"limit", INT', '"output", INT'))
    assert mirage("describe")[2] == (
        "mirage: config.py:6: a key cannot be named 'output': mirage has an option --output\n"
    )
