"""Reading an archive once, from its first header to its end mark, into a tree of entries.

What two readers could understand differently is refused rather than guessed: an entry of a type that has no content,
with a size; a value and a directory of one name; an archive without its end mark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias

from mirage.types import InvalidKey, check_key

from ._wire import BLOCK, Entry, pull_entry, pull_pax
from .errors import CorruptArchive, HostileName, UnsupportedArchive

__all__ = ["Tree", "Value", "read_index"]

_MAX_NAME = 4096
"""Octets of a name; what no system can extract need not be read, and it bounds what one entry can cost."""

_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_USED = frozenset({"path", "linkpath", "size", "mtime"})
_TIME = re.compile(r"-?[0-9]{1,18}(\.[0-9]*)?\Z")


@dataclass(slots=True, eq=False)
class Value:
    """Where a value lies in the archive."""

    start: int
    size: int
    modified: float
    digest: str | None = None


Tree: TypeAlias = "dict[str, Value | Tree]"


@dataclass(slots=True)
class _Pending:
    """What the entries before a file's own say about it."""

    records: dict[str, str] = field(default_factory=dict)
    name: bytes | None = None
    link: bytes | None = None


def read_index(view: memoryview) -> Tree:
    """The tree of an archive. Raises `CorruptArchive`, `HostileName`, `UnsupportedArchive`."""
    for magic, name in _COMPRESSED.items():
        if view[: len(magic)] == magic:
            raise UnsupportedArchive(f"the archive is compressed with {name}: decompress it first")
    root: Tree = {}
    common: dict[str, str] = {}
    pending = _Pending()
    where = 0
    while True:
        block = bytes(view[where : where + BLOCK])
        if len(block) < BLOCK:
            raise CorruptArchive(f"the archive ends at offset {len(view)} without its end mark: it is cut short")
        if not any(block):
            break
        entry = pull_entry(block, where)
        if entry.type in b"xgLK":
            content = _content(view, where, entry.size)
            if entry.type == b"x":
                pending.records.update(_used(pull_pax(content, where)))
            elif entry.type == b"g":
                common.update(_common(_used(pull_pax(content, where)), where))
            elif entry.type == b"L":
                pending.name = content.rstrip(b"\0")
            else:
                pending.link = content.rstrip(b"\0")
            where = _next(where, entry.size)
        else:
            where = _add(root, view, entry, common, pending, where)
            pending = _Pending()
    if pending.records or pending.name is not None or pending.link is not None:
        raise CorruptArchive(f"the archive ends at offset {where} where a header promised an entry")
    return root


def _used(records: dict[str, str]) -> dict[str, str]:
    """The records that matter here: those for all entries are gone through with each, so they must stay few."""
    return {key: value for key, value in records.items() if key in _USED or key.startswith("GNU.sparse")}


def _common(records: dict[str, str], where: int) -> dict[str, str]:
    for keyword in ("path", "linkpath", "size"):
        if keyword in records:
            raise CorruptArchive(f"the pax header at offset {where} gives all entries one {keyword}")
    return records


