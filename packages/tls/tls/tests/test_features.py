"""What OpenSSL 3.0 cannot try: both ends are ours. Each feature alone, and how it is refused."""

from __future__ import annotations

from typing import Any

import pytest
from mirage.crypto import PrivateKey
from mirage.tls import (
    Alert,
    ApplicationData,
    ClientConfig,
    EarlyData,
    EarlyDataRejected,
    Failure,
    HandshakeDone,
    Identity,
    NothingInCommon,
    PeerUntrusted,
    ReplayGuard,
    ServerConfig,
    TicketKeys,
    TicketReceived,
    UsageError,
    client,
)
from mirage.tls import server as make_server
from mirage.tls.testing import accept_anyone, connect, issue, randomness, shuttle
from mirage.x509 import Certificate, chain_of_trust, raw_public_key

NOW = 1_750_000_000.0
NAME = "example.org"


def trusting(pki: Any, **more: Any) -> ClientConfig:
    return ClientConfig(authenticator=chain_of_trust([Certificate.decode(pki.ca.der)]), **more)


def serving(pki: Any, kind: str = "secp256r1", **more: Any) -> ServerConfig:
    return ServerConfig(identities=(pki.identity(kind),), **more)


def resuming(pki: Any, **more: Any) -> ServerConfig:
    return serving(pki, tickets=TicketKeys(bytes(32)), **more)


def ticket(events: list[Any]) -> Any:
    return next(event.session for event in events if isinstance(event, TicketReceived))


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_a_chain_is_validated(pki: Any, version: str) -> None:
    """Name, time and issuer count, and each has its alert, which the other side understands."""
    config = trusting(pki, versions=(version,))
    ours, _, _, _ = connect(config, serving(pki))
    assert ours.info.peer_chain[0].der == pki.issued().der
    for name, now, alert, reason in (
        ("example.com", NOW, Alert.BAD_CERTIFICATE, "bad-name"),
        (NAME, NOW + 9_000 * 86_400, Alert.CERTIFICATE_EXPIRED, "expired"),
    ):
        one = client(config, name, now, randomness("c"))
        other = make_server(serving(pki), now, randomness("s"))
        with pytest.raises(PeerUntrusted) as failure:
            shuttle(one, other, one.handle(b"", now).output, now)
        assert (failure.value.alert, failure.value.reason) == (alert, reason)
        with pytest.raises(Failure) as heard:
            other.handle(failure.value.output, now)
        assert heard.value.alert is alert
    stranger = ClientConfig(authenticator=chain_of_trust([Certificate.decode(issue("Another CA").der)]))
    with pytest.raises(PeerUntrusted) as failure:
        connect(stranger, serving(pki))
    assert failure.value.alert is Alert.UNKNOWN_CA
    with pytest.raises(UsageError, match="name"):
        client(config, None, NOW, randomness("c"))


def test_a_hybrid_group(pki: Any) -> None:
    """X25519MLKEM768 is the first choice of both, and works after a retry too."""
    ours, theirs, _, _ = connect(trusting(pki), serving(pki))
    assert ours.info.group == theirs.info.group == "X25519MLKEM768"
    ours, _, _, _ = connect(trusting(pki, key_shares=("x25519",)), serving(pki, groups=("X25519MLKEM768", "x25519")))
    assert (ours.info.group, ours.info.retried) == ("x25519", False)
    ours, _, _, _ = connect(
        trusting(pki, key_shares=("x25519",)), serving(pki, groups=("X25519MLKEM768",), versions=("TLSv1.3",))
    )
    assert (ours.info.group, ours.info.retried) == ("X25519MLKEM768", True)


def test_early_data(pki: Any) -> None:
    """It arrives before the handshake is done, once; what does not fit is rejected and the handshake goes on."""
    guard = ReplayGuard()
    config, taking = trusting(pki), resuming(pki, early_data=100, replay_guard=guard, alpn=())
    session = ticket(connect(config, taking)[2])
    assert session.early_data == 100
    ours, theirs, first, second = connect(config, taking, session=session, early=b"GET /", seed="early")
    assert [type(event) for event in second[:2]] == [EarlyData, HandshakeDone]
    assert second[0].data == b"GET /"
    assert ours.info.early_data
    assert theirs.info.early_data
    assert not any(isinstance(event, EarlyDataRejected) for event in first)
    step = theirs.handle(ours.send(b"more"), NOW)
    assert step.events == (ApplicationData(b"more"),)

    # the very same flight again: the guard has seen it, and the handshake goes on without
    ours, theirs, first, second = connect(config, taking, session=session, early=b"GET /", seed="early")
    assert not theirs.info.early_data
    assert any(isinstance(event, EarlyDataRejected) for event in first)
    assert not any(isinstance(event, EarlyData) for event in second)
    assert theirs.handle(ours.send(b"more"), NOW).events == (ApplicationData(b"more"),)


