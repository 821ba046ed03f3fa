"""`OverlayStore` keeps the contract wherever its values lie, and never writes to what is below."""

from collections.abc import Mapping

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from mirage.kv import MemoryStore, OverlayStore
from mirage.types import InvalidKey, KeyValueError, Kind, NotFound, walk
from mirage.types.testing import SAMPLE_TREE, KeyValueRWContract


class TestAllAbove(KeyValueRWContract):
    def make_store(self, values: Mapping[str, bytes]) -> OverlayStore:
        return OverlayStore(MemoryStore(values), MemoryStore())


class TestAllBelow(KeyValueRWContract):
    def make_store(self, values: Mapping[str, bytes]) -> OverlayStore:
        return OverlayStore(MemoryStore(), MemoryStore(values))


class TestSpread(KeyValueRWContract):
    """Values in turn in three stores, with older ones of the same name below."""

    def make_store(self, values: Mapping[str, bytes]) -> OverlayStore:
        layers = [MemoryStore(), MemoryStore(), MemoryStore()]
        for number, (key, value) in enumerate(values.items()):
            layers[number % 3].set(key, value)
            for layer in layers[number % 3 + 1 :]:
                layer.set(key, b"older " + value)
        return OverlayStore(*layers)


def test_whiteouts_last() -> None:
    """A new overlay over the same stores sees the same tree; the lower store is as it was."""
    upper, lower = MemoryStore(), MemoryStore(SAMPLE_TREE)
    store = OverlayStore(upper, lower)
    store.remove("blog/2014")
    store.remove("index.html")
    store.set("index.html", b"new")
    again = OverlayStore(upper, lower)
    assert list(walk(again)) == list(walk(store))
    assert again.get("index.html") == b"new"
    assert again.list("blog") == [("feed.xml", Kind.VALUE)]
    with pytest.raises(NotFound):
        again.get("blog/2014/welcome.md")
    assert {key: lower.get(key) for key in walk(lower)} == SAMPLE_TREE


def test_a_directory_made_again_starts_empty() -> None:
    """What was removed with a directory does not come back when a value is put there."""
    store = OverlayStore(MemoryStore(), MemoryStore({"d/old": b"", "d/e/old": b""}))
    store.remove("d")
    store.set("d/new", b"")
    assert store.list("d") == [("new", Kind.VALUE)]


def test_whiteouts_are_reserved() -> None:
    """Names of whiteouts are neither seen nor made."""
    store = OverlayStore(MemoryStore(), MemoryStore({"a": b"", ".wh.b": b""}))
    store.remove("a")
    assert store.list() == []
    for key in (".wh.a", ".wh.b"):
        with pytest.raises(NotFound):
            store.get(key)
        with pytest.raises(InvalidKey, match="reserved"):
            store.set(key, b"")


KEYS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)


class OverlayIsAStore(RuleBasedStateMachine):
    """After any history, an overlay is what a plain store would be, errors included."""

    @initialize(lower=st.lists(KEYS), lowest=st.lists(KEYS))
    def begin(self, lower: list[str], lowest: list[str]) -> None:
        """Start with values in the lower stores; the model holds their union."""
        layers = [MemoryStore(), MemoryStore()]
        self.model = MemoryStore()
        for layer, keys, name in ((layers[0], lower, b"lower "), (layers[1], lowest, b"lowest ")):
            for key in keys:
                if not _refused(self.model, key):
                    if _missing(self.model, key):
                        self.model.set(key, name + key.encode())
                    layer.set(key, name + key.encode())
        self.overlay = OverlayStore(MemoryStore(), *layers)

    @rule(key=KEYS, value=st.binary(max_size=3))
    def set(self, key: str, value: bytes) -> None:
        """Both accept or refuse a value alike."""
        self.same(lambda store: store.set(key, value))

    @rule(key=KEYS)
    def remove(self, key: str) -> None:
        """Both accept or refuse a removal alike."""
        self.same(lambda store: store.remove(key))

    @rule(source=KEYS, dest=KEYS)
    def rename(self, source: str, dest: str) -> None:
        """Both accept or refuse a move alike."""
        self.same(lambda store: store.rename(source, dest))

    def same(self, act) -> None:  # type: ignore[no-untyped-def]
        outcomes = []
        for store in (self.model, self.overlay):
            try:
                act(store)
                outcomes.append(None)
            except KeyValueError as error:
                outcomes.append(type(error))
        assert outcomes[0] == outcomes[1]

    @invariant()
    def equal(self) -> None:
        """The trees are the same, directories included."""
        if hasattr(self, "overlay"):
            assert _tree(self.overlay) == _tree(self.model)


def _tree(store, key: str = "") -> dict:  # type: ignore[no-untyped-def,type-arg]
    return {
        name: store.get(f"{key}/{name}".lstrip("/"))
        if kind is Kind.VALUE
        else _tree(store, f"{key}/{name}".lstrip("/"))
        for name, kind in store.list(key)
    }


def _missing(store: MemoryStore, key: str) -> bool:
    try:
        store.info(key)
    except KeyValueError:
        return True
    return False


def _refused(store: MemoryStore, key: str) -> bool:
    """Whether a value at `key` would be in the way of what is there."""
    try:
        return store.info(key).kind is Kind.DIRECTORY
    except NotFound:
        return False
    except KeyValueError:
        return True


TestOverlayIsAStore = pytest.mark.slow(OverlayIsAStore.TestCase)
TestOverlayIsAStore.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
