"""Descriptions, the files made from them, and drift."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.assemblage import (
    TIERS,
    Description,
    InvalidDescription,
    drift,
    guide_stub,
    matrix,
    opam,
    pyproject,
    read,
    table,
)
from mirage.assemblage.cli import main

WORDS = st.text(min_size=1, max_size=20).filter(lambda t: t.isprintable() and not t.isspace())
NEEDS = st.lists(st.sampled_from(["mirage-net>=0.1,<0.2", "packaging>=24,<27", "mirage-types>=0.1,<0.2"]), unique=True)
DESCRIPTIONS = st.builds(
    Description,
    st.sampled_from(["core", "web"]),
    st.from_regex(r"[a-z][a-z0-9]*(-[a-z0-9]+)?", fullmatch=True),
    WORDS,
    dependencies=NEEDS.map(tuple),
    extras=st.dictionaries(st.sampled_from(["tls", "no-such.key"]), NEEDS.map(tuple)),
    scripts=st.dictionaries(st.sampled_from(["x", "x.y"]), st.just("mirage.x:main")),
    tier=st.sampled_from(TIERS),
    systems=st.lists(WORDS, max_size=2).map(tuple),
)
WHAT = Description("web", "re", "Expressions", dependencies=("mirage-types>=0.1,<0.2", "packaging>=24,<27"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of one package."""
    place = tmp_path / "packages" / "web" / "re"
    place.mkdir(parents=True)
    (place / "pyproject.toml").write_text(pyproject(WHAT))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "re.md").write_text(guide_stub(WHAT, 7, "print()"))
    return tmp_path


@given(what=DESCRIPTIONS)
def test_there_and_back(what: Description) -> None:
    """A description is read from the file that it makes."""
    assert read(pyproject(what), what.family, what.name) == what


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('tier = "incubating"', 'tier = "heavy"', "it is one of core"),
        ('version = "0.1.0"', "", "no version"),
        ("[tool.mirage]", "[tool.other]", "no table mirage"),
        ('"mirage-types>=0.1,<0.2"', '"no requirement at all"', "no requirement"),
        ('["mirage-types>=0.1,<0.2", "packaging>=24,<27"]', "3", "no list of strings"),
        ("[project]", "[project", "no TOML"),
    ],
)
def test_what_is_no_description_is_said(old: str, new: str, reason: str) -> None:
    """The error names the file and the key."""
    with pytest.raises(InvalidDescription, match=reason) as caught:
        read(pyproject(WHAT).replace(old, new), "web", "re")
    assert "packages/web/re/pyproject.toml" in str(caught.value)


def test_drift_is_shown_as_a_diff(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a file says, and what it is to say; a clean tree has none."""
    assert drift(tree) == []
    assert main(["--root", str(tree), "check"]) == 0
    file = tree / "packages" / "web" / "re" / "pyproject.toml"
    file.write_text(file.read_text().replace('"mirage.re"', '"mirage.ra"'))
    (tree / "docs" / "re.md").unlink()
    assert main(["--root", str(tree), "check"]) == 1
    out = capsys.readouterr().out
    assert "-tool.uv.build-backend.module-name: mirage.ra\n+tool.uv.build-backend.module-name: mirage.re" in out
    assert "+package: mirage-re" in out


def test_a_workflow_runs_the_matrix(tree: Path) -> None:
    """A Python that its gates leave out, or a workflow without a list of them, is drift."""
    workflow = tree / ".github" / "workflows" / "ci.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text('matrix:\n  python: ["3.11", "3.12", "3.13"]\n')
    assert drift(tree) == []
    workflow.write_text('matrix:\n  python: ["3.11", "3.13"]\n')
    (found,) = drift(tree)
    assert '-python: ["3.11", "3.13"]\n+python: ["3.11", "3.12", "3.13"]' in found
    workflow.write_text("matrix:\n")
    assert "+python:" in drift(tree)[0]


def test_matrix_and_table() -> None:
    """Each package with each Python that it admits; a table with links."""
    late = Description("web", "late", "A | B", requires_python=">=3.13")
    assert [(m["package"], m["python"]) for m in matrix([WHAT, late])["include"]] == [
        ("re", "3.11"),
        ("re", "3.12"),
        ("re", "3.13"),
        ("late", "3.13"),
    ]
    assert table([late]).splitlines()[2] == "| [mirage-late](late.md) | web | incubating | A \\| B |"


def test_the_command_shows_one_package(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By either name; an unknown one is one line."""
    assert main(["--root", str(tree), "show", "mirage-re"]) == 0
    assert json.loads(capsys.readouterr().out)["summary"] == "Expressions"
    assert main(["--root", str(tree), "opam", "re"]) == 0
    assert capsys.readouterr().out == opam(WHAT)
    assert main(["--root", str(tree), "show", "ra"]) == 1
    assert "there are re" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.tool("opam")
def test_opam_reads_the_file(tmp_path: Path) -> None:
    """Without an error; that homepage and bug tracker are missing is all it says."""
    file = tmp_path / "opam"
    file.write_text(opam(WHAT))
    env = {**os.environ, "OPAMROOTISOK": "1", "OPAMROOT": str(tmp_path / "root")}
    found = subprocess.run(["opam", "lint", "-s", str(file)], env=env, capture_output=True, text=True, check=False)
    assert set(found.stdout.split()) <= {"35", "36"}, found.stdout
