"""Archives read as GNU tar and the standard library read them, and written so that both read them alike."""

import contextlib
import io
import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.kv import DirectoryStore, MemoryStore
from mirage.tar import CorruptArchive, HostileName, TarStore, UnsupportedArchive, tar_chunks, write_tar
from mirage.tar._index import _used
from mirage.tar._wire import BLOCK, Entry, pull_entry, pull_pax, push_entry, push_pax
from mirage.types import DeviceClosed, DeviceError, Info, KeyValueError, Kind, walk
from mirage.types.testing import SAMPLE_TREE, KeyValueROContract, VirtualClock

LONG = {"d" * 90 + "/" + "e" * 90: b"fits prefix and name", "f" * 120: b"fits neither", "g/" * 100 + "é" * 60: b"pax"}


def written(values: Mapping[str, bytes]) -> bytes:
    return b"".join(tar_chunks(MemoryStore(values)))


def by_stdlib(values: Mapping[str, bytes], kind: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for key, value in values.items():
            entry = tarfile.TarInfo("./" + key)
            entry.size = len(value)
            archive.addfile(entry, io.BytesIO(value))
    return out.getvalue()


class TestOwn(KeyValueROContract):
    def make_store(self, values: Mapping[str, bytes]) -> TarStore:
        return TarStore(written(values))


class TestStdlibGnu(KeyValueROContract):
    def make_store(self, values: Mapping[str, bytes]) -> TarStore:
        return TarStore(by_stdlib(values, tarfile.GNU_FORMAT))


class TestStdlibPax(KeyValueROContract):
    def make_store(self, values: Mapping[str, bytes]) -> TarStore:
        return TarStore(by_stdlib(values, tarfile.PAX_FORMAT))


class TestMapped(KeyValueROContract):
    @pytest.fixture(autouse=True)
    def _path(self, tmp_path: Path) -> None:
        self.path = tmp_path / "archive.tar"

    def make_store(self, values: Mapping[str, bytes]) -> TarStore:
        self.path.write_bytes(written(values))
        return TarStore.from_file(self.path)


# GNU tar, both ways.


@pytest.mark.tool("tar")
@pytest.mark.parametrize("kind", ["v7", "ustar", "gnu", "oldgnu", "pax", "posix"])
def test_reads_what_gnu_tar_writes(tmp_path: Path, kind: str) -> None:
    """Every format of GNU tar is read, with times, a hard link, and without symbolic links and pipes."""
    root = tmp_path / "root"
    root.mkdir()
    tree = dict(SAMPLE_TREE) | (LONG if kind not in {"v7", "ustar"} else {})
    with DirectoryStore(root) as store:
        for key, value in tree.items():
            store.set(key, value)
    for path in sorted(root.rglob("*")):
        os.utime(path, (1_417_392_000, 1_417_392_000))
    os.link(root / "index.html", root / "z-linked")
    os.symlink("index.html", root / "symbolic")
    os.mkfifo(root / "pipe")
    (root / "bare").mkdir()
    make = ["tar", "--format", kind, "--sort=name", "-cf", str(tmp_path / "a.tar"), "-C", str(root), "."]
    if kind == "v7":
        make[1:1] = ["--exclude=pipe"]  # which the format does not have
    subprocess.run(make, check=True, capture_output=True)
    with TarStore.from_file(tmp_path / "a.tar") as archive:
        assert {key: archive.get(key) for key in walk(archive)} == tree | {"z-linked": tree["index.html"]}
        assert archive.info("blog/feed.xml") == Info(Kind.VALUE, 7, 1_417_392_000.0)
        assert archive.list("bare") == []


@pytest.mark.tool("tar")
def test_gnu_tar_reads_what_we_write(tmp_path: Path) -> None:
    """GNU tar lists and extracts every value, with long and non-ASCII names and the time of the store."""
    tree = dict(SAMPLE_TREE) | LONG
    store = MemoryStore(tree, clock=VirtualClock(wall_ns=1_417_392_000_500_000_000))
    with open(tmp_path / "a.tar", "wb") as out:
        assert write_tar(store, out) == out.tell()
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        ["tar", "-xf", str(tmp_path / "a.tar"), "-C", str(tmp_path / "out")],
        check=True,
        capture_output=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert done.stderr == b""
    with DirectoryStore(tmp_path / "out") as extracted:
        assert {key: extracted.get(key) for key in walk(extracted)} == tree
        assert extracted.info("empty").modified == 1_417_392_000.5


def test_stdlib_reads_what_we_write() -> None:
    """The standard library agrees about names, contents, times and owners."""
    tree = dict(SAMPLE_TREE) | LONG
    with tarfile.open(fileobj=io.BytesIO(written(tree))) as archive:
        members = archive.getmembers()
        found = {}
        for member in members:
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    assert found == tree
    assert {(member.mode, member.uid, member.gid, member.mtime) for member in members} == {(0o644, 0, 0, 0)}


KEY = st.lists(
    st.text(st.characters(exclude_characters="\0/\\", exclude_categories=["Cs"]), min_size=1), min_size=1
).map("/".join)


@given(st.dictionaries(KEY, st.binary(max_size=1100), max_size=6), st.floats(-1e9, 1e11) | st.integers(0, 1 << 40))
def test_any_store_round_trips(values: dict[str, bytes], modified: float) -> None:
    """Whatever a store holds, its archive holds, with its time, and it is a whole number of records."""
    source = MemoryStore()
    for key, value in values.items():
        with contextlib.suppress(KeyValueError):
            source.set(key, value)
    archive = b"".join(tar_chunks(source, modified=modified))
    assert len(archive) % (20 * BLOCK) == 0
    store = TarStore(archive)
    assert {key: store.get(key) for key in walk(store)} == {key: source.get(key) for key in walk(source)}
    assert all(abs((store.info(key).modified or 0) - modified) < 1e-6 for key in walk(store))


def test_reproducible() -> None:
    """The order of writing does not show."""
    assert written(dict(reversed(SAMPLE_TREE.items()))) == written(SAMPLE_TREE)


def test_huge_values_stream() -> None:
    """A value beyond 8 GiB has its size in a pax record, and only a chunk of it is ever held."""

    class Huge(MemoryStore):
        def info(self, key: str) -> Info:
            return Info(Kind.VALUE, 9 << 30)

    chunks = tar_chunks(Huge({"k": b""}))
    head = next(chunks)
    assert b" size=9663676416\n" in head
    with pytest.raises(DeviceError, match="ended after 0 of"):
        next(chunks)


# Symmetry of the wire format.


@given(
    st.binary(min_size=1, max_size=100).filter(lambda name: 0 not in name),
    st.integers(0, 8**11 - 1),
    st.integers(0, 8**11 - 1),
)
def test_entry_round_trips(name: bytes, size: int, modified: int) -> None:
    """What is pushed is pulled."""
    entry = Entry(name, size, modified, b"0", b"")
    block = push_entry(entry)
    assert block is not None
    assert len(block) == BLOCK
    assert pull_entry(block, 0) == entry


@given(st.dictionaries(st.text(min_size=1).filter(lambda k: "=" not in k), st.text(max_size=200)))
def test_pax_round_trips(records: dict[str, str]) -> None:
    """What is pushed is pulled, also where the length's own digits change the length."""
    with contextlib.suppress(UnicodeEncodeError):
        assert pull_pax(push_pax(records), 0) == records


@given(st.lists(st.sampled_from([b"1", b"9", b" ", b"=", b"\n", b"12 a=b\n", b"6 a=b\n", b"k", b"\xff"]), max_size=12))
def test_pax_raises_declared_errors(parts: list[bytes]) -> None:
    """Malformed records are an error, never an endless loop."""
    with contextlib.suppress(CorruptArchive):
        pull_pax(b"".join(parts), 0)


# Hostile archives.


def one(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **more: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("first")
        archive.addfile(entry)
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, link
        for attribute, value in more.items():
            setattr(entry, attribute, value)
        archive.addfile(entry)
    return out.getvalue()


@pytest.mark.parametrize(
    "name", ["../up", "/etc/passwd", "a/../../b", "a//b", "./../x", "a\\b", "x" * 5000, "/", "a/./b", ".."]
)
def test_hostile_names_are_refused(name: str) -> None:
    """A name that is no key makes the archive unreadable, whatever kind of entry bears it."""
    for kind in (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE):
        with pytest.raises(HostileName, match="at offset"):
            TarStore(one(name, kind))


def test_links() -> None:
    """A hard link is a second name; one to what is not there is an error; a symbolic one is left out."""
    assert TarStore(one("second", tarfile.LNKTYPE, "first")).get("second") == b""
    with pytest.raises(CorruptArchive, match="no value before it"):
        TarStore(one("second", tarfile.LNKTYPE, "third"))
    with pytest.raises(HostileName):
        TarStore(one("second", tarfile.LNKTYPE, "/etc/passwd"))
    assert TarStore(one("second", tarfile.SYMTYPE, "/etc/passwd")).list() == [("first", Kind.VALUE)]


def test_contradictions_are_refused() -> None:
    """What readers could understand differently: values that are directories, links with content, pax for everybody."""
    with pytest.raises(CorruptArchive, match="a value and a directory"):
        TarStore(one("first/below"))
    with pytest.raises(CorruptArchive, match="no content"):
        TarStore(one("second", tarfile.LNKTYPE, "first", size=1))
    bad = push_pax({"path": "x"})
    header = push_entry(Entry(b"g", len(bad), 0, b"g"))
    assert header is not None
    with pytest.raises(CorruptArchive, match="all entries"):
        TarStore(header + bad.ljust(BLOCK, b"\0") + bytes(1024))


def test_later_entries_win() -> None:
    """An archive that was appended to reads as it extracts."""
    out = io.BytesIO(by_stdlib({"a": b"old"}, tarfile.USTAR_FORMAT))
    with tarfile.open(fileobj=out, mode="a", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo("a")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"new"))
    assert TarStore(out.getvalue()).get("a") == b"new"


@pytest.mark.tool("tar")
def test_unsupported_is_said(tmp_path: Path) -> None:
    """Sparse files and compressed archives are refused with what to do."""
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 20)
    for kind in ("gnu", "posix"):
        subprocess.run(
            ["tar", "--sparse", "--format", kind, "-cf", str(tmp_path / "s.tar"), "-C", str(tmp_path), "sparse"],
            check=True,
        )
        with pytest.raises(UnsupportedArchive, match="without --sparse"):
            TarStore.from_file(tmp_path / "s.tar")
    subprocess.run(["tar", "-czf", str(tmp_path / "z.tar"), "-C", str(tmp_path), "sparse"], check=True)
    with pytest.raises(UnsupportedArchive, match="decompress"):
        TarStore.from_file(tmp_path / "z.tar")


