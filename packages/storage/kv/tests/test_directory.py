"""`DirectoryStore` keeps the contract, and nothing climbs out of it."""

import contextlib
import itertools
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mirage.kv import DirectoryStore
from mirage.types import (
    DeviceClosed,
    DeviceError,
    DirectoryExpected,
    InvalidKey,
    KeyValueError,
    Kind,
    NotFound,
    ValueExpected,
    value_digest,
)
from mirage.types.testing import KeyValueRWContract

SECRET = b"secret"


class TestDirectoryStore(KeyValueRWContract):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.path = tmp_path
        self.number = itertools.count()

    def make_store(self, values: Mapping[str, bytes]) -> DirectoryStore:
        root = self.path / str(next(self.number))
        for key, value in values.items():
            (root / key).parent.mkdir(parents=True, exist_ok=True)
            (root / key).write_bytes(value)
        root.mkdir(exist_ok=True)
        return DirectoryStore(root)


class TestWrittenByItself(TestDirectoryStore):
    """The same contract for a store that was filled through `set`, on the medium each time."""

    def make_store(self, values: Mapping[str, bytes]) -> DirectoryStore:
        root = self.path / str(next(self.number))
        root.mkdir()
        store = DirectoryStore(root, sync=True)
        for key, value in values.items():
            store.set(key, value)
        return store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root beside a secret, with every kind of way to it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(SECRET)
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (root / "value").write_bytes(b"inside")
    (root / "absolute").symlink_to(outside / "secret")
    (root / "relative").symlink_to("../outside/secret")
    (root / "outdir").symlink_to("../outside")
    (root / "dir" / "up").symlink_to("..")
    (root / "inside").symlink_to("value")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nothing")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture
def store(root: Path) -> Iterator[DirectoryStore]:
    with DirectoryStore(root) as store:
        yield store


LINKS = (
    "absolute",
    "relative",
    "outdir",
    "outdir/secret",
    "dir/up",
    "dir/up/value",
    "inside",
    "loop",
    "dangling",
    "pipe",
)


@pytest.mark.parametrize("key", LINKS)
def test_links_are_not_there(store: DirectoryStore, key: str) -> None:
    """Symbolic links and pipes are not found, whichever way they are asked for."""
    for ask in (store.get, store.info, store.list, store.digest, store.open):
        with pytest.raises(NotFound):
            ask(key)
    with pytest.raises(NotFound):
        store.get_partial(key, 0, 1)


def test_links_are_not_listed(store: DirectoryStore) -> None:
    """A listing shows what can be read, and nothing else."""
    assert store.list() == [("dir", Kind.DIRECTORY), ("value", Kind.VALUE)]
    assert store.list("dir") == []


def test_nothing_is_written_through_links(store: DirectoryStore, root: Path) -> None:
    """A link is replaced, never followed; nothing outside the root changes."""
    for key in ("outdir/new", "outdir/secret", "dir/up/new", "pipe/new"):
        with pytest.raises(DeviceError):
            store.set(key, b"overwritten")
    store.set("absolute", b"mine")
    assert store.get("absolute") == b"mine"
    for key in ("relative", "outdir/secret", "outdir"):
        with pytest.raises(NotFound):
            store.remove(key)
        with pytest.raises(NotFound):
            store.set_partial(key, 0, b"overwritten")
        with pytest.raises(NotFound):
            store.rename(key, "elsewhere")
    with pytest.raises(DeviceError):
        store.rename("value", "outdir/value")
    outside = root.parent / "outside"
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"secret": SECRET}


def test_removing_a_directory_leaves_what_links_point_to(store: DirectoryStore, root: Path) -> None:
    """A removal goes down directories, not through links."""
    (root / "dir" / "out").symlink_to("../../outside")
    store.remove("dir")
    assert not (root / "dir").exists()
    assert (root.parent / "outside" / "secret").read_bytes() == SECRET
    assert (root / "value").exists()


@given(st.lists(st.sampled_from(["..", ".", "", "outdir", "secret", "up", "dir", "value", "outside", "/", "\0", "~"])))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_key_reaches_the_secret(store: DirectoryStore, segments: list[str]) -> None:
    """Whatever is asked for, the answer is a value from inside or a declared error."""
    with contextlib.suppress(KeyValueError):
        assert store.get("/".join(segments)) == b"inside"


