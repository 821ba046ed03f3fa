"""Visiting every value of a store."""

from __future__ import annotations

from collections.abc import Iterator

from .devices import KeyValueRO, Kind

__all__ = ["walk"]


def walk(store: KeyValueRO, key: str = "") -> Iterator[str]:
    """The keys of all values below a directory, depth first, each directory in its sorted order.

    Equal trees give equal sequences, whatever store holds them. Raises what `list` raises. Needs no recursion, so a
    deep tree is no danger.
    """
    waiting = [iter(_children(store, key))]
    while waiting:
        for child, kind in waiting[-1]:
            if kind is Kind.VALUE:
                yield child
            else:
                waiting.append(iter(_children(store, child)))
                break
        else:
            waiting.pop()


def _children(store: KeyValueRO, key: str) -> list[tuple[str, Kind]]:
    prefix = key + "/" if key else ""
    return [(prefix + segment, kind) for segment, kind in store.list(key)]
