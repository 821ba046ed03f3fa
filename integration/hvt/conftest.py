"""What the proofs share: the image, how long the forms are, and a line for each proof with its time."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import cryptography
import pytest
from mirage.hvt import build

LONG = os.environ.get("MIRAGE_HVT_TESTS") == "all"


@pytest.fixture(scope="session")
def long_form() -> bool:
    """Whether the long forms of the proofs were asked for."""
    return LONG


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`application`, built."""
    script = Path(__file__).with_name("application.py")
    output = tmp_path_factory.mktemp("proofs") / "application.hvt"
    wheels = str(Path(str(cryptography.__file__)).parents[1])
    # Compiled code imports cffi's half, where no import statement tells.
    image = build(output, script, modules=["_cffi_backend"], path=[wheels], environment={"PYTHONUNBUFFERED": "1"})
    return image.path


@pytest.fixture(scope="session")
def trapping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`application.preemption` alone, whose system calls all trap into the stub of ring 0."""
    folder = tmp_path_factory.mktemp("trapping")
    script = folder / "preemption.py"
    source = Path(__file__).with_name("application.py").read_text()
    (part,) = (node for node in ast.parse(source).body if getattr(node, "name", "") == "preemption")
    script.write_text(f"import sys\nimport time\n\n{ast.get_source_segment(source, part)}\n\npreemption()\n")
    environment = {"PYTHONUNBUFFERED": "1"}
    return build(folder / "trapping.hvt", script, environment=environment, rewrite=False).path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each proof with its time."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    mine = [r for r in reports if "integration/hvt/" in r.nodeid and r.when == "call"]
    if mine:
        terminalreporter.section("proofs of the hvt target")
    for report in mine:
        seconds = dict(report.user_properties).get("seconds", report.duration)
        name = report.nodeid.partition("integration/hvt/")[2]
        terminalreporter.write_line(f"{report.outcome:7} {seconds:8.2f} s  {name}")
