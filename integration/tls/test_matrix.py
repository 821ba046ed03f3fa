"""Every feature with every peer, in both roles. A cell is a pass or a reason; the table stands at the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mirage import tls
from mirage.conduit.native import NativeClient

from .ours import REQUEST, Authority, Server, ask, ask_early, ask_updating
from .peers import CLIENTS, PEERS, Cannot, Client, Peer, Refused

pytestmark = [pytest.mark.slow]

Check = Callable[[tls.Info], bool]


@dataclasses.dataclass(frozen=True)
class Feature:
    """What both sides are to agree on: our configuration, the way the peer is asked, and what is to come of it."""

    name: str
    check: Check
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    way: str = ""
    kind: str = "ecdsa-p256"


def suite(name: str, kind: str = "ecdsa-p256") -> Feature:
    """A cipher suite, the only one of ours."""
    version = "TLSv1.2" if "_WITH_" in name else "TLSv1.3"
    config = {"suites": (name,), "versions": (version,)}
    return Feature(name.removeprefix("TLS_"), lambda info: info.suite == name, config, kind=kind)


def group(name: str, way: str = "") -> Feature:
    """A group of the key exchange, the only one of ours."""
    return Feature(name, lambda info: info.group == name, {"groups": (name,), "versions": ("TLSv1.3",)}, way)


FEATURES = [
    Feature("TLS 1.3", lambda info: info.version == "TLSv1.3", {"versions": ("TLSv1.3",)}),
    Feature("TLS 1.2", lambda info: info.version == "TLSv1.2", {"versions": ("TLSv1.2",)}, "TLSv1.2"),
    suite("TLS_AES_128_GCM_SHA256"),
    suite("TLS_AES_256_GCM_SHA384"),
    suite("TLS_CHACHA20_POLY1305_SHA256"),
    suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    suite("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    suite("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "rsa-2048"),
    group("x25519"),
    group("secp256r1"),
    group("secp384r1"),
    group("secp521r1", "p521"),
    group("X25519MLKEM768", "hybrid"),
    Feature("RSA certificate", lambda info: info.version == "TLSv1.3", kind="rsa-2048"),
    Feature("P-384 certificate", lambda info: info.version == "TLSv1.3", kind="ecdsa-p384"),
    Feature("Ed25519 certificate", lambda info: info.version == "TLSv1.3", way="ed25519", kind="ed25519"),
    Feature("ALPN", lambda info: info.alpn == "http/1.1", {"alpn": ("http/1.1",)}, "alpn"),
]


def record(request: pytest.FixtureRequest, role: str, feature: str, peer: str, tool: str | None) -> None:
    """For the table; without the peer's program the cell says so."""
    request.node.user_properties += [("role", role), ("feature", feature), ("peer", peer)]
    if tool is not None:
        from tasks import machine

        if missing := machine.missing(tool):
            cannot(request, missing)


def cannot(request: pytest.FixtureRequest, reason: object) -> None:
    """A cell with a reason."""
    request.node.user_properties.append(("reason", str(reason)))
    pytest.skip(str(reason))


def asked(request: pytest.FixtureRequest, client: Client, port: int, way: str, **more: Any) -> bytes:
    """Have a peer ask our server."""
    try:
        return client.ask(port, way, **more)
    except Cannot as reason:
        cannot(request, reason)
        raise


def server_config(good: Authority, kind: str = "ecdsa-p256", **config: Any) -> tls.ServerConfig:
    """With tickets."""
    identity = good.identity(kind)
    return tls.ServerConfig(identities=(identity,), tickets=tls.TicketKeys(bytes(32)), **config)


@pytest.mark.parametrize("kind", CLIENTS, ids=lambda c: c.name)
@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)
def test_our_server(
    request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Client], feature: Feature
) -> None:
    """The peer gets its page, and our side saw what was to be agreed on."""
    record(request, "server", feature.name, kind.name, kind.tool)
    with Server(server_config(good, feature.kind, **feature.config)).running() as server:
        asked(request, kind(good, folder), server.port, "" if feature.way == "TLSv1.2" else feature.way)
        info, _ = server.seen[0]
        assert feature.check(info), info


