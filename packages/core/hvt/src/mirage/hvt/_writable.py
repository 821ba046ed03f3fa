"""The folders of a guest in which its application may write, beside /tmp."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from mirage.hvt._collect import LIBRARIES, PROGRAM, STDLIB, Collection
from mirage.hvt._layout import S_IFDIR, Node
from mirage.hvt.errors import BuildError

MOST = 15
_KEPT = ("/dev", "/proc", "/tmp", LIBRARIES, STDLIB, PROGRAM)  # noqa: S108 - the guest's own


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def writable_folders(wanted: Iterable[str], collection: Collection) -> list[str]:
    """Check the folders and put them into the tree. Returns them sorted. Raises `BuildError`."""
    folders = sorted(set(wanted))
    for folder in folders:
        if not folder.startswith("/") or posixpath.normpath(folder) != folder or "\0" in folder:
            raise BuildError(f"a writable folder is an absolute path without . and .., and {folder!r} is none")
        for kept in _KEPT:
            if _holds(folder, kept) or _holds(kept, folder):
                raise BuildError(
                    f"{folder} cannot be writable, for the guest keeps {kept} as it is; take another place"
                )
        for other in folders:
            if other != folder and _holds(other, folder):
                raise BuildError(f"{folder} lies in {other}, which is writable already; leave it out")
        node = collection.nodes.setdefault(folder, Node(folder, None, S_IFDIR | 0o755))
        if node.data is not None:
            raise BuildError(f"{folder} is a file, and only a folder can be writable")
    if len(folders) > MOST:
        raise BuildError(f"at most {MOST} folders can be writable, and these are {len(folders)}")
    return folders
