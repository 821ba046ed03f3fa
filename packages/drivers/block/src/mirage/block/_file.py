"""Sectors in a file: an image, a disk of the host, or `/dev/blk0` of a unikernel, by the same file operations.

Invariants:

* One writer or any number of readers: `flock` says who has the file, and goes with the process that dies.
* The size is what it was when the file was opened. A file that is cut short behind our back is an error, never zeros.
* What `flush` could not make durable stays undurable: the kernel tells of a failed write-back once and then forgets it,
  so we remember, and every later `flush` fails too.
* Zeros that are written into a hole of an image leave the hole.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from types import TracebackType

from mirage.types import Buffer, DeviceClosed, DeviceError

from ._sectors import check_range, check_size, whole_sectors
from .errors import BlockBusy, BlockUnavailable

__all__ = ["FileBlock", "create"]

_LARGEST = 1 << 30  # octets in one system call; Linux ends a longer one early


class FileBlock:
    """The sectors of an existing file or device. Fits `Block`; a context manager that closes.

    Belongs to one thread, as every device. `create` makes a new image.
    """

    def __init__(self, path: str | os.PathLike[str], *, writable: bool = False, sector_size: int = 512) -> None:
        """Open `path` and lock it, exclusively when `writable`, else against writers.

        Raises `BlockUnavailable` (no such file, no right to it, neither a file nor a block device, a size that is no
        multiple of `sector_size`), `BlockBusy`, and `ValueError` for an impossible `sector_size`.
        """
        self._name = os.fspath(path)
        self._sector_size = check_size(sector_size)
        self._writable = writable
        self._lost: OSError | None = None
        self._fd = _open(self._name, os.O_RDWR if writable else os.O_RDONLY)
        try:
            self._holes = _check_kind(self._name, self._fd)
            _lock(self._name, self._fd, writable)
            self._sectors = _sectors(self._name, self._fd, sector_size)
        except BaseException:
            os.close(self._fd)
            self._fd = -1
            raise

    @property
    def sector_size(self) -> int:
        """Octets in a sector."""
        self._check_open()
        return self._sector_size

    @property
    def sectors(self) -> int:
        """How many sectors there are."""
        self._check_open()
        return self._sectors

    @property
    def writable(self) -> bool:
        """Whether `write` is permitted."""
        self._check_open()
        return self._writable

    def read(self, sector: int, count: int = 1) -> bytes:
        """The content of `count` sectors from `sector` on. Raises `OutOfRange`, `DeviceError`, `DeviceClosed`."""
        self._check_open()
        check_range(self._name, sector, count, self._sectors)
        offset, left = sector * self._sector_size, count * self._sector_size
        parts = []
        while left:
            part = self._read_some(offset, min(left, _LARGEST))
            parts.append(part)
            offset += len(part)
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_some(self, offset: int, length: int) -> bytes:
        try:
            part = os.pread(self._fd, length, offset)
        except OSError as error:
            raise DeviceError(f"{self._name}: reading at octet {offset} failed: {error.strerror}") from error
        if not part:
            raise DeviceError(f"{self._name} ends at octet {offset}: it was cut short while it was open")
        return part

    def write(self, sector: int, data: Buffer) -> None:
        """Write whole sectors from `sector` on. Raises `OutOfRange`, `DeviceError`, `DeviceClosed`.

        When the file system under an image is full, this is a `DeviceError` too, and a part may have been written.
        """
        self._check_open()
        octets, count = whole_sectors(self._name, data, self._sector_size)
        check_range(self._name, sector, count, self._sectors)
        if not self._writable:
            raise DeviceError(f"{self._name} was opened read-only; open it with writable=True")
        offset = sector * self._sector_size
        if self._holes and count and self._stays_hole(offset, octets):
            return
        while octets:
            try:
                written = os.pwrite(self._fd, octets[:_LARGEST], offset)
            except OSError as error:
                raise DeviceError(f"{self._name}: writing at octet {offset} failed: {error.strerror}") from error
            offset += written
            octets = octets[written:]

    def _stays_hole(self, offset: int, octets: memoryview) -> bool:
        """Whether these are zeros that go where the image has a hole, so that nothing has to be written."""
        # The first octet decides at once in almost every case; equality then costs less than writing would.
        if octets[0] or octets != bytes(len(octets)):
            return False
        try:
            return os.lseek(self._fd, offset, os.SEEK_DATA) >= offset + len(octets)
        except OSError as error:
            # ENXIO: from here on there are only holes. Anything else: this file system does not know its holes.
            return error.errno == errno.ENXIO

    def flush(self) -> None:
        """Return when everything written so far would survive a loss of power, as far as the kernel and disk tell.

        Raises `DeviceError`; once it has, it always will: what was written since the last good `flush` may be lost.
        """
        self._check_open()
        if not self._writable:
            return
        if self._lost is None:
            try:
                os.fsync(self._fd)
            except OSError as error:
                self._lost = error
        if self._lost is not None:
            raise DeviceError(
                f"{self._name}: what was written since the last flush may be lost ({self._lost.strerror}); "
                "check the disk, then open the device again"
            ) from self._lost

    def close(self) -> None:
        """Flush, unlock and release the device; it is released even when flushing raises `DeviceError`."""
        if self._fd < 0:
            return
        try:
            self.flush()
        finally:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> FileBlock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._fd < 0 else f"{self._sectors} sectors of {self._sector_size}"
        return f"<FileBlock {self._name}: {state}>"

    def _check_open(self) -> None:
        if self._fd < 0:
            raise DeviceClosed(f"{self._name} was closed")


def create(path: str | os.PathLike[str], sectors: int, *, sector_size: int = 512) -> FileBlock:
    """Make an image of `sectors` zero sectors, all of it a hole, and open it for writing.

    The image and its name are durable when this returns. Raises `BlockUnavailable` when the file exists already or
    cannot be made, `ValueError` for an impossible size.
    """
    name = os.fspath(path)
    if sectors < 0:
        raise ValueError(f"{sectors} sectors: a device has none or more")
    size = sectors * check_size(sector_size)
    try:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError as error:
        raise BlockUnavailable(f"{name} exists already: open it with FileBlock, or remove it first") from error
    except OSError as error:
        raise BlockUnavailable(f"{name} cannot be made: {error.strerror}") from error
    try:
        os.ftruncate(fd, size)
        os.fsync(fd)
        _sync_folder(os.path.dirname(os.path.abspath(name)))
    except (OSError, OverflowError) as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise BlockUnavailable(f"{name} cannot be made with {size} octets: {error}") from error
    finally:
        os.close(fd)
    return FileBlock(name, writable=True, sector_size=sector_size)


def _open(name: str, flags: int) -> int:
    try:
        # Without O_NONBLOCK, a pipe of that name would keep us waiting before we could say that it is none of ours.
        return os.open(name, flags | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise BlockUnavailable(f"{name} does not exist; mirage.block.create makes an image") from error
    except PermissionError as error:
        want = "read and write" if flags & os.O_RDWR else "read"
        raise BlockUnavailable(f"you may not {want} {name}; look at ls -l {name}") from error
    except OSError as error:
        raise BlockUnavailable(f"{name} cannot be opened: {error.strerror}") from error


def _check_kind(name: str, fd: int) -> bool:
    """Whether this is a file, which may have holes, or a block device. Raises `BlockUnavailable` for anything else."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return True
    if stat.S_ISBLK(mode):
        return False
    raise BlockUnavailable(f"{name} is neither a file nor a block device")


def _sectors(name: str, fd: int, sector_size: int) -> int:
    size = os.lseek(fd, 0, os.SEEK_END)
    sectors, rest = divmod(size, sector_size)
    if rest:
        raise BlockUnavailable(
            f"{name} has {size} octets, which is no multiple of the sector size {sector_size}; "
            f"to add {sector_size - rest} zeros: truncate -s %{sector_size} {name}"
        )
    return sectors


def _lock(name: str, fd: int, exclusive: bool) -> None:
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = "is open elsewhere" if exclusive else "is open elsewhere for writing"
        raise BlockBusy(
            f"{name} {holder}; two users of one image destroy it. End the other one; to find it: fuser -v {name}"
        ) from error
    except OSError as error:
        raise BlockUnavailable(f"{name} cannot be locked: {error.strerror}") from error


def _sync_folder(folder: str) -> None:
    """A new name lasts once the folder that holds it was written."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
