"""What BoringSSL's test runner has found here, each as a test of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from mirage.tls import ClientConfig, PeerMisbehaved, ServerConfig, TicketKeys, TicketReceived, client, server
from mirage.tls._constants import Ext
from mirage.tls._hellos import ClientHello
from mirage.tls.testing import accept_anyone, connect, randomness

NOW = 1_750_000_000.0


def hello_of(config: ClientConfig, **more: Any) -> ClientHello:
    """The ClientHello of a client of ours."""
    flight = client(config, "example.org", NOW, randomness("c"), **more).handle(b"", NOW).output
    return ClientHello.decode(flight[9:])


def record(message: bytes) -> bytes:
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def test_no_tickets_for_a_client_that_cannot_use_them(pki: Any) -> None:
    """RFC 8446 4.2.9: without psk_dhe_ke among its modes none are sent."""
    config = ServerConfig(identities=(pki.identity(),), tickets=TicketKeys(bytes(32)))
    theirs = server(config, NOW, randomness("s"))
    hello = hello_of(ClientConfig(authenticator=accept_anyone, versions=("TLSv1.3",)))
    for modes, wanted in ((b"\x01\x00", False), (b"\x02\x00\x01", True)):
        theirs = server(config, NOW, randomness("s"))
        theirs.handle(record(replace(hello, extensions={**hello.extensions, Ext.PSK_MODES: modes}).encode()), NOW)
        assert theirs._link.client_resumes == wanted


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_the_name_is_not_acknowledged_in_a_resumption(pki: Any, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 6066 3: the name had its effect when the session was made."""
    from mirage.tls import _server, _server12, _server13

    said: list[bool] = []

    def watched(link: Any) -> bool:
        said.append(_server.acknowledges_name(link))
        return said[-1]

    monkeypatch.setattr(_server12, "acknowledges_name", watched)
    monkeypatch.setattr(_server13, "acknowledges_name", watched)
    ours = ClientConfig(authenticator=accept_anyone, versions=(version,))
    theirs = ServerConfig(identities=(pki.identity(),), tickets=TicketKeys(bytes(32)))
    session = next(event.session for event in connect(ours, theirs)[2] if isinstance(event, TicketReceived))
    assert connect(ours, theirs, session=session)[0].info.resumed
    assert said == [True, False]


def test_a_ticket_without_a_session_identifier(pki: Any) -> None:
    """RFC 5077 3.4: a client of TLS 1.2 may leave the identifier out; its ticket counts all the same."""
    ours = ClientConfig(authenticator=accept_anyone, versions=("TLSv1.2",))
    theirs = ServerConfig(identities=(pki.identity(),), tickets=TicketKeys(bytes(32)))
    session = next(event.session for event in connect(ours, theirs)[2] if isinstance(event, TicketReceived))
    hello = replace(hello_of(ours, session=session), session_id=b"")
    connection = server(theirs, NOW, randomness("s"))
    connection.handle(record(hello.encode()), NOW)
    assert connection._link.resumed


def test_a_warning_about_the_name(pki: Any) -> None:
    """RFC 6066 3: a server may warn that it does not have the name, and go on; as an error it still ends it."""
    config = ClientConfig(authenticator=accept_anyone)
    ours = client(config, "example.org", NOW, randomness("c"))
    theirs = server(ServerConfig(identities=(pki.identity(),)), NOW, randomness("s"))
    flight = theirs.handle(ours.handle(b"", NOW).output, NOW).output
    ours.handle(b"\x15\x03\x03\0\x02\x01\x70" + flight, NOW)
    assert ours.done


@pytest.mark.parametrize("cut", [1, 3, 20])
def test_a_message_before_its_turn(pki: Any, cut: int) -> None:
    """Nothing may follow the ClientHello that asks for a retry: its sender cannot know yet what to say."""
    config = ClientConfig(authenticator=accept_anyone, groups=("x25519", "secp256r1"), key_shares=("x25519",))
    hello = hello_of(config).encode()
    theirs = server(ServerConfig(identities=(pki.identity(),), groups=("secp256r1",)), NOW, randomness("s"))
    with pytest.raises(PeerMisbehaved, match="before its turn"):
        theirs.handle(record(hello + hello[:cut]), NOW)


def test_a_name_that_is_acknowledged_with_octets(pki: Any) -> None:
    """RFC 6066 3: in a ServerHello of TLS 1.2 the extension is empty."""
    from mirage.tls import _server12

    ours = client(ClientConfig(authenticator=accept_anyone, versions=("TLSv1.2",)), "example.org", NOW, randomness("c"))
    theirs = server(ServerConfig(identities=(pki.identity(),)), NOW, randomness("s"))
    original = _server12._extensions
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_server12, "_extensions", lambda *a, **k: {**original(*a, **k), Ext.SERVER_NAME: b"\0"})
        flight = theirs.handle(ours.handle(b"", NOW).output, NOW).output
    with pytest.raises(PeerMisbehaved, match="is not empty"):
        ours.handle(flight, NOW)


def test_the_version_of_the_first_record() -> None:
    """RFC 8446 5.1: 0x0301 in the record of the first ClientHello, for what stands in between; 0x0303 later."""
    ours = client(ClientConfig(authenticator=accept_anyone), "example.org", NOW, randomness("c"))
    assert ours.handle(b"", NOW).output[:3] == b"\x16\x03\x01"
    assert ours._link.writer.version == 0x0303
