"""Names are spelt as their owners spell them, in everything that a reader sees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SITE = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for folder in (SITE / "content", SITE / "templates", SITE.parent / "docs")
    for path in folder.rglob("*")
    if path.suffix in {".md", ".html", ".toml"}
)

MISSPELT = {
    r"\bMirage OS\b|\bMirageOs\b|\bMirageos\b|\bmirageOS\b": "MirageOS",
    r"\bOcaml\b|\bOCAML\b|\bocaml\b(?!-)": "OCaml",
    r"\bUni-kernel|\buni-kernel": "unikernel",
    r"\bMadhavapedy\b|\bMadhavepeddy\b": "Madhavapeddy",
    r"\b[Mm]enhert\b": "Mehnert",
    r"\bGazagnare\b|\bGazaignaire\b": "Gazagnaire",
    r"\bMersinjak\b": "Meršinjak",
    r"\bPypi\b|\bPyPi\b": "PyPI",
    r"\bAsyncIO\b|\bAsyncio\b": "asyncio",
    r"\bCpython\b": "CPython",
    r"\bWebAssembley\b": "WebAssembly",
    r"\bSOLO5\b": "Solo5",
    r"\bGithub\b": "GitHub",
    r"\bhardcaml\b(?!\")|\bHardcaml\b": "HardCaml",
}


def misspelt(text: str) -> list[str]:
    """What is misspelt in prose: code, addresses and package names aside."""
    text = re.sub(r"```.*?```|`[^`\n]*`|https?://\S+|mirage-[a-z-]+", "", text, flags=re.DOTALL)
    return [
        f"{found[0]!r} should be {right!r}" for wrong, right in MISSPELT.items() for found in re.finditer(wrong, text)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names(page: Path) -> None:
    """No name on the page is misspelt."""
    assert not misspelt(page.read_text("utf-8"))


def test_the_test_can_fail() -> None:
    """The one misspelling that a website of this kind once had is found, in prose and only there."""
    assert misspelt("a talk by Hannes Menhert about Ocaml") == [
        "'Ocaml' should be 'OCaml'",
        "'Menhert' should be 'Mehnert'",
    ]
    assert not misspelt("run `opam install ocaml`, or see https://ocaml.org/ and ocaml-tls")