@pytest.mark.parametrize("kind", CLIENTS, ids=lambda c: c.name)
class TestOurServer:
    """What takes more than a configuration."""

    def test_hello_retry(
        self, request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Client]
    ) -> None:
        """The peer's share is of another group: it is asked to send one again."""
        record(request, "server", "HelloRetryRequest", kind.name, kind.tool)
        with Server(server_config(good, groups=("secp384r1",))).running() as server:
            asked(request, kind(good, folder), server.port, "")
            info, _ = server.seen[0]
            assert info.retried
            assert info.group == "secp384r1"

    @pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
    def test_client_certificate(
        self, request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Client], version: str
    ) -> None:
        """It is judged by the authenticator, and known afterwards."""
        record(request, "server", f"client certificate, {version[4:]}", kind.name, kind.tool)
        config = {"authenticator": good.authenticator, "client_certificates": "require", "versions": (version,)}
        with Server(server_config(good, **config)).running() as server:
            asked(request, kind(good, folder), server.port, "client certificate")
            info, _ = server.seen[0]
            assert [c.der for c in info.peer_chain][:1] == list(good.identity(name="client").chain)

    def test_no_client_certificate(
        self, request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Client]
    ) -> None:
        """Where one is required there is no page."""
        record(request, "server", "no client certificate: refused", kind.name, kind.tool)
        config = {"authenticator": good.authenticator, "client_certificates": "require"}
        with Server(server_config(good, **config)).running() as server:
            with pytest.raises(Refused):
                asked(request, kind(good, folder), server.port, "no certificate")
            assert server.seen == []

    @pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
    def test_resumption(
        self, request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Client], version: str
    ) -> None:
        """The second connection goes on from the first one's ticket."""
        record(request, "server", f"resumption, {version[4:]}", kind.name, kind.tool)
        if version == "TLSv1.2" and kind.without_tickets_12:
            cannot(request, kind.without_tickets_12)
        with Server(server_config(good, versions=(version,))).running() as server:
            client = kind(good, folder)
            asked(request, client, server.port, "resume first")
            asked(request, client, server.port, "resume")
            assert any(info.resumed for info, _ in server.seen)

    def test_key_update(
        self, request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Client]
    ) -> None:
        """The peer changes its keys, asks for ours, and the connection goes on."""
        record(request, "server", "KeyUpdate", kind.name, kind.tool)
        with Server(server_config(good, versions=("TLSv1.3",))).running() as server:
            asked(request, kind(good, folder), server.port, "key update")
            assert server.seen

    def test_early_data(
        self, request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Client]
    ) -> None:
        """The request comes with the first flight of a resumption, and is answered."""
        record(request, "server", "early data", kind.name, kind.tool)
        guarded = {"early_data": 16_384, "replay_guard": tls.ReplayGuard(), "versions": ("TLSv1.3",)}
        with Server(server_config(good, **guarded)).running() as server:
            client = kind(good, folder)
            asked(request, client, server.port, "resume first")
            asked(request, client, server.port, "early data")
            with_early = [seen for seen in server.seen if seen[0].early_data]
            info, data = with_early[-1] if kind.browser else server.seen[-1]
            assert info.early_data
            assert data.startswith(b"GET /" if kind.browser else REQUEST)

    def test_wrong_name(
        self, request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Client]
    ) -> None:
        """The peer finds that the certificate is another's."""
        record(request, "server", "another's name: refused", kind.name, kind.tool)
        with Server(server_config(good)).running() as server:
            with pytest.raises(Refused):
                asked(request, kind(good, folder), server.port, "", name="other.test")
            assert server.seen == []

    def test_unknown_authority(
        self, request: pytest.FixtureRequest, good: Authority, strange: Authority, folder: Path, kind: type[Client]
    ) -> None:
        """Nobody the peer knows vouches for us."""
        record(request, "server", "unknown authority: refused", kind.name, kind.tool)
        with Server(server_config(good)).running() as server:
            with pytest.raises(Refused):
                asked(request, kind(good, folder), server.port, "", trust=strange)
            assert server.seen == []


def answered(
    request: pytest.FixtureRequest, peer: Peer, way: str, kind: str, side: NativeClient, name: str = "localhost"
) -> tuple[tls.Info, bytes]:
    """Have our client ask a peer."""
    try:
        with peer.serving(way, kind) as port:
            return ask(port, side, name)
    except Cannot as reason:
        cannot(request, reason)
        raise


