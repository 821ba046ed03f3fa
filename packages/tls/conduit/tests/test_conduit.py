"""Both implementations, against each other, in both roles, over loopback."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mirage.conduit import (
    ClientTls,
    ConfigurationError,
    ImplementationUnavailable,
    Info,
    Listener,
    PeerRefused,
    ServerTls,
    Tls,
    TlsFailure,
    TlsTimeout,
    Truncated,
    connect,
    implementation,
    listen,
)
from mirage.conduit.testing import Authority

IMPLEMENTATIONS = ("native", "openssl")
PAIRS = list(itertools.product(IMPLEMENTATIONS, IMPLEMENTATIONS))
each_pair = pytest.mark.parametrize(("ours", "theirs"), PAIRS)
each = pytest.mark.parametrize("ours", IMPLEMENTATIONS)


class Echo(asyncio.Protocol):
    """Sends back what comes, and remembers its connections."""

    made: list[Echo]

    def __init__(self) -> None:
        self.lost: Exception | str | None = "not yet"
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.made.append(self)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc


class Silent(Echo):
    """Says nothing."""

    def data_received(self, data: bytes) -> None:
        pass


@contextlib.asynccontextmanager
async def serving(side: ServerTls, protocol: type[Echo] = Echo, **more: Any) -> AsyncIterator[tuple[Tls, Listener]]:
    """A listener on loopback, with a fresh list of connections."""
    protocol.made = []
    async with await listen(Tls("127.0.0.1", 0), protocol, tls=side, **more) as listener:
        yield Tls("127.0.0.1", listener.sockets[0].getsockname()[1]), listener
        for one in protocol.made:
            one.transport.abort()


async def streams(where: Tls, side: ClientTls, name: str = "site.test") -> tuple[Any, Any]:
    """A reader and a writer over a connection."""
    reader = asyncio.StreamReader()
    transport, protocol = await connect(where, lambda: asyncio.StreamReaderProtocol(reader), tls=side, name=name)
    return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())


async def first_octet(where: Tls, side: ClientTls) -> bytes:
    """What a server says unasked."""
    reader, writer = await streams(where, side)
    try:
        return bytes(await reader.readexactly(1))
    finally:
        writer.close()


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Within a time that is there to end a test that hangs."""

    async def whole() -> None:
        async with asyncio.timeout(30):
            await main()

    asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    """Give the loop turns until it holds."""
    while not condition():
        await asyncio.sleep(0.001)


@each_pair
@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_octets_go_both_ways(authority: Authority, ours: str, theirs: str, version: str) -> None:
    """What is agreed on is known on both sides, and a close reaches the other end as the end of the data."""
    server = ServerTls(
        identity=authority.identity("site.test"), alpn=("h2", "http/1.1"), implementation=theirs, versions=(version,)
    )
    client = ClientTls(authenticator=authority.authenticator, alpn=("http/1.1",), implementation=ours)

    async def main() -> None:
        async with serving(server) as (where, _):
            reader, writer = await streams(where, client)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            mine: Info = writer.get_extra_info("tls")
            other: Info = Echo.made[0].transport.get_extra_info("tls")
            assert (mine.implementation, other.implementation) == (ours, theirs)
            assert mine.version == other.version == version
            assert mine.suite == other.suite
            assert mine.suite.startswith("TLS_")
            assert mine.alpn == other.alpn == "http/1.1"
            assert mine.server_name == other.server_name == "site.test"
            assert [c.der for c in mine.peer_chain] == list(server.identity.chain)
            assert other.peer_chain == ()
            writer.close()
            await writer.wait_closed()
            await until(lambda: Echo.made[0].lost != "not yet")
            assert Echo.made[0].lost is None

    run(main)


@each_pair
@pytest.mark.slow
def test_a_slow_reader_holds_the_sender_back(authority: Authority, ours: str, theirs: str) -> None:
    """32 mebioctets go round; what waits in the sender's buffer stays bounded; every octet is right."""
    server = ServerTls(identity=authority.identity("site.test"), implementation=theirs)
    client = ClientTls(authenticator=authority.authenticator, implementation=ours)
    piece = bytes(range(256)) * 256

    async def main() -> None:
        async with serving(server) as (where, _):
            reader, writer = await streams(where, client)
            most = 0

            async def send() -> None:
                nonlocal most
                for _ in range(512):
                    writer.write(piece)
                    most = max(most, writer.transport.get_write_buffer_size(), *sizes())
                    await writer.drain()

            def sizes() -> list[int]:
                return [one.transport.get_write_buffer_size() for one in Echo.made]

            sending = asyncio.create_task(send())
            await until(lambda: bool(Echo.made) and not Echo.made[0].transport.is_reading())  # nobody has read yet
            assert not sending.done()
            for _ in range(512):
                assert await reader.readexactly(len(piece)) == piece
            await sending
            assert most < 1 << 20
            writer.close()
            await writer.wait_closed()

    run(main)


