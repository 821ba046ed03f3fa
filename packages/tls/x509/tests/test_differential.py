"""Thousands of generated chains: our verdict against `openssl verify` and `cryptography`'s verifier.

A chain is a good one with up to three things wrong with it, or odd about it. `PRACTICAL` is compared with openssl,
`WEB` with `cryptography`. Where verdicts differ, an oddity of the chain must be listed below as what they differ about.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509 as theirs
from cryptography.x509 import verification
from mirage.asn1 import Oid
from mirage.crypto import PrivateKey
from mirage.x509 import PRACTICAL, WEB, Certificate, Name, Profile, ValidationError, build, chain_of_trust, extension
from mirage.x509 import extensions as ext
from mirage.x509._schema import Extension
from mirage.x509.build import key_id
from mirage.x509.extensions import PURPOSES, AuthorityKeyIdentifier, BasicConstraints, GeneralSubtree, NameConstraints
from mirage.x509.names import general_name

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=90)
NOW = START + timedelta(days=30)
NAME = "www.example.org"
KEYS = [PrivateKey.generate_ec() for _ in range(6)]
STRANGER = PrivateKey.generate_ec()


@dataclass
class Plan:
    """A certificate that is to be made; oddities change it before it is signed."""

    subject: str
    key: PrivateKey
    ca: bool
    span: tuple[datetime, datetime] = (START, END)
    extensions: dict[str, Extension] = field(default_factory=dict)
    signer: PrivateKey | None = None

    def put(self, oid: Oid, value: Any, critical: bool) -> None:
        self.extensions[oid] = extension(oid, value, critical)


@dataclass
class Chain:
    """Plans from the root to the leaf, and what is sent of them."""

    plans: list[Plan]
    rng: random.Random
    leave_out: bool = False
    shuffle: bool = False
    extra: bool = False
    untrusted: bool = False

    @property
    def cas(self) -> list[Plan]:
        return self.plans[:-1]

    @property
    def leaf(self) -> Plan:
        return self.plans[-1]


def plan(rng: random.Random, mark: str) -> Chain:
    """A good chain; `mark` makes its names its own, so that many can be verified in one run."""
    plans = []
    count = rng.choice((1, 2, 2, 3))
    for index in range(count + 1):
        ca = index < count
        each = Plan(f"CN=CA {index} of {mark}" if ca else "", KEYS[index], ca)
        signer = KEYS[max(index - 1, 0)]
        each.put(ext.BASIC_CONSTRAINTS, BasicConstraints(ca), True)
        each.put(ext.KEY_USAGE, frozenset(("keyCertSign", "cRLSign") if ca else ("digitalSignature",)), True)
        each.put(ext.SUBJECT_KEY_IDENTIFIER, key_id(each.key.public), False)
        each.put(ext.AUTHORITY_KEY_IDENTIFIER, AuthorityKeyIdentifier(key_id(signer.public)), False)
        if not ca:
            each.put(ext.EXTENDED_KEY_USAGE, [PURPOSES["serverAuth"]], False)
            each.put(ext.SUBJECT_ALT_NAME, [general_name(NAME)], True)
        plans.append(each)
    return Chain(plans, rng)


def names(*texts: str) -> Callable[[Chain], None]:
    return lambda chain: chain.leaf.put(ext.SUBJECT_ALT_NAME, [general_name(text) for text in texts], True)


def constraint(permitted: list[str] | None, excluded: list[str] | None) -> Callable[[Chain], None]:
    def change(chain: Chain) -> None:
        subtrees = [
            [GeneralSubtree(general_name(t)) for t in texts] if texts else None for texts in (permitted, excluded)
        ]
        chain.rng.choice(chain.cas).put(ext.NAME_CONSTRAINTS, NameConstraints(*subtrees), True)

    return change


def on_ca(change: Callable[[Plan], Any]) -> Callable[[Chain], Any]:
    return lambda chain: change(chain.rng.choice(chain.cas))


def on_any(change: Callable[[Plan], Any]) -> Callable[[Chain], Any]:
    return lambda chain: change(chain.rng.choice(chain.plans))


def on_leaf(change: Callable[[Plan], Any]) -> Callable[[Chain], Any]:
    return lambda chain: change(chain.leaf)


def span(begin: int, end: int) -> Callable[[Plan], None]:
    def change(each: Plan) -> None:
        each.span = NOW + timedelta(seconds=begin), NOW + timedelta(seconds=end)

    return change


ODDITIES: dict[str, Callable[[Chain], Any]] = {
    "expired": on_any(span(-99, -1)),
    "not yet valid": on_any(span(1, 99)),
    "valid for this second": on_any(span(0, 0)),
    "no CA bit": on_ca(lambda p: p.put(ext.BASIC_CONSTRAINTS, BasicConstraints(False), True)),
    "no basic constraints on a CA": on_ca(lambda p: p.extensions.pop(ext.BASIC_CONSTRAINTS)),
    "no basic constraints on the leaf": on_leaf(lambda p: p.extensions.pop(ext.BASIC_CONSTRAINTS, None)),
    "path length 0": on_ca(lambda p: p.put(ext.BASIC_CONSTRAINTS, BasicConstraints(True, 0), True)),
    "path length 1": on_ca(lambda p: p.put(ext.BASIC_CONSTRAINTS, BasicConstraints(True, 1), True)),
    "no keyCertSign": on_ca(lambda p: p.put(ext.KEY_USAGE, frozenset(["cRLSign"]), True)),
    "no key usage": on_any(lambda p: p.extensions.pop(ext.KEY_USAGE, None)),
    "clientAuth only": on_leaf(lambda p: p.put(ext.EXTENDED_KEY_USAGE, [PURPOSES["clientAuth"]], False)),
    "no purposes": on_leaf(lambda p: p.extensions.pop(ext.EXTENDED_KEY_USAGE, None)),
    "both purposes": on_leaf(
        lambda p: p.put(ext.EXTENDED_KEY_USAGE, [PURPOSES["clientAuth"], PURPOSES["serverAuth"]], False)
    ),
    "any purpose": on_leaf(lambda p: p.put(ext.EXTENDED_KEY_USAGE, [PURPOSES["any"]], False)),
    "intermediate for clients": lambda c: c.plans[-2].put(ext.EXTENDED_KEY_USAGE, [PURPOSES["clientAuth"]], False),
    "intermediate for servers": lambda c: c.plans[-2].put(ext.EXTENDED_KEY_USAGE, [PURPOSES["serverAuth"]], False),
    "another name": names("www.example.com"),
    "two names": names("example.net", NAME),
    "wildcard": names("*.example.org"),
    "wildcard too high": names("*.org"),
    "wildcard too low": names("*.www.example.org"),
    "in capitals": names("WWW.Example.ORG"),
    "an address too": names("192.0.2.1", NAME),
    "no names": on_leaf(lambda p: p.extensions.pop(ext.SUBJECT_ALT_NAME, None)),
    "permitted": constraint(["example.org"], None),
    "permitted elsewhere": constraint(["example.com"], None),
    "permitted exactly": constraint([NAME], None),
    "permitted below": constraint(["a." + NAME], None),
    "excluded": constraint(None, ["example.org"]),
    "excluded elsewhere": constraint(None, ["example.com"]),
    "permitted and excluded": constraint(["example.org"], ["www.example.org"]),
    "email permitted": constraint(["a@example.org"], None),
    "signed by a stranger": on_any(lambda p: setattr(p, "signer", STRANGER)),
    "unknown critical extension": on_any(lambda p: p.extensions.update(x=Extension(Oid("1.2.3.4"), True, b"\x05\x00"))),
    "unknown extension": on_any(lambda p: p.extensions.update(x=Extension(Oid("1.2.3.4"), False, b"\x05\x00"))),
    "no issuer key identifier": on_any(lambda p: p.extensions.pop(ext.AUTHORITY_KEY_IDENTIFIER, None)),
    "no key identifier": on_ca(lambda p: p.extensions.pop(ext.SUBJECT_KEY_IDENTIFIER, None)),
    "intermediate left out": lambda c: setattr(c, "leave_out", True),
    "in another order": lambda c: setattr(c, "shuffle", True),
    "with a stranger": lambda c: setattr(c, "extra", True),
    "another root": lambda c: setattr(c, "untrusted", True),
}

Odd = tuple[list[str], Certificate, list[Certificate], Certificate]
"""The oddities of a chain; its root, the intermediates as they are sent, the leaf."""


def make(chain: Chain) -> tuple[Certificate, list[Certificate], Certificate]:
    """The root, the intermediates as sent, and the leaf."""
    made = []
    for index, each in enumerate(chain.plans):
        above = chain.plans[max(index - 1, 0)]
        made.append(
            build(
                Name.parse(each.subject) if each.subject else Name.build(),
                each.key.public,
                each.signer or above.key,
                issuer=Name.parse(above.subject),
                not_before=each.span[0],
                not_after=each.span[1],
                extensions=list(each.extensions.values()),
            )
        )
    root, *sent, leaf = made
    if chain.extra:
        sent.append(make(plan(random.Random(1), "a stranger"))[0])
    if chain.leave_out and sent:
        sent.pop(0)
    if chain.shuffle:
        chain.rng.shuffle(sent)
    if chain.untrusted:
        other = Plan(chain.plans[0].subject, STRANGER, True, extensions=dict(chain.plans[0].extensions))
        other.put(ext.SUBJECT_KEY_IDENTIFIER, key_id(STRANGER.public), False)
        other.put(ext.AUTHORITY_KEY_IDENTIFIER, AuthorityKeyIdentifier(key_id(STRANGER.public)), False)
        root = make(Chain([other, other], chain.rng))[0]
    return root, sent, leaf


def odd_chain(seed: int) -> Odd:
    rng = random.Random(seed)
    while True:
        chain = plan(rng, str(seed))
        chosen = rng.sample(sorted(ODDITIES), rng.choice((0, 1, 1, 1, 2, 2, 3)))
        try:
            for name in chosen:
                ODDITIES[name](chain)
        except KeyError:
            continue  # two oddities that take away the same extension
        return (chosen, *make(chain))


def ours(root: Certificate, sent: list[Certificate], leaf: Certificate, profile: Profile) -> str:
    try:
        chain_of_trust([root], profile=profile)([leaf, *sent], name=NAME, now=NOW)
    except ValidationError as error:
        return f"{error.reason}: {error}"
    return "good"


def by_openssl(chains: list[Odd], folder: Path, *words: str) -> list[str]:
    """All in one run: no two chains share a name."""
    (folder / "roots.pem").write_text("".join(root.pem() for _, root, _, _ in chains))
    (folder / "sent.pem").write_text("".join(each.pem() for _, _, sent, _ in chains for each in sent))
    files = [f"{index}.pem" for index in range(len(chains))]
    for file, (_, _, _, leaf) in zip(files, chains, strict=True):
        (folder / file).write_text(leaf.pem())
    command = ["openssl", "verify", *words, "-purpose", "sslserver", "-verify_hostname", NAME, "-CAfile", "roots.pem"]
    command += ["-untrusted", "sent.pem", "-attime", str(int(NOW.timestamp())), *files]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    good = set(told.stdout.splitlines())
    bad = set(told.stderr.splitlines())
    assert all((f"{file}: OK" in good) != (f"error {file}: verification failed" in bad) for file in files), told.stderr
    return ["good" if f"{file}: OK" in good else "bad" for file in files]


def by_cryptography(chain: Odd) -> str:
    def load(certificate: Certificate) -> theirs.Certificate:
        return theirs.load_der_x509_certificate(certificate.der)

    _, root, sent, leaf = chain
    verifier = verification.PolicyBuilder().store(verification.Store([load(root)])).time(NOW)
    try:
        verifier.build_server_verifier(theirs.DNSName(NAME)).verify(load(leaf), [load(each) for each in sent])
    except verification.VerificationError:
        return "bad"
    return "good"


def compare(
    chains: list[Odd], profile: Profile, verdicts: list[str], stricter: dict[str, str], laxer: dict[str, str]
) -> None:
    """Fail on a chain whose verdicts differ for no listed oddity, and on a listed oddity without such a chain.

    `stricter` are those that we refuse and the other accepts, with our reason; `laxer` the other way round. An entry
    with & needs both oddities.
    """
    counts = {"good": 0, "bad": 0}
    seen: set[str] = set()
    for chain, theirs_ in zip(chains, verdicts, strict=True):
        mine = ours(*chain[1:], profile)
        if (mine == "good") == (theirs_ == "good"):
            counts[theirs_] += 1
            continue
        reason = mine.partition(":")[0]
        listed = laxer if mine == "good" else stricter
        explained = {
            entry for entry, why in listed.items() if why == reason and set(entry.split(" & ")) <= set(chain[0])
        }
        assert explained, f"{chain[0]}: {mine} here, {theirs_} there"
        seen |= explained
    assert stricter.keys() | laxer.keys() == seen
    # Neither answer may come for free.
    assert min(counts.values()) > len(chains) / 4


@pytest.mark.slow
def test_cryptography() -> None:
    """3,000 chains under the web profile."""
    chains = [odd_chain(seed) for seed in range(3000)]
    compare(
        chains,
        WEB,
        [by_cryptography(chain) for chain in chains],
        stricter={
            "no issuer key identifier": "bad-certificate",  # of intermediates; RFC 5280 4.2.1.1
            "no key identifier": "bad-certificate",  # RFC 5280 4.2.1.2
            "no purposes": "bad-purpose",  # CA/B 7.1.2.7.6
            "intermediate for servers": "bad-purpose",  # where it is the root itself: CA/B 7.1.2.1.2
        },
        laxer={},
    )


@pytest.mark.slow
@pytest.mark.tool("openssl")
def test_openssl(tmp_path: Path) -> None:
    """3,000 chains under the practical profile."""
    chains = [odd_chain(seed) for seed in range(3000)]
    compare(
        chains,
        PRACTICAL,
        by_openssl(chains, tmp_path),
        stricter={
            "no basic constraints on a CA": "not-a-ca",  # a root may lack them for openssl: RFC 5280 4.2.1.9
            "wildcard & permitted and excluded": "name-constraints",  # it stands for an excluded name, too
        },
        laxer={
            "any purpose": "good",  # RFC 5280 4.2.1.12 leaves it open
            "valid for this second": "good",  # RFC 5280 4.1.2.5: the end is part of the validity
        },
    )
