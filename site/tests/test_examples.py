"""The examples of the site's own pages run, and the guide's first unikernel is configured and built as it says.

The ``python`` blocks of one page are one program; ``python excerpt`` blocks are configurations.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SITE = Path(__file__).resolve().parents[1]
GUIDE = SITE.parent / "docs" / "first-unikernel.md"


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


PAGES = [page for page in sorted((SITE / "content").glob("*/*.md")) if blocks(page, "python")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python(page: Path) -> None:
    """The blocks of a page run."""
    exec(compile("\n".join(blocks(page, "python")), str(page), "exec"), {"__name__": page.stem})


def mirage(folder: Path, *arguments: str) -> str:
    """What the tool prints."""
    command = [Path(sys.executable).with_name("mirage"), *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
def test_first_unikernel(tmp_path: Path) -> None:
    """The two files of the guide make the program that the guide shows."""
    service = blocks(GUIDE, "python")[0]
    configuration, with_key, *_ = blocks(GUIDE, "python excerpt")
    (tmp_path / "unikernel.py").write_text(service)
    (tmp_path / "config.py").write_text(configuration)
    shown = next(block for block in blocks(GUIDE, "console") if block.startswith("$ mirage describe\n"))
    assert mirage(tmp_path, "describe") == shown.removeprefix("$ mirage describe\n")
    mirage(tmp_path, "build")
    assert {"greeter.pyz", "greeter.bom.json", "main.py"} <= {path.name for path in (tmp_path / "_build").iterdir()}

    other = tmp_path / "other"
    (other / "pages").mkdir(parents=True)
    (other / "pages" / "index.html").write_text("<title>Hello</title>")
    (other / "config.py").write_text(with_key)
    assert "crunch('pages')" in mirage(other, "describe")
    mirage(other, "configure", "--pages", "folder")
    assert "crunch" not in mirage(other, "query", "packages")
