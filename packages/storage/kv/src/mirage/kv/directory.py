"""A directory of the host as a key-value store that nothing can climb out of.

**How the root is kept.** The root is opened once. Every segment of a key is then opened *relative to the directory
before it*, with `O_NOFOLLOW`, so the kernel itself never follows a symbolic link and never sees a path with a slash in
it. There is no check of a path that somebody could change before it is used, as there is when a resolved path is
compared with the root's. The price is one `openat` for each segment, a few microseconds.

**What is in the store**: regular files and directories whose names are UTF-8. Symbolic links, sockets, devices and
pipes are not there: they are neither listed nor found. So are names with the reserved prefix `.~mirage-`, under which a
value lies while it is being written.

**Writing** goes to such a file beside the value, which is then renamed over it: a reader sees the old value or the new
one. With ``sync=True`` it is on the medium before `set` returns.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import shutil
import stat
import time
from typing import BinaryIO

from mirage.types import (
    Buffer,
    DeviceClosed,
    DeviceError,
    DirectoryExpected,
    Info,
    InvalidKey,
    Kind,
    NoSpace,
    NotFound,
    OutOfRange,
    ValueExpected,
    split_key,
    value_digest,
)

__all__ = ["DirectoryStore"]

_RESERVED = ".~mirage-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: should a pipe take the file's place, opening it must not wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CHUNK = 1 << 20
_CACHED_DIGESTS = 1 << 16
_SETTLED_NS = 2_000_000_000
"""A file changed this recently may change again without its times showing it; its digest is not kept."""


class DirectoryStore:
    """A directory of the host. Fits `KeyValueRW`; with ``read_only=True`` every change raises `DeviceError`.

    The directory must exist: `NotFound` or `DirectoryExpected` otherwise, with the path as key. Several stores and
    other programs may use it at once; each `set` is atomic. Empty directories that somebody else made are listed.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False, sync: bool = False) -> None:
        self.path = os.fspath(path)
        self.read_only = read_only
        self._sync = sync
        self._temporary = itertools.count()
        # (device, inode, size, mtime, ctime) -> digest, in the order of use
        self._digests: dict[tuple[int, ...], str] = {}
        try:
            self._root: int | None = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(self.path, f"there is no directory {self.path!r}") from None
        except NotADirectoryError:
            raise DirectoryExpected(self.path, f"{self.path!r} is not a directory") from None
        except OSError as error:
            raise DeviceError(f"cannot open the directory {self.path!r}: {error.strerror}") from error

    def close(self) -> None:
        """Release the directory."""
        root, self._root = self._root, None
        if root is not None:
            os.close(root)

    def __enter__(self) -> DirectoryStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_root", None) is not None:
            self.close()

    def __repr__(self) -> str:
        return f"<DirectoryStore {self.path!r}{' read-only' if self.read_only else ''}>"

    # Reading.

    def open(self, key: str) -> BinaryIO:
        """The value as an open file, unbuffered, for `sendfile` and long reads. It stays the same value when `key` is
        set again. Raises what `get` raises. The caller closes it.
        """
        return open(self._open_value(key), "rb", buffering=0)

    def get(self, key: str) -> bytes:
        """The whole value."""
        with self._reported(key), open(self._open_value(key), "rb", buffering=0) as file:
            return file.read()

    def get_partial(self, key: str, offset: int, length: int) -> bytes:
        """At most `length` octets of the value from `offset` on."""
        with self._reported(key), open(self._open_value(key), "rb", buffering=0) as file:
            if offset < 0 or length < 0:
                raise OutOfRange(f"{length} octets from offset {offset} of {key!r}: neither may be negative")
            left = min(length, max(0, os.fstat(file.fileno()).st_size - offset))
            parts = []
            while left and (part := os.pread(file.fileno(), left, offset)):
                parts.append(part)
                offset += len(part)
                left -= len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)

    def info(self, key: str) -> Info:
        """What the key names."""
        with self._parent(key) as (directory, name):
            status = self._status(key, directory, name)
        if stat.S_ISDIR(status.st_mode):
            return Info(Kind.DIRECTORY, 0, status.st_mtime_ns / 1e9)
        return Info(Kind.VALUE, status.st_size, status.st_mtime_ns / 1e9)

    def list(self, key: str = "") -> list[tuple[str, Kind]]:
        """The segments directly below a directory, sorted, with what each names."""
        with self._directory(key) as (directory, _), self._reported(key), os.scandir(directory) as entries:
            found = []
            for entry in entries:
                name = entry.name
                if name.startswith(_RESERVED) or "\\" in name or not _is_text(name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    found.append((name, Kind.DIRECTORY))
                elif entry.is_file(follow_symlinks=False):
                    found.append((name, Kind.VALUE))
        found.sort(key=lambda pair: pair[0])
        return found

    def digest(self, key: str) -> str:
        """`mirage.types.value_digest` of the value, kept until its size, inode or times change."""
        with self._reported(key), open(self._open_value(key), "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            mark = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            digest = self._digests.pop(mark, None)
            if digest is None:
                digest = value_digest(iter(lambda: file.read(_CHUNK), b""))
            if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS:
                self._digests[mark] = digest
                if len(self._digests) > _CACHED_DIGESTS:
                    del self._digests[next(iter(self._digests))]
            return digest

    # Writing.

    def set(self, key: str, value: Buffer) -> None:
        """Store a value, making the directories above it."""
        self._check_writable(key)
        try:
            self._set(key, value)
        except NotFound as error:
            raise DeviceError(
                f"cannot store {key!r} in {self.path!r}: its name is too long, or something that is neither a file nor "
                "a directory, such as a symbolic link, stands in its way"
            ) from error

    def _set(self, key: str, value: Buffer) -> None:
        with self._parent(key, make=True) as (directory, name), self._reported(key):
            if not name:
                raise ValueExpected(key, "the root is a directory and cannot become a value")
            temporary = f"{_RESERVED}{os.getpid()}-{id(self):x}-{next(self._temporary)}"
            try:
                file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=directory)
                with open(file, "wb", buffering=0) as out:
                    _write_all(out, value)
                    if self._sync:
                        os.fsync(out.fileno())
                os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=directory)
                self._prune(key)
                raise
            if self._sync:
                os.fsync(directory)

    def set_partial(self, key: str, offset: int, data: Buffer) -> None:
        """Overwrite a part of an existing value, extending it where `data` passes its end."""
        self._check_writable(key)
        os.close(self._open_value(key))
        with self._parent(key) as (directory, name), self._reported(key):
            flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            with open(os.open(name, flags, dir_fd=directory), "r+b", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                if not 0 <= offset <= size:
                    raise OutOfRange(f"offset {offset} in {key!r}, which has {size} octets")
                file.seek(offset)
                _write_all(file, data)
                if self._sync:
                    os.fsync(file.fileno())

    def remove(self, key: str) -> None:
        """Remove a value, or a directory and all below it."""
        self._check_writable(key)
        with self._parent(key) as (directory, name), self._reported(key):
            if not name:
                raise InvalidKey(key, "the root cannot be removed; remove what is below it")
            if stat.S_ISDIR(self._status(key, directory, name).st_mode):
                shutil.rmtree(name, dir_fd=directory)
            else:
                os.unlink(name, dir_fd=directory)
        self._prune(key)

    def rename(self, source: str, dest: str) -> None:
        """Move a value or a directory."""
        self._check_writable(dest)
        if not source:
            raise InvalidKey(source, "the root cannot be moved")
        kind = self.info(source).kind
        split_key(dest)
        if source == dest:
            return
        self._check_move(source, kind, dest)
        with (
            self._parent(source) as (source_directory, source_name),
            self._parent(dest, make=True) as (dest_directory, dest_name),
            self._reported(dest),
        ):
            os.replace(source_name, dest_name, src_dir_fd=source_directory, dst_dir_fd=dest_directory)
            if self._sync:
                os.fsync(dest_directory)
                os.fsync(source_directory)
        self._prune(source)

    def _check_move(self, source: str, kind: Kind, dest: str) -> None:
        if dest.startswith(source + "/"):
            if kind is Kind.VALUE:
                raise DirectoryExpected(dest, f"{source!r} is a value: nothing can be moved below it")
            raise ValueExpected(dest, f"{source!r} cannot be moved below itself, to {dest!r}")
        try:
            there = self.info(dest).kind
        except NotFound:
            return
        if there is Kind.DIRECTORY:
            raise ValueExpected(dest, f"{dest!r} is a directory and is not replaced")
        if kind is Kind.DIRECTORY:
            raise DirectoryExpected(dest, f"the directory {source!r} cannot replace the value {dest!r}")

    def _prune(self, key: str) -> None:
        """Remove the directories above `key` that have become empty."""
        segments = split_key(key)[:-1]
        while segments:
            try:
                with self._parent("/".join(segments)) as (directory, name):
                    os.rmdir(name, dir_fd=directory)
            except (OSError, DeviceError):
                return
            segments = segments[:-1]

    def _check_writable(self, key: str) -> None:
        segments = split_key(key)
        if self.read_only:
            raise DeviceError(f"{self!r} was opened read-only; {key!r} cannot be changed")
        for segment in segments:
            if segment.startswith(_RESERVED):
                raise InvalidKey(key, f"{key!r}: names that start with {_RESERVED!r} are reserved")

    # Walking.

    def _directory(self, key: str, *, make: bool = False) -> _Opened:
        """The directory that `key` names, open."""
        return self._descend(split_key(key), key, "", make=make)

    def _parent(self, key: str, *, make: bool = False) -> _Opened:
        """The directory above `key`, open, and the last segment; an empty one stands for the root itself."""
        segments = split_key(key)
        if make:
            self._check_parents(key, segments)
        return self._descend(segments[:-1], key, segments[-1] if segments else "", make=make)

    def _descend(self, segments: tuple[str, ...], asked: str, name: str, *, make: bool) -> _Opened:
        """Open each segment relative to the one before it; errors are about the key `asked` for."""
        root = current = self._root
        if root is None or current is None:
            raise DeviceClosed(f"{self.path!r} was closed")
        for segment in segments:
            above = current
            try:
                if segment.startswith(_RESERVED):
                    raise NotFound(asked, f"nothing is stored at {asked!r}")
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(segment, dir_fd=above)
                current = os.open(segment, _DIRECTORY, dir_fd=above)
            except OSError as error:
                raise self._translated(asked, error) from error
            finally:
                if above != root:
                    os.close(above)
        return _Opened(current, name, owned=current != root)

    def _check_parents(self, key: str, segments: tuple[str, ...]) -> None:
        """Find out that a key is impossible before any directory is made for it."""
        for depth in range(1, len(segments)):
            try:
                if self.info("/".join(segments[:depth])).kind is Kind.VALUE:
                    raise DirectoryExpected(key, f"{'/'.join(segments[:depth])!r} is a value: nothing can be below it")
            except NotFound:
                return

    def _status(self, key: str, directory: int, name: str) -> os.stat_result:
        """The status of a file or directory. Raises `NotFound` for everything else."""
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False) if name else os.fstat(directory)
        except OSError as error:
            raise self._translated(key, error) from error
        if name.startswith(_RESERVED) or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise NotFound(key, f"nothing is stored at {key!r} (only regular files and directories are)")
        return status

    def _open_value(self, key: str) -> int:
        with self._parent(key) as (directory, name):
            status = self._status(key, directory, name)
            if stat.S_ISDIR(status.st_mode):
                raise ValueExpected(key, f"{key!r} is a directory, not a value")
            with self._reported(key):
                file = os.open(name, _FILE, dir_fd=directory)
            if not stat.S_ISREG(os.fstat(file).st_mode):  # something else took its place
                os.close(file)
                raise NotFound(key, f"nothing is stored at {key!r} (only regular files and directories are)")
            return file

    def _reported(self, key: str) -> _Reported:
        """A block in which errors of the operating system become those of the contract."""
        return _Reported(self, key)

    def _translated(self, key: str, error: OSError) -> DeviceError:
        """What the contract calls an error of the operating system."""
        if isinstance(error, FileNotFoundError):
            return NotFound(key, f"nothing is stored at {key!r}")
        if isinstance(error, NotADirectoryError):
            return self._not_a_directory(key)
        if isinstance(error, IsADirectoryError | FileExistsError):
            return ValueExpected(key, f"{key!r} is a directory, not a value")
        if error.errno == errno.ELOOP:
            return NotFound(key, f"nothing is stored at {key!r} (symbolic links are not followed)")
        if error.errno == errno.ENAMETOOLONG:
            return NotFound(key, f"nothing is stored at {key!r}: the host has no names that long")
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            return NoSpace(f"no room for {key!r} in {self.path!r}: {error.strerror}")
        return DeviceError(f"{key!r} in {self.path!r}: {error.strerror}")

    def _not_a_directory(self, key: str) -> DirectoryExpected | NotFound:
        """Opening with O_DIRECTORY and O_NOFOLLOW says ENOTDIR for a link too: find out which it was."""
        segments = split_key(key)
        for depth in range(1, len(segments) + 1):
            prefix = "/".join(segments[:depth])
            try:
                if self.info(prefix).kind is Kind.VALUE:
                    return DirectoryExpected(key, f"{prefix!r} is a value, not a directory")
            except (DirectoryExpected, NotFound):
                break
        return NotFound(key, f"nothing is stored at {key!r}")


class _Opened:
    """A directory's descriptor and a name in it, closed at the end of the block unless it is the root's."""

    __slots__ = ("_directory", "_name", "_owned")

    def __init__(self, directory: int, name: str, *, owned: bool) -> None:
        self._directory = directory
        self._name = name
        self._owned = owned

    def __enter__(self) -> tuple[int, str]:
        return self._directory, self._name

    def __exit__(self, *exc: object) -> None:
        if self._owned:
            os.close(self._directory)


class _Reported:
    """See `DirectoryStore._reported`. A class, as it is on the way of every read, and generators cost more."""

    __slots__ = ("_key", "_store")

    def __init__(self, store: DirectoryStore, key: str) -> None:
        self._store = store
        self._key = key

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise self._store._translated(self._key, error) from error


def _write_all(file: io.RawIOBase, value: Buffer) -> None:
    view = memoryview(value).cast("B") if len(value) else memoryview(b"")
    while len(view):
        view = view[file.write(view) :]


def _is_text(name: str) -> bool:
    """Whether a name of the host is UTF-8 (others come with surrogates, PEP 383)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
