"""Authenticators: pins, raw keys, configuration texts, policies, and the work that a hostile chain may cause."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mirage.asn1 import Oid
from mirage.crypto import SHA1, SHA256, PrivateKey
from mirage.x509 import (
    PRACTICAL,
    Certificate,
    Identity,
    Limits,
    Name,
    UnusableInput,
    ValidationError,
    build,
    certificate_fingerprint,
    chain_of_trust,
    encode_pem,
    extension,
    from_string,
    key_fingerprint,
    make_ca,
    make_server,
    raw_public_key,
    system_roots,
)
from mirage.x509 import extensions as ext
from mirage.x509._checks import check_anchor, check_key
from mirage.x509.authenticators import Authenticator, Presented
from mirage.x509.build import key_id
from mirage.x509.extensions import (
    PURPOSES,
    AuthorityKeyIdentifier,
    BasicConstraints,
    PolicyConstraints,
    PolicyInformation,
    PolicyMapping,
)
from mirage.x509.names import general_name

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=90)
NOW = START + timedelta(days=1)
KEY, OTHER = PrivateKey.generate_ec(), PrivateKey.generate_ed25519()
ROOT = make_ca("Root", PrivateKey.generate_ec(), not_before=START, not_after=END)
LEAF = make_server(["example.org"], KEY.public, ROOT, not_before=START, not_after=END)


def verdict(
    authenticator: Authenticator, chain: Presented, now: datetime | float = NOW, name: str | None = None
) -> str:
    try:
        authenticator(chain, name=name, now=now)
    except ValidationError as error:
        return error.reason
    return "good"


def test_pins() -> None:
    """A certificate's pin holds during its validity, a key's for ever and for raw keys too."""
    certificate = certificate_fingerprint(SHA256, LEAF.fingerprint())
    key = key_fingerprint(SHA256, LEAF.key_fingerprint())
    raw = raw_public_key(KEY.public)
    for each in (certificate, key, raw):
        assert verdict(each, [LEAF]) == "good"
        assert verdict(each, [ROOT.certificate]) == "fingerprint-mismatch"
        assert verdict(each, []) == "certificate-required"
        assert each([LEAF], now=NOW).public_key == KEY.public
    late = END + timedelta(days=1)
    assert [verdict(each, [LEAF], late) for each in (certificate, key, raw)] == ["expired", "good", "good"]
    assert verdict(certificate, [LEAF], START - timedelta(1)) == "not-yet-valid"
    assert [verdict(each, KEY.public) for each in (certificate, key, raw)] == ["certificate-required", "good", "good"]
    assert verdict(raw, OTHER.public) == verdict(key, OTHER.public) == "fingerprint-mismatch"
    assert verdict(chain_of_trust([LEAF]), KEY.public) == "certificate-required"
    with pytest.raises(UnusableInput, match="32 octets"):
        key_fingerprint(SHA256, b"short")
    with pytest.raises(UnusableInput, match="forged"):
        key_fingerprint(SHA1, bytes(20))
    with pytest.raises(UnusableInput, match="no key"):
        raw_public_key()


def test_from_string(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each form of the text, and what is said of others."""
    (tmp_path / "ca.pem").write_text(ROOT.certificate.pem())
    (tmp_path / "empty.pem").write_text("-----BEGIN X-----\n-----END X-----\n")
    (tmp_path / "key.pem").write_text(encode_pem("PUBLIC KEY", KEY.public.spki()))
    colons = LEAF.fingerprint().hex(":").upper()
    for text in (
        f"chain:{tmp_path / 'ca.pem'}",
        f"chain:{tmp_path / 'ca.pem'};profile=web",
        f"key-fp:sha256:{LEAF.key_fingerprint().hex()}",
        f"cert-fp:SHA-256:{colons}",
        f"raw-key:{tmp_path / 'key.pem'}",
    ):
        assert verdict(from_string(text), [LEAF]) == "good", text
        assert (
            verdict(from_string(text), [make_server(["x"], OTHER.public, Identity(LEAF_CA, KEY), **SPAN)]) != "good"
        ), text
    with_roots = tmp_path / "ca.pem"
    monkeypatch.setattr("mirage.x509.authenticators._STORES", (str(with_roots),))
    assert verdict(from_string("system"), [LEAF]) == verdict(from_string("system;profile=web"), [LEAF]) == "good"
    for text in (
        *(
            "",
            "systems",
            "system;profile=mild",
            "chain:/nowhere",
            f"chain:{tmp_path / 'empty.pem'}",
            f"chain:{tmp_path / 'ca.pem'};profile=mild",
        ),
        *("key-fp:sha256:00", "key-fp:md5:00", "key-fp:sha256:xx", f"raw-key:{tmp_path / 'ca.pem'}", "trust-everybody"),
    ):
        with pytest.raises(UnusableInput):
            from_string(text)


