"""Making blobs and modules."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mirage.kv import DirectoryStore
from mirage.types import DeviceError, KeyValueRO, value_digest, walk

from ._format import (
    DIRECTORY,
    HEADER,
    INDEX_DIGEST_SIZE,
    MAGIC,
    NO_TIME,
    RECORD,
    VALUE,
    Header,
    Record,
    hash_key,
    index_digest,
    slot,
)

__all__ = ["crunch", "crunch_module"]

_ALIGN = 16
_KEYS_A_BUCKET = 3
_TRIES = 1 << 20
_LINE = 1 << 14


@dataclass(slots=True)
class _Node:
    """A value or a directory on its way into a record."""

    key: bytes
    kind: int
    size: int = 0
    start: int = 0
    modified: int = NO_TIME
    digest: bytes = bytes(16)


def crunch(source: KeyValueRO | str | os.PathLike[str], *, modified: float | Literal["keep"] | None = "keep") -> bytes:
    """The tree of a store, or of a directory given by its path, as one blob.

    The same tree gives the same octets, wherever it lies. The times of last change are part of it: `modified` is
    "keep" for those of the source, None for none, or one time for all, in seconds since 1970. Directories without
    values are left out. The whole blob is made in memory. Raises what reading the source raises, and `DeviceError` for
    trees beyond 2**32 keys or octets of keys.
    """
    if isinstance(source, str | os.PathLike):
        with DirectoryStore(source, read_only=True) as store:
            return _crunch(store, modified)
    return _crunch(source, modified)


def crunch_module(blob: bytes, *, name: str = "a tree") -> str:
    """The text of a Python module that holds a blob. Its `store` is a `CrunchStore`, its `BLOB` the octets.

    `name` is what the module's documentation calls the tree.
    """
    lines = [
        f'"""{_one_line(name)}, compiled by mirage-crunch. Do not edit: compile it again."""',
        "",
        "from mirage.crunch import CrunchStore",
        "",
        "BLOB = (",
        *(f"    {blob[start : start + _LINE]!r}" for start in range(0, len(blob), _LINE)),
        ")",
        "",
        "store = CrunchStore(BLOB)",
    ]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() and c not in '"\\' else "?" for c in text)


def _crunch(store: KeyValueRO, modified: float | Literal["keep"] | None) -> bytes:
    nodes: dict[str, _Node] = {"": _Node(b"", DIRECTORY)}
    data = bytearray()
    places: dict[bytes, int] = {}
    for key in walk(store):
        for directory in _above(key):
            nodes.setdefault(directory, _Node(directory.encode(), DIRECTORY))
        value = store.get(key)
        node = _Node(key.encode(), VALUE, len(value), digest=bytes.fromhex(value_digest(value)))
        time = store.info(key).modified if modified == "keep" else modified
        if time is not None:
            node.modified = round(time * 1e9)
        if node.digest not in places:
            places[node.digest] = len(data)
            data += value
            data += bytes(-len(data) % _ALIGN)
        node.start = places[node.digest]
        nodes[key] = node

    total_keys = sum(len(node.key) for node in nodes.values())
    if max(total_keys, len(nodes)) >= 1 << 32:
        raise DeviceError(f"a tree of {len(nodes)} keys of {total_keys} octets is too large for a blob")
    salt, displacements, order = _perfect(nodes)
    children = _children(nodes, order)
    ordered = sorted(nodes, key=order.__getitem__)
    strings = b"".join(nodes[key].key for key in ordered)

    index_size = 8 * len(displacements) + RECORD.size * len(nodes) + 4 * len(children) + len(strings)
    data_start = HEADER.size + index_size
    data_start += -data_start % _ALIGN
    records = bytearray()
    key_start = 0
    for key in ordered:
        node = nodes[key]
        start = node.start + (data_start if node.kind == VALUE else 0)
        records += RECORD.pack(
            *Record(start, node.size, node.modified, node.digest, key_start, len(node.key), node.kind)
        )
        key_start += len(node.key)
    index = b"".join((_pack(displacements, 8), records, _pack(children, 4), strings))
    index += bytes(data_start - HEADER.size - len(index))
    header = Header(
        MAGIC, data_start + len(data), salt, len(displacements), len(nodes), len(children), len(strings), b""
    )
    start_of_blob = HEADER.pack(*header)[:-INDEX_DIGEST_SIZE]
    return b"".join((start_of_blob, index_digest(start_of_blob, index), index, data))


def _above(key: str) -> Iterable[str]:
    """The directories above a key, but not the root."""
    end = key.find("/")
    while end >= 0:
        yield key[:end]
        end = key.find("/", end + 1)


def _pack(numbers: Iterable[int], size: int) -> bytes:
    return b"".join(number.to_bytes(size, "little") for number in numbers)


def _children(nodes: dict[str, _Node], order: dict[str, int]) -> list[int]:
    """The table of children; sets where each directory's part of it starts and how long it is."""
    below: dict[str, list[str]] = {key: [] for key, node in nodes.items() if node.kind == DIRECTORY}
    for key in nodes:
        if key:
            below[key.rpartition("/")[0]].append(key)
    table: list[int] = []
    for directory in sorted(below):
        nodes[directory].start, nodes[directory].size = len(table), len(below[directory])
        table += [order[key] for key in sorted(below[directory])]
    return table


def _perfect(nodes: dict[str, _Node]) -> tuple[int, list[int], dict[str, int]]:
    """A salt, the displacements and each key's number, no two alike. Tries one salt after the other."""
    salt = 0
    while (found := _displace(nodes, salt)) is None:
        salt += 1
    return salt, *found


def _displace(nodes: dict[str, _Node], salt: int) -> tuple[list[int], dict[str, int]] | None:
    count = len(nodes)
    buckets: list[list[tuple[int, int, str]]] = [[] for _ in range(count // _KEYS_A_BUCKET + 1)]
    for key, node in nodes.items():
        b, f, g = hash_key(node.key, salt)
        buckets[b % len(buckets)].append((f, g, key))
    displacements = [0] * len(buckets)
    taken = bytearray(count)
    order: dict[str, int] = {}
    free = 0
    # The fullest first, while there is room for them; the single ones fill what is left.
    for number in sorted(range(len(buckets)), key=lambda number: (-len(buckets[number]), number)):
        bucket = buckets[number]
        if not bucket:
            break
        if len(bucket) == 1:
            free = taken.index(0, free)
            displacements[number], slots = (free - bucket[0][0]) % count, [free]
        else:
            found = _try_displacements(bucket, taken)
            if found is None:
                return None
            displacements[number], slots = found
        for (_, _, key), place in zip(bucket, slots, strict=True):
            taken[place] = 1
            order[key] = place
    return displacements, order


def _try_displacements(bucket: list[tuple[int, int, str]], taken: bytearray) -> tuple[int, list[int]] | None:
    count = len(taken)
    for displacement in range(min(count * count, _TRIES)):
        slots = [slot(f, g, displacement, count) for f, g, _ in bucket]
        if not any(taken[place] for place in slots) and len(set(slots)) == len(slots):
            return displacement, slots
    return None
