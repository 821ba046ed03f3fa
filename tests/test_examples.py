"""Every example of a README and of the guide runs as it stands.

* The ``python`` blocks of a page are one program, run in an empty folder; a failure names the page's own line.
* The ``sh`` blocks of a page are run by the shell in order, in a folder that is empty at first; those that call
  ``./noxw`` run in the tree.
* A ``sh serve`` block is one command that starts a server: it is given until it prints an address, which is fetched;
  then it is interrupted, and must end with status 0, or 130 where a task runner stands between.
* A ``sh tests`` block is the test command itself, which is what runs this; it is checked against the list of sessions.

Any other block is for reading only; Python that is no program of its own is marked ``python excerpt``.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.tree import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("packages/*/*/README.md")])
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
RUN = {"sh", "sh serve", "sh tests"}
ADDRESS = re.compile(r"http://[\w.\[\]:-]+:\d+/?")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    """Number of its first line of code."""
    info: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = page.read_text()
    return [
        Block(page, text[: m.start("code")].count("\n") + 1, m["info"].strip(), m["code"]) for m in FENCE.finditer(text)
    ]


SHELL = [block for page in PAGES for block in blocks(page) if block.info in RUN]
SHELL_PAGES = sorted({block.page for block in SHELL if block.info == "sh"})
PYTHON = [page for page in PAGES if any(block.info == "python" for block in blocks(page))]


def environment() -> dict[str, str]:
    """This interpreter's programs first, and nothing of the surrounding nox session."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("NOX_") and k not in {"VIRTUAL_ENV", "UV_CONSTRAINT"}
    }
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


def place(block: Block, folder: Path) -> Path:
    """Where a block runs."""
    return ROOT if "./noxw" in block.code else folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PYTHON, ids=lambda p: str(p.relative_to(ROOT)))
def test_python(page: Path, tmp_path: Path) -> None:
    """The page's Python blocks, in order, are a program that ends without an error."""
    lines = [""] * page.read_text().count("\n")
    for block in blocks(page):
        if block.info == "python":
            code = block.code.splitlines()
            lines[block.line - 1 : block.line - 1 + len(code)] = code
    program = tmp_path / "example.py"
    program.write_text("\n".join(lines))
    work = tmp_path / "work"
    work.mkdir()
    result = subprocess.run(
        [sys.executable, str(program)],
        cwd=work,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, f"{page}\n{result.stdout}{result.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("page", SHELL_PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_shell(page: Path, tmp_path: Path) -> None:
    """The page's commands end with status 0, in order, one block finding what the one before it left."""
    for block in blocks(page):
        if block.info != "sh":
            continue
        result = subprocess.run(
            ["sh", "-eu", "-c", block.code],
            cwd=place(block, tmp_path), env=environment(), capture_output=True, text=True, timeout=300, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert result.returncode == 0, f"{block}\n{block.code}\n{result.stdout}{result.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("block", [b for b in SHELL if b.info == "sh serve"], ids=str)
def test_server(block: Block, tmp_path: Path) -> None:
    """The server says its address, answers there, and ends cleanly when it is interrupted."""
    process = subprocess.Popen(
        shlex.split(block.code, comments=True),
        cwd=place(block, tmp_path), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip
    printed = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            printed.append(line)
            if found := ADDRESS.search(line):
                with urllib.request.urlopen(found[0], timeout=10) as answer:
                    assert answer.status == 200
                break
        else:
            pytest.fail(f"{block} ended without an address:\n{''.join(printed)}")
        # As a terminal does: the whole foreground group gets the signal.
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
        assert process.returncode in {0, 130}, f"{block}\n{''.join(printed)}{rest}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.mark.parametrize("block", [b for b in SHELL if b.info == "sh tests"], ids=str)
def test_the_test_command(block: Block) -> None:
    """`./noxw` alone selects the sessions that make up the gates."""
    (command,) = [line for line in block.code.splitlines() if line and not line.startswith("#")]
    result = subprocess.run(
        [*command.split(), "--list"], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    selected = set(re.findall(r"^\* (\S+)", result.stdout, re.MULTILINE))
    assert {"lint", "types", "tests", "wheels", "integration"} <= selected


def test_the_readme_gives_both_commands() -> None:
    """A newcomer needs two: the main job and the tests."""
    readme = [b.code.strip() for b in blocks(ROOT / "README.md") if b.info in RUN]
    assert any("./noxw -s website" in code for code in readme)
    assert any(code == "./noxw" for code in readme)
