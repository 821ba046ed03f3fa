"""TLS 1.3 with Python's ssl (OpenSSL) as the peer, in both roles, in memory."""

from __future__ import annotations

import secrets
import ssl
from typing import Any

import pytest
from mirage.tls import (
    Alert,
    AlertReceived,
    ClientConfig,
    KeysUpdated,
    PeerClosed,
    PeerMisbehaved,
    ReplayGuard,
    ServerConfig,
    TicketKeys,
    TicketReceived,
    client,
    server,
)
from mirage.tls.testing import accept_anyone

V13 = ("TLSv1.3",)
SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
KINDS = ("secp256r1", "secp384r1", "secp521r1", "rsa", "ed25519", "ed448")
GROUPS = ("x25519", "secp256r1", "secp384r1", "secp521r1", "x448")


def our_client(stdlib: Any, config: ClientConfig, session: Any = None) -> Any:
    return client(config, stdlib.name, stdlib.now, secrets.token_bytes, session)


def our_server(stdlib: Any, config: ServerConfig) -> Any:
    return server(config, stdlib.now, secrets.token_bytes)


@pytest.mark.parametrize("kind", KINDS)
def test_client_with_keys_of_every_kind(pki: Any, stdlib: Any, kind: str) -> None:
    """A full handshake and data; both agree on what was agreed."""
    context = stdlib.context(pki, server=True, kind=kind)
    context.set_alpn_protocols(["h2"])
    theirs = stdlib.Peer(context, server=True)
    ours = our_client(stdlib, ClientConfig(authenticator=accept_anyone, alpn=("h2", "http/1.1"), versions=V13))
    info = stdlib.done(stdlib.talk(ours, theirs)).info
    assert (info.version, info.alpn, info.retried, info.resumed) == ("TLSv1.3", "h2", False, False)
    assert theirs.object.selected_alpn_protocol() == "h2"
    assert info.suite == theirs.object.cipher()[0]
    stdlib.exchange(ours, theirs)
    assert ours.channel_binding("tls-exporter") == ours.export("EXPORTER-Channel-Binding", b"", 32)


@pytest.mark.parametrize("kind", KINDS)
def test_server_with_keys_of_every_kind(pki: Any, stdlib: Any, kind: str) -> None:
    """The peer checks our chain and name."""
    theirs = stdlib.Peer(stdlib.context(pki, server=False, kind=None), server=False, name=stdlib.name)
    ours = our_server(stdlib, ServerConfig(identities=(pki.identity(kind),), versions=V13))
    info = stdlib.done(stdlib.talk(ours, theirs, theirs.handle(b""))).info
    assert info.server_name == stdlib.name
    assert info.suite == theirs.object.cipher()[0]
    stdlib.exchange(ours, theirs)


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite(pki: Any, stdlib: Any, suite: str) -> None:
    """Each alone, in both roles."""
    theirs = stdlib.Peer(stdlib.context(pki, server=True), server=True)
    ours = our_client(stdlib, ClientConfig(authenticator=accept_anyone, suites=(suite,), versions=V13))
    stdlib.talk(ours, theirs)
    assert theirs.object.cipher()[0] == ours.info.suite == suite
    stdlib.exchange(ours, theirs)
    theirs = stdlib.Peer(stdlib.context(pki, server=False), server=False, name=stdlib.name)
    ours = our_server(stdlib, ServerConfig(identities=(pki.identity(),), suites=(suite,), versions=V13))
    stdlib.talk(ours, theirs, theirs.handle(b""))
    assert theirs.object.cipher()[0] == ours.info.suite == suite
    stdlib.exchange(ours, theirs)


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_at_once_and_after_a_retry(pki: Any, stdlib: Any, group: str) -> None:
    """HelloRetryRequest in both roles: the client's first share is of another group than the server has."""
    theirs = stdlib.Peer(stdlib.context(pki, server=True), server=True)
    ours = our_client(stdlib, ClientConfig(authenticator=accept_anyone, groups=(group,), versions=V13))
    stdlib.talk(ours, theirs)
    assert (ours.info.group, ours.info.retried) == (group, False)

    theirs = stdlib.Peer(stdlib.context(pki, server=False), server=False, name=stdlib.name)
    ours = our_server(stdlib, ServerConfig(identities=(pki.identity(),), groups=(group,), versions=V13))
    stdlib.talk(ours, theirs, theirs.handle(b""))
    assert (ours.info.group, ours.info.retried) == (group, group != "x25519")
    stdlib.exchange(ours, theirs)


