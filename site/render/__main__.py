"""``python -m render --out DIR``: render the site of this source tree into a folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import ContentError, Sources, build, write


def main(arguments: list[str] | None = None) -> int:
    """Render, and say what was made or everything that is wrong; the exit code."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(prog="python -m render", description="Render the website into a folder.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; files of an older run are removed")
    parser.add_argument("--root", type=Path, default=root, help="the source tree (default: the one this file is in)")
    parser.add_argument("--url", help="where the site will be served, for feeds and sitemap (default: content/site.md)")
    options = parser.parse_args(arguments)
    try:
        files = build(Sources.of(options.root), options.url)
    except ContentError as error:
        print(error, file=sys.stderr)
        return 1
    write(files, options.out)
    pages = sum(key.endswith(".html") for key in files)
    print(f"{pages} pages, {len(files)} files, {sum(map(len, files.values())):,} octets in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