SMALL = written({"a/b": b"value", "c" * 130: b"x" * 600})


@given(st.lists(st.tuples(st.integers(0, 4 * BLOCK), st.binary(min_size=1, max_size=12)), max_size=4), st.booleans())
@settings(max_examples=400)
def test_damaged_archives_raise_declared_errors(changes: list[tuple[int, bytes]], sealed: bool) -> None:
    """Whatever octets change, with the checksums made right again or not: an error, or a store that answers."""
    archive = bytearray(SMALL)
    for place, octets in changes:
        archive[place : place + len(octets)] = octets
    if sealed:
        for start in range(0, len(archive), BLOCK):
            block = archive[start : start + BLOCK]
            if block[257:262] == b"ustar":
                total = sum(block) - sum(block[148:156]) + 8 * 32
                archive[start + 148 : start + 156] = b"%06o\0 " % total
    with contextlib.suppress(DeviceError):
        store = TarStore(archive)
        for key in walk(store):
            store.get(key)
            store.info(key)


@given(st.binary(max_size=2000))
def test_other_octets_are_no_archive(octets: bytes) -> None:
    """Nothing else opens - but two blocks of zeros are an archive of nothing."""
    with contextlib.suppress(CorruptArchive, UnsupportedArchive):
        assert list(walk(TarStore(octets))) == []
        assert not any(octets[:BLOCK])