def test_a_client_that_is_asked_to_try_again(pki: Any, stdlib: Any) -> None:
    """The server knows P-384 alone; the client offers a share for X25519 first."""
    context = stdlib.context(pki, server=True)
    context.set_ecdh_curve("secp384r1")
    theirs = stdlib.Peer(context, server=True)
    ours = our_client(stdlib, ClientConfig(authenticator=accept_anyone, versions=V13))
    stdlib.talk(ours, theirs)
    assert (ours.info.group, ours.info.retried) == ("secp384r1", True)
    stdlib.exchange(ours, theirs)


def test_client_certificates(pki: Any, stdlib: Any) -> None:
    """Each side checks the other; a client without one is refused where it must have one."""
    context = stdlib.context(pki, server=True)
    context.verify_mode = ssl.CERT_REQUIRED
    theirs = stdlib.Peer(context, server=True)
    config = ClientConfig(authenticator=accept_anyone, identities=(pki.identity("rsa"),), versions=V13)
    ours = our_client(stdlib, config)
    stdlib.talk(ours, theirs)
    assert theirs.object.getpeercert(binary_form=True) == pki.issued("rsa").der

    needs = ServerConfig(
        identities=(pki.identity(),), authenticator=accept_anyone, client_certificates="require", versions=V13
    )
    theirs = stdlib.Peer(stdlib.context(pki, server=False, kind="ed25519"), server=False, name=stdlib.name)
    ours = our_server(stdlib, needs)
    stdlib.talk(ours, theirs, theirs.handle(b""))
    assert ours.info.peer_chain[0].der == pki.issued("ed25519").der
    stdlib.exchange(ours, theirs)

    theirs = stdlib.Peer(stdlib.context(pki, server=False, kind=None), server=False, name=stdlib.name)
    with pytest.raises(stdlib.failure, match="must show one") as failure:
        stdlib.talk(our_server(stdlib, needs), theirs, theirs.handle(b""))
    assert failure.value.alert is Alert.CERTIFICATE_REQUIRED
    with pytest.raises(ssl.SSLError, match="certificate required"):
        theirs.handle(failure.value.output)


def test_tickets_of_theirs_and_of_ours(pki: Any, stdlib: Any) -> None:
    """Resumption, in both roles."""
    context, config = stdlib.context(pki, server=True), ClientConfig(authenticator=accept_anyone, versions=V13)
    events = stdlib.talk(our_client(stdlib, config), stdlib.Peer(context, server=True))
    sessions = [event.session for event in events if isinstance(event, TicketReceived)]
    assert len(sessions) == 2
    theirs, ours = stdlib.Peer(context, server=True), our_client(stdlib, config, sessions[0])
    stdlib.talk(ours, theirs)
    assert theirs.object.session_reused
    assert ours.info.resumed
    assert ours.info.peer_chain[0].der == pki.issued().der
    stdlib.exchange(ours, theirs)

    serving = ServerConfig(identities=(pki.identity(),), tickets=TicketKeys(bytes(32)), versions=V13)
    context = stdlib.context(pki, server=False, kind=None)
    theirs = stdlib.Peer(context, server=False, name=stdlib.name)
    stdlib.talk(our_server(stdlib, serving), theirs, theirs.handle(b""))
    again = stdlib.Peer(context, server=False, name=stdlib.name, session=theirs.object.session)
    ours = our_server(stdlib, serving)
    stdlib.talk(ours, again, again.handle(b""))
    assert again.object.session_reused
    assert ours.info.resumed
    stdlib.exchange(ours, again)