@each_pair
def test_clients_show_who_they_are(authority: Authority, stranger: Authority, ours: str, theirs: str) -> None:
    """The same authenticator judges clients: a good one is known by its chain, a strange one and none are refused."""
    server = ServerTls(
        identity=authority.identity("site.test"), authenticator=authority.authenticator, implementation=theirs
    )

    async def main() -> None:
        async with serving(server) as (where, _):
            good = authority.identity("client.test", client=True)
            side = ClientTls(authenticator=authority.authenticator, identity=good, implementation=ours)
            reader, writer = await streams(where, side)
            writer.write(b"me")
            assert await reader.readexactly(2) == b"me"
            assert Echo.made[0].transport.get_extra_info("tls").peer_chain[0].der == good.chain[0]
            writer.close()
            await writer.wait_closed()
            for bad in (stranger.identity("client.test", client=True), None):
                side = ClientTls(authenticator=authority.authenticator, identity=bad, implementation=ours)
                with pytest.raises(OSError):  # noqa: PT011 - in 1.3 the client is done before the server has judged it
                    await first_octet(where, side)
            assert len(Echo.made) == 1

    run(main)


@each
@pytest.mark.parametrize(
    ("name", "who", "reason"),
    [("other.test", "authority", "bad-name"), ("site.test", "stranger", "unknown-issuer")],
)
def test_a_server_that_is_not_who_it_should_be(
    request: pytest.FixtureRequest, authority: Authority, ours: str, name: str, who: str, reason: str
) -> None:
    """`connect` raises with the authenticator's word; the application hears nothing on either side of the client."""
    server = ServerTls(identity=request.getfixturevalue(who).identity("site.test"), implementation="openssl")
    client = ClientTls(authenticator=authority.authenticator, implementation=ours)

    async def main() -> None:
        async with serving(server) as (where, _):
            heard: list[str] = []

            class Never(asyncio.Protocol):
                def connection_made(self, transport: asyncio.BaseTransport) -> None:
                    heard.append("made")

            with pytest.raises(PeerRefused) as raised:
                await connect(where, Never, tls=client, name=name)
            assert raised.value.reason == reason
            assert heard == []

    run(main)


@each
def test_expired_certificates_are_refused_by_the_given_time(authority: Authority, ours: str) -> None:
    """The clock is an argument: in a year today's certificate is of no use."""
    import time

    server = ServerTls(identity=authority.identity("site.test"), implementation="openssl")
    client = ClientTls(
        authenticator=authority.authenticator, implementation=ours, wall_clock=lambda: time.time() + 366 * 86400
    )

    async def main() -> None:
        async with serving(server) as (where, _):
            with pytest.raises(PeerRefused) as raised:
                await streams(where, client)
            assert raised.value.reason == "expired"

    run(main)