def test_a_directory_swapped_for_a_link_is_not_followed(tmp_path: Path) -> None:
    """The race that a check of the resolved path would lose: a directory becomes a link, over and over."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "value").write_bytes(SECRET)
    (root / "real").mkdir(parents=True)
    (root / "real" / "value").write_bytes(b"inside")
    (root / "link").symlink_to(outside)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(root / "real", root / "kept")
            os.rename(root / "link", root / "real")
            os.rename(root / "real", root / "link")
            os.rename(root / "kept", root / "real")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        with DirectoryStore(root) as store:
            for _ in range(1000):
                with contextlib.suppress(KeyValueError):
                    assert store.get("real/value") == b"inside"
    finally:
        stop.set()
        thread.join()


def test_names_that_are_no_keys_are_not_listed(tmp_path: Path) -> None:
    """What cannot be asked for is not offered: names with a backslash, names that are not UTF-8, reserved ones."""
    for name in (b"good", b"bad\\name", b"bad\xff", b".~mirage-1"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    with DirectoryStore(tmp_path) as store:
        assert store.list() == [("good", Kind.VALUE)]
        with pytest.raises(NotFound):
            store.get(".~mirage-1")
        with pytest.raises(InvalidKey, match="reserved"):
            store.set(".~mirage-1", b"x")


def test_too_long_names(tmp_path: Path) -> None:
    """A name that the host cannot have is not there, and cannot be made."""
    with DirectoryStore(tmp_path) as store:
        with pytest.raises(NotFound):
            store.get("x" * 300)
        with pytest.raises(DeviceError, match="too long"):
            store.set("x" * 300, b"")
        with pytest.raises(DeviceError, match="too long"):
            store.set("a/" + "x" * 300, b"")
        assert store.list() == []  # nor is the directory left behind


def test_read_only_and_closed(root: Path) -> None:
    """A read-only store changes nothing; a closed one does nothing."""
    store = DirectoryStore(root, read_only=True)
    for change in (
        lambda: store.set("new", b""),
        lambda: store.set_partial("value", 0, b"x"),
        lambda: store.remove("value"),
        lambda: store.rename("value", "new"),
    ):
        with pytest.raises(DeviceError, match="read-only"):
            change()
    assert store.get("value") == b"inside"
    store.close()
    store.close()
    with pytest.raises(DeviceClosed):
        store.get("value")


def test_the_root_must_be_a_directory(tmp_path: Path) -> None:
    """Opening says what is wrong with the path."""
    with pytest.raises(NotFound, match="no directory"):
        DirectoryStore(tmp_path / "missing")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DirectoryExpected, match="not a directory"):
        DirectoryStore(tmp_path / "file")


def test_digest_is_kept_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A settled file is read once; a change of any kind is noticed."""
    path = tmp_path / "value"
    path.write_bytes(b"one")
    reckoned: list[int] = []

    def counting(chunks: Iterator[bytes]) -> str:
        reckoned.append(1)
        return value_digest(chunks)

    monkeypatch.setattr("mirage.kv.directory.value_digest", counting)
    with DirectoryStore(tmp_path) as store:
        store.digest("value")
        store.digest("value")
        assert len(reckoned) == 2  # just written: its times could not show another change
        monkeypatch.setattr("mirage.kv.directory._SETTLED_NS", -1)
        assert store.digest("value") == store.digest("value") == value_digest(b"one")
        assert len(reckoned) == 3
        before = path.stat()
        store.set_partial("value", 0, b"two")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as rsync does
        assert store.digest("value") == value_digest(b"two")


def test_open_is_the_file(tmp_path: Path) -> None:
    """An open value has a descriptor for sendfile and stays what it was when the key is set again."""
    with DirectoryStore(tmp_path) as store:
        store.set("value", b"old")
        with store.open("value") as file:
            store.set("value", b"new")
            assert os.fstat(file.fileno()).st_size == 3
            assert file.read() == b"old"
        with pytest.raises(ValueExpected):
            store.open("")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
def test_no_descriptor_is_left(store: DirectoryStore) -> None:
    """Whatever is asked for and however it fails, every descriptor but the root's is closed again."""

    def everything() -> None:
        for key in (
            "value",
            "dir",
            "a/b/c",
            "value/x",
            "dir/x/y",
            "outdir/secret",
            "loop/x",
            "pipe",
            "x" * 300,
            "..",
            "",
        ):
            for ask in (store.get, store.info, store.list, store.digest):
                with contextlib.suppress(DeviceError):
                    ask(key)
            for change in (
                lambda key=key: store.set(key + "/new" if key else key, b"x"),
                lambda key=key: store.set_partial(key, 99, b"x"),
                lambda key=key: store.rename(key, "dir/up/moved"),
                lambda key=key: store.rename("missing", key),
            ):
                with contextlib.suppress(DeviceError):
                    change()

    before = len(os.listdir("/proc/self/fd"))
    everything()
    assert len(os.listdir("/proc/self/fd")) == before


def test_set_is_atomic_to_readers(tmp_path: Path) -> None:
    """While one thread sets a value, another reads the old or the new one, never a mixture or nothing."""
    values = (b"a" * 100_000, b"b" * 50_000)
    with DirectoryStore(tmp_path) as store, DirectoryStore(tmp_path) as reader:
        store.set("value", values[0])
        done = threading.Event()

        def write() -> None:
            for turn in range(100):
                store.set("value", values[turn % 2])
            done.set()

        thread = threading.Thread(target=write)
        thread.start()
        while not done.is_set():
            assert reader.get("value") in values
        thread.join()
        assert os.listdir(tmp_path) == ["value"]  # no temporary file is left
