"""Blobs hold trees, the same tree always the same blob, and nothing else passes for one."""

import contextlib
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mirage.crunch import CorruptBlob, CrunchStore, crunch, crunch_module
from mirage.crunch.__main__ import main
from mirage.crunch._format import HEADER, INDEX_DIGEST_SIZE, RECORD, Header, Record, index_digest
from mirage.kv import DirectoryStore, MemoryStore
from mirage.types import DeviceClosed, DeviceError, KeyValueError, walk
from mirage.types.testing import SAMPLE_TREE, KeyValueROContract, VirtualClock

BLOB = crunch(MemoryStore(SAMPLE_TREE))


class TestCrunchStore(KeyValueROContract):
    def make_store(self, values: Mapping[str, bytes]) -> CrunchStore:
        return CrunchStore(crunch(MemoryStore(values)))


class TestMapped(KeyValueROContract):
    @pytest.fixture(autouse=True)
    def _path(self, tmp_path: Path) -> None:
        self.path = tmp_path / "blob"

    def make_store(self, values: Mapping[str, bytes]) -> CrunchStore:
        self.path.write_bytes(crunch(MemoryStore(values)))
        return CrunchStore.from_file(self.path, verify=False)


class TestModule(KeyValueROContract):
    def make_store(self, values: Mapping[str, bytes]) -> CrunchStore:
        return load(crunch_module(crunch(MemoryStore(values)))).store  # type: ignore[no-any-return]


def load(text: str) -> ModuleType:
    module = ModuleType("crunched")
    exec(compile(text, "crunched", "exec"), module.__dict__)
    return module


def test_values_are_not_copied() -> None:
    """A view is a part of the buffer itself."""
    buffer = bytearray(BLOB)
    store = CrunchStore(buffer)
    place = bytes(buffer).index(b"<h1>hello")
    view = store.view("index.html")
    buffer[place] = ord("[")
    assert view.tobytes().startswith(b"[h1>")
    assert view.readonly
    view.release()
    store.close()
    with pytest.raises(DeviceClosed):
        store.get("index.html")


def test_equal_values_lie_there_once() -> None:
    """Fifty copies of a value cost fifty records, not fifty values."""
    one = crunch(MemoryStore({"0": bytes(100_000)}))
    fifty = crunch(MemoryStore({str(number): bytes(100_000) for number in range(50)}))
    assert len(fifty) < len(one) + 50 * 200


KEY = st.lists(
    st.text(st.characters(exclude_characters="\0/\\", exclude_categories=["Cs"]), min_size=1), min_size=1
).map("/".join)


@given(st.dictionaries(KEY, st.binary(), max_size=20))
def test_any_tree_round_trips(values: dict[str, bytes]) -> None:
    """Whatever a store holds, its blob holds, and nothing besides."""
    source = MemoryStore()
    for key, value in values.items():
        with contextlib.suppress(KeyValueError, ValueError):
            source.set(key, value)
    store = CrunchStore(crunch(source))
    assert list(walk(store)) == list(walk(source))
    assert all(store.get(key) == source.get(key) and store.digest(key) == source.digest(key) for key in walk(source))


@pytest.mark.slow
def test_large_trees_are_perfect() -> None:
    """Twenty thousand keys: every number from 0 on is taken exactly once, and `verify` finds each key there."""
    store = MemoryStore({f"{number % 97}/{number:x}.html": b"%d" % number for number in range(20_000)})
    crunched = CrunchStore(crunch(store))
    assert all(crunched.get(f"{number % 97}/{number:x}.html") == b"%d" % number for number in range(20_000))


def test_the_same_tree_gives_the_same_octets(tmp_path: Path) -> None:
    """The order of writing, the place on disk and the process make no difference."""
    keys = list(SAMPLE_TREE)
    random.Random(1).shuffle(keys)
    for name, order in (("one", SAMPLE_TREE), ("two", keys)):
        with DirectoryStore(_made(tmp_path / name)) as store:
            for key in order:
                store.set(key, SAMPLE_TREE[key])
    assert crunch(tmp_path / "one", modified=None) == crunch(tmp_path / "two", modified=None) == BLOB
    other = subprocess.run(
        [
            sys.executable,
            "-m",
            "mirage.crunch",
            str(tmp_path / "two"),
            "-o",
            str(tmp_path / "blob"),
            "--modified",
            "none",
        ],
        env={"PYTHONHASHSEED": "7"},
        check=True,
        capture_output=True,
    )
    assert b"keys in" in other.stdout
    assert (tmp_path / "blob").read_bytes() == BLOB


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def test_times() -> None:
    """Times of last change are kept, left out, or set to one for all."""
    source = MemoryStore({"a": b""}, clock=VirtualClock(wall_ns=1_500_000_000))
    for modified, expected in (("keep", 1.5), (None, None), (7.25, 7.25)):
        assert CrunchStore(crunch(source, modified=modified)).info("a").modified == expected  # type: ignore[arg-type]


# Hostile octets.


def use(store: CrunchStore) -> None:
    """Everything that can be asked of a store."""
    for key in [*SAMPLE_TREE, "", "blog", "missing", "index.html/x"]:
        for ask in (store.info, store.list, store.get, store.digest):
            with contextlib.suppress(DeviceError):
                ask(key)
    with contextlib.suppress(DeviceError):
        list(walk(store))


