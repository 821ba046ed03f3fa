"""`MemoryStore` keeps the contract."""

from collections.abc import Mapping

from mirage.kv import MemoryStore
from mirage.types.testing import KeyValueRWContract, VirtualClock


class TestMemoryStore(KeyValueRWContract):
    def make_store(self, values: Mapping[str, bytes]) -> MemoryStore:
        return MemoryStore(values)


def test_times_come_from_the_clock() -> None:
    """Values bear the time of their last change where the store has a clock, and none where it has not."""
    clock = VirtualClock(wall_ns=1_000_000_000)
    store = MemoryStore({"a": b"1"}, clock=clock)
    clock.advance(2)
    store.set("b", b"2")
    assert (store.info("a").modified, store.info("b").modified) == (1.0, 3.0)
    assert MemoryStore({"a": b"1"}).info("a").modified is None
