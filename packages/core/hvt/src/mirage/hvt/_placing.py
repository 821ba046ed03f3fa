"""Where the files of an image lie: so that much of what its guest runs and reads is in large pages.

The processor knows 2 MiB that are aligned and may all be used alike by one entry; without them each page costs a look
into the page tables and, where those are shadowed by the host, an exit. So the code of a large library begins at such a
boundary. Before it lies what the library only reads, and the gap before that is filled with files that are only read.
All others of those lie together at the end.
"""

from __future__ import annotations

from collections.abc import Iterator

from mirage.hvt._layout import LARGE, PAGE, READ_EXECUTE, Node, pages

_LARGE_PAGES = LARGE // PAGE


def _size(node: Node) -> int:
    """Octets in whole pages."""
    return pages(len(node.data or b"")) * PAGE


def _code(node: Node) -> tuple[int, int]:
    """The longest run of code: the number of pages, and the first one's."""
    return max(((count, first) for first, count, allowed in node.runs if allowed == READ_EXECUTE), default=(0, 0))


def _has_large_code(node: Node) -> bool:
    return _code(node)[0] >= _LARGE_PAGES


def most_pages(nodes: list[Node]) -> int:
    """No fewer pages than the files take when they are placed."""
    return sum(_size(node) for node in nodes) // PAGE + _LARGE_PAGES * sum(map(_has_large_code, nodes))


def place(nodes: list[Node], start: int) -> Iterator[tuple[Node, int]]:
    """All files with their addresses, the lower first."""
    files = [node for node in nodes if node.data is not None]
    large = [node for node in files if _has_large_code(node)]
    # Files that are only read first, and the larger first.
    small = sorted((n for n in files if not _has_large_code(n)), key=lambda n: (bool(n.runs), -_size(n), n.path))
    at = start
    for node in large:
        before = _code(node)[1] * PAGE
        begin = (at + before + LARGE - 1) // LARGE * LARGE - before
        rest = []
        for other in small:
            if at + _size(other) <= begin:
                yield other, at
                at += _size(other)
            else:
                rest.append(other)
        small = rest
        yield node, begin
        at = begin + _size(node)
    # Programs and libraries, what is read of others, then sources, which are hardly ever looked at.
    for node in sorted(small, key=lambda n: (not n.runs, n.path.endswith(".py"), n.path)):
        yield node, at
        at += _size(node)
