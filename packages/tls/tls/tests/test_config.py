"""A configuration is checked once, when it is made; what is wrong with it says what clashes and what to do."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from mirage.crypto import PrivateKey
from mirage.tls import (
    ClientConfig,
    ConfigurationError,
    Identity,
    ReplayGuard,
    ServerConfig,
    TicketKeys,
)
from mirage.tls.testing import accept_anyone, connect

BOTH: list[tuple[dict[str, Any], str]] = [
    ({"versions": ()}, "versions is empty; name at least one of TLSv1.3, TLSv1.2"),
    ({"versions": ("TLSv1.1",)}, "versions has 'TLSv1.1', which is not known"),
    ({"versions": ("TLSv1.3", "TLSv1.3")}, "versions names one of them twice"),
    ({"suites": ("TLS_RSA_WITH_AES_128_CBC_SHA",)}, "suites has 'TLS_RSA_WITH_AES_128_CBC_SHA', which is not known"),
    ({"suites": ("TLS_AES_128_GCM_SHA256",)}, "versions has TLSv1.2 and suites has none for it"),
    ({"suites": ("TLS_AES_128_GCM_SHA256",), "versions": ("TLSv1.2",)}, "versions has TLSv1.2 and suites has none"),
    ({"groups": ("ffdhe2048",)}, "groups has 'ffdhe2048', which is not known"),
    ({"groups": ("X25519MLKEM768",)}, "TLSv1.2 has no hybrid groups; add one such as x25519"),
    ({"schemes": ("rsa_pkcs1_sha1",)}, "schemes has 'rsa_pkcs1_sha1', which is not known"),
    ({"schemes": ()}, "schemes is empty"),
    ({"alpn": ("",)}, "alpn has ''; a protocol's name has 1 to 255"),
    ({"alpn": ("x" * 256,)}, "a protocol's name has 1 to 255 ASCII characters"),
    ({"alpn": ("h2", "h2")}, "alpn names one of them twice"),
    ({"record_size_limit": 63}, "record_size_limit is 63; it must be 64 to 16385"),
    ({"record_size_limit": 16_385, "versions": ("TLSv1.2",)}, "it must be 64 to 16384"),
    ({"certificate_compression": ("lzma",)}, "certificate_compression has 'lzma', which is not known"),
    ({"raw_public_keys": "yes"}, "raw_public_keys is 'yes'; say no, allow or only"),
    ({"raw_public_keys": "allow", "versions": ("TLSv1.2",)}, "raw_public_keys and versions clash"),
    ({"max_handshake": 1000}, "max_handshake must be 16,384 octets or more"),
    ({"max_handshake": 1 << 24}, "and below 16 MiB"),
    ({"keylog": "keys.txt"}, "keylog is not callable"),
]
CLIENTS: list[tuple[dict[str, Any], str]] = [
    ({"key_shares": ("secp521r1",), "groups": ("x25519",)}, "key_shares has secp521r1, which groups has not"),
    ({"key_shares": ("x25519", "x25519")}, "key_shares names one of them twice"),
    ({"authenticator": None}, "authenticator is not callable; take one from mirage.x509"),
]
SERVERS: list[tuple[dict[str, Any], str]] = [
    ({"identities": ()}, "identities is empty; a server needs a certificate and its key"),
    ({"client_certificates": "maybe"}, "client_certificates is 'maybe'; say no, ask or require"),
    ({"client_certificates": "require"}, "client_certificates and authenticator clash"),
    ({"authenticator": accept_anyone}, "client_certificates and authenticator clash"),
    ({"raw_public_keys": "allow"}, "raw_public_keys and client_certificates clash"),
    ({"client_authorities": (b"0\0",)}, "client_authorities and client_certificates clash"),
    ({"ticket_count": 17}, "ticket_count must be 0 to 16"),
    ({"early_data": 100}, "early_data needs TLSv1.3 in versions, and tickets"),
    ({"early_data": 100, "tickets": TicketKeys(bytes(32)), "versions": ("TLSv1.2",)}, "early_data needs TLSv1.3"),
    ({"early_data": 100, "tickets": TicketKeys(bytes(32))}, "early_data needs a replay_guard"),
    ({"early_data": -1, "tickets": TicketKeys(bytes(32)), "replay_guard": ReplayGuard()}, "below 4 GiB"),
    ({"replay_guard": ReplayGuard()}, "replay_guard guards early_data, which is 0"),
]


@pytest.mark.parametrize(("wrong", "told"), BOTH + CLIENTS)
def test_what_a_client_cannot_be(wrong: dict[str, Any], told: str) -> None:
    """Local misuse, told before there is a connection."""
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        ClientConfig(**{"authenticator": accept_anyone, **wrong})


@pytest.mark.parametrize(("wrong", "told"), BOTH + SERVERS)
def test_what_a_server_cannot_be(pki: Any, wrong: dict[str, Any], told: str) -> None:
    """The same, and what only a server has."""
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        ServerConfig(**{"identities": (pki.identity(),), **wrong})


def test_identities_that_could_not_prove_themselves(pki: Any) -> None:
    """In either role: no scheme, no suite, no version, no name that goes with them."""
    rsa, raw = pki.identity("rsa"), Identity((), PrivateKey.generate_ed25519())
    only: dict[str, Any] = {"schemes": ("ecdsa_secp256r1_sha256",)}
    older: dict[str, Any] = {"versions": ("TLSv1.2",)}
    for wrong, told in (
        ({"identities": (pki.identity(), rsa), **only}, "schemes has none for <private RSA key"),
        ({"identities": (raw,), **older}, "identities and versions clash"),
    ):
        for make in (lambda more: ClientConfig(authenticator=accept_anyone, **more), lambda more: ServerConfig(**more)):
            with pytest.raises(ConfigurationError, match=f"(?i){told}"):
                make(wrong)
    with pytest.raises(ConfigurationError, match="no suite goes with keys of rsa; add one"):
        ServerConfig(identities=(rsa,), suites=("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",), **older)
    with pytest.raises(ConfigurationError, match="strict_name and identities clash"):
        ServerConfig(identities=(raw,), strict_name=True)


def test_a_configuration_stays_as_it_was_checked(pki: Any) -> None:
    """It is frozen; changing it makes another, which is checked again."""
    config = ServerConfig(identities=(pki.identity(),))
    with pytest.raises(FrozenInstanceError):
        config.early_data = 100  # type: ignore[misc]
    with pytest.raises(ConfigurationError, match="identities is empty"):
        config.with_identities()
    other = config.with_identities(pki.identity("rsa"))
    assert (other.identities[0].key.public.kind, other.suites) == ("rsa", config.suites)


def test_the_text_of_an_identity(pki: Any) -> None:
    """Chain and key in any order, with lines of either end; what is wrong with it is said."""
    issued = pki.issued()
    key, pem = issued.key.to_pem(), issued.pem
    for text in (pem + key, key + pem, b"words\n" + pem.replace(b"\n", b"\r\n") + key):
        found = Identity.from_pem(text)
        assert (found.chain, found.key.public) == ((issued.der,), issued.key.public)
    broken = pem.replace(b"\nMII", b"\n?II")
    assert broken != pem
    for text, told in (
        (pem, "no private key"),
        (key, "no certificate"),
        (broken + key, "certificate 1 is no PEM"),
        (pem + key + key, "2 private keys"),
        (pem + PrivateKey.generate_ec().to_pem(), "does not belong to the first certificate"),
        (pem + issued.key.to_pem(b"secret"), "private key cannot be used"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            Identity.from_pem(text)


def test_no_configuration_shows_a_secret(pki: Any) -> None:
    """What is printed of configurations, keys and sessions has no key in it, in any of the usual forms."""
    secret, key = bytes(range(32)), pki.issued().key
    config = ServerConfig(identities=(pki.identity(),), tickets=TicketKeys(secret))
    ours, theirs, events, _ = connect(ClientConfig(authenticator=accept_anyone), config)
    sessions = [event.session for event in events if hasattr(event, "session")]
    assert sessions
    shown = repr((config, config.tickets, sessions, events, ours, theirs, ours.info))
    for hidden in (secret, key.pkcs8(), sessions[0].secret):
        for form in (repr(hidden)[2:-1], hidden.hex()):
            assert form not in shown
