"""Router advertisements: what is built is read again, and any octets are read or refused."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip.errors import WireError
from mirage.tcpip.wire import router

sixteen, life, length = st.binary(min_size=16, max_size=16), st.integers(0, 2**32 - 1), st.integers(0, 128)
label = st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=63)


def masked(prefix: bytes, bits: int) -> bytes:
    return (int.from_bytes(prefix, "big") >> (128 - bits) << (128 - bits)).to_bytes(16, "big")


prefixes = st.builds(
    lambda p, n, *rest: router.Prefix(masked(p, n), n, *rest), sixteen, length, life, life, st.booleans(), st.booleans()
)
routes = st.builds(
    lambda p, n, *rest: router.RouteInfo(masked(p, n), n, *rest), sixteen, length, st.integers(-1, 1), life
)
advertisements = st.builds(
    router.Advertisement,
    st.integers(0, 255),
    st.booleans(),
    st.booleans(),
    st.integers(-1, 1),
    st.integers(0, 65535),
    life,
    life,
    st.binary(min_size=6, max_size=6) | st.just(b""),
    st.integers(0, 65535),
    st.lists(prefixes, max_size=3).map(tuple),
    st.lists(routes, max_size=3).map(tuple),
    st.lists(st.tuples(sixteen, life), max_size=3).map(tuple),
    st.lists(st.tuples(st.lists(label, min_size=1, max_size=3).map(".".join), life), max_size=3).map(tuple),
)


@given(advertisements)
def test_an_advertisement_comes_back(said: router.Advertisement) -> None:
    assert router.parse(memoryview(b"\x86\0\0\0" + router.build(said))) == said


@given(st.binary(max_size=200), st.sampled_from([3, 5, 24, 25, 31, 200]), st.integers(0, 9))
def test_any_octets_are_read_or_refused(data: bytes, kind: int, units: int) -> None:
    with contextlib.suppress(WireError):
        said = router.parse(memoryview(bytes(16) + bytes([kind, units]) + data))
        assert all(len(p.prefix) == 16 and p.length <= 128 for p in (*said.prefixes, *said.routes))
        assert all(len(address) == 16 for address, _ in said.dns)
