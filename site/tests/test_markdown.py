"""Markdown: links, figures and code are checked where they are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from render.errors import ContentError
from render.markdown import Rendered, Renderer

FILE = Path("site/content/blog/x.md")


@pytest.fixture
def renderer(tmp_path: Path) -> Renderer:
    """A renderer of a tree with one guide page, one drawing and one source file."""
    for name, text in {
        "docs/kv.md": "",
        "site/content/blog/x.md": "",
        "site/diagrams/a.svg": '<svg viewBox="0 0 1 1"></svg>',
        "packages/core/types/x.py": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Renderer(tmp_path, {"docs/kv.md": "/docs/kv/"})


def render(renderer: Renderer, text: str) -> Rendered:
    """The text rendered as if its first line were line 10 of the file."""
    return renderer.render(text, FILE, 10, "The title")


def refused(renderer: Renderer, text: str) -> str:
    """What is said of a text that cannot be rendered."""
    with pytest.raises(ContentError) as caught:
        render(renderer, text)
    return str(caught.value)


def test_links_to_files_become_pages(renderer: Renderer) -> None:
    """A link to a Markdown file leads to its page, one to a source file is its path."""
    done = render(renderer, "See [kv](../../../docs/kv.md#use) and [x](../../../packages/core/types/x.py).")
    assert '<a href="/docs/kv/#use">kv</a>' in done.html
    assert '<span class="path" title="packages/core/types/x.py">x</span>' in done.html
    assert [(link.href, link.line) for link in done.links] == [("/docs/kv/#use", 10)]


def test_broken_links(renderer: Renderer) -> None:
    """A link to nothing is named with its line, also within a paragraph, and so is one out of the tree."""
    assert refused(renderer, "a\n\nb\n[gone](gone.md)\n").startswith(
        "site/content/blog/x.md:13: link 'gone.md': there is no such file"
    )
    assert ":10: link '../../../../etc'" in refused(renderer, "[up](../../../../etc)")
    assert ":10: link '#nowhere': this page has no such heading" in refused(renderer, "[a](#nowhere)")
    assert ":10: link 'ftp://x/y': expected https:" in refused(renderer, "[a](ftp://x/y)")
    assert ":10: link '//host/x': expected https:" in refused(renderer, "[a](//host/x)")


def test_raw_html_and_scripts_are_text(renderer: Renderer) -> None:
    """No markup and no script passes through Markdown."""
    html = render(renderer, "<script>alert(1)</script>\n\n<b onclick=x>y</b> [a](javascript:alert(1))").html
    assert "<script" not in html
    assert "<b" not in html
    assert "href" not in html


def test_headings(renderer: Renderer) -> None:
    """A repeated title is dropped, levels start below it, ids are unique and stable."""
    done = render(renderer, "# The title\n\n# One `x`\n\n# One x\n\n## 2nd\n")
    assert [(heading.level, heading.id) for heading in done.headings] == [(2, "one-x"), (2, "one-x-2"), (3, "s-2nd")]
    assert "The title" not in done.html


def test_figures(renderer: Renderer) -> None:
    """A drawing of the tree stands inside the page; any other image is refused."""
    html = render(renderer, "before\n\n![A <caption>](../../diagrams/a.svg)\n\nafter").html
    assert '<p>before</p>\n<figure class="diagram">\n<svg' in html
    assert "<figcaption>A &lt;caption&gt;</figcaption>\n</figure>\n<p>after</p>" in html
    assert ":10: image 'https://x/y.png': expected an SVG" in refused(renderer, "![a](https://x/y.png)")
    assert ":10: image '../../diagrams/b.svg'" in refused(renderer, "![a](../../diagrams/b.svg)")
    assert ":10: image" in refused(renderer, "text ![a](../../diagrams/a.svg)")


def test_code(renderer: Renderer) -> None:
    """Code is escaped and highlighted; an unknown language is named with its line."""
    html = render(renderer, "```python\nif a < b: pass\n```\n\n```\n<raw>\n```\n").html
    assert '<span class="c-k">if</span>' in html
    assert "&lt;" in html
    assert "<raw>" not in html
    assert ":12: unknown language 'pythn'" in refused(renderer, "a\n\n```pythn\nx\n```\n")


@pytest.mark.parametrize("text", ["```python\nprint('<b>')\n```", "    indented <b>", "|a|\n|-|\n|b|", "![A.](a.svg)"])
def test_blocks_are_added_as_plain_text(renderer: Renderer, text: str) -> None:
    """Some releases of the Markdown library add what a rule gives to a string: markup would escape that string."""
    rules = renderer._markdown.renderer.rules
    given: list[str] = []
    for name, rule in rules.items():
        rules[name] = lambda *words, rule=rule: given.append(rule(*words)) or given[-1]
    render(renderer, f"# First\n\n{text.replace('a.svg', '../../diagrams/a.svg')}\n")
    assert given
    assert {type(block) for block in given} == {str}
