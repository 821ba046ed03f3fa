"""Trees of files that are built into the artifact: copied, or rendered on the building host."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CONFIG = """
from mirage.tool.devices import *
pages = generated(render="render:build", source=["words", "../*.txt"])
show = foreign("app:show", takes=(KV_RO, KV_RO), gives=JOB)
register("app", show(pages, crunch("static", name="static")))
"""
RENDER = """
from pathlib import Path

def build(output):
    print("rendering")
    words = sorted(Path("words").iterdir())
    (output / "deep").mkdir()
    (output / "deep" / "page.html").write_text(" ".join(path.read_text() for path in words))
"""
APP = """
import sys

async def show(pages, static):
    print(pages.get("deep/page.html").decode(), static.get("a.css").decode(), "render" in sys.modules)
"""


@pytest.fixture
def folder(application) -> Path:
    place: Path = application(CONFIG, render=RENDER, app=APP)
    for name, text in {"words/a": "hello", "words/b": "world", "static/a.css": "css", "../x.txt": ""}.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)
    return place


def start() -> str:
    """What the artifact prints."""
    command = [sys.executable, "_build/app.pyz"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_rendered_cached_and_rendered_again(folder: Path, mirage) -> None:
    """Whenever a source or the rendering code changes, and only then."""
    assert mirage("build")[2].count("(cached)") == 0
    assert start() == "hello world css False\n"
    first = (folder / "_build/app.pyz").read_bytes()
    assert "up to date" in mirage("build")[2]
    (folder / "app.py").write_text(APP + "\n")
    assert mirage("build")[2].count("(cached)") == 2
    (folder / "words/b").write_text("there")
    assert mirage("build")[2].count("(cached)") == 1
    assert start() == "hello there css False\n"
    (folder / "render.py").write_text(RENDER.replace('" ".join', '"+".join'))
    mirage("build", "-q")
    assert start() == "hello+there css False\n"
    for name, text in {"words/b": "world", "render.py": RENDER.lstrip(), "app.py": APP.lstrip()}.items():
        (folder / name).write_text(text)
    mirage("build", "-q")
    assert (folder / "_build/app.pyz").read_bytes() == first


def test_the_time_of_last_change(folder: Path, mirage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is SOURCE_DATE_EPOCH's, or none: the files' own differ from one checkout to the next."""
    (folder / "app.py").write_text("async def show(pages, static): print(static.info('a.css').modified)")
    mirage("build", "-q")
    assert start() == "None\n"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1400000000")
    mirage("build", "-q")
    assert start() == "1400000000.0\n"


ERRORS = {
    "source": (("../*.txt", "../*.nope"), "config.py:2: there is no ../*.nope in "),
    "form": (("render:build", "render"), "config.py:2: generated() expects render='module:function', got 'render'"),
    "module": (
        ("render:build", "reader:build"),
        "config.py:2: generated() names the module 'reader', and there is no ",
    ),
    "function": (("render:build", "render:biuld"), "generated('render:biuld') failed:\n"),
    "folder": (('crunch("static"', 'crunch("statik"'), "config.py:4: there is no statik in "),
    "package": (
        ('"../*.txt"]', '"../*.txt"], packages=["no-such-thing"]'),
        "config.py needs no-such-thing, which is not",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error(case: str, folder: Path, mirage) -> None:
    """What cannot be rendered is told with the line that asks for it."""
    (old, new), message = ERRORS[case]
    (folder / "config.py").write_text((folder / "config.py").read_text().replace(old, new))
    code, _, err = mirage("build", "-q")
    assert (code, err.startswith(f"mirage: {message}")) == (1, True), err
