"""TLS 1.2 with Python's ssl (OpenSSL) as the peer, in both roles, in memory."""

from __future__ import annotations

import secrets
import ssl
from typing import Any

import pytest
from mirage.tls import (
    Alert,
    ClientConfig,
    NothingInCommon,
    PeerClosed,
    PeerMisbehaved,
    ServerConfig,
    TicketKeys,
    TicketReceived,
    UsageError,
    client,
    server,
)
from mirage.tls._constants import ContentType
from mirage.tls._record import Writer
from mirage.tls.testing import accept_anyone

V12 = ("TLSv1.2",)
KINDS = ("secp256r1", "secp384r1", "rsa", "ed25519")
NAMES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": ("ECDHE-ECDSA-AES128-GCM-SHA256", "secp256r1"),
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": ("ECDHE-ECDSA-AES256-GCM-SHA384", "secp256r1"),
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": ("ECDHE-ECDSA-CHACHA20-POLY1305", "secp256r1"),
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": ("ECDHE-RSA-AES128-GCM-SHA256", "rsa"),
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": ("ECDHE-RSA-AES256-GCM-SHA384", "rsa"),
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": ("ECDHE-RSA-CHACHA20-POLY1305", "rsa"),
}


def our_client(stdlib: Any, config: ClientConfig, session: Any = None) -> Any:
    return client(config, stdlib.name, stdlib.now, secrets.token_bytes, session)


def our_server(stdlib: Any, config: ServerConfig) -> Any:
    return server(config, stdlib.now, secrets.token_bytes)


def peer(stdlib: Any, pki: Any, *, server: bool, kind: str | None = "secp256r1", **more: Any) -> Any:
    context = stdlib.context(pki, server=server, kind=kind, version="TLSv1_2")
    return stdlib.Peer(context, server=server, name=None if server else stdlib.name, **more)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("both", [False, True], ids=["we offer 1.2", "we offer both"])
def test_client_with_keys_of_every_kind(pki: Any, stdlib: Any, kind: str, both: bool) -> None:
    """A full handshake and data; a client that could do better takes TLS 1.2 from a server that cannot."""
    theirs = peer(stdlib, pki, server=True, kind=kind)
    theirs.object.context.set_alpn_protocols(["h2"])
    config = ClientConfig(authenticator=accept_anyone, alpn=("h2",), **({} if both else {"versions": V12}))
    ours = our_client(stdlib, config)
    info = stdlib.done(stdlib.talk(ours, theirs)).info
    assert (info.version, info.alpn) == ("TLSv1.2", "h2")
    assert NAMES[info.suite][0] == theirs.object.cipher()[0]
    stdlib.exchange(ours, theirs)
    assert ours.channel_binding("tls-unique") == theirs.object.get_channel_binding("tls-unique")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("versions", [V12, ("TLSv1.3", "TLSv1.2")])
def test_server_with_keys_of_every_kind(pki: Any, stdlib: Any, kind: str, versions: tuple[str, ...]) -> None:
    """The peer checks our chain and name."""
    theirs = peer(stdlib, pki, server=False, kind=None)
    ours = our_server(stdlib, ServerConfig(identities=(pki.identity(kind),), versions=versions))
    info = stdlib.done(stdlib.talk(ours, theirs, theirs.handle(b""))).info
    assert (info.version, info.server_name) == ("TLSv1.2", stdlib.name)
    stdlib.exchange(ours, theirs)
    assert ours.channel_binding("tls-unique") == theirs.object.get_channel_binding("tls-unique")
    with pytest.raises(UsageError, match="KeyUpdate"):
        ours.update_keys()


@pytest.mark.parametrize("suite", NAMES)
def test_every_suite(pki: Any, stdlib: Any, suite: str) -> None:
    """Each alone, in both roles."""
    name, kind = NAMES[suite]
    theirs = peer(stdlib, pki, server=True, kind=kind)
    ours = our_client(stdlib, ClientConfig(authenticator=accept_anyone, suites=(suite,), versions=V12))
    stdlib.talk(ours, theirs)
    assert theirs.object.cipher()[0] == name
    stdlib.exchange(ours, theirs)
    theirs = peer(stdlib, pki, server=False, kind=None)
    ours = our_server(stdlib, ServerConfig(identities=(pki.identity(kind),), suites=(suite,), versions=V12))
    stdlib.talk(ours, theirs, theirs.handle(b""))
    assert theirs.object.cipher()[0] == name
    stdlib.exchange(ours, theirs)


@pytest.mark.parametrize("group", ["x25519", "secp256r1", "secp384r1", "secp521r1", "x448"])
def test_every_group(pki: Any, stdlib: Any, group: str) -> None:
    """In both roles."""
    theirs = peer(stdlib, pki, server=True, kind="rsa")
    ours = our_client(stdlib, ClientConfig(authenticator=accept_anyone, groups=(group,), versions=V12))
    stdlib.talk(ours, theirs)
    assert ours.info.group == group
    theirs = peer(stdlib, pki, server=False)
    ours = our_server(stdlib, ServerConfig(identities=(pki.identity("rsa"),), groups=(group,), versions=V12))
    stdlib.talk(ours, theirs, theirs.handle(b""))
    assert ours.info.group == group


