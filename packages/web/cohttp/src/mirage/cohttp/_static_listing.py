"""The page that shows a directory."""

from __future__ import annotations

import html
from collections.abc import Sequence
from urllib.parse import quote

from mirage.types import Info, Kind

from ._date import http_date

__all__ = ["listing_page"]

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.4rem;overflow-wrap:anywhere}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.3rem 1rem .3rem 0;border-bottom:1px solid #8886}"
    "td:first-child{overflow-wrap:anywhere}"
    ".n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
)


def listing_page(path: str, entries: Sequence[tuple[str, Info]]) -> bytes:
    """The page for the directory at `path` (decoded, with slashes around it), in UTF-8.

    Every name is escaped, and every link is relative to the page, so the page is right wherever the tree is mounted.
    """
    title = f"Index of {html.escape(path)}"
    rows = []
    if path != "/":
        rows.append('<tr><td><a href="../">Parent directory</a></td><td class="n"></td><td></td></tr>')
    for name, info in entries:
        slash = "/" if info.kind is Kind.DIRECTORY else ""
        link = html.escape(f"./{quote(name)}{slash}")
        size = "" if slash else _size(info.size)
        rows.append(
            f'<tr><td><a href="{link}">{html.escape(name)}{slash}</a></td><td class="n">{size}</td>'
            f"<td>{_time(info.modified)}</td></tr>"
        )
    body = "\n".join(rows)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<table>
<thead><tr><th scope="col">Name</th><th scope="col" class="n">Size</th><th scope="col">Last modified</th></tr></thead>
<tbody>
{body}
</tbody>
</table>
</main>
</body>
</html>
""".encode()


def _size(octets: int) -> str:
    size: float = octets
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _time(modified: float | None) -> str:
    try:
        return "" if modified is None else http_date(int(modified))
    except (ValueError, OverflowError, OSError):  # a time that no calendar has, as an archive may say
        return ""
