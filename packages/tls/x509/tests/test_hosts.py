"""The name that a peer should have, and the certificates that have it (RFC 9525, RFC 5280 7)."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from mirage.crypto import PrivateKey
from mirage.x509 import Certificate, PeerName, UnusableInput, ValidationError, chain_of_trust, make_ca, make_client
from mirage.x509.hosts import match

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=90)
KEY = PrivateKey.generate_ec()
ROOT = make_ca("Root", KEY, not_before=START, not_after=END)


def certified(*names: str) -> Certificate:
    """A certificate with these alternative names."""
    return make_client("CN=Peer", KEY.public, ROOT, names=names, not_before=START, not_after=END)


def has(names: list[str], name: PeerName) -> bool:
    """Whether a certificate with these alternative names is one for `name`."""
    certificate = certified(*names)
    try:
        match(certificate, name)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("own", "name", "expected"),
    [
        ("www.example.org", "www.example.org", True),
        ("www.example.org", "WWW.Example.ORG", True),
        ("www.example.org", "www.example.org.", True),
        ("www.example.org", "example.org", False),
        ("*.example.org", "www.example.org", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "a.www.example.org", False),
        ("bücher.example", "bücher.example", True),
        ("bücher.example", "xn--bcher-kva.example", True),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", ipaddress.ip_address("192.0.2.1"), True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "[2001:db8:0::1]", True),
        ("2001:db8::1", "2001:db8::2", False),
        ("ada@example.org", "ada@EXAMPLE.org", True),
        ("ada@example.org", "Ada@example.org", False),
        ("ada@example.org", "example.org", False),
        ("spiffe://example.org/web", "spiffe://example.org/web", True),
        ("SPIFFE://Example.org/web", "spiffe://example.ORG/web", True),
        ("spiffe://example.org/web", "spiffe://example.org/Web", False),
        ("spiffe://example.org/web", "spiffe://example.org/web/2", False),
        ("spiffe://example.org/web", "spiffe://example.org", False),
        ("sip://Ada@example.org?q=A", "sip://Ada@EXAMPLE.ORG?q=A", True),
        ("sip://Ada@example.org", "sip://ada@example.org", False),
        ("https://example.org/", "example.org", False),
        ("example.org", "spiffe://example.org/", False),
    ],
)
def test_names_of_every_kind(own: str, name: PeerName, expected: bool) -> None:
    """Each is compared as its kind is, and no kind stands for another."""
    assert has([own], name) is expected
    assert has(["other.example", own], name) is expected


@pytest.mark.parametrize("text", ["", "a b", "-x.example", "a_b.example", "a..b", "x" * 64 + ".example", "ex://a\tb"])
def test_what_is_no_name(text: str) -> None:
    """Local misuse, as nobody could have such a name."""
    with pytest.raises(UnusableInput):
        has(["example.org"], text)


def test_a_peer_that_is_known_by_its_uri() -> None:
    """As services know each other: the chain is validated, and the whole URI is the name."""
    certificate, now = certified("spiffe://example.org/web"), START + timedelta(1)
    trust = chain_of_trust([ROOT.certificate])
    found = trust([certificate], name="spiffe://example.org/web", role="client", now=now)
    assert found.path == (certificate, ROOT.certificate)
    with pytest.raises(ValidationError, match=r"not for URI:spiffe://example\.org/db") as refusal:
        trust([certificate], name="spiffe://example.org/db", role="client", now=now)
    assert refusal.value.reason == "bad-name"