SPAN = {"not_before": START, "not_after": END}
LEAF_CA = make_ca("Another", KEY, **SPAN).certificate  # type: ignore[arg-type]


def test_system_roots(tmp_path: Path) -> None:
    """From a file; one that cannot be read is left out."""
    broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    (tmp_path / "roots.pem").write_text(broken + ROOT.certificate.pem())
    assert system_roots(tmp_path / "roots.pem") == [ROOT.certificate]
    with pytest.raises(UnusableInput, match="ca-certificates"):
        system_roots(tmp_path / "absent")


def test_misuse() -> None:
    """What would be a mistake of ours says so."""
    trust = chain_of_trust([ROOT.certificate])
    with pytest.raises(UnusableInput, match="no trust anchor"):
        chain_of_trust([])
    with pytest.raises(UnusableInput, match="zone"):
        trust([LEAF], now=NOW.replace(tzinfo=None))
    with pytest.raises(UnusableInput, match="server or client"):
        trust([LEAF], now=NOW, role="both")
    for name in ("", "https://example.org/", "exa mple.org", "*.example.org", "x" * 300):
        with pytest.raises(UnusableInput):
            trust([LEAF], now=NOW, name=name)
    assert trust([LEAF], now=NOW.timestamp(), name="example.org").path == (LEAF, ROOT.certificate)
    error = ValidationError("expired", "text")
    assert pickle.loads(pickle.dumps(error)).reason == "expired"


def test_a_trusted_leaf() -> None:
    """A self-signed certificate that is itself trusted is a path of its own."""
    own = build(
        Name.parse("x"), KEY.public, KEY, issuer=Name.parse("x"), not_before=START, not_after=END,
        extensions=[extension(ext.SUBJECT_ALT_NAME, [general_name("example.org")])],
    )  # fmt: skip
    assert verdict(chain_of_trust([own]), [own], name="example.org") == "good"
    assert verdict(chain_of_trust([own]), [own], name="example.com") == "bad-name"
    assert verdict(chain_of_trust([own]), [own], END + timedelta(1)) == "expired"
    assert verdict(chain_of_trust([ROOT.certificate]), [own]) == "unknown-issuer"


# Policies.

A, B, C, ANY = Oid("1.2.3.1"), Oid("1.2.3.2"), Oid("1.2.3.3"), Oid("2.5.29.32.0")