@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
@example(0, 1)
@example(len(BLOB) - 1, 1)
def test_every_damaged_octet_is_noticed(place: int, change: int) -> None:
    """One changed octet, wherever it is, and the blob does not open - or it was padding, and nothing else changed."""
    damaged = bytearray(BLOB)
    damaged[place] ^= change
    try:
        store = CrunchStore(damaged)
    except CorruptBlob:
        return
    assert {key: store.get(key) for key in walk(store)} == SAMPLE_TREE


@given(st.integers(0, len(BLOB) - 1))
def test_every_truncation_is_noticed(length: int) -> None:
    """A blob that is cut short does not open, with or without verification."""
    for verify in (True, False):
        with pytest.raises(CorruptBlob):
            CrunchStore(BLOB[:length], verify=verify)


@given(
    st.binary() | st.binary().map(lambda rest: BLOB[:8] + rest) | st.binary(max_size=8).map(lambda rest: BLOB + rest)
)
def test_other_octets_are_no_blob(octets: bytes) -> None:
    """Nothing but a blob opens; an appended octet makes it none."""
    if octets != BLOB:
        with pytest.raises(CorruptBlob):
            CrunchStore(octets)


def sealed(blob: bytearray) -> bytes:
    """The blob with a right index digest: what an attacker sends who knows the format."""
    header = Header(*HEADER.unpack_from(blob))
    data = HEADER.size + 8 * header.buckets + RECORD.size * header.records + 4 * header.children + header.strings
    data += -data % 16
    start = bytes(blob[: HEADER.size - INDEX_DIGEST_SIZE])
    return start + index_digest(start, bytes(blob[HEADER.size : data])) + bytes(blob[HEADER.size :])


INDEX_SIZE = BLOB.index(b"<h1>hello") // 16 * 16


@given(st.lists(st.tuples(st.integers(8, INDEX_SIZE), st.integers(1, 255)), min_size=1, max_size=4))
@settings(max_examples=400)
def test_forged_indexes_raise_declared_errors(changes: list[tuple[int, int]]) -> None:
    """A forged index with a right digest is refused, or its store answers or raises declared errors."""
    forged = bytearray(BLOB)
    for place, change in changes:
        forged[place] ^= change
    header = Header(*HEADER.unpack_from(forged))
    if header.buckets + header.records + header.children + header.strings < 1 << 20:
        octets = sealed(forged)
        for verify in (True, False):
            with contextlib.suppress(CorruptBlob):
                use(CrunchStore(octets, verify=verify))


def test_forged_overlapping_values_cost_no_time() -> None:
    """Records that all claim the whole data are refused before they are hashed again and again."""
    source = {str(number): b"%d" % number * 1000 for number in range(50)}
    blob = bytearray(crunch(MemoryStore(source)))
    header = Header(*HEADER.unpack_from(blob))
    records = HEADER.size + 8 * header.buckets
    data = records + RECORD.size * header.records + 4 * header.children + header.strings
    data += -data % 16
    for number in range(header.records):
        record = Record(*RECORD.unpack_from(blob, records + number * RECORD.size))
        if record.kind == 0:
            forged = record._replace(start=data + number, size=header.total - data - number)
            RECORD.pack_into(blob, records + number * RECORD.size, *forged)
    with pytest.raises(CorruptBlob, match=r"overlap|not the one"):
        CrunchStore(sealed(blob))


def test_files_that_are_no_blobs(tmp_path: Path) -> None:
    """Opening says what is wrong with the file."""
    with pytest.raises(DeviceError, match="cannot read"):
        CrunchStore.from_file(tmp_path / "missing")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(CorruptBlob, match="empty"):
        CrunchStore.from_file(tmp_path / "empty")
    (tmp_path / "text").write_bytes(b"hello" * 100)
    with pytest.raises(CorruptBlob, match="do not start"):
        CrunchStore.from_file(tmp_path / "text")


# The command.


def test_command_writes_a_blob_and_a_module(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both forms hold the tree, and the summary says how many keys."""
    with DirectoryStore(_made(tmp_path / "tree")) as store:
        store.set("a/b", b"1")
    tree, blob, module = (str(tmp_path / name) for name in ("tree", "blob", "module.py"))
    assert main([tree, "-o", blob, "--modified", "5"]) == 0
    assert main([tree, "-o", module, "--module", "--modified", "5"]) == 0
    assert "3 keys" in capsys.readouterr().out
    with CrunchStore.from_file(blob) as mapped:
        assert (mapped.get("a/b"), mapped.info("a/b").modified) == (b"1", 5.0)
    loaded = load(Path(module).read_text())
    assert Path(blob).read_bytes() == loaded.BLOB
    assert "tree, compiled by mirage-crunch" in (loaded.__doc__ or "")


def test_command_honours_the_source_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With SOURCE_DATE_EPOCH all times are that one."""
    (_made(tmp_path / "tree") / "a").write_bytes(b"1")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234")
    assert main([str(tmp_path / "tree"), "-o", str(tmp_path / "blob")]) == 0
    assert CrunchStore((tmp_path / "blob").read_bytes()).info("a").modified == 1234


def test_command_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read or written is said in one line, with status 1; misuse has status 2."""
    assert main([str(tmp_path / "missing"), "-o", str(tmp_path / "blob")]) == 1
    assert capsys.readouterr().err.startswith("mirage-crunch: there is no directory")
    assert main([str(tmp_path), "-o", str(tmp_path / "missing" / "blob")]) == 1
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), "-o", "x", "--modified", "yesterday"])
    assert "seconds since 1970" in capsys.readouterr().err
