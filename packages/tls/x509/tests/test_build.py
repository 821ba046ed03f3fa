"""Certificates that we make: our own verdict under every profile, and those of openssl and `cryptography`."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509 as theirs
from cryptography.x509.verification import PolicyBuilder, Store
from mirage.crypto import PrivateKey
from mirage.x509 import (
    PRACTICAL,
    RFC5280,
    WEB,
    Certificate,
    Identity,
    Name,
    Profile,
    UnusableInput,
    ValidationError,
    chain_of_trust,
    make_ca,
    make_client,
    make_server,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=90)
NOW = START + timedelta(days=1)
KEYS = {
    "p256": PrivateKey.generate_ec(),
    "p384": PrivateKey.generate_ec("secp384r1"),
    "p521": PrivateKey.generate_ec("secp521r1"),
    "rsa": PrivateKey.generate_rsa(2048),
    "ed25519": PrivateKey.generate_ed25519(),
    "ed448": PrivateKey.generate_ed448(),
}
CA_KEY = PrivateKey.generate_ec()


def ca(key: PrivateKey = CA_KEY, **more: object) -> Identity:
    return make_ca("O=Example, CN=Test CA", key, not_before=START, not_after=END, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("profile", [PRACTICAL, RFC5280, WEB], ids=lambda p: p.name)
def test_every_profile_accepts_what_we_make(kind: str, profile: Profile) -> None:
    """With every kind of key, as CA and as server."""
    key = KEYS[kind]
    root = ca(key)
    leaf = make_server(["example.org", "*.example.org", "192.0.2.1"], key.public, root, not_before=START, not_after=END)
    trust = chain_of_trust([root.certificate], profile=profile)
    for name in ("example.org", "www.example.org", "192.0.2.1", "EXAMPLE.org."):
        assert trust([leaf], name=name, now=NOW).path == (leaf, root.certificate)
    for name in ("example.com", "a.b.example.org", "192.0.2.2"):
        with pytest.raises(ValidationError) as caught:
            trust([leaf], name=name, now=NOW)
        assert caught.value.reason == "bad-name"
    client = make_client("CN=Ada", key.public, root, not_before=START, not_after=END, names=["ada@example.org"])
    assert trust([client], name="ada@EXAMPLE.org", role="client", now=NOW)
    with pytest.raises(ValidationError) as caught:
        trust([client], now=NOW)
    assert caught.value.reason == "bad-purpose"


@pytest.mark.tool("openssl")
@pytest.mark.parametrize("kind", KEYS)
def test_openssl_accepts_it(kind: str, tmp_path: Path) -> None:
    """`openssl verify -x509_strict`, with an intermediate between."""
    root = ca()
    middle = make_ca("CN=Middle", KEYS[kind], not_before=START, not_after=END, issuer=root, path_length=0)
    leaf = make_server(["example.org", "::1"], KEYS[kind].public, middle, not_before=START, not_after=END)
    (tmp_path / "root.pem").write_text(root.certificate.pem())
    (tmp_path / "leaf.pem").write_text(leaf.pem() + middle.certificate.pem())
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "example.org"]
    when = ["-attime", str(int(NOW.timestamp()))]
    files = ["-CAfile", "root.pem", "-untrusted", "leaf.pem", "leaf.pem"]
    told = subprocess.run([*command, *when, *files], cwd=tmp_path, capture_output=True, text=True)
    assert told.stdout == "leaf.pem: OK\n", told


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa"])
def test_cryptography_accepts_it(kind: str) -> None:
    """Its verifier is about as strict as our web profile."""
    root = ca(KEYS[kind])
    leaf = make_server(["example.org"], KEYS[kind].public, root, not_before=START, not_after=END)
    store = Store([theirs.load_der_x509_certificate(root.certificate.der)])
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(theirs.DNSName("example.org"))
    assert len(verifier.verify(theirs.load_der_x509_certificate(leaf.der), [])) == 2


def test_numbers_differ() -> None:
    """Serial numbers need no randomness, and no two certificates share one."""
    root = ca()
    again = make_server(["a.example"], CA_KEY.public, root, not_before=START, not_after=END)
    other = make_server(["b.example"], CA_KEY.public, root, not_before=START, not_after=END)
    assert len({root.certificate.serial, again.serial, other.serial}) == 3
    assert make_server(["a.example"], CA_KEY.public, root, not_before=START, not_after=END, serial=7).serial == 7


def test_permitted_names() -> None:
    """A CA that is limited to some names certifies no other."""
    root = ca(permitted=["example.org", "192.0.2.0/24"])
    trust = chain_of_trust([root.certificate], profile=WEB)
    for name, good in {"www.example.org": True, "192.0.2.9": True, "example.com": False, "192.0.3.1": False}.items():
        leaf = make_server([name], CA_KEY.public, root, not_before=START, not_after=END)
        if good:
            trust([leaf], name=name, now=NOW)
        else:
            with pytest.raises(ValidationError) as caught:
                trust([leaf], name=name, now=NOW)
            assert caught.value.reason == "name-constraints"


def test_what_cannot_be_made() -> None:
    """Mistakes of the caller say what to do."""
    root = ca()
    leaf = make_server(["example.org"], CA_KEY.public, root, not_before=START, not_after=END)
    with pytest.raises(UnusableInput, match="not a CA's"):
        make_server(["a"], CA_KEY.public, Identity(leaf, CA_KEY), not_before=START, not_after=END)
    with pytest.raises(UnusableInput, match="needs a name"):
        make_server([], CA_KEY.public, root, not_before=START, not_after=END)
    with pytest.raises(UnusableInput, match="no DNS name"):
        make_server(["https://example.org/"], CA_KEY.public, root, not_before=START, not_after=END)
    with pytest.raises(UnusableInput, match="end before"):
        make_server(["a"], CA_KEY.public, root, not_before=END, not_after=START)
    with pytest.raises(UnusableInput, match="made together"):
        Identity(leaf, KEYS["rsa"])
    with pytest.raises(UnusableInput, match="no attribute"):
        Name.parse("X=1")
    with pytest.raises(UnusableInput, match="a CA needs a name"):
        make_ca(Name.build(), CA_KEY, not_before=START, not_after=END)


def test_international_names() -> None:
    """U-labels become A-labels, in certificates and in what is asked for."""
    root = ca()
    leaf = make_server(["bücher.example"], CA_KEY.public, root, not_before=START, not_after=END)
    assert leaf.dns_names == ["xn--bcher-kva.example"]
    chain_of_trust([root.certificate])([leaf], name="bücher.example", now=NOW)


def test_pem_of_an_identity() -> None:
    """One file for a server: certificate, chain, key."""
    root = ca()
    text = Identity(make_server(["a"], CA_KEY.public, root, not_before=START, not_after=END), CA_KEY).pem(
        root.certificate
    )
    assert [c.is_ca for c in Certificate.decode_pem(text)] == [False, True]
    assert PrivateKey.from_pem(text.encode()) == CA_KEY