@each
def test_what_is_no_tls_ends_the_handshake(authority: Authority, ours: str) -> None:
    """A client that speaks HTTP, one that says nothing, one that leaves: none is heard of, and none stays."""
    server = ServerTls(identity=authority.identity("site.test"), implementation=ours, handshake_timeout=0.1)

    async def main() -> None:
        async with serving(server) as (where, listener):
            reader, writer = await asyncio.open_connection(where.host, where.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n")
            assert (await reader.read())[:1] in (b"\x15", b"")  # an alert, at most
            writer.close()
            reader, writer = await asyncio.open_connection(where.host, where.port)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            _, writer = await asyncio.open_connection(where.host, where.port)
            writer.write(b"\x16\x03\x01")
            writer.close()
            await until(lambda: listener.pending == 0)
            assert Echo.made == []

    run(main)


@each
def test_handshakes_at_once_are_bounded(authority: Authority, ours: str) -> None:
    """Those beyond the limit are closed, and when others are done there is room again."""
    server = ServerTls(identity=authority.identity("site.test"), implementation=ours)
    client = ClientTls(authenticator=authority.authenticator, implementation=ours)

    async def main() -> None:
        async with serving(server, max_handshakes=3) as (where, listener):
            idle = [await asyncio.open_connection(where.host, where.port) for _ in range(3)]
            await until(lambda: listener.pending == 3)
            with pytest.raises(OSError):  # noqa: PT011 - closed or reset, as the kernel has it
                await streams(where, client)
            idle[0][1].close()
            await until(lambda: listener.pending == 2)
            reader, writer = await streams(where, client)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            for _, other in [*idle, (reader, writer)]:
                other.close()

    run(main)


@each
def test_a_client_waits_no_longer_than_it_should(authority: Authority, ours: str) -> None:
    """A server that accepts and says nothing is `TlsTimeout`, which is a `TimeoutError`."""
    client = ClientTls(authenticator=authority.authenticator, implementation=ours, handshake_timeout=0.05)

    async def main() -> None:
        Silent.made = []
        async with await listen("tcp://127.0.0.1:0", Silent) as listener:
            where = Tls("127.0.0.1", listener.sockets[0].getsockname()[1])
            with pytest.raises(TimeoutError) as raised:
                await streams(where, client)
            assert isinstance(raised.value, TlsTimeout)
            await until(lambda: Silent.made[0].lost != "not yet")

    run(main)


@each_pair
def test_a_cut_connection_is_no_end(authority: Authority, ours: str, theirs: str) -> None:
    """Whoever closes the transport below cuts the data off: the reader gets `Truncated`, after what had come."""
    server = ServerTls(identity=authority.identity("site.test"), implementation=theirs)
    client = ClientTls(authenticator=authority.authenticator, implementation=ours)

    async def main() -> None:
        async with serving(server) as (where, _):
            reader, writer = await streams(where, client)
            writer.write(b"half")
            assert await reader.readexactly(4) == b"half"
            Echo.made[0].transport._below.close()
            with pytest.raises(Truncated):
                await reader.read()
            writer.close()

    run(main)


@each
def test_another_certificate_is_for_new_connections(authority: Authority, ours: str) -> None:
    """`with_identity`: connections that are there stay, and the next client sees the new certificate."""
    first, second = authority.identity("site.test"), authority.identity("site.test")
    client = ClientTls(authenticator=authority.authenticator, implementation=ours)

    async def main() -> None:
        async with serving(ServerTls(identity=first, implementation=ours)) as (where, listener):
            reader, writer = await streams(where, client)
            assert listener.tls is not None
            listener.tls = listener.tls.with_identity(second)
            other_reader, other = await streams(where, client)
            for r, w, identity in ((reader, writer, first), (other_reader, other, second)):
                w.write(b"x")
                assert await r.readexactly(1) == b"x"
                assert w.get_extra_info("tls").peer_chain[0].der == identity.chain[0]
                w.close()
                await w.wait_closed()

    run(main)


def test_plain_endpoints(tmp_path: Path) -> None:
    """TCP and Unix sockets by the same calls; TLS is neither forgotten nor added by accident."""

    async def main() -> None:
        Echo.made = []
        async with await listen("tcp://127.0.0.1:0", Echo) as listener, await listen(f"unix://{tmp_path}/s", Echo):
            port = listener.sockets[0].getsockname()[1]
            for endpoint in (f"tcp://127.0.0.1:{port}", f"unix://{tmp_path}/s"):
                reader = asyncio.StreamReader()
                transport, _ = await connect(endpoint, lambda reader=reader: asyncio.StreamReaderProtocol(reader))
                transport.write(b"plain")
                assert await reader.readexactly(5) == b"plain"
                transport.close()
            with pytest.raises(ConfigurationError, match="certificate"):
                await listen("tls://127.0.0.1:0", Echo)
            with pytest.raises(ConfigurationError, match="would not use it"):
                await connect("tcp://127.0.0.1:1", Echo, tls=ClientTls(implementation="openssl"))
        for one in Echo.made:
            one.transport.abort()

    run(main)


def test_the_choice_of_an_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said explicitly goes over the environment; a name that does not exist is an error either way."""
    assert implementation("openssl", {"CONDUIT_TLS": "native"}) == "openssl"
    assert implementation(None, {"CONDUIT_TLS": "openssl"}) == "openssl"
    assert implementation(None, {}) == implementation(None, {"CONDUIT_TLS": ""}) == "native"
    with pytest.raises(ConfigurationError, match="implementation is 'gnutls'"):
        implementation("gnutls", {})
    monkeypatch.setenv("CONDUIT_TLS", "libressl")
    with pytest.raises(ConfigurationError, match="CONDUIT_TLS is 'libressl'"):
        ClientTls()


@each
def test_an_implementation_that_is_absent_is_an_error(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, ours: str
) -> None:
    """It says how to install it, and the other one does not take its place."""
    import sys

    monkeypatch.setitem(sys.modules, f"mirage.conduit.{ours}", None)
    with pytest.raises(ImplementationUnavailable, match=r"pip install 'mirage-conduit\[native\]'|built with OpenSSL"):
        ClientTls(authenticator=authority.authenticator, implementation=ours)


def test_openssl_judges_clients_by_chains_only(authority: Authority) -> None:
    """What `ssl` cannot do soundly is refused when the side is made, not when the first client comes."""

    def fingerprint(chain: Any, *, name: Any, role: Any, now: float, ocsp: bytes | None) -> object:
        return None

    with pytest.raises(ConfigurationError, match="native"):
        ServerTls(identity=authority.identity("site.test"), authenticator=fingerprint, implementation="openssl")


def test_failures_are_errors_of_the_system_too() -> None:
    """Whoever handles lost connections handles these."""
    for error in (TlsFailure("x"), PeerRefused("x"), Truncated("x"), TlsTimeout("x")):
        assert isinstance(error, ConnectionError)
    assert isinstance(TlsTimeout("x"), TimeoutError)