@pytest.mark.parametrize("kind", ["secp256r1", "secp384r1", "rsa", "ed25519"])
def test_client_certificates(pki: Any, stdlib: Any, kind: str) -> None:
    """Each side checks the other; a client without one is refused where it must have one."""
    theirs = peer(stdlib, pki, server=True)
    theirs.object.context.verify_mode = ssl.CERT_REQUIRED
    theirs = stdlib.Peer(theirs.object.context, server=True)
    config = ClientConfig(authenticator=accept_anyone, identities=(pki.identity(kind),), versions=V12)
    ours = our_client(stdlib, config)
    stdlib.talk(ours, theirs)
    assert theirs.object.getpeercert(binary_form=True) == pki.issued(kind).der

    needs = ServerConfig(
        identities=(pki.identity(),), authenticator=accept_anyone, client_certificates="require", versions=V12
    )
    theirs, ours = peer(stdlib, pki, server=False, kind=kind), our_server(stdlib, needs)
    stdlib.talk(ours, theirs, theirs.handle(b""))
    assert ours.info.peer_chain[0].der == pki.issued(kind).der
    stdlib.exchange(ours, theirs)

    theirs = peer(stdlib, pki, server=False, kind=None)
    with pytest.raises(stdlib.failure, match="must show one"):
        stdlib.talk(our_server(stdlib, needs), theirs, theirs.handle(b""))


def test_tickets_of_theirs_and_of_ours(pki: Any, stdlib: Any) -> None:
    """Resumption, in both roles, again with the ticket that the resumed connection gave."""
    context = stdlib.context(pki, server=True, version="TLSv1_2")
    config = ClientConfig(authenticator=accept_anyone)
    events = stdlib.talk(our_client(stdlib, config), stdlib.Peer(context, server=True))
    [session] = [event.session for event in events if isinstance(event, TicketReceived)]
    theirs, ours = stdlib.Peer(context, server=True), our_client(stdlib, config, session)
    stdlib.talk(ours, theirs)
    assert theirs.object.session_reused
    assert ours.info.resumed
    assert ours.info.peer_chain[0].der == pki.issued().der
    stdlib.exchange(ours, theirs)
    assert ours.channel_binding("tls-unique") == theirs.object.get_channel_binding("tls-unique")

    serving = ServerConfig(identities=(pki.identity(),), tickets=TicketKeys(bytes(32)))
    context = stdlib.context(pki, server=False, kind=None, version="TLSv1_2")
    theirs = stdlib.Peer(context, server=False, name=stdlib.name)
    stdlib.talk(our_server(stdlib, serving), theirs, theirs.handle(b""))
    for _ in range(2):
        again = stdlib.Peer(context, server=False, name=stdlib.name, session=theirs.object.session)
        ours = our_server(stdlib, serving)
        stdlib.talk(ours, again, again.handle(b""))
        assert again.object.session_reused
        assert ours.info.resumed
        stdlib.exchange(ours, again)
        theirs = again


def test_renegotiation_is_refused(pki: Any, stdlib: Any) -> None:
    """RFC 5746 4.5: no_renegotiation to a HelloRequest, data goes on, and whoever insists is gone."""
    theirs, ours = peer(stdlib, pki, server=True), our_client(stdlib, ClientConfig(authenticator=accept_anyone))
    stdlib.talk(ours, theirs)
    theirs_keys = ours._link.reader.keys
    writer = Writer()
    writer.keys = theirs_keys

    def hello_request() -> bytes:
        """One that the peer would seal: the keys of both directions are known here."""
        sequence = theirs_keys.sequence
        record = bytes(writer.write(ContentType.HANDSHAKE, b"\0\0\0\0"))
        theirs_keys.sequence = sequence
        return record

    with pytest.raises(ssl.SSLError, match="no renegotiation"):
        theirs.handle(ours.handle(hello_request(), stdlib.now).output)
    for _ in range(3):
        ours.handle(hello_request(), stdlib.now)
    with pytest.raises(PeerMisbehaved, match="renegotiation"):
        ours.handle(hello_request(), stdlib.now)


def test_closing(pki: Any, stdlib: Any) -> None:
    """close_notify both ways."""
    theirs, ours = peer(stdlib, pki, server=True), our_client(stdlib, ClientConfig(authenticator=accept_anyone))
    stdlib.talk(ours, theirs)
    theirs.incoming.write(bytes(ours.close()))
    theirs.object.unwrap()
    assert ours.handle(theirs.outgoing.read(), stdlib.now).events == (PeerClosed(),)


def test_suites_without_forward_secrecy_are_not_spoken(pki: Any, stdlib: Any) -> None:
    """A client that has only CBC or RSA key exchange finds nothing in common."""
    context = stdlib.context(pki, server=False, version="TLSv1_2")
    context.set_ciphers("AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA")
    theirs = stdlib.Peer(context, server=False, name=stdlib.name)
    with pytest.raises(NothingInCommon) as failure:
        our_server(stdlib, ServerConfig(identities=(pki.identity(),))).handle(theirs.handle(b""), stdlib.now)
    assert failure.value.alert is Alert.HANDSHAKE_FAILURE


def test_keylog(pki: Any, stdlib: Any, tmp_path: Any) -> None:
    """The same line as OpenSSL writes."""
    context = stdlib.context(pki, server=True, version="TLSv1_2")
    context.keylog_filename = str(tmp_path / "keys")
    lines: list[str] = []
    config = ClientConfig(authenticator=accept_anyone, keylog=lines.append)
    stdlib.talk(our_client(stdlib, config), stdlib.Peer(context, server=True))
    context.keylog_filename = None
    assert lines == [line for line in (tmp_path / "keys").read_text().splitlines() if not line.startswith("#")]