@pytest.mark.parametrize("kind", PEERS, ids=lambda p: p.name)
@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)
def test_our_client(
    request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Peer], feature: Feature
) -> None:
    """We get the peer's page, and agreed on what was to be."""
    record(request, "client", feature.name, kind.name, kind.tool)
    side = NativeClient(tls.ClientConfig(authenticator=good.authenticator, **feature.config))
    info, page = answered(request, kind(good, folder), feature.way, feature.kind, side)
    assert feature.check(info), info
    assert page


@pytest.mark.parametrize("kind", PEERS, ids=lambda p: p.name)
class TestOurClient:
    """What takes more than a configuration."""

    def test_hello_retry(self, request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Peer]) -> None:
        """The server knows P-384 only, for which we sent no share at first."""
        record(request, "client", "HelloRetryRequest", kind.name, kind.tool)
        config = tls.ClientConfig(
            authenticator=good.authenticator, groups=("x25519", "secp384r1"), key_shares=("x25519",)
        )
        info, _ = answered(request, kind(good, folder), "retry", "ecdsa-p256", NativeClient(config))
        assert info.retried

    @pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
    def test_client_certificate(
        self, request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Peer], version: str
    ) -> None:
        """The server requires ours, and gives its page."""
        record(request, "client", f"client certificate, {version[4:]}", kind.name, kind.tool)
        identity = good.identity(name="client")
        config = tls.ClientConfig(authenticator=good.authenticator, identities=(identity,), versions=(version,))
        _, page = answered(request, kind(good, folder), "client certificate", "ecdsa-p256", NativeClient(config))
        assert page

    @pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
    def test_resumption(
        self, request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Peer], version: str
    ) -> None:
        """The second connection goes on from the first one's ticket."""
        record(request, "client", f"resumption, {version[4:]}", kind.name, kind.tool)
        side = NativeClient(tls.ClientConfig(authenticator=good.authenticator, versions=(version,)))
        try:
            with kind(good, folder).serving("", "ecdsa-p256") as port:
                first, _ = ask(port, side)
                second, _ = ask(port, side)
        except Cannot as reason:
            cannot(request, reason)
        assert not first.resumed
        assert second.resumed

    def test_key_update(self, request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Peer]) -> None:
        """We change our keys twice and ask for the server's, which follows and changes its own."""
        record(request, "client", "KeyUpdate", kind.name, kind.tool)
        config = tls.ClientConfig(authenticator=good.authenticator, versions=("TLSv1.3",))
        try:
            with kind(good, folder).serving("", "ecdsa-p256") as port:
                page, updates = ask_updating(port, config)
        except Cannot as reason:
            cannot(request, reason)
        assert page
        assert updates >= 1

    def test_early_data(self, request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Peer]) -> None:
        """The server takes what comes with our first flight."""
        record(request, "client", "early data", kind.name, kind.tool)
        config = tls.ClientConfig(authenticator=good.authenticator, versions=("TLSv1.3",))
        try:
            with kind(good, folder).serving("early data", "ecdsa-p256") as port:
                first, session = ask_early(port, config)
                second, _ = ask_early(port, config, session, REQUEST)
        except Cannot as reason:
            cannot(request, reason)
        assert not first.early_data
        assert second.early_data

    def test_wrong_name(self, request: pytest.FixtureRequest, good: Authority, folder: Path, kind: type[Peer]) -> None:
        """The certificate is another's: we say so and go."""
        record(request, "client", "another's name: refused", kind.name, kind.tool)
        side = NativeClient(tls.ClientConfig(authenticator=good.authenticator))
        with pytest.raises(OSError, match="refused"):
            answered(request, kind(good, folder), "", "ecdsa-p256", side, "other.test")

    def test_unknown_authority(
        self, request: pytest.FixtureRequest, good: Authority, strange: Authority, folder: Path, kind: type[Peer]
    ) -> None:
        """Nobody we know vouches for the server."""
        record(request, "client", "unknown authority: refused", kind.name, kind.tool)
        side = NativeClient(tls.ClientConfig(authenticator=strange.authenticator))
        with pytest.raises(OSError, match="refused"):
            answered(request, kind(good, folder), "", "ecdsa-p256", side)


def test_early_data_is_off_and_does_no_harm(good: Authority, folder: Path) -> None:
    """A client that sends early data to a server that takes none is served all the same (RFC 8446 4.2.10)."""
    client = CLIENTS[0](good, folder)
    with Server(server_config(good, versions=("TLSv1.3",))).running() as server:
        client.ask(server.port, "resume first")
        _, data = server.seen[0]
        assert data == REQUEST
