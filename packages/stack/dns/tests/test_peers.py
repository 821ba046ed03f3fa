"""Real peers: dig asks our servers, dnsmasq answers our resolver."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path

import pytest
from mirage.dns import Authority, Forwarder, NameNotFound, NameServer, Resolver, Settings, Zone, serve
from mirage.types.testing import SeededRandom

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.tool("ip"), pytest.mark.usefixtures("namespace")]

ZONE = """
$ORIGIN example.org.
$TTL 3600
@     IN SOA ns a 1 3600 600 86400 300
      IN NS ns
ns    IN A 192.0.2.53
web   IN A 192.0.2.80
web   IN AAAA 2001:db8::80
alias IN CNAME web
*.w   IN TXT "a \\"quoted\\" text"
sub   IN NS ns.sub
ns.sub IN A 192.0.2.54
caa   IN CAA 0 issue "ca.example"
svc   IN HTTPS 1 . alpn=h2,h3
""" + "".join(f"big IN A 192.0.3.{i}\n" for i in range(200))


async def program(*words: str, status: int = 0) -> str:
    process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == status, output.decode()
    return output.decode()


async def dig(server: tuple[str, int], *words: str) -> str:
    return await program("dig", f"@{server[0]}", "-p", str(server[1]), "+time=5", "+tries=1", *words)


@pytest.mark.tool("dig")
def test_dig_asks_the_authority() -> None:
    """Every kind of answer, read by BIND's parser."""

    async def main() -> None:
        authority = Authority([Zone.parse(ZONE)], transfer_to=[IPv4Network("127.0.0.0/8")])
        server = await serve(authority, port=0)
        at = server.address
        try:
            assert await dig(at, "+short", "web.example.org", "AAAA") == "2001:db8::80\n"
            assert await dig(at, "+short", "alias.example.org") == "web.example.org.\n192.0.2.80\n"
            assert await dig(at, "+short", "x.w.example.org", "TXT") == '"a \\"quoted\\" text"\n'
            assert await dig(at, "+short", "caa.example.org", "CAA") == '0 issue "ca.example"\n'
            assert 'alpn="h2,h3"' in await dig(at, "svc.example.org", "HTTPS")
            text = await dig(at, "nothing.example.org")
            assert "status: NXDOMAIN" in text
            assert "flags: qr aa rd;" in text
            assert "EDNS: version: 0, flags:; udp: 1232" in text
            text = await dig(at, "a.sub.example.org")
            assert "flags: qr rd;" in text
            assert "192.0.2.54" in text
            assert "status: REFUSED" in await dig(at, "example.com")
            assert "BADVERS" in await dig(at, "+edns=1", "+noednsneg", "web.example.org")
            assert "RFC8482" in await dig(at, "example.org", "ANY", "+notcp")
            text = await dig(at, "big.example.org")  # cut over UDP; dig asks again over TCP
            assert "ANSWER: 200" in text
            assert "retrying in TCP" in text
            assert "flags: qr aa tc rd;" in await dig(at, "+ignore", "+noedns", "big.example.org")
            text = await dig(at, "example.org", "AXFR")
            assert "XFR size: 212 records" in text
            assert (await dig(at, "+tcp", "+keepopen", "+short", "web.example.org", "web.example.org", "AAAA")).count(
                "\n"
            ) == 2
        finally:
            await server.close()

    asyncio.run(main())


@contextlib.asynccontextmanager
async def dnsmasq(folder: Path, *options: str) -> AsyncIterator[NameServer]:
    words = [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--port=5300",
        "--user=root", "--listen-address=127.0.0.1", "--bind-interfaces", f"--pid-file={folder}/pid",
        "--log-facility=-",
        *options,
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(*words, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        async for line in process.stderr:
            if b"started" in line:
                break
        yield NameServer.of("127.0.0.1", 5300)
    finally:
        process.kill()
        await process.wait()


@pytest.mark.tool("dnsmasq")
def test_dnsmasq_answers_the_resolver(tmp_path: Path) -> None:
    """Addresses, aliases, names, negative answers, mixed case, and what does not fit a datagram."""

    async def main() -> None:
        many = [f"--txt-record=long.example.org,{'x' * 200}{i}" for i in range(20)]
        options = [
            "--local=/example.org/", "--address=/web.example.org/192.0.2.80", "--address=/web.example.org/2001:db8::80",
            "--host-record=host.example.org,192.0.2.9,2001:db8::9", "--cname=alias.example.org,host.example.org",
        ]  # fmt: skip
        async with dnsmasq(tmp_path, *options, *many) as server:
            resolver = Resolver(Settings(servers=(server,), mix_case=True), SeededRandom(1, predictable=True))
            assert await resolver.addresses("web.example.org") == [
                IPv6Address("2001:db8::80"), IPv4Address("192.0.2.80"),
            ]  # fmt: skip
            assert await resolver.addresses("alias.example.org", 4) == [IPv4Address("192.0.2.9")]
            assert await resolver.names("2001:db8::9") == ["host.example.org"]
            with pytest.raises(NameNotFound):
                await resolver.addresses("nothing.example.org")
            answer = await resolver.query("long.example.org", "TXT")
            assert answer.rrset is not None
            assert len(answer.rrset) == 20
            assert resolver.counters["sent.tcp"] == 1

    asyncio.run(main())


@pytest.mark.tool("dig")
@pytest.mark.tool("dnsmasq")
def test_dig_asks_the_forwarder_and_that_dnsmasq(tmp_path: Path) -> None:
    """The whole chain; the second time the answer is from the cache, with less time to live."""

    async def main() -> None:
        options = ["--host-record=host.example.org,192.0.2.9,300", "--local=/example.org/"]
        async with dnsmasq(tmp_path, *options) as upstream:
            resolver = Resolver(Settings(servers=(upstream,)), SeededRandom(1, predictable=True))
            server = await serve(Forwarder(resolver), port=0)
            try:
                text = await dig(server.address, "host.example.org")
                assert "192.0.2.9" in text
                assert "flags: qr rd ra;" in text
                assert resolver.cache.hits == 0
                assert "192.0.2.9" in await dig(server.address, "host.example.org")
                assert resolver.cache.hits == 1
                assert "status: NXDOMAIN" in await dig(server.address, "no.example.org")
            finally:
                await server.close()

    asyncio.run(main())
