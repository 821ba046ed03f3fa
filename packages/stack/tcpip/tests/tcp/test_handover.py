"""A connection goes from one stack to another in the middle of things, and neither end's application notices."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.tcpip.errors import WireError
from mirage.tcpip.settings import Settings
from mirage.tcpip.tcp.connection import Connection
from mirage.tcpip.tcp.handover import ConnectionState, adopt, export
from mirage.tcpip.tcp.state import State
from mirage.types import Offload
from pair import Host, Pair


def move(pair: Pair, server: Connection, later: float = 0.0) -> Connection:
    """Hand the right end over to a new host in its place, which takes it on after a while."""
    text = export(server, pair.now).to_json()
    server.vanish()
    pair.right = Host(pair.right.ip.address, 99, Settings(), Offload.NONE, 1500)
    pair.right.frame = lambda *_: None  # type: ignore[method-assign]  # nobody is there meanwhile
    pair.wait(later)
    del pair.right.frame  # type: ignore[method-assign]
    return adopt(pair.right.tcp, ConnectionState.from_json(text), pair.now)


@pytest.mark.parametrize("later", [0.0, 0.5])
def test_both_directions_go_on(later: float) -> None:
    """Data under way in both directions when the stack changes, with and without a pause, arrives once."""
    pair = Pair(delay=0.02)
    client, server = pair.connect()
    there, back = pair.random.randbytes(400_000), pair.random.randbytes(300_000)
    client.write(there)
    server.write(back)
    pair.wait(0.09)
    got = bytearray(server.read(1000))
    server = move(pair, server, later)
    came = bytearray()

    def done() -> bool:
        got.extend(server.read())
        came.extend(client.read())
        return len(got) >= len(there) and len(came) >= len(back)

    pair.run(done)
    assert bytes(got) == there
    assert bytes(came) == back
    client.close()
    server.close()
    pair.wait(100)
    assert pair.left.tcp.connections == pair.right.tcp.connections == {}


def test_a_half_open_connection_is_completed_by_the_other_stack() -> None:
    """Between SYN,ACK and ACK: what a proxy does for a host that is still starting."""
    pair = Pair(delay=0.02)
    pair.right.tcp.listen(4, None, 80, 8)
    client = pair.start()
    pair.run(lambda: bool(pair.right.tcp.half_open))
    pair.step(pair.now)
    (half,) = pair.right.tcp.all()
    server = move(pair, half)
    pair.run(lambda: client.state is server.state is State.ESTABLISHED)
    data = pair.random.randbytes(100_000)
    assert pair.transfer(client, server, data) == data
    assert pair.transfer(server, client, data) == data


@given(
    st.sampled_from([field.name for field in dataclasses.fields(ConnectionState)]),
    st.one_of(st.none(), st.integers(), st.text(), st.floats(), st.lists(st.integers()), st.booleans()),
)
def test_a_state_from_elsewhere_is_taken_or_refused(name: str, value: object) -> None:
    """Whatever stands in a field, nothing but `WireError` is raised, and what is taken can be gone on with."""
    pair = Pair()
    _, server = pair.connect()
    told = json.loads(export(server, pair.now).to_json()) | {name: value}
    server.vanish()
    try:
        state = ConnectionState.from_json(json.dumps(told))
    except WireError:
        return
    if state.remote == pair.left.ip.address:
        adopt(pair.right.tcp, state, pair.now)
        pair.wait(1)


def test_timestamps_go_on() -> None:
    """RFC 7323 5.3: were the clock to start anew, the peer would drop everything as old."""
    pair = Pair()
    client, server = pair.connect()
    pair.wait(50)
    server = move(pair, server)
    assert pair.transfer(server, client, b"still me") == b"still me"
    assert pair.left.counters["tcp.paws"] == 0


def test_a_half_closed_connection_goes_on() -> None:
    """The peer has closed; this side has not."""
    pair = Pair()
    client, server = pair.connect()
    client.shutdown()
    pair.run(lambda: server.eof)
    server = move(pair, server)
    assert server.eof
    data = bytes(100_000)
    assert pair.transfer(server, client, data) == data
    server.close()
    pair.run(lambda: client.eof)


def good() -> ConnectionState:
    """The state of an idle connection."""
    pair = Pair()
    _, server = pair.connect()
    return export(server, pair.now)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("state", "LISTEN", "state"),
        ("local", b"123", "versions"),
        ("send_next", 1 << 32, "range"),
        ("local_port", 0, "range"),
        ("send_scale", 15, "scale"),
        ("send_next", 5, "lacks"),
    ],
)
def test_what_cannot_be_is_refused(field: str, value: object, message: str) -> None:
    """A state that contradicts itself says how."""
    with pytest.raises(WireError, match=message):
        dataclasses.replace(good(), **{field: value}).check()  # type: ignore[arg-type]


@given(st.text(max_size=200) | st.dictionaries(st.text(), st.integers()).map(str))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Only the declared error comes of nonsense."""
    with pytest.raises(WireError):
        ConnectionState.from_json(text)