@pytest.mark.parametrize(
    "change",
    [{}, {"early_data": 100, "groups": ("secp521r1",)}, {"early_data": 100, "suites": ("TLS_AES_256_GCM_SHA384",)}],
    ids=["not wanted", "after a retry", "another suite"],
)
def test_early_data_that_is_refused(pki: Any, change: dict[str, Any]) -> None:
    """It is dropped, up to a limit, and the connection is as any other."""
    taking = resuming(pki, early_data=100, replay_guard=ReplayGuard(), versions=("TLSv1.3",))
    config = trusting(pki)
    session = ticket(connect(config, taking)[2])
    if "early_data" in change:
        change = {**change, "replay_guard": ReplayGuard()}
    ours, theirs, first, _ = connect(
        config, resuming(pki, versions=("TLSv1.3",), **change), session=session, early=b"x" * 100
    )
    assert any(isinstance(event, EarlyDataRejected) for event in first)
    assert not theirs.info.early_data
    assert theirs.handle(ours.send(b"later"), NOW).events == (ApplicationData(b"later"),)


def test_early_data_with_an_age_that_is_off(pki: Any) -> None:
    """A first flight that was held back is not taken (RFC 8446 8.3)."""
    taking = resuming(pki, early_data=100, replay_guard=ReplayGuard())
    session = ticket(connect(trusting(pki), taking)[2])
    ours = client(trusting(pki), NAME, NOW, randomness("a"), session)
    # the authenticator of the session is another's, so it is not offered at all
    with pytest.raises(UsageError, match="at the most"):
        ours.send_early(b"x" * 101)
    config = trusting(pki)
    session = ticket(connect(config, taking)[2])
    ours = client(config, NAME, NOW, randomness("b"), session)
    ours.send_early(b"late")
    flight = ours.handle(b"", NOW).output
    theirs = make_server(taking, NOW + 11, randomness("c"))
    shuttle(ours, theirs, flight, NOW + 11)
    assert theirs.info.resumed
    assert not theirs.info.early_data


def test_a_session_is_for_its_server_and_its_authenticator(pki: Any) -> None:
    """Another name, another authenticator, too old: the session is not offered, and the handshake is a full one."""
    config, taking = trusting(pki), resuming(pki)
    session = ticket(connect(config, taking)[2])
    assert connect(config, taking, session=session)[0].info.resumed
    assert not connect(config, taking, name=f"www.{NAME}", session=session)[0].info.resumed
    assert not connect(trusting(pki), taking, session=session)[0].info.resumed
    assert not connect(config, taking, session=session, now=NOW + session.lifetime + 1)[0].info.resumed
    other = serving(pki, tickets=TicketKeys(b"\1" * 32))
    assert not connect(config, other, session=session)[0].info.resumed, "a ticket of another secret"
    assert bytes(session.secret).hex() not in repr(session)


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_a_resumed_client_is_judged_again(pki: Any, version: str) -> None:
    """A ticket does not outlive the trust in the client's certificate."""
    tickets, trusted = TicketKeys(bytes(32)), chain_of_trust([Certificate.decode(pki.ca.der)])
    asking = serving(pki, tickets=tickets, authenticator=trusted, client_certificates="require", versions=(version,))
    config = trusting(pki, identities=(pki.identity("rsa"),))
    session = ticket(connect(config, asking)[2])
    _, theirs, _, _ = connect(config, asking, session=session)
    assert theirs.info.resumed
    assert theirs.info.peer_chain[0].der == pki.issued("rsa").der
    strict = chain_of_trust([Certificate.decode(issue("Another CA").der)])
    distrusting = serving(
        pki, tickets=tickets, authenticator=strict, client_certificates="require", versions=(version,)
    )
    with pytest.raises(PeerUntrusted, match=r"."):
        connect(config, distrusting, session=session)


def test_raw_public_keys(pki: Any) -> None:
    """RFC 7250, both sides: keys in place of certificates, and nothing in common where they are not taken."""
    server_key, client_key = PrivateKey.generate_ed25519(), PrivateKey.generate_ec()
    asking = ServerConfig(
        identities=(Identity((), server_key),),
        authenticator=raw_public_key(client_key.public),
        client_certificates="require",
        raw_public_keys="only",
        versions=("TLSv1.3",),
    )
    config = ClientConfig(
        authenticator=raw_public_key(server_key.public),
        identities=(Identity((), client_key),),
        raw_public_keys="only",
        versions=("TLSv1.3",),
    )
    ours, theirs, _, _ = connect(config, asking)
    assert ours.info.peer_key == server_key.public.spki()
    assert theirs.info.peer_key == client_key.public.spki()
    with pytest.raises(PeerUntrusted):
        connect(
            ClientConfig(authenticator=raw_public_key(client_key.public), raw_public_keys="allow"),
            ServerConfig(identities=(Identity((), server_key),)),
        )
    with pytest.raises(NothingInCommon) as failure:
        connect(trusting(pki), ServerConfig(identities=(Identity((), server_key),), versions=("TLSv1.3",)))
    assert failure.value.alert is Alert.UNSUPPORTED_CERTIFICATE


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_ocsp_stapling(pki: Any, version: str) -> None:
    """The response comes with the certificate, where it is asked for."""
    stapling = ServerConfig(identities=(pki.identity("rsa", ocsp=b"response"),), versions=(version,))
    assert connect(ClientConfig(authenticator=accept_anyone), stapling)[0].info.ocsp == b"response"
    assert connect(ClientConfig(authenticator=accept_anyone, ocsp=False), stapling)[0].info.ocsp is None


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_record_size_limit(pki: Any, version: str) -> None:
    """RFC 8449: neither side sends a record with more in it than the other takes."""
    ours, theirs, _, _ = connect(
        trusting(pki, record_size_limit=100, versions=(version,)), serving(pki, record_size_limit=200)
    )
    for one, other, limit in ((ours, theirs, 200), (theirs, ours, 100)):
        output = bytes(one.send(bytes(1000)))
        sizes = []
        while output:
            size = int.from_bytes(output[3:5], "big")
            sizes.append(size - 16 - (8 if version == "TLSv1.2" else 0))
            piece, output = output[: 5 + size], output[5 + size :]
            assert other.handle(piece, NOW).events
        assert max(sizes) == limit


