"""Whatever a package's name or a log holds, a report shows it as text: read back with a CommonMark parser."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bots.is_broken import wording
from bots.is_broken.markdown import block, line, link, plain, span

from .sample import CHANGE, FAILURE, finding

PARSER = MarkdownIt("commonmark")
EVIL = [
    "<script>alert(1)</script>",
    "`</code><img src=x onerror=alert(1)>`",
    "```\n</details>\n# heading\n@everyone #1 GH-1",
    "[x](javascript:alert(1)) ![y](https://evil.example/z.png)",
    "<!-- is-broken 0123456789ab -->",
    "\x1b[31mred\x1b[0m \u202eevil\u202c \x00",
    "a | b\n--- | ---",
    "~~~\n````\n``````",
    "&lt;b&gt; &#64;everyone",
]


def tokens(text: str) -> list[Token]:
    """All tokens, those inside others too."""
    found: list[Token] = []
    for token in PARSER.parse(text):
        found += [token, *(token.children or [])]
    return found


@given(st.text(max_size=60) | st.sampled_from(EVIL))
def test_a_span_is_one_code_span(text: str) -> None:
    """And says the text, as one line."""
    shown = span(text)
    inline = [
        token for token in tokens(f"x {shown} y") if token.type not in {"paragraph_open", "paragraph_close", "inline"}
    ]
    if not line(text, 200):
        assert shown == ""
    else:
        assert [token.type for token in inline] == ["text", "code_inline", "text"]
        assert inline[1].content.strip() == line(text, 200).strip("`").strip() or inline[1].content == line(text, 200)


@given(st.text(max_size=200) | st.sampled_from(EVIL))
def test_a_block_is_one_block(text: str) -> None:
    """And says the text, its controls spelled."""
    found = tokens(block(text) + "\n\nafter")
    assert [token.type for token in found] == ["fence", "paragraph_open", "inline", "text", "paragraph_close"]
    assert found[0].content.rstrip("\n") == plain(text).strip("\n").rstrip("\n")


def test_what_is_left_out_is_said() -> None:
    """A long block keeps its beginning and its end."""
    shown = block("start" + "x" * 50_000 + "end", limit=3000)
    assert "start" in shown
    assert "end\n" in shown
    assert "characters left out]" in shown
    assert len(shown) < 3200


def test_terminals_have_no_say() -> None:
    """Colours are gone; what reorders a line, and every other control, is spelled."""
    assert plain("\x1b[1;31mred\x1b[0m\x1b]0;title\x07 plain\r\nnext\rover") == "red plain\nnext\nover"
    assert plain("\u202eevil\x00\x07") == "\\u202eevil\\u0000\\u0007"


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://x/ onclick", "https://x/>\n<b>", "http://", "https://[", "data:x"]
)
def test_a_link_that_is_none(url: str) -> None:
    """Only an address of the web can be followed."""
    assert not link(url).startswith("<")


@pytest.mark.parametrize("evil", EVIL)
def test_a_hostile_finding(evil: str) -> None:
    """In every place of a report a hostile text makes no element, no link, no image, and no mark."""
    change = replace(CHANGE, name=evil, new=evil, old=evil, link=evil)
    failure = replace(FAILURE, line=evil, step=evil, signature=evil, excerpt=evil)
    one = finding(change, failure=failure, jobs=(evil,))
    told = replace(one.explanation, notes=(evil,), difference=(evil,), reproduce=evil, hold=evil)
    one = replace(one, explanation=told)
    text = wording.body(one, 3, "Mended: " + span(evil))
    assert wording.key_of(text) == one.key
    kinds = [token for token in tokens(text) if token.type in {"html_block", "html_inline", "link_open", "image"}]
    assert [token.content.strip() for token in kinds] == [
        wording.mark(one.key),
        "<details><summary>What differs between the last good set of releases and this one</summary>",
        "</details>",
        "<details><summary>Output</summary>",
        "</details>",
    ]
    assert "\n" not in wording.title(one)
    assert len(wording.title(one)) <= 160


def test_a_body_fits() -> None:
    """GitHub takes 65536 characters; the longest finding has fewer."""
    failure = replace(FAILURE, excerpt="`" * 200_000, line="x" * 100_000)
    one = finding(*(replace(CHANGE, name="n" * 300 + str(n)) for n in range(100)), failure=failure)
    told = replace(one.explanation, difference=tuple("d" * 500 for _ in range(1000)), notes=("n" * 5000,) * 100)
    text = wording.body(replace(one, explanation=told), 1)
    assert len(text) <= 65536
