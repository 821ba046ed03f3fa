"""The website's renderer: Markdown with typed front matter in, a tree of files out.

It runs on the host when the site is built and is never linked into the unikernel, which only serves the tree::

    from render import Sources, build

    files = build(Sources.of(root))  # {"index.html": b"...", ...}

From the site's folder, ``python -m render --out DIR`` writes the tree for a quick look.
"""

from pathlib import Path

from .build import build, write
from .errors import ContentError, Problem
from .load import Sources

__all__ = ["ContentError", "Problem", "Sources", "build", "render", "write"]


def render(output: Path) -> None:
    """Render the site of the source tree that this module lies in: what config.py names as the site's generator."""
    write(build(Sources.of(Path(__file__).resolve().parents[2])), output)
