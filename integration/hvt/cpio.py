"""A writer of cpio archives in the "newc" format, which the Linux kernel unpacks as its first file system.

The format is that of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst: for each entry a header
of 13 numbers in hexadecimal, its name, its data, each padded to four octets; then an entry called TRAILER!!!.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class Entry:
    """A file system object. `mode` is that of `stat`, type included; `device` is a device file's major and minor."""

    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def file(data: bytes, permissions: int = 0o644) -> Entry:
    """A regular file."""
    return Entry(stat.S_IFREG | permissions, data)


def link(target: str) -> Entry:
    """A symbolic link."""
    return Entry(stat.S_IFLNK | 0o777, target.encode())


def character_device(major: int, minor: int) -> Entry:
    """A character device file."""
    return Entry(stat.S_IFCHR | 0o600, b"", (major, minor))


DIRECTORY = Entry(stat.S_IFDIR | 0o755)


def archive(entries: Mapping[str, Entry]) -> bytes:
    """The archive of entries by path; folders above them are added, and come first.

    The same entries give the same octets, in whichever order they stand. Raises `ValueError` for a path that is not
    relative and normal.
    """
    whole = dict(entries)
    for path in entries:
        pure = PurePosixPath(path)
        if pure.is_absolute() or str(pure) != path or ".." in pure.parts or path == ".":
            raise ValueError(f"a path in an archive is relative and normal, and {path!r} is not")
        for parent in list(pure.parents)[:-1]:
            whole.setdefault(str(parent), DIRECTORY)
    parts = [_entry(i, path, whole[path]) for i, path in enumerate(sorted(whole), 1)]
    return b"".join([*parts, _entry(0, "TRAILER!!!", Entry(0))])


def _entry(inode: int, path: str, entry: Entry) -> bytes:
    name = path.encode() + b"\0"
    words = (inode, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    header = b"070701" + b"".join(b"%08x" % word for word in words)
    return _padded(header + name) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
