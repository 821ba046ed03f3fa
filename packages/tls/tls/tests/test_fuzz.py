"""Whatever arrives: declared errors, bounded memory, and never a success that was not earned."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mirage.tls import (
    ApplicationData,
    ClientConfig,
    Connection,
    EarlyData,
    Failure,
    ReplayGuard,
    ServerConfig,
    TicketKeys,
    TicketReceived,
    client,
    server,
)
from mirage.tls.errors import PeerMisbehaved, TlsError
from mirage.tls.testing import accept_anyone, connect, randomness
from mirage.tls.testing.fuzzing import DECODERS, targets
from mirage.tls.tickets import ServerSession
from mirage.types.testing import cost

NOW = 1_750_000_000.0


@pytest.mark.slow
@given(data=st.binary(max_size=200), name=st.sampled_from(sorted(DECODERS)))
@settings(max_examples=1000)
def test_decoders(data: bytes, name: str) -> None:
    """Every decoder gives a value or its declared error."""
    with contextlib.suppress(PeerMisbehaved):
        DECODERS[name](data)


HANDSHAKES = [name for name in targets() if name not in DECODERS]


@pytest.mark.parametrize("name", HANDSHAKES)
def test_good_octets(name: str) -> None:
    """What the corpora begin with is right."""
    good, use = targets()[name]
    assert good
    use(good)


@pytest.mark.slow
@pytest.mark.parametrize("name", HANDSHAKES)
@given(at=st.floats(0, 1), size=st.integers(0, 5), octets=st.binary(max_size=8))
@settings(max_examples=60, deadline=None)
def test_damaged_flights_and_messages(name: str, at: float, size: int, octets: bytes) -> None:
    """A piece of a flight is replaced, on the wire or by a peer that has the keys."""
    good, use = targets()[name]
    place = int(at * len(good))
    with contextlib.suppress(TlsError):
        use(good[:place] + octets + good[place + size :])


@given(data=st.binary(max_size=200))
def test_what_is_in_a_ticket(data: bytes) -> None:
    """A ticket of another version of this software, sealed with our key."""
    with contextlib.suppress(PeerMisbehaved, ValueError):
        ServerSession.decode(data)


@pytest.mark.slow
@given(
    secret=st.binary(min_size=32, max_size=48),
    name=st.from_regex(r"[a-z0-9.-]{0,40}", fullmatch=True),
    peer=st.lists(st.binary(min_size=1, max_size=50), max_size=3),
)
def test_tickets_hold_their_sessions(secret: bytes, name: str, peer: list[bytes]) -> None:
    """What was sealed comes out, in its period and the next, and not after."""
    keys = TicketKeys(bytes(32), period=100)
    session = ServerSession(0x0304, 0x1301, secret, 12.5, 7, name, "h2", 9, tuple(peer), False, b"scope")
    ticket = keys.seal(session, 150.0, randomness("t"))
    assert keys.open(ticket, 199.0) == keys.open(ticket, 299.0) == session
    assert keys.open(ticket, 300.0) is None
    assert keys.open(ticket, 99.0) is None


Configs = tuple[ClientConfig, ServerConfig, Any]


@pytest.fixture(scope="module")
def configs(pki: Any) -> dict[str, Configs]:
    """Handshakes of each kind: with client certificates, with a retry, resumed with early data, and of TLS 1.2."""
    identity = pki.identity()
    ours = ClientConfig(authenticator=accept_anyone, identities=(identity,), groups=("x25519", "secp256r1"))
    asking = ServerConfig(identities=(identity,), authenticator=accept_anyone, client_certificates="ask")
    early = ServerConfig(
        identities=(identity,), tickets=TicketKeys(bytes(32)), early_data=100, replay_guard=ReplayGuard()
    )
    session = next(event.session for event in connect(ours, early)[2] if isinstance(event, TicketReceived))
    older = ClientConfig(authenticator=accept_anyone, identities=(identity,), versions=("TLSv1.2",))
    resuming = ServerConfig(identities=(identity,), tickets=TicketKeys(bytes(32)))
    old_session = next(event.session for event in connect(older, resuming)[2] if isinstance(event, TicketReceived))
    retrying = ServerConfig(identities=(identity,), groups=("secp256r1",))
    return {
        "asking": (ours, asking, None),
        "retrying": (ours, retrying, None),
        "early": (ours, early, session),
        "1.2": (older, asking, None),
        "1.2 resumed": (older, resuming, old_session),
    }


KINDS = ["asking", "retrying", "early", "1.2", "1.2 resumed"]


def play(pair: Configs, hurt: Callable[[int, bytes], bytes], pieces: int = 0) -> tuple[Connection, Connection]:
    """A handshake, one datum each way, and an end, where each flight goes through `hurt`; failures end it."""
    ours = client(pair[0], "example.org", NOW, randomness("c"), pair[2])
    theirs = server(pair[1], NOW, randomness("s"))
    if pair[2] is not None and pair[2].early_data:
        ours.send_early(b"early")
    sides, data, turn = (theirs, ours), ours.handle(b"", NOW).output, 0
    try:
        for _ in range(12):
            octets = hurt(turn, bytes(data))
            side = sides[turn % 2]
            if pieces:
                data = b"".join(
                    side.handle(octets[at : at + pieces], NOW).output for at in range(0, len(octets), pieces)
                )
            else:
                data = side.handle(octets, NOW).output
            if ours.done and theirs.done and not data and not ours.closed:
                data, turn = bytes(ours.send(b"ping")) + bytes(ours.close()), 1
            turn += 1
            if not data:
                break
    except Failure:
        assert ours.failure or theirs.failure
    return ours, theirs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pieces", [1, 2, 7, 1000])
def test_any_pieces(configs: dict[str, Configs], kind: str, pieces: int) -> None:
    """Octets come in any pieces."""
    ours, theirs = play(configs[kind], lambda turn, data: data, pieces)
    assert ours.done
    assert theirs.done
    assert theirs.peer_closed


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(
    turn=st.integers(0, 5),
    place=st.floats(0, 1, exclude_max=True),
    how=st.sampled_from(["flip", "cut", "drop", "double", "swap", "insert", "zero"]),
    octets=st.binary(min_size=1, max_size=20),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hurt_flights(configs: dict[str, Configs], kind: str, turn: int, place: float, how: str, octets: bytes) -> None:
    """One flight is changed somewhere: a declared failure or a wait, and data only as it was sent."""

    def records(data: bytes) -> list[bytes]:
        found = []
        while data:
            size = 5 + int.from_bytes(data[3:5], "big")
            found.append(data[:size])
            data = data[size:]
        return found

    def hurt(now: int, data: bytes) -> bytes:
        if now != turn or not data:
            return data
        at = int(place * len(data))
        if how in ("drop", "double", "swap"):
            parts = records(data)
            at = int(place * len(parts))
            if how == "drop":
                del parts[at]
            elif how == "double":
                parts.insert(at, parts[at])
            else:
                parts[at], parts[-1] = parts[-1], parts[at]
            return b"".join(parts)
        if how == "flip":
            return data[:at] + bytes((data[at] ^ (octets[0] or 1),)) + data[at + 1 :]
        if how == "cut":
            return data[:at]
        if how == "insert":
            return data[:at] + octets + data[at:]
        return data[:at] + bytes(len(octets)) + data[at + len(octets) :]

    seen: list[Any] = []
    original = Connection.handle

    def watched(self: Connection, data: bytes, now: float) -> Any:
        step = original(self, data, now)
        seen.extend(step.events)
        assert len(self._link.reader._buffer) <= 16_384 + 1024 + 5
        assert len(self._handshake) <= self._link.config.max_handshake + 4
        return step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "handle", watched)
        play(configs[kind], hurt)
    for event in seen:
        if isinstance(event, ApplicationData):
            assert event.data == b"ping"
        if isinstance(event, EarlyData):
            assert event.data == b"early"


@pytest.mark.slow
@given(data=st.binary(max_size=300), header=st.sampled_from([b"", b"\x16\x03\x01", b"\x17\x03\x03", b"\x15\x03\x03"]))
def test_noise(configs: dict[str, Configs], data: bytes, header: bytes) -> None:
    """To a server, to a client, and after the handshake."""
    pair = configs["asking"]
    ours = client(pair[0], "example.org", NOW, randomness("c"))
    ours.handle(b"", NOW)
    for connection in (server(pair[1], NOW, randomness("s")), ours):
        octets = header + len(data).to_bytes(2, "big") + data if header else data
        with contextlib.suppress(Failure):
            connection.handle(octets, NOW)
        assert not connection.done


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(targets()))
def test_time_and_memory_are_bounded(name: str) -> None:
    """However a flight, a message or a record is made, it costs so many calls and so much memory at the most."""
    good, use = targets()[name]
    with contextlib.suppress(TlsError):
        use(good)  # what is made on the first call
    long = 1 << 14
    hello_requests, records = bytes(long), b"\x17\x03\x03\x00\x11" * (long // 5)
    extensions = (long - 2).to_bytes(2, "big") + b"".join(n.to_bytes(2, "big") + b"\0\0" for n in range(long // 4))
    for hostile in (hello_requests, records, extensions, b"\xff" * long, b"\x00\x01" * (long // 2)):
        for place in (0, 4, 9, 43, len(good) // 2, len(good)):
            data = good[:place] + hostile + good[place:]
            taken = cost(lambda data=data: use(data))  # type: ignore[misc]
            assert taken.calls < 10 * len(data) + 20_000
            assert taken.octets < 60 * len(data) + 500_000
