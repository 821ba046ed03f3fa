"""Visiting every value."""

from mirage.types import walk
from mirage.types.devices import Kind


class Deep:
    """A store that is one chain of directories, deeper than Python's stack."""

    def list(self, key: str = "") -> list[tuple[str, Kind]]:
        depth = key.count("/") + 1 if key else 0
        return [("d", Kind.DIRECTORY), ("v", Kind.VALUE)] if depth < 2000 else [("v", Kind.VALUE)]


def test_walk_needs_no_stack() -> None:
    """Every value comes once, depth first, however deep the tree."""
    keys = list(walk(Deep()))  # type: ignore[arg-type]  # walk only lists
    assert len(keys) == len(set(keys)) == 2001
    assert keys[-1] == "v"
    assert keys[0].count("/") == 2000


def test_walk_starts_anywhere() -> None:
    """Keys below a directory bear its name."""
    assert next(walk(Deep(), "d/d")).startswith("d/d/d")  # type: ignore[arg-type]
