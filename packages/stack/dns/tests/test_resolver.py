"""The resolver and the servers on an event loop, over loopback: real datagrams and connections, our own peers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from mirage.dns import (
    Authority,
    Forwarder,
    Hosts,
    LocalMisuse,
    NameNotFound,
    NameServer,
    NoData,
    Resolver,
    ServersFailed,
    Settings,
    TimedOut,
    TooManyQueries,
    Zone,
    serve,
)
from mirage.dns.listen import Handler, Limits
from mirage.dns.message import frame, parse_name
from mirage.types.testing import SeededRandom

ZONE = """
$ORIGIN example.org.
$TTL 3600
@     IN SOA ns a 1 3600 600 86400 300
      IN NS ns
ns    IN A 192.0.2.53
web   IN A 192.0.2.80
web   IN AAAA 2001:db8::80
four  IN A 192.0.2.4
text  IN TXT "x"
alias IN CNAME web
""" + "".join(f"big IN A 192.0.3.{i}\n" for i in range(200))
REVERSE = "$ORIGIN 2.0.192.in-addr.arpa.\n@ 60 IN SOA ns a 1 2 3 4 5\n@ 60 IN NS ns\n80 60 IN PTR web.example.org.\n"


def run(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """A coroutine as a test; `test_` names are kept."""

    def started() -> None:
        asyncio.run(asyncio.wait_for(test(), 30))

    started.__name__, started.__doc__ = test.__name__, test.__doc__
    return started


@contextlib.asynccontextmanager
async def serving(handler: Handler, **limits: Any) -> AsyncIterator[NameServer]:
    server = await serve(handler, port=0, limits=Limits(**limits))
    try:
        yield NameServer.of(*server.address)
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def resolving(handler: Handler | None = None, **settings: Any) -> AsyncIterator[Resolver]:
    async with serving(handler or Authority([Zone.parse(ZONE), Zone.parse(REVERSE)])) as server:
        chosen = Settings(**{"servers": (server,), **settings})
        resolver = Resolver(chosen, SeededRandom(1, predictable=True))
        try:
            yield resolver
        finally:
            await resolver.close()


class Silent:
    """A server that keeps its mouth shut, and counts."""

    def __init__(self) -> None:
        self.asked = 0

    def handle(self, octets: bytes, source: object, *, tcp: bool) -> Iterable[bytes]:
        self.asked += 1
        return ()


@run
async def test_addresses() -> None:
    """Both families are asked for at once; those of IPv6 come first."""
    async with resolving() as resolver:
        both = [IPv6Address("2001:db8::80"), IPv4Address("192.0.2.80")]
        assert await resolver.addresses("web.example.org") == both
        assert await resolver.addresses("alias.example.org.") == both
        assert await resolver.addresses("web.example.org", 4) == both[1:]
        assert await resolver.addresses("four.example.org") == [IPv4Address("192.0.2.4")]
        with pytest.raises(NoData):
            await resolver.addresses("four.example.org", 6)
        with pytest.raises(NoData):
            await resolver.addresses("text.example.org")
        with pytest.raises(NameNotFound):
            await resolver.addresses("nothing.example.org")
        with pytest.raises(ServersFailed, match="REFUSED"):
            await resolver.addresses("example.net")
        with pytest.raises(LocalMisuse, match="ANY"):
            await resolver.query("example.org", "ANY")


@run
async def test_what_needs_no_server() -> None:
    """Addresses, hosts, localhost."""
    hosts = Hosts({"printer.lan": ["192.0.2.9"]})
    resolver = Resolver(Settings(hosts=hosts, search=(parse_name("lan"),)), SeededRandom(1, predictable=True))
    assert await resolver.addresses("192.0.2.1") == [IPv4Address("192.0.2.1")]
    assert await resolver.addresses("printer") == [IPv4Address("192.0.2.9")]
    assert await resolver.addresses("localhost", 4) == [IPv4Address("127.0.0.1")]
    assert await resolver.names("192.0.2.9") == ["printer.lan"]
    with pytest.raises(NoData):
        await resolver.addresses("192.0.2.1", 6)
    with pytest.raises(NameNotFound):
        await resolver.addresses("a.invalid")
    with pytest.raises(LocalMisuse, match="no name server"):
        await resolver.addresses("web.example.org")


@run
async def test_names() -> None:
    """From address to name."""
    async with resolving() as resolver:
        assert await resolver.names("192.0.2.80") == ["web.example.org"]
        with pytest.raises(NameNotFound):
            await resolver.names("192.0.2.81")


@run
async def test_the_search_list() -> None:
    """A short name is looked for in its domains."""
    async with resolving(search=(parse_name("nothing.example.org"), parse_name("example.org"))) as resolver:
        assert await resolver.addresses("four") == [IPv4Address("192.0.2.4")]
        with pytest.raises(NoData):
            await resolver.addresses("text", 4)


@run
async def test_a_large_answer_comes_over_tcp() -> None:
    """Cut over UDP, whole over TCP."""
    async with resolving() as resolver:
        assert len(await resolver.addresses("big.example.org", 4)) == 200
        assert resolver.counters["sent.tcp"] == 1


@run
async def test_one_question_for_many_who_ask() -> None:
    """Who asks meanwhile gets the same answer; who gives up spoils it for nobody."""
    counted = Authority([Zone.parse(ZONE)])
    async with resolving(counted) as resolver:
        tasks = [asyncio.ensure_future(resolver.addresses("web.example.org", 4)) for _ in range(50)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == [[IPv4Address("192.0.2.80")]] * 49
        assert counted.counters["answered.noerror"] == 1


@run
async def test_nobody_answers() -> None:
    """The second server has its turn; at the end there is an error, and nothing is left behind."""
    silent = Silent()
    async with resolving(silent, timeout=0.02, attempts=2) as resolver:
        before = asyncio.all_tasks()
        with pytest.raises(TimedOut):
            await resolver.addresses("web.example.org")
        assert silent.asked == 4  # two questions in two rounds
        assert asyncio.all_tasks() == before


@run
async def test_a_closed_port_is_passed_over_at_once() -> None:
    """An error of the network ends the turn; the next server answers."""
    async with serving(Silent()) as gone:
        pass
    async with serving(Authority([Zone.parse(ZONE)])) as there:
        resolver = Resolver(Settings(servers=(gone, there), timeout=20.0), SeededRandom(1, predictable=True))
        assert await resolver.addresses("four.example.org", 4) == [IPv4Address("192.0.2.4")]
        assert resolver.counters["failed"] == 1


@run
async def test_source_ports() -> None:
    """Each question goes out from a port of the range."""
    ports = []

    class Watching(Authority):
        pass

    async with resolving(Watching([Zone.parse(ZONE)]), source_ports=(40000, 60000)) as resolver:
        loop = asyncio.get_running_loop()
        create = loop.create_datagram_endpoint

        async def spied(*args: Any, **options: Any) -> Any:
            ports.append(options["local_addr"][1])
            return await create(*args, **options)

        loop.create_datagram_endpoint = spied  # type: ignore[method-assign]
        await resolver.addresses("web.example.org")
    assert len(set(ports)) == 2
    assert all(40000 <= port <= 60000 for port in ports)


@run
async def test_too_many_questions() -> None:
    """A cap, not a queue without end."""
    async with resolving(Silent(), max_queries=2, timeout=5.0) as resolver:
        first = asyncio.ensure_future(resolver.addresses("a.example.org"))
        await asyncio.sleep(0.01)
        with pytest.raises(TooManyQueries):
            await resolver.addresses("b.example.org")
        first.cancel()


async def exchange(server: NameServer, *messages: dns.message.Message) -> list[dns.message.Message]:
    reader, writer = await asyncio.open_connection(str(server.address), server.port)
    writer.write(b"".join(frame(message.to_wire()) for message in messages))
    found = []
    for _ in messages:
        size = int.from_bytes(await reader.readexactly(2), "big")
        found.append(dns.message.from_wire(await reader.readexactly(size)))
    writer.close()
    await writer.wait_closed()
    return found


@run
async def test_forwarding() -> None:
    """Records, aliases, negative answers and failures as the resolver finds them; hosts first."""
    upstream = Authority([Zone.parse(ZONE)])
    async with (
        resolving(upstream, hosts=Hosts({"printer.lan": ["192.0.2.9"]})) as resolver,
        serving(Forwarder(resolver)) as server,
    ):
        wanted = [
            ("alias.example.org", "A"), ("nothing.example.org", "A"), ("web.example.org", "MX"),
            ("example.net", "A"), ("printer.lan", "A"), ("printer.lan", "AAAA"), ("example.org", "ANY"),
            ("9.2.0.192.in-addr.arpa", "PTR"), ("x.invalid", "A"), ("big.example.org", "A"),
        ]  # fmt: skip
        found = [(await exchange(server, dns.message.make_query(*each)))[0] for each in wanted]
        codes = [dns.rcode.to_text(message.rcode()) for message in found]
        assert codes == [
            "NOERROR", "NXDOMAIN", "NOERROR", "SERVFAIL", "NOERROR", "NOERROR", "REFUSED",
            "NOERROR", "NXDOMAIN", "NOERROR",
        ]  # fmt: skip
        assert all(message.flags & dns.flags.RA and not message.flags & dns.flags.AA for message in found)
        assert [rrset.rdtype for rrset in found[0].answer] == [dns.rdatatype.CNAME, dns.rdatatype.A]
        assert found[1].authority[0].rdtype == found[2].authority[0].rdtype == dns.rdatatype.SOA
        assert found[4].answer[0][0].address == "192.0.2.9"
        assert found[5].answer == []
        assert found[7].answer[0][0].target.to_text() == "printer.lan."
        assert len(found[9].answer[0]) == 200
        asked = sum(upstream.counters.values())
        await exchange(server, dns.message.make_query("nothing.example.org", "TXT"))
        assert sum(upstream.counters.values()) == asked  # that it does not exist holds for every type


@run
async def test_many_queries_over_one_connection() -> None:
    """RFC 7766 6.2.1: pipelined, and the connection stays."""
    async with serving(Authority([Zone.parse(ZONE)])) as server:
        queries = [dns.message.make_query("web.example.org", "A") for _ in range(100)]
        found = await exchange(server, *queries)
        assert [message.id for message in found] == [query.id for query in queries]


@run
async def test_connections_are_bounded() -> None:
    """The one too many is closed, and an idle one after its time."""
    async with serving(Authority([Zone.parse(ZONE)]), connections=1, idle=0.05) as server:
        first, keep = await asyncio.open_connection(str(server.address), server.port)
        await asyncio.sleep(0)
        second, gone = await asyncio.open_connection(str(server.address), server.port)
        for reader in (second, first):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        for writer in (keep, gone):
            writer.close()


@run
async def test_a_client_that_sends_noise() -> None:
    """Over either transport, and the server goes on."""
    async with serving(Authority([Zone.parse(ZONE)])) as server:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(str(server.address), server.port)
        )
        for noise in (b"", b"x", bytes(12), bytes(600)):
            transport.sendto(noise)
        transport.close()
        _, writer = await asyncio.open_connection(str(server.address), server.port)
        writer.write(frame(b"") + frame(b"noise") + b"\xff\xff")
        writer.close()
        (response,) = await exchange(server, dns.message.make_query("web.example.org", "A"))
        assert response.answer