@given(st.integers(0, SMALL.rindex(b"x") + 1))
def test_truncation_is_noticed(length: int) -> None:
    """An archive that is cut short within its entries does not open."""
    with pytest.raises(CorruptArchive):
        TarStore(SMALL[:length])


def test_files_that_are_no_archives(tmp_path: Path) -> None:
    """Opening says what is wrong with the file; a closed store says that it is closed."""
    with pytest.raises(DeviceError, match="cannot read"):
        TarStore.from_file(tmp_path / "missing")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(CorruptArchive, match="empty"):
        TarStore.from_file(tmp_path / "empty")
    store = TarStore(SMALL)
    store.close()
    with pytest.raises(DeviceClosed):
        store.get("a/b")


def test_records_for_all_entries_stay_few() -> None:
    """Keywords that mean nothing here are not kept, or each entry would cost as much as there are of them."""
    records = push_pax({f"vendor.{n}": "x" for n in range(1000)} | {"mtime": "7"})
    header = push_entry(Entry(b"all", len(records), 0, b"g"))
    entry = push_entry(Entry(b"a", 0, 0, b"0"))
    assert header
    assert entry
    archive = header + records + bytes(-len(records) % BLOCK) + entry + bytes(2 * BLOCK)
    assert _used(dict.fromkeys(["path", "comment", "GNU.sparse.map"], "")) == {"path": "", "GNU.sparse.map": ""}
    assert TarStore(archive).info("a").modified == 7