def with_policies(
    *levels: list[Oid] | None,
    mapping: list[tuple[Oid, Oid]] | None = None,
    constraints: PolicyConstraints | None = None,
    inhibit_any: int | None = None,
) -> tuple[Certificate, list[Certificate]]:
    """A root, and under it certificates with these policies; the other arguments go into the first of them."""
    chain: list[Certificate] = []
    for index, policies in enumerate(levels):
        last = index == len(levels) - 1
        extensions = [
            extension(ext.BASIC_CONSTRAINTS, BasicConstraints(not last), True),
            extension(ext.SUBJECT_KEY_IDENTIFIER, key_id(KEY.public)),
            extension(ext.AUTHORITY_KEY_IDENTIFIER, AuthorityKeyIdentifier()),
        ]
        if policies is not None:
            extensions.append(extension(ext.CERTIFICATE_POLICIES, [PolicyInformation(p) for p in policies]))
        if index == 0 and mapping:
            extensions.append(extension(ext.POLICY_MAPPINGS, [PolicyMapping(*pair) for pair in mapping], True))
        if index == 0 and constraints:
            extensions.append(extension(ext.POLICY_CONSTRAINTS, constraints, True))
        if index == 0 and inhibit_any is not None:
            extensions.append(extension(ext.INHIBIT_ANY_POLICY, inhibit_any, True))
        if last:
            extensions.append(extension(ext.SUBJECT_ALT_NAME, [general_name("x")]))
        issuer = f"CA {index - 1}" if index else "Root"
        signer = KEY if index else ROOT.key
        chain.insert(
            0,
            build(
                Name.parse(f"CA {index}"), KEY.public, signer, issuer=Name.parse(issuer), extensions=extensions, **SPAN
            ),
        )
    return chain[0], chain


def policy(required: bool, wanted: set[Oid], chain: list[Certificate]) -> str:
    trust = chain_of_trust([ROOT.certificate], policies=frozenset(wanted), require_policy=required)
    return verdict(trust, chain)


@pytest.mark.parametrize(
    ("levels", "more", "wanted", "expected"),
    [
        ([[A], [A]], {}, {A}, "good"),
        ([[A], [B]], {}, {A}, "policy"),
        ([[A, B], [B]], {}, {A}, "policy"),
        ([[A, B], [B]], {}, {B}, "good"),
        ([[A], [A]], {}, set(), "good"),
        ([[A], None], {}, set(), "policy"),
        ([None, [A]], {}, set(), "policy"),
        ([[ANY], [A]], {}, {A}, "good"),
        ([[A], [ANY]], {}, {A}, "good"),
        ([[A], [ANY]], {}, {B}, "policy"),
        ([[ANY], [ANY]], {}, {B}, "good"),
        ([[ANY], [A]], {"inhibit_any": 0}, {A}, "good"),
        ([[A], [ANY]], {"inhibit_any": 0}, {A}, "policy"),
        ([[A], [ANY], [A]], {"inhibit_any": 1}, {A}, "good"),
        ([[A], [B]], {"mapping": [(A, B)]}, {A}, "good"),
        ([[A], [B]], {"mapping": [(A, B)]}, {B}, "policy"),
        ([[A], [A]], {"mapping": [(A, B)]}, {A}, "policy"),
        ([[A], [C]], {"mapping": [(A, B), (A, C)]}, {A}, "good"),
        ([[ANY], [B]], {"mapping": [(A, B)]}, {A}, "good"),
        ([[A], [B]], {"mapping": [(A, ANY)]}, {A}, "policy"),
    ],
)
def test_policies(levels: list[list[Oid] | None], more: dict[str, object], wanted: set[Oid], expected: str) -> None:
    """RFC 5280 6.1: policies go down the path, by mappings and anyPolicy; only if one is required must there be one."""
    _, chain = with_policies(*levels, **more)  # type: ignore[arg-type]
    assert policy(True, wanted, chain) == expected
    if ANY not in [oid for pair in more.get("mapping", []) for oid in pair]:  # type: ignore[attr-defined]
        assert policy(False, wanted, chain) == "good"


def test_policy_constraints() -> None:
    """A CA may require a policy of those below, and forbid mappings."""
    require = PolicyConstraints(require_explicit=0)
    assert policy(False, set(), with_policies([A], [A], constraints=require)[1]) == "good"
    assert policy(False, set(), with_policies([A], [B], constraints=require)[1]) == "policy"
    assert policy(False, {B}, with_policies([A], [A], constraints=require)[1]) == "policy"
    later = PolicyConstraints(require_explicit=1)
    assert policy(False, set(), with_policies([A], [B], constraints=later)[1]) == "policy"
    assert policy(False, set(), with_policies([A], [B], constraints=PolicyConstraints(require_explicit=5))[1]) == "good"


# Hostile chains.


