"""Block devices: the contract of every one, and what a file brings besides."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.block import BlockBusy, BlockUnavailable, FileBlock, MemoryBlock, create
from mirage.types import Block, DeviceError, OutOfRange
from mirage.types.testing import BlockContract

settings.register_profile("mirage", deadline=None)
settings.load_profile("mirage")


class TestMemoryBlock(BlockContract):
    def make_block(self, sectors: int, *, writable: bool = True) -> Block:
        return MemoryBlock(sectors, writable=writable)


class TestMemoryBlockOfLargeSectors(BlockContract):
    def make_block(self, sectors: int, *, writable: bool = True) -> Block:
        return MemoryBlock(sectors, sector_size=4096, writable=writable)


class FileContract(BlockContract):
    sector_size = 512

    @pytest.fixture(autouse=True)
    def _in(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.numbers = itertools.count()

    def make_block(self, sectors: int, *, writable: bool = True) -> Block:
        path = self.folder / str(next(self.numbers))
        block = create(path, sectors, sector_size=self.sector_size)
        if writable:
            return block
        block.close()
        return FileBlock(path, sector_size=self.sector_size)


class TestFileBlock(FileContract):
    pass


class TestFileBlockOfLargeSectors(FileContract):
    sector_size = 4096


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    create(path, 64).close()
    return path


def test_content_outlives_the_device(image: Path) -> None:
    """What one writes, the next reads, and the file holds just that."""
    with FileBlock(image, writable=True) as disk:
        disk.write(3, b"3" * 512)
    with FileBlock(image) as disk:
        assert disk.read(3) == b"3" * 512
    assert image.read_bytes() == bytes(3 * 512) + b"3" * 512 + bytes(60 * 512)


def test_one_writer_or_many_readers(image: Path) -> None:
    """A second writer, a reader beside a writer and a writer beside a reader are refused by name; readers share."""
    with FileBlock(image, writable=True):
        for writable in (True, False):
            with pytest.raises(BlockBusy, match=r"disk\.img is open elsewhere.*fuser"):
                FileBlock(image, writable=writable)
    with FileBlock(image), FileBlock(image), pytest.raises(BlockBusy, match="is open elsewhere"):
        FileBlock(image, writable=True)
    FileBlock(image, writable=True).close()


def test_lock_holds_between_processes_and_ends_with_them(image: Path) -> None:
    """Another process is kept out while it must be, and a process that is killed leaves no lock behind."""
    program = (
        "import sys; from mirage.block import FileBlock; d = FileBlock(sys.argv[1], writable=True); print(); input()"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(image)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(BlockBusy):
            FileBlock(image)
        other.kill()
        other.wait()
        FileBlock(image, writable=True).close()


def test_other_programs_see_the_lock(image: Path) -> None:
    """The lock is flock's, so that any program may ask for it."""
    with FileBlock(image, writable=True), image.open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_opening_says_what_is_wrong(tmp_path: Path, image: Path) -> None:
    """Each obstacle is named, with its remedy."""
    with pytest.raises(BlockUnavailable, match=r"does not exist; mirage\.block\.create"):
        FileBlock(tmp_path / "none")
    for writable, why in ((False, "neither a file nor"), (True, "cannot be opened: Is a directory")):
        with pytest.raises(BlockUnavailable, match=why):
            FileBlock(tmp_path, writable=writable)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BlockUnavailable, match="neither a file nor"):
        FileBlock(tmp_path / "pipe")
    with pytest.raises(BlockUnavailable, match="neither a file nor"):
        FileBlock("/dev/null")
    with image.open("ab") as file:
        file.write(b"!")
    with pytest.raises(BlockUnavailable, match=r"32769 octets.*add 511 zeros: truncate -s %512"):
        FileBlock(image)
    for size in (0, 256, 513, 768, -512):
        with pytest.raises(ValueError, match="power of two"):
            FileBlock(image, sector_size=size)


def test_the_remedy_for_a_crooked_size_works(image: Path) -> None:
    """The command in the message makes the file a device."""
    with image.open("ab") as file:
        file.write(b"!")
    with pytest.raises(BlockUnavailable) as caught:
        FileBlock(image)
    subprocess.run(str(caught.value).rpartition(": ")[2].split(), check=True)
    with FileBlock(image) as disk:
        assert (disk.sectors, disk.read(64)) == (65, b"!".ljust(512, b"\0"))


