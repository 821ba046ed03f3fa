"""Source code as HTML with classes; the colours are in styles/code.css."""

from __future__ import annotations

from markupsafe import Markup
from pygments import highlight as _highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

__all__ = ["code_block"]

_ALIASES = {"sh": "console", "shell": "console", "": "text", "txt": "text"}
_FORMATTER: HtmlFormatter[str] = HtmlFormatter(nowrap=True, classprefix="c-")


def code_block(source: str, language: str) -> Markup:
    """A block of code, scrollable by keyboard. Raises ValueError for a language that the highlighter does not know.

    A shell block without prompts is shown as a script; one with ``$`` prompts as a session with its output.
    """
    name = _ALIASES.get(language, language)
    if name == "console" and not source.lstrip().startswith(("$ ", "# ")):
        name = "bash"
    try:
        lexer = get_lexer_by_name(name, stripnl=True)
    except ClassNotFound:
        raise ValueError(
            f"unknown language {language!r} of a code block; expected a name that Pygments knows, as in ```python"
        ) from None
    inner = _highlight(source, lexer, _FORMATTER)
    label = Markup(' data-language="{}"').format(language) if language not in {"", "text", "txt"} else ""
    return Markup('<pre class="code" tabindex="0"{}><code>{}</code></pre>\n').format(label, Markup(inner))  # noqa: S704  # escaped by Pygments