def _add(root: Tree, view: memoryview, entry: Entry, common: dict[str, str], pending: _Pending, where: int) -> int:
    """Put an entry into the tree; the offset of the next header."""
    records = {**common, **pending.records}
    if entry.type == b"S" or any(keyword.startswith("GNU.sparse") for keyword in records):
        raise UnsupportedArchive(f"the entry at offset {where} is a sparse file: make the archive without --sparse")
    if entry.type in b"MN":
        raise UnsupportedArchive(f"the entry at offset {where} belongs to an archive in several volumes: join them")
    if entry.type not in b"01234567VD":
        raise UnsupportedArchive(f"the entry at offset {where} is of the unknown type {entry.type!r}")
    size = entry.size
    if "size" in records:
        if not re.fullmatch(r"[0-9]{1,18}", records["size"]):
            raise CorruptArchive(f"the pax size of the entry at offset {where} is {records['size']!r}")
        size = int(records["size"])
    if size and entry.type in b"123456":
        raise CorruptArchive(f"the entry at offset {where} has a size of {size}, but its type has no content")
    start = where + BLOCK
    if entry.type not in b"VD" and start + size > len(view):
        raise CorruptArchive(f"the entry at offset {where} has {size} octets; the archive is cut short")
    name = pending.name if pending.name is not None else entry.name
    name = records["path"].encode("utf-8", "surrogateescape") if "path" in records else name
    key = "" if entry.type == b"V" else _key(name, where)
    if entry.type in b"07" and not name.endswith(b"/"):  # before ustar, a slash at the end made a directory
        _put(root, key, Value(start, size, _modified(entry, records, where)), where)
    elif entry.type in b"075D":
        _directory(root, tuple(filter(None, key.split("/"))), key, where)
    elif entry.type == b"1":
        link = pending.link if pending.link is not None else entry.link
        link = records["linkpath"].encode("utf-8", "surrogateescape") if "linkpath" in records else link
        _link(root, key, _key(link, where), where)
    return _next(where, size)


def _next(where: int, size: int) -> int:
    return where + BLOCK + (size + BLOCK - 1) // BLOCK * BLOCK


def _content(view: memoryview, where: int, size: int) -> bytes:
    content = bytes(view[where + BLOCK : where + BLOCK + size])
    if len(content) < size:
        raise CorruptArchive(f"the header at offset {where} has {size} octets; the archive is cut short")
    return content


def _modified(entry: Entry, records: dict[str, str], where: int) -> float:
    time = records.get("mtime")
    if time is None:
        return float(entry.modified)
    if not _TIME.match(time):
        raise CorruptArchive(f"the pax time of the entry at offset {where} is {time!r}")
    return float(time)


def _key(name: bytes, where: int) -> str:
    """The key of a name: without "./" before it and a slash after it, which tar adds; otherwise as it is."""
    if len(name) > _MAX_NAME:
        raise HostileName(f"the entry at offset {where} has a name of {len(name)} octets; {_MAX_NAME} are allowed")
    trimmed = name.removesuffix(b"/")
    while trimmed.startswith(b"./"):
        trimmed = trimmed[2:]
    if name and trimmed in {b"", b"."} and not name.startswith(b"/"):
        return ""
    try:
        return check_key(trimmed.decode()) if trimmed else _refuse(name, where)
    except UnicodeDecodeError:
        raise HostileName(f"the entry at offset {where} has the name {name!r}, which is not UTF-8") from None
    except InvalidKey as error:
        raise HostileName(f"the entry at offset {where} has the name {name!r}: {error}") from None


def _refuse(name: bytes, where: int) -> str:
    raise HostileName(f"the entry at offset {where} has the name {name!r}, which names nothing below the root")


def _directory(root: Tree, segments: tuple[str, ...], key: str, where: int) -> Tree:
    tree = root
    for segment in segments:
        child = tree.setdefault(segment, {})
        if isinstance(child, Value):
            raise CorruptArchive(f"the entry at offset {where}, {key!r}: {segment!r} is a value and a directory")
        tree = child
    return tree


def _put(root: Tree, key: str, value: Value, where: int) -> None:
    *above, name = key.split("/")
    if not name:
        raise HostileName(f"the entry at offset {where} would make a value of the root")
    directory = _directory(root, tuple(above), key, where)
    if isinstance(directory.get(name), dict):
        raise CorruptArchive(f"the entry at offset {where}, {key!r}, is a value and a directory")
    directory[name] = value  # a later entry replaces an earlier one, as when tar extracts


def _link(root: Tree, key: str, target: str, where: int) -> None:
    node: Value | Tree | None = root
    for segment in target.split("/"):
        node = node.get(segment) if isinstance(node, dict) else None
    if not isinstance(node, Value):
        raise CorruptArchive(f"the entry at offset {where}, {key!r}, links to {target!r}, which is no value before it")
    _put(root, key, Value(node.start, node.size, node.modified), where)