def test_many_paths_cost_little() -> None:
    """CAs that all certify each other make thousands of millions of paths; only so many signatures are verified."""
    keys = [PrivateKey.generate_ec() for _ in range(6)]
    cross = [
        make_ca(
            f"N{i}", keys[i], issuer=Identity(make_ca(f"N{j}", keys[j], **SPAN).certificate, keys[j]), **SPAN
        ).certificate  # type: ignore[arg-type]
        for i in range(6)
        for j in range(6)
        if i != j
    ]
    leaf = make_server(["x"], KEY.public, Identity(make_ca("N0", keys[0], **SPAN).certificate, keys[0]), **SPAN)  # type: ignore[arg-type]
    trust = chain_of_trust([ROOT.certificate])
    assert verdict(trust, [leaf, *cross]) == "too-complex"
    assert verdict(trust, [leaf] * 33) == "too-complex"
    small = chain_of_trust([ROOT.certificate], limits=Limits(signatures=1))
    assert verdict(small, [leaf, *cross]) == "too-complex"


def test_many_names_and_constraints_cost_little() -> None:
    """Each name is to be compared with each constraint; only so many are."""
    ca = make_ca("Many", KEY, permitted=[f"{i}.example" for i in range(1000)], issuer=ROOT, **SPAN)  # type: ignore[arg-type]
    leaf = make_server([f"{i % 1000}.example" for i in range(1500)], KEY.public, ca, **SPAN)  # type: ignore[arg-type]
    assert verdict(chain_of_trust([ROOT.certificate]), [leaf, ca.certificate]) == "too-complex"


def test_many_policies_cost_little() -> None:
    """Their tree could grow exponentially; ours is a set, and its size is bounded."""
    _, chain = with_policies([Oid(f"1.2.{i}") for i in range(257)], [A])
    assert policy(False, set(), chain) == "too-complex"
    _, chain = with_policies([A], [A], mapping=[(A, Oid(f"1.2.{i}")) for i in range(257)])
    assert policy(False, set(), chain) == "too-complex"


def test_depth() -> None:
    """A path has at most eight certificates between leaf and anchor."""
    issuer, chain = ROOT, []
    for index in range(10):
        issuer = make_ca(f"Level {index}", KEY if index % 2 else OTHER, issuer=issuer, **SPAN)  # type: ignore[arg-type]
        chain.insert(0, issuer.certificate)
        leaf = make_server(["x"], KEY.public, issuer, **SPAN)  # type: ignore[arg-type]
        expected = "good" if index < 8 else "path-too-long"
        assert verdict(chain_of_trust([ROOT.certificate]), [leaf, *chain]) == expected, index


def test_the_better_path_is_found() -> None:
    """A CA with two certificates, one expired and one not, or one by a stranger: the good one is used."""
    key = PrivateKey.generate_ec()
    old = make_ca("Middle", key, issuer=ROOT, not_before=START, not_after=START).certificate
    good = make_ca("Middle", key, issuer=ROOT, not_before=START, not_after=END).certificate
    stranger = make_ca("Middle", OTHER, not_before=START, not_after=END).certificate
    leaf = make_server(["x"], KEY.public, Identity(good, key), not_before=START, not_after=END)
    trust = chain_of_trust([ROOT.certificate])
    for others in ([old, stranger, good], [stranger, good, old], [good, old, stranger]):
        assert trust([leaf, *others], now=NOW).path == (leaf, good, ROOT.certificate)
    assert verdict(trust, [leaf, old, stranger]) == "expired"
    assert verdict(trust, [leaf, stranger]) == "bad-signature"
    assert PURPOSES["serverAuth"] in (leaf.purposes or [])


def test_the_roots_of_the_system() -> None:
    """Each root that the operating system trusts can be an anchor here: its key, its extensions."""
    try:
        roots = system_roots()
    except UnusableInput as error:
        pytest.skip(str(error))
    assert len(roots) > 20
    for root in roots:
        check_key(root, PRACTICAL)
        check_anchor(root, PRACTICAL, 0)
