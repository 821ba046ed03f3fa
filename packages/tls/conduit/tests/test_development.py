"""Certificates for development."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import pytest
from mirage.conduit import ClientTls, ServerTls, Tls, connect, listen
from mirage.conduit.development import development
from mirage.crypto import SHA256
from mirage.x509 import Certificate, ValidationError, chain_of_trust, key_fingerprint


def test_it_is_trusted_by_its_key_or_by_its_root_and_not_else() -> None:
    """For loopback and the names that were asked for, from a day before to 90 days after."""
    now = 1_800_000_000.0
    made, other = development(["site.test", "0.0.0.0"], now=now), development(now=now)
    chain = [Certificate.decode(der) for der in made.identity.chain]
    assert chain[0].dns_names == ["localhost", "site.test"]
    assert base64.b64decode(made.pin.removeprefix("sha256//")) == made.fingerprint != other.fingerprint
    key_fingerprint(SHA256, made.fingerprint)(chain, name="x", role="server", now=now)
    rooted = chain_of_trust([chain[1]])
    for name in ("localhost", "127.0.0.1", "::1", "site.test"):
        rooted(chain, name=name, role="server", now=now)
    for name, when in (("0.0.0.0", now), ("localhost", now + 91 * 86400), ("localhost", now - 2 * 86400)):
        with pytest.raises(ValidationError):
            rooted(chain, name=name, role="server", now=when)


@pytest.mark.parametrize("implementation", ["native", "openssl"])
def test_both_implementations_serve_it(implementation: str) -> None:
    """A client that was told the fingerprint connects."""
    made = development(now=time.time())

    class Greeter(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.write(b"welcome")
            transport.close()

    async def main() -> bytes:
        side = ServerTls(identity=made.identity, implementation=implementation)
        client = ClientTls(authenticator=key_fingerprint(SHA256, made.fingerprint), implementation=implementation)
        async with await listen(Tls("127.0.0.1", 0), Greeter, tls=side) as listener:
            where = Tls("127.0.0.1", listener.sockets[0].getsockname()[1])
            reader = asyncio.StreamReader()
            transport, _ = await connect(where, lambda: asyncio.StreamReaderProtocol(reader), tls=client)
            try:
                return await reader.read()
            finally:
                transport.close()

    assert asyncio.run(main()) == b"welcome"