@pytest.mark.parametrize("name", ["zlib", "brotli", "zstd"])
def test_certificate_compression(pki: Any, name: str) -> None:
    """RFC 8879: the certificate comes compressed, in both directions; the flight is shorter for it."""
    pytest.importorskip({"zlib": "zlib", "brotli": "brotli", "zstd": "zstandard"}[name])
    trusted = chain_of_trust([Certificate.decode(pki.ca.der)])
    config = trusting(pki, certificate_compression=(name,), identities=(pki.identity("rsa"),))
    ours, theirs, _, _ = connect(
        config,
        serving(pki, "rsa", certificate_compression=(name,), authenticator=trusted, client_certificates="require"),
    )
    assert ours.info.peer_chain[0].der == pki.issued("rsa").der
    assert theirs.info.peer_chain[0].der == pki.issued("rsa").der


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_exporters_and_channel_bindings(pki: Any, version: str) -> None:
    """Both sides have the same, different for every label, context and connection."""
    config = trusting(pki, versions=(version,))
    ours, theirs, _, _ = connect(config, serving(pki))
    again, _, _, _ = connect(config, serving(pki), seed="another")
    values = [ours.export("EXPERIMENTAL-a", b"c", 32), ours.export("EXPERIMENTAL-b", b"c", 32)]
    values += [ours.export("EXPERIMENTAL-a", b"d", 32), again.export("EXPERIMENTAL-a", b"c", 32)]
    assert len(set(values)) == 4
    assert theirs.export("EXPERIMENTAL-a", b"c", 32) == values[0]
    for kind in ("tls-exporter", "tls-server-end-point"):
        assert ours.channel_binding(kind) == theirs.channel_binding(kind)
    if version == "TLSv1.3":
        with pytest.raises(UsageError, match="tls-exporter"):
            ours.channel_binding("tls-unique")
    else:
        assert ours.channel_binding("tls-unique") == theirs.channel_binding("tls-unique")


def test_the_certificate_that_has_the_name(pki: Any) -> None:
    """Among several identities the one for the client's SNI; a server that is strict refuses other names."""
    other = issue("example.net", pki.ca)
    two = (pki.identity(), Identity((other.der,), other.key))
    config = trusting(pki)
    for name, der in (("example.net", other.der), (f"www.{NAME}", pki.issued().der), (NAME, pki.issued().der)):
        ours, theirs, _, _ = connect(config, ServerConfig(identities=two), name=name)
        assert ours.info.peer_chain[0].der == der
        assert theirs.info.server_name == name
    with pytest.raises(NothingInCommon) as failure:
        connect(config, ServerConfig(identities=two, strict_name=True), name="example.com")
    assert failure.value.alert is Alert.UNRECOGNIZED_NAME
    ours, theirs, _, _ = connect(config, ServerConfig(identities=two), name="127.0.0.1")
    assert theirs.info.server_name is None, "an address is not sent as a name"


def test_an_alert_of_the_client_is_sealed(pki: Any) -> None:
    """Once the server's hello is there, what the client did not like is for the server alone to read."""
    ours = client(ClientConfig(authenticator=accept_anyone, alpn=("h2",)), NAME, NOW, randomness("c"))
    theirs = make_server(serving(pki, alpn=("h2",)), NOW, randomness("s"))
    flight = theirs.handle(ours.handle(b"", NOW).output, NOW).output
    hurt = bytearray(flight)
    hurt[-1] ^= 1
    with pytest.raises(Failure):
        ours.handle(flight[:200], NOW) and ours.handle(bytes(hurt)[200:], NOW)
    assert ours.failure is not None
    output = ours.failure.output
    assert output[:6] == b"\x14\x03\x03\0\1\1", "the compatibility mode's ChangeCipherSpec goes first"
    assert output[6:9] == b"\x17\x03\x03"
    with pytest.raises(Failure, match="bad_record_mac"):
        theirs.handle(output, NOW)
