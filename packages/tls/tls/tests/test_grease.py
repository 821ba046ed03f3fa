"""Code points that mean nothing (RFC 8701): sent, passed over, and never agreed on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from mirage.tls import (
    Alert,
    ClientConfig,
    Failure,
    Identity,
    PeerMisbehaved,
    ServerConfig,
    TicketKeys,
    TicketReceived,
    client,
    server,
)
from mirage.tls._constants import ContentType, Ext
from mirage.tls._hellos import ClientHello, ServerHello, codes, key_shares
from mirage.tls._messages import read_certificate_request_13, read_ticket_13
from mirage.tls._wire import v16
from mirage.tls.testing import accept_anyone, connect, randomness

NOW = 1_750_000_000.0
GREASE = {0x0A0A + 0x1010 * n for n in range(16)}
HEADERS = 5 + 4  # of the record, and of the message


def hello_of(seed: str, **more: Any) -> ClientHello:
    """A first flight."""
    config = ClientConfig(authenticator=accept_anyone, **more)
    return ClientHello.decode(client(config, "example.org", NOW, randomness(seed)).handle(b"", NOW).output[HEADERS:])


def places(hello: ClientHello) -> dict[str, set[int]]:
    """Where a ClientHello has them, and which."""
    found = hello.extensions
    versions = found[Ext.SUPPORTED_VERSIONS]
    return {
        "suites": GREASE & set(hello.suites),
        "extensions": GREASE & set(found),
        "groups": GREASE & set(codes(found[Ext.GROUPS], "x")),
        "shares": GREASE & set(key_shares(found[Ext.KEY_SHARE])),
        "schemes": GREASE & set(codes(found[Ext.SIGNATURE_ALGORITHMS], "x")),
        "versions": GREASE & {int.from_bytes(versions[at : at + 2], "big") for at in range(1, len(versions), 2)},
    }


def test_a_client_sends_them_everywhere() -> None:
    """RFC 8701 3.1, where every list may have one; all sixteen turn up; a share is of a group that is offered."""
    seen: set[int] = set()
    for number in range(60):
        found = places(hello_of(str(number)))
        assert all(len(values) == 1 for values in found.values()), found
        assert found["groups"] == found["shares"]
        seen |= set().union(*found.values())
    assert seen == GREASE
    assert not any(places(hello_of("none", grease=False)).values())


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_a_server_passes_over_them(pki: Any, version: str) -> None:
    """Nothing of what is agreed on is one of them, with a retry in between too."""
    for groups in (("x25519",), ("secp384r1",)):
        config = ServerConfig(identities=(pki.identity(),), versions=(version,), groups=groups)
        ours, theirs, _, _ = connect(ClientConfig(authenticator=accept_anyone), config)
        assert ours.info.version == version
        assert theirs.info.group == groups[0]


def test_a_server_sends_them_where_it_may(pki: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8701 3.2: in CertificateRequest and tickets; the client passes over them, shows itself, and resumes."""
    requests, tickets = [], []
    monkeypatch.setattr(
        "mirage.tls._client13.read_certificate_request_13",
        lambda body: requests.append(body) or read_certificate_request_13(body),
    )
    monkeypatch.setattr(
        "mirage.tls._client13.read_ticket_13", lambda body: tickets.append(body) or read_ticket_13(body)
    )
    identity: Identity = pki.identity()
    config = ServerConfig(
        identities=(identity,),
        authenticator=accept_anyone,
        client_certificates="require",
        tickets=TicketKeys(bytes(32)),
        versions=("TLSv1.3",),
        grease=True,
    )
    ours_config = ClientConfig(authenticator=accept_anyone, identities=(identity,))
    _, theirs, events, _ = connect(ours_config, config)
    assert theirs.info.peer_chain
    for body in (requests[0], *tickets):
        assert any(code.to_bytes(2, "big") + b"\0\0" in body for code in GREASE)
    session = next(event.session for event in events if isinstance(event, TicketReceived))
    assert connect(ours_config, config, session=session)[0].info.resumed


@pytest.mark.parametrize("what", ["suite", "version", "share", "extension"])
def test_a_server_that_chooses_one_is_refused(pki: Any, what: str) -> None:
    """RFC 8701 3.1: as any value that was not offered, though it was."""
    ours = client(ClientConfig(authenticator=accept_anyone), "example.org", NOW, randomness("c"))
    flight = ours.handle(b"", NOW).output
    mine = {name: min(values) for name, values in places(ClientHello.decode(flight[HEADERS:])).items()}
    theirs = server(ServerConfig(identities=(pki.identity(),)), NOW, randomness("s"))
    answer = theirs.handle(flight, NOW).output
    hello = ServerHello.decode(answer[HEADERS : 5 + int.from_bytes(answer[3:5], "big")])
    if what == "suite":
        hello = replace(hello, suite=mine["suites"])
    else:
        code, value = {
            "version": (Ext.SUPPORTED_VERSIONS, mine["versions"].to_bytes(2, "big")),
            "share": (Ext.KEY_SHARE, mine["shares"].to_bytes(2, "big") + v16(b"\0")),
            "extension": (mine["extensions"], b""),
        }[what]
        hello = replace(hello, extensions={**hello.extensions, code: value})
    with pytest.raises(Failure) as failure:
        ours.handle(bytes((ContentType.HANDSHAKE, 3, 3)) + v16(hello.encode()), NOW)
    assert isinstance(failure.value, PeerMisbehaved), failure.value
    assert failure.value.alert in (Alert.ILLEGAL_PARAMETER, Alert.UNSUPPORTED_EXTENSION)
