"""https on the servers and the clients of this package, and against curl."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from mirage.cohttp import ConnectionLost, FileBody, Request, Response, TLSUnavailable, blocking, serve
from mirage.cohttp.client import Client
from mirage.cohttp.curl import main as curl
from mirage.conduit import ClientTls, ServerTls
from mirage.conduit.testing import Authority

each = pytest.mark.parametrize("implementation", ["native", "openssl"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the tests trust."""
    return Authority("cohttp", tmp_path_factory.mktemp("authority"))


def sides(authority: Authority, implementation: str) -> tuple[ServerTls, ClientTls]:
    """A server for localhost and a client that trusts it."""
    return (
        ServerTls(identity=authority.identity("localhost"), implementation=implementation),
        ClientTls(authenticator=authority.authenticator, implementation=implementation),
    )


async def echo(request: Request) -> Response:
    return Response(200, body=request.method.encode() + b" " + await request.body.read())


@each
def test_requests_over_tls(authority: Authority, implementation: str) -> None:
    """Several on one connection, with content; the server's URL says https."""
    server_tls, client_tls = sides(authority, implementation)

    async def main() -> None:
        async with await serve(echo, tls=server_tls) as server, Client(tls=client_tls) as client:
            assert server.url.startswith("https://127.0.0.1:")
            uri = f"https://localhost:{server.address[1]}/"
            for size in (0, 1, 100_000):
                response = await client.request("POST", uri, body=bytes(size))
                assert await response.read() == b"POST " + bytes(size)
            assert server.connections == 1

    asyncio.run(main())


@each
def test_large_bodies_of_files(authority: Authority, implementation: str, tmp_path: Path) -> None:
    """A file is sent whole, though the kernel cannot do it."""
    server_tls, client_tls = sides(authority, implementation)
    content = bytes(range(256)) * 8192
    (tmp_path / "file").write_bytes(content)

    def service(request: Request) -> Response:
        return Response(200, body=FileBody((tmp_path / "file").open("rb"), 0, len(content)))

    async def main() -> None:
        async with await serve(service, tls=server_tls) as server, Client(tls=client_tls) as client:
            response = await client.get(f"https://localhost:{server.address[1]}/")
            assert await response.read() == content

    asyncio.run(main())


@each
def test_the_blocking_ones(authority: Authority, implementation: str) -> None:
    """Server and client on blocking sockets, in threads."""
    server_tls, client_tls = sides(authority, implementation)
    with blocking.serve(echo, tls=server_tls) as server:
        assert server.url.startswith("https://")
        uri = f"https://localhost:{server.address[1]}/"
        with blocking.request("PUT", uri, body=b"x" * 300_000, tls=client_tls) as response:
            assert response.read() == b"PUT " + b"x" * 300_000
        with pytest.raises(ConnectionLost, match="cannot connect"):
            blocking.request("GET", f"https://127.0.0.1:{server.address[1]}/", tls=client_tls)


def test_a_server_of_https_never_speaks_http(authority: Authority) -> None:
    """A request in the clear gets no response, and no service sees it."""
    server_tls, _ = sides(authority, "native")
    seen: list[Request] = []

    async def main() -> None:
        async with await serve(lambda r: seen.append(r) or Response(200), tls=server_tls) as server:
            reader, writer = await asyncio.open_connection(*server.address)
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"HTTP" not in await reader.read()
            writer.close()
            with pytest.raises(ValueError, match="does not become"):
                server.tls = None  # type: ignore[assignment]
        assert seen == []
        async with await serve(echo) as plain:
            assert plain.tls is None
            with pytest.raises(ValueError, match="does not become"):
                plain.tls = server_tls

    asyncio.run(main())


def test_a_client_of_https_never_falls_back(authority: Authority) -> None:
    """A server that speaks http only, or whom nobody vouches for, is an error."""
    _, client_tls = sides(authority, "native")
    stranger = ServerTls(identity=Authority("other", authority.folder).identity("localhost"), implementation="native")

    async def main() -> None:
        async with await serve(echo) as plain, await serve(echo, tls=stranger) as strange, Client(tls=client_tls) as c:
            for server in (plain, strange):
                with pytest.raises(ConnectionLost):
                    await c.get(f"https://localhost:{server.address[1]}/")

    asyncio.run(main())


def test_without_conduit_https_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install, on every way in."""
    monkeypatch.setitem(sys.modules, "mirage.conduit", None)
    with pytest.raises(TLSUnavailable, match=r"mirage-cohttp\[tls\]"):
        blocking.request("GET", "https://localhost/")
    with pytest.raises(TLSUnavailable):
        blocking.serve(echo, tls=object())  # type: ignore[arg-type]

    async def main() -> None:
        with pytest.raises(TLSUnavailable):
            await serve(echo, tls=object())  # type: ignore[arg-type]
        async with Client() as client:
            with pytest.raises(TLSUnavailable):
                await client.get("https://localhost/")

    asyncio.run(main())


def test_what_is_no_side_of_tls_is_refused() -> None:
    """The arguments of `ssl` are not taken for ours."""

    async def main() -> None:
        with pytest.raises(TLSUnavailable, match="must be a mirage"):
            await serve(echo, tls=("cert.pem", "key.pem"))  # type: ignore[arg-type]

    asyncio.run(main())


@each
@pytest.mark.slow
@pytest.mark.tool("curl")
def test_curl_is_served(authority: Authority, implementation: str) -> None:
    """curl trusts the authority, keeps its connection for a second request, and sees both answers."""
    server_tls, _ = sides(authority, implementation)

    async def main() -> None:
        async with await serve(echo, tls=server_tls) as server:
            uri = f"https://localhost:{server.address[1]}/"
            command = ["curl", "-sS", "-v", "--cacert", str(authority.root_pem), "-d", "content", uri, uri]
            process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            out, told = await process.communicate()
            assert out == b"POST content" * 2, told.decode()
            assert b"Re-using existing connection" in told

    asyncio.run(main())


@each
@pytest.mark.slow
def test_cohttp_curl(
    authority: Authority, implementation: str, capsysbinary: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It verifies by the roots that are given, by the system's otherwise, and never goes on without."""
    server_tls, _ = sides(authority, implementation)
    monkeypatch.setenv("CONDUIT_TLS", implementation)
    with blocking.serve(echo, tls=server_tls) as server:
        uri = f"https://localhost:{server.address[1]}/"
        assert curl(["--cacert", str(authority.root_pem), "-d", "hello", uri]) == 0
        assert capsysbinary.readouterr().out == b"POST hello"
        assert curl(["--cacert", str(authority.folder / "absent.pem"), uri]) == 1
        assert b"absent.pem" in capsysbinary.readouterr().err
        assert curl([uri]) == 1
        said = capsysbinary.readouterr()
        assert said.out == b""
        assert b"cohttp-curl: " in said.err
        assert curl(["--cacert", str(authority.root_pem), uri.replace("localhost", "127.0.0.1")]) == 1
        assert b"127.0.0.1" in capsysbinary.readouterr().err