def test_failed_opening_leaks_nothing(tmp_path: Path, image: Path) -> None:
    """No descriptor stays behind."""
    before = len(os.listdir("/proc/self/fd"))
    with FileBlock(image, writable=True):
        for path in (image, tmp_path, tmp_path / "none"):
            with pytest.raises(BlockUnavailable):
                FileBlock(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_create_never_overwrites(image: Path, tmp_path: Path) -> None:
    """An image that is there is left alone; an impossible one leaves no file."""
    with pytest.raises(BlockUnavailable, match="exists already"):
        create(image, 1)
    assert image.stat().st_size == 64 * 512
    with pytest.raises(BlockUnavailable, match="cannot be made"):
        create(tmp_path / "no" / "folder", 1)
    with pytest.raises(BlockUnavailable, match="cannot be made with"):
        create(tmp_path / "huge", 1 << 60)
    assert not (tmp_path / "huge").exists()
    with pytest.raises(ValueError, match="none or more"):
        create(tmp_path / "negative", -1)


def test_holes_stay_holes(tmp_path: Path) -> None:
    """A large image takes no room for zeros, wherever they are written; zeros over data are written."""
    path = tmp_path / "large.img"
    with create(path, 1 << 31) as disk:
        disk.write(0, bytes(1 << 20))
        disk.write((1 << 31) - 8, bytes(4096))
        assert path.stat().st_blocks == 0
        disk.write(1 << 20, b"x" * 4096)
        assert 0 < path.stat().st_blocks <= 64
        disk.write((1 << 20) - 8, bytes(8192))
        assert disk.read((1 << 20) - 8, 16) == bytes(8192)


def test_a_file_system_without_holes(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can say what is a hole, zeros are written like anything else."""
    lseek = os.lseek

    def knows_none(fd: int, offset: int, whence: int) -> int:
        if whence == os.SEEK_DATA:
            raise OSError(errno.EINVAL, "Invalid argument")
        return lseek(fd, offset, whence)

    monkeypatch.setattr(os, "lseek", knows_none)
    with FileBlock(image, writable=True) as disk:
        disk.write(2, b"x" * 1024)
        disk.write(2, bytes(1024))
        assert disk.read(2, 2) == bytes(1024)


def test_a_file_cut_short_is_an_error(image: Path) -> None:
    """What is gone is not made up."""
    with FileBlock(image) as disk:
        os.truncate(image, 1000)
        assert disk.read(0) == bytes(512)
        with pytest.raises(DeviceError, match="cut short"):
            disk.read(0, 4)


def test_a_lost_write_is_never_forgotten(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `fsync` failed once, no later flush says that all is well, and the file is released nonetheless."""
    disk = FileBlock(image, writable=True)
    disk.write(0, b"x" * 512)

    def fails(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fails)
        with pytest.raises(DeviceError, match="may be lost"):
            disk.flush()
    with pytest.raises(DeviceError, match="may be lost"):
        disk.flush()
    with pytest.raises(DeviceError, match="may be lost"):
        disk.close()
    disk.close()
    FileBlock(image, writable=True).close()


def test_flush_is_fsync(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing and closing reach the disk; a read-only device has nothing to flush."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with FileBlock(image, writable=True) as disk:
        disk.flush()
        assert len(synced) == 1
    assert len(synced) == 2
    with FileBlock(image) as disk:
        disk.flush()
    assert len(synced) == 2


def test_short_transfers_are_continued(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may move less than was asked for."""
    pread, pwrite = os.pread, os.pwrite
    monkeypatch.setattr(os, "pread", lambda fd, count, at: pread(fd, min(count, 700), at))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:300], at))
    content = random.Random(1).randbytes(10 * 512)
    with FileBlock(image, writable=True) as disk:
        disk.write(5, content)
        assert disk.read(5, 10) == content


def test_errors_of_the_medium(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel reports comes as a `DeviceError` that says where."""

    def fails(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with FileBlock(image, writable=True) as disk:
        monkeypatch.setattr(os, "pread", fails)
        monkeypatch.setattr(os, "pwrite", fails)
        with pytest.raises(DeviceError, match="reading at octet 1024 failed"):
            disk.read(2)
        with pytest.raises(DeviceError, match="writing at octet 1536 failed: No space left"):
            disk.write(3, b"x" * 512)


def test_image_of_a_memory_device() -> None:
    """It starts with its image, zeros following, and the image must fit."""
    disk = MemoryBlock(3, image=b"i" * 1024, writable=False)
    assert disk.read(0, 3) == b"i" * 1024 + bytes(512)
    with pytest.raises(OutOfRange):
        MemoryBlock(1, image=bytes(1024))
    with pytest.raises(OutOfRange):
        MemoryBlock(1, image=b"short")
    with pytest.raises(ValueError, match="none or more"):
        MemoryBlock(-1)


def test_memory_is_sparse() -> None:
    """A terabyte of nothing takes nothing."""
    disk = MemoryBlock(1 << 31)
    disk.write((1 << 31) - 1, b"x" * 512)
    assert disk.read((1 << 31) - 2, 2) == bytes(512) + b"x" * 512


@given(
    st.lists(
        st.tuples(st.integers(0, 15), st.integers(1, 6), st.sampled_from([b"\0", b"a", b"b"]), st.booleans()),
        max_size=30,
    )
)
def test_file_and_memory_agree(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, int, bytes, bool]]
) -> None:
    """Whatever is written, both devices hold what a plain list of sectors would."""
    path = tmp_path_factory.mktemp("agree") / "disk.img"
    memory = MemoryBlock(16)
    model = [bytes(512)] * 16
    with create(path, 16) as file:
        for sector, count, fill, flush in writes:
            data = fill * 512 * count
            if sector + count > 16:
                for block in (memory, file):
                    with pytest.raises(OutOfRange):
                        block.write(sector, data)
                continue
            memory.write(sector, data)
            file.write(sector, data)
            model[sector : sector + count] = [fill * 512] * count
            if flush:
                file.flush()
        assert file.read(0, 16) == memory.read(0, 16) == b"".join(model)


# ---- Real file systems --------------------------------------------------------------------------------


def copy(source: Path, dest: Path) -> None:
    """Sector runs of many lengths, out of order, through two devices."""
    with FileBlock(source) as old, create(dest, old.sectors) as new:
        chance = random.Random(7)
        cuts = sorted({0, old.sectors, *(chance.randrange(old.sectors) for _ in range(300))})
        runs = list(itertools.pairwise(cuts))
        chance.shuffle(runs)
        for start, end in runs:
            new.write(start, old.read(start, end - start))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "hello.txt").write_bytes(b"hello\n" * 1000)
    (folder / "sub" / "noise").write_bytes(random.Random(3).randbytes(300_000))
    return folder


@pytest.mark.tool("mkfs.ext4", "debugfs", "e2fsck")
@pytest.mark.slow
def test_ext4_survives_the_journey(tmp_path: Path, tree: Path) -> None:
    """A file system of e2fsprogs, copied through the devices, is clean, sparse, and holds its files."""
    source, dest = tmp_path / "a.img", tmp_path / "b.img"
    create(source, 32768).close()
    subprocess.run(["mkfs.ext4", "-F", "-q", "-d", tree, source], check=True)
    copy(source, dest)
    checked = subprocess.run(["e2fsck", "-fn", dest], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    found = subprocess.run(["debugfs", "-R", "cat /sub/noise", dest], check=True, capture_output=True)
    assert found.stdout == (tree / "sub" / "noise").read_bytes()
    assert dest.stat().st_blocks < 32768 / 2
    with FileBlock(dest, writable=True) as disk:  # e2fsck does see damage: the superblock's block count
        superblock = bytearray(disk.read(2, 2))
        superblock[4] ^= 0xFF
        disk.write(2, superblock)
    assert subprocess.run(["e2fsck", "-fn", dest], capture_output=True).returncode != 0


@pytest.mark.tool("mformat", "mcopy")
def test_fat_survives_the_journey(tmp_path: Path, tree: Path) -> None:
    """A file that mtools put into an image is read by mtools from the copy."""
    source, dest = tmp_path / "a.img", tmp_path / "b.img"
    create(source, 2880).close()
    environment = {**os.environ, "MTOOLS_SKIP_CHECK": "1"}
    subprocess.run(["mformat", "-i", source, "-f", "1440", "::"], check=True, env=environment)
    subprocess.run(["mcopy", "-i", source, tree / "sub" / "noise", "::NOISE"], check=True, env=environment)
    copy(source, dest)
    back = tmp_path / "back"
    subprocess.run(["mcopy", "-i", dest, "::NOISE", back], check=True, env=environment)
    assert back.read_bytes() == (tree / "sub" / "noise").read_bytes()