def test_keys_are_updated(pki: Any, stdlib: Any) -> None:
    """OpenSSL follows our new keys, and answers with its own."""
    theirs = stdlib.Peer(stdlib.context(pki, server=True), server=True)
    ours = our_client(stdlib, ClientConfig(authenticator=accept_anyone, versions=V13))
    stdlib.talk(ours, theirs)
    for request in (False, True, True):
        output = theirs.handle(bytes(ours.update_keys(request)))
        step = ours.handle(output + theirs.send(b"x"), stdlib.now)
        assert isinstance(step.events[0], KeysUpdated) is request
        stdlib.exchange(ours, theirs)


def test_closing_one_side_at_a_time(pki: Any, stdlib: Any) -> None:
    """Half-close: after our close_notify the peer's data still comes."""
    theirs = stdlib.Peer(stdlib.context(pki, server=True), server=True)
    ours = our_client(stdlib, ClientConfig(authenticator=accept_anyone, versions=V13))
    stdlib.talk(ours, theirs)
    theirs.incoming.write(bytes(ours.close()))
    assert ours.close() == b""
    step = ours.handle(theirs.send(b"last words"), stdlib.now)
    assert step.events[0].data == b"last words"
    theirs.object.unwrap()
    assert ours.handle(theirs.outgoing.read(), stdlib.now).events == (PeerClosed(),)
    ours.eof()


def test_a_peer_that_does_not_trust_us(pki: Any, stdlib: Any) -> None:
    """Its alert is understood."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs = stdlib.Peer(context, server=False, name=stdlib.name)
    ours = our_server(stdlib, ServerConfig(identities=(pki.identity(),), versions=V13))
    with pytest.raises(ssl.SSLCertVerificationError):
        stdlib.talk(ours, theirs, theirs.handle(b""))
    with pytest.raises(AlertReceived, match="unknown_ca") as failure:
        ours.handle(theirs.outgoing.read(), stdlib.now)
    assert failure.value.output == b""


def test_nothing_in_common(pki: Any, stdlib: Any) -> None:
    """Versions, groups, protocols: each ends with its alert."""
    theirs = stdlib.Peer(stdlib.context(pki, server=False, version="TLSv1_2"), server=False, name=stdlib.name)
    with pytest.raises(stdlib.failure) as failure:
        our_server(stdlib, ServerConfig(identities=(pki.identity(),), versions=V13)).handle(theirs.handle(b""), 0)
    assert failure.value.alert is Alert.PROTOCOL_VERSION
    context = stdlib.context(pki, server=False)
    context.set_alpn_protocols(["spdy/1"])
    theirs = stdlib.Peer(context, server=False, name=stdlib.name)
    with pytest.raises(stdlib.failure) as failure:
        our_server(stdlib, ServerConfig(identities=(pki.identity(),), alpn=("h2",))).handle(theirs.handle(b""), 0)
    assert failure.value.alert is Alert.NO_APPLICATION_PROTOCOL


def test_keylog(pki: Any, stdlib: Any, tmp_path: Any) -> None:
    """The same lines as OpenSSL writes."""
    context = stdlib.context(pki, server=True)
    context.keylog_filename = str(tmp_path / "keys")
    lines: list[str] = []
    config = ClientConfig(authenticator=accept_anyone, versions=V13, keylog=lines.append)
    stdlib.talk(our_client(stdlib, config), stdlib.Peer(context, server=True))
    context.keylog_filename = None
    theirs = [line for line in (tmp_path / "keys").read_text().splitlines() if not line.startswith("#")]
    assert sorted(lines) == sorted(theirs)


def test_the_guard_that_early_data_needs(pki: Any) -> None:
    """It is made with a window and remembers."""
    guard = ReplayGuard(window=10, capacity=2)
    assert guard.first_time(b"a", 0)
    assert not guard.first_time(b"a", 19)
    assert guard.first_time(b"b", 19)
    assert not guard.first_time(b"c", 19), "full"
    assert guard.first_time(b"c", 21)
    assert not guard.first_time(b"b", 38)
    assert PeerMisbehaved("x").alert is Alert.ILLEGAL_PARAMETER
