"""What every key-value store promises, as test classes that the tests of a store inherit.

A store's test file says how to make one, and pytest collects the rest::

    class TestMyStore(KeyValueRWContract):
        def make_store(self, values: Mapping[str, bytes]) -> KeyValueRW:
            return MyStore(values)

Every check is a plain assertion, so the suites need no test framework of their own.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping

from mirage.types.devices import KeyValueRO, KeyValueRW, Kind
from mirage.types.digests import value_digest
from mirage.types.errors import DirectoryExpected, InvalidKey, MirageError, NotFound, OutOfRange, ValueExpected

__all__ = ["SAMPLE_TREE", "KeyValueROContract", "KeyValueRWContract"]

SAMPLE_TREE: Mapping[str, bytes] = {
    "index.html": b"<h1>hello</h1>",
    "empty": b"",
    "blog/2014/welcome.md": b"# Welcome\n",
    "blog/2014/again.md": b"# Again\n",
    "blog/feed.xml": b"<feed/>",
    "blog-old/a": b"a sibling that sorts between blog and blog/",
    "names/space and %41": b"kept as it is",
    "names/\u00e9t\u00e9 \U0001f42b": b"not ASCII",
    "names/...": b"three dots are a name like any other",
    "names/-": bytes(range(256)) * 300,
}
"""Values that every store is tried with."""

_BAD_KEYS = (
    "/",
    "/index.html",
    "blog/",
    "blog//feed.xml",
    ".",
    "..",
    "../x",
    "blog/../index.html",
    "a\\b",
    "a\0b",
    "\ud800",
)


@contextlib.contextmanager
def _raises(expected: type[MirageError], key: str) -> Iterator[None]:
    caught: MirageError | None = None
    try:
        yield
    except expected as error:
        caught = error
    assert caught is not None, f"{key!r} should raise {expected.__name__}"
    assert str(caught), f"{expected.__name__} for {key!r} came without a message"
    assert getattr(caught, "key", key) == key, f"{expected.__name__} for {key!r} names {caught!r}"


class KeyValueROContract:
    """What `KeyValueRO` promises."""

    @abstractmethod
    def make_store(self, values: Mapping[str, bytes]) -> KeyValueRO:
        """A new store that holds these values and nothing else."""
        raise NotImplementedError

    def test_fits_the_protocol(self) -> None:
        """The store has every method."""
        assert isinstance(self.make_store({}), KeyValueRO)

    def test_get(self) -> None:
        """Every value comes back as it went in."""
        store = self.make_store(SAMPLE_TREE)
        assert {key: store.get(key) for key in SAMPLE_TREE} == SAMPLE_TREE

    def test_get_partial(self) -> None:
        """A part of a value is what slicing gives, also across and past the end."""
        store = self.make_store(SAMPLE_TREE)
        for key, value in SAMPLE_TREE.items():
            size = len(value)
            for offset in {0, 1, size // 2, size - 1 if size else 0, size, size + 1, size + 100_000}:
                for length in (0, 1, 7, size, size + 1, 1 << 20):
                    assert store.get_partial(key, offset, length) == value[offset : offset + length], (
                        key,
                        offset,
                        length,
                    )

    def test_get_partial_out_of_range(self) -> None:
        """A negative offset or length is refused, never counted from the end."""
        store = self.make_store(SAMPLE_TREE)
        for offset, length in ((-1, 1), (0, -1)):
            with _raises(OutOfRange, "index.html"):
                store.get_partial("index.html", offset, length)

    def test_info(self) -> None:
        """Values have their size, directories none."""
        store = self.make_store(SAMPLE_TREE)
        for key, value in SAMPLE_TREE.items():
            info = store.info(key)
            assert (info.kind, info.size) == (Kind.VALUE, len(value)), key
        for key in ("", "blog", "blog/2014"):
            info = store.info(key)
            assert (info.kind, info.size) == (Kind.DIRECTORY, 0), key

    def test_list(self) -> None:
        """A directory lists the segments right below it, sorted by code point."""
        store = self.make_store(SAMPLE_TREE)
        value, directory = Kind.VALUE, Kind.DIRECTORY
        assert list(store.list()) == [
            ("blog", directory),
            ("blog-old", directory),
            ("empty", value),
            ("index.html", value),
            ("names", directory),
        ]
        assert list(store.list("blog")) == [("2014", directory), ("feed.xml", value)]
        assert list(store.list("blog/2014")) == [("again.md", value), ("welcome.md", value)]
        names = sorted(key.removeprefix("names/") for key in SAMPLE_TREE if key.startswith("names/"))
        assert [name for name, _ in store.list("names")] == names

    def test_digest(self) -> None:
        """The digest is the one that every store has for these octets, also when asked twice."""
        store = self.make_store(SAMPLE_TREE)
        for key, value in SAMPLE_TREE.items():
            assert store.digest(key) == store.digest(key) == value_digest(value), key

    def test_missing(self) -> None:
        """What is not there is `NotFound`, whichever way it is asked for."""
        store = self.make_store(SAMPLE_TREE)
        for key in (
            "missing",
            "blog/missing",
            "missing/also",
            "blog/2014/welcome",
            "Index.html",
            "inde",
            "index.html2",
        ):
            for ask in (store.get, store.info, store.list, store.digest, lambda key: store.get_partial(key, 0, 1)):
                with _raises(NotFound, key):
                    ask(key)

    def test_value_expected(self) -> None:
        """A directory is no value; neither is the root."""
        store = self.make_store(SAMPLE_TREE)
        for key in ("", "blog", "blog/2014"):
            for ask in (store.get, store.digest, lambda key: store.get_partial(key, 0, 1)):
                with _raises(ValueExpected, key):
                    ask(key)

    def test_directory_expected(self) -> None:
        """Nothing is below a value, and a value has no listing."""
        store = self.make_store(SAMPLE_TREE)
        with _raises(DirectoryExpected, "index.html"):
            store.list("index.html")
        for key in ("index.html/x", "blog/feed.xml/x/y"):
            for ask in (store.get, store.info, store.list, store.digest, lambda key: store.get_partial(key, 0, 1)):
                with _raises(DirectoryExpected, key):
                    ask(key)

    def test_invalid_keys(self) -> None:
        """Text that is no key is refused before anything is looked up."""
        store = self.make_store(SAMPLE_TREE)
        for key in _BAD_KEYS:
            for ask in (store.get, store.info, store.list, store.digest, lambda key: store.get_partial(key, 0, 1)):
                with _raises(InvalidKey, key):
                    ask(key)

    def test_empty_store(self) -> None:
        """A store without values still has its root."""
        store = self.make_store({})
        assert list(store.list()) == []
        assert store.info("").kind is Kind.DIRECTORY
        with _raises(NotFound, "x"):
            store.get("x")


class KeyValueRWContract(KeyValueROContract):
    """What `KeyValueRW` promises besides."""

    @abstractmethod
    def make_store(self, values: Mapping[str, bytes]) -> KeyValueRW:
        """A new store that holds these values and nothing else."""
        raise NotImplementedError

    def test_fits_the_read_write_protocol(self) -> None:
        """The store has every method."""
        assert isinstance(self.make_store({}), KeyValueRW)

    def test_set(self) -> None:
        """A value is there once it is set, directories and all, and setting it again replaces it."""
        store = self.make_store({})
        store.set("a/b/c", b"one")
        assert store.get("a/b/c") == b"one"
        before = store.digest("a/b/c")
        store.set("a/b/c", memoryview(bytearray(b"two!")))
        assert store.get("a/b/c") == b"two!"
        assert store.digest("a/b/c") == value_digest(b"two!") != before
        assert store.info("a/b/c").size == 4
        assert list(store.list("a")) == [("b", Kind.DIRECTORY)]

    def test_set_copies(self) -> None:
        """The store keeps the octets, not the caller's buffer."""
        store = self.make_store({})
        buffer = bytearray(b"abc")
        store.set("k", buffer)
        buffer[:] = b"xyz"
        assert store.get("k") == b"abc"

    def test_set_refused(self) -> None:
        """A directory is not overwritten by a value, and nothing is put below a value; the store stays as it was."""
        store = self.make_store(SAMPLE_TREE)
        for key in ("", "blog"):
            with _raises(ValueExpected, key):
                store.set(key, b"x")
        with _raises(DirectoryExpected, "index.html/x"):
            store.set("index.html/x", b"x")
        for key in _BAD_KEYS:
            with _raises(InvalidKey, key):
                store.set(key, b"x")
        assert {key: store.get(key) for key in SAMPLE_TREE} == SAMPLE_TREE

    def test_set_partial(self) -> None:
        """Octets are overwritten in place, and appended where they pass the end."""
        store = self.make_store({"k": b"0123456789"})
        store.set_partial("k", 2, b"ab")
        assert store.get("k") == b"01ab456789"
        store.set_partial("k", 8, b"wxyz")
        assert store.get("k") == b"01ab4567wxyz"
        store.set_partial("k", 12, b"!")
        assert store.get("k") == b"01ab4567wxyz!"
        assert store.digest("k") == value_digest(b"01ab4567wxyz!")

    def test_set_partial_refused(self) -> None:
        """No holes, no new values, no directories."""
        store = self.make_store({"d/k": b"0123"})
        for offset in (-1, 5):
            with _raises(OutOfRange, "d/k"):
                store.set_partial("d/k", offset, b"x")
        with _raises(NotFound, "missing"):
            store.set_partial("missing", 0, b"x")
        with _raises(ValueExpected, "d"):
            store.set_partial("d", 0, b"x")
        with _raises(DirectoryExpected, "d/k/x"):
            store.set_partial("d/k/x", 0, b"x")
        assert store.get("d/k") == b"0123"

    def test_remove(self) -> None:
        """A value goes, and its directories with their last value; a directory goes with all below it."""
        store = self.make_store(SAMPLE_TREE)
        store.remove("blog/2014/again.md")
        assert list(store.list("blog/2014")) == [("welcome.md", Kind.VALUE)]
        store.remove("blog/2014/welcome.md")
        with _raises(NotFound, "blog/2014"):
            store.list("blog/2014")
        store.remove("blog")
        with _raises(NotFound, "blog/feed.xml"):
            store.get("blog/feed.xml")
        assert store.get("blog-old/a")
        store.remove("blog-old/a")
        store.remove("names")
        assert list(store.list()) == [("empty", Kind.VALUE), ("index.html", Kind.VALUE)]

    def test_remove_refused(self) -> None:
        """What is not there cannot be removed, and the root never."""
        store = self.make_store(SAMPLE_TREE)
        with _raises(NotFound, "missing"):
            store.remove("missing")
        with _raises(DirectoryExpected, "index.html/x"):
            store.remove("index.html/x")
        for key in ("", *_BAD_KEYS):
            with _raises(InvalidKey, key):
                store.remove(key)
        assert {key: store.get(key) for key in SAMPLE_TREE} == SAMPLE_TREE

    def test_rename_value(self) -> None:
        """A value moves, replacing a value; its old directory goes if it was the last there."""
        store = self.make_store({"a/one": b"1", "two": b"2"})
        store.rename("a/one", "b/c/three")
        assert store.get("b/c/three") == b"1"
        with _raises(NotFound, "a"):
            store.info("a")
        store.rename("b/c/three", "two")
        assert store.get("two") == b"1"
        assert store.digest("two") == value_digest(b"1")
        store.rename("two", "two")
        assert list(store.list()) == [("two", Kind.VALUE)]

    def test_rename_directory(self) -> None:
        """A directory moves with all below it."""
        store = self.make_store({"a/b/one": b"1", "a/b/c/two": b"2", "ab": b"3"})
        store.rename("a/b", "x/y")
        assert (store.get("x/y/one"), store.get("x/y/c/two"), store.get("ab")) == (b"1", b"2", b"3")
        assert list(store.list()) == [("ab", Kind.VALUE), ("x", Kind.DIRECTORY)]

    def test_rename_refused(self) -> None:
        """What would lose values or make no sense is refused, and nothing changes."""
        tree = {"a/one": b"1", "b/two": b"2", "v": b"3"}
        store = self.make_store(tree)
        for source, dest, error, key in (
            ("missing", "x", NotFound, "missing"),
            ("v/x", "x", DirectoryExpected, "v/x"),
            ("", "x", InvalidKey, ""),
            ("v", "", ValueExpected, ""),
            ("v", "a", ValueExpected, "a"),
            ("a", "b", ValueExpected, "b"),
            ("a", "a/b", ValueExpected, "a/b"),
            ("a", "v", DirectoryExpected, "v"),
            ("a", "v/x", DirectoryExpected, "v/x"),
            ("v", "../x", InvalidKey, "../x"),
            ("../x", "v", InvalidKey, "../x"),
        ):
            with _raises(error, key):
                store.rename(source, dest)
        assert {key: store.get(key) for key in tree} == tree
