"""An index in a directory: read file by file as it is asked for, and written so that a reader never sees half of it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ._tree import Signer
from .errors import IndexingError, InvalidIndex

__all__ = ["NAMESPACE", "Directory", "ssh_signer", "ssh_verify", "write"]

NAMESPACE = "mirage-index"
"""What the root's signature is for: one made for something else does not pass (ssh-keygen -n)."""


class Directory(Mapping[str, bytes]):
    """A directory as a tree: path to octets."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __getitem__(self, path: str) -> bytes:
        if ".." in path.split("/") or path.startswith("/"):
            raise KeyError(path)
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise KeyError(path) from error

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and (self.root / path).is_file()

    def __iter__(self) -> Iterator[str]:
        for folder, _, names in sorted(os.walk(self.root)):
            for name in sorted(names):
                yield (Path(folder) / name).relative_to(self.root).as_posix()

    def __len__(self) -> int:
        return sum(1 for _ in self)


def write(root: Path, changed: Mapping[str, bytes]) -> None:
    """Write files below `root` in the order given, each whole or not at all.

    `append` orders them so that each page comes after what it speaks of. Stopped in the middle, an index is as before
    but for files that no page names yet; the same `append` again finishes it.
    """
    for path, data in changed.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=target.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            os.chmod(scratch, 0o644)
            os.replace(scratch, target)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise


def ssh_signer(key: Path) -> Signer:
    """Sign the root with an SSH key, through ``ssh-keygen -Y sign``. Raises `IndexingError` when it is used."""

    def sign(data: bytes) -> bytes:
        return _keygen("sign", "-f", str(key), "-n", NAMESPACE, data=data)

    return sign


def ssh_verify(tree: Mapping[str, bytes], allowed: Path, identity: str) -> None:
    """Check the root's signature against a file of allowed signers (ssh-keygen(1)). Raises `InvalidIndex`."""
    for path in ("SHA256SUMS", "SHA256SUMS.sig"):
        if path not in tree:
            raise InvalidIndex(f"{path} is missing, so the index is not signed")
    with tempfile.NamedTemporaryFile() as signature:
        signature.write(tree["SHA256SUMS.sig"])
        signature.flush()
        words = ["-f", str(allowed), "-I", identity, "-n", NAMESPACE, "-s", signature.name]
        try:
            _keygen("verify", *words, data=tree["SHA256SUMS"])
        except IndexingError as error:
            raise InvalidIndex(f"SHA256SUMS.sig is not {identity}'s signature of SHA256SUMS: {error}") from error


def _keygen(action: str, *words: str, data: bytes) -> bytes:
    command = ["ssh-keygen", "-Y", action, *words]
    try:
        result = subprocess.run(command, input=data, capture_output=True, check=False)  # noqa: S603  no shell
    except FileNotFoundError as error:
        raise IndexingError("there is no ssh-keygen; on Debian: apt-get install openssh-client") from error
    if result.returncode:
        raise IndexingError(f"{' '.join(command)}: {(result.stderr or result.stdout).decode(errors='replace').strip()}")
    return result.stdout
