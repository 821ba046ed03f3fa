"""The generated main.py, against the ones kept in `golden/`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from mirage.tool import __version__

GOLDEN = Path(__file__).parent / "golden"

CONFIGS = {
    "server": '''
        """Serves two things at once."""
        from mirage.tool.devices import *
        from pathlib import PurePosixPath

        title = key("title", STR, default="It's \\"quoted\\"", doc="")
        root = boot_argument("root", PATH, default=PurePosixPath("/srv"), doc="100% of Ann's and Bob's files.")
        loud = boot_argument("loud", BOOL, default=False, doc="Say more.")
        mode = boot_argument("mode", enum("fast", "slow"), default="fast", doc="How \\\\ and \\"how\\"; it's you.")
        admin_port = boot_argument("admin-port", INT, default=8081, doc="TCP port of the administration pages.")
        service = foreign(
            "shop.web:service",
            takes=(KV_RO, KV_RW, WALL_CLOCK),
            gives=SERVICE,
            arguments={"title": title, "loud": loud, "mode": mode, "place": PurePosixPath("a/b"), "ratio": 0.5},
        )
        shop = service(crunch("static"), directory(root), wall_clock())
        pages = static_site(generated(render="r:f", source=["r.py"]), listing=loud)
        register("shop", http_server(shop), http_server(pages, port=admin_port))
    ''',
    "names": """
        from mirage.tool.devices import *
        job = foreign("console:main", takes=(CONSOLE, KV_RW, KV_RW), gives=JOB, after=[random()])
        register("names", job(console(), memory(), memory(name="main")), job(console(), memory(), memory()))
    """,
}


@pytest.mark.parametrize("name", CONFIGS)
def test_golden(name: str, application, mirage) -> None:
    """What a person would have written; where it changes on purpose, the file in golden/ changes with it."""
    application(CONFIGS[name])
    code, out, err = mirage("query", "main")
    assert (code, err) == (0, "")
    ast.parse(out)
    golden = (GOLDEN / f"{name}.py.txt").read_text().replace("VERSION", __version__, 1)
    assert out.rstrip("\n") == golden.rstrip("\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_in_our_own_form(name: str) -> None:
    """The formatter has nothing to add, and the linter nothing to say."""
    for command in (["format", "--diff"], ["check", "--select", "E,F,W,I", "--ignore", "F841"]):
        text = (GOLDEN / f"{name}.py.txt").read_bytes()
        line = [
            sys.executable,
            "-m",
            "ruff",
            *command,
            "--line-length",
            "120",
            "--isolated",
            "--stdin-filename",
            "main.py",
            "-",
        ]
        result = subprocess.run(line, input=text, capture_output=True, check=False)
        assert result.returncode == 0, result.stdout.decode()
