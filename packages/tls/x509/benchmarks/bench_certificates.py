"""Certificates per second of CPU time: mirage.x509 against asn1crypto and cryptography, in the same run.

`read` parses a certificate and asks for its serial number, names, validity, alternative names, key usage, basic
constraints and key, as a validation does; `validate` verifies a chain of leaf, intermediate and root, with names and
time. asn1crypto validates nothing. The certificates are those of x509-limbo's online cases where MIRAGE_TEST_DATA has
them, else one made here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asn1crypto import x509 as asn1crypto_x509
from cryptography import x509 as pyca
from cryptography.x509 import verification
from mirage.crypto import PrivateKey
from mirage.x509 import WEB, Certificate, chain_of_trust, make_ca, make_server

_START = datetime(2026, 1, 1, tzinfo=UTC)
_END = _START + timedelta(days=90)
_NOW = _START + timedelta(days=1)


def _own(der: bytes) -> None:
    found = Certificate(der)
    _ = found.serial, str(found.subject), str(found.issuer), found.not_before, found.not_after
    _ = found.alt_names, found.key_usage, found.basic_constraints, found.spki


def _asn1crypto(der: bytes) -> None:
    found = asn1crypto_x509.Certificate.load(der)
    _ = found.serial_number, found.subject.human_friendly, found.issuer.human_friendly
    _ = found["tbs_certificate"]["validity"].native
    for value in (found.subject_alt_name_value, found.key_usage_value, found.basic_constraints_value):
        _ = value and value.native
    _ = found.public_key.dump()


def _pyca(der: bytes) -> None:
    found = pyca.load_der_x509_certificate(der)
    _ = found.serial_number, found.subject.rfc4514_string(), found.issuer.rfc4514_string()
    _ = found.not_valid_before_utc, found.not_valid_after_utc
    for kind in (pyca.SubjectAlternativeName, pyca.KeyUsage, pyca.BasicConstraints):
        try:
            found.extensions.get_extension_for_class(kind)
        except pyca.ExtensionNotFound:
            continue
    _ = found.public_key()


def _certificates() -> list[bytes]:
    folder = Path(os.environ.get("MIRAGE_TEST_DATA", Path(__file__).parents[5] / "shared" / "data"))
    if (folder / "limbo.json").is_file():
        cases = json.loads((folder / "limbo.json").read_text())["testcases"]
        texts = [case["peer_certificate"] for case in cases if case["id"].startswith("online")]
        return [Certificate.decode_pem(text)[0].der for text in texts]
    return [_chain()[0].der]


def _chain() -> tuple[Certificate, Certificate, Certificate]:
    root = make_ca("Root", PrivateKey.generate_ec(), not_before=_START, not_after=_END)
    middle = make_ca("Middle", PrivateKey.generate_ec(), not_before=_START, not_after=_END, issuer=root)
    key = PrivateKey.generate_ec().public
    leaf = make_server(["www.example.org"], key, middle, not_before=_START, not_after=_END)
    return leaf, middle.certificate, root.certificate


def _validations() -> dict[str, Callable[[], None]]:
    leaf, middle, root = _chain()
    trust = chain_of_trust([root], profile=WEB)
    store = verification.Store([pyca.load_der_x509_certificate(root.der)])
    verifier = (
        verification.PolicyBuilder().store(store).time(_NOW).build_server_verifier(pyca.DNSName("www.example.org"))
    )

    def own() -> None:
        trust([Certificate(leaf.der), Certificate(middle.der)], name="www.example.org", now=_NOW)

    def theirs() -> None:
        verifier.verify(pyca.load_der_x509_certificate(leaf.der), [pyca.load_der_x509_certificate(middle.der)])

    return {"mirage": own, "cryptography": theirs}


def _fastest(works: dict[str, Callable[[], None]], count: int, rounds: int) -> dict[str, float]:
    """Runs per second in the best of some rounds, which are interleaved, so that all see the same machine."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            begun = time.process_time()
            for _ in range(count):
                work()
            best[name] = min(best[name], time.process_time() - begun)
    return {name: count / seconds for name, seconds in best.items()}


def _all(read: Callable[[bytes], None], ders: list[bytes]) -> Callable[[], None]:
    def work() -> None:
        for der in ders:
            read(der)

    return work


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=30, help="passes over the certificates in a round (30)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds, of which the best counts (9)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE too")
    options = parser.parse_args()
    ders = _certificates()
    readers = {"mirage": _own, "asn1crypto": _asn1crypto, "cryptography": _pyca, "mirage, outline": Certificate}
    works = {name: _all(read, ders) for name, read in readers.items()}
    reads = {name: rate * len(ders) for name, rate in _fastest(works, options.count, options.rounds).items()}
    validations = _fastest(_validations(), options.count * 10, options.rounds)
    print(f"Python {sys.version.split()[0]}, {len(ders)} certificates, per second of CPU time")
    for title, rates in (("read", reads), ("validate", validations)):
        for name, rate in rates.items():
            print(f"  {title:10}{name:18}{rate:10,.0f}  {rates['mirage'] / rate:8.2f} times")
    figures: list[dict[str, Any]] = [
        {
            "figure": f"certificates {title}, 1/s",
            "ours": rates["mirage"],
            "peer": peer,
            "theirs": rates[peer],
            "ratio": rates["mirage"] / rates[peer],
            "target": target,
        }
        for title, rates, peer, target in (
            ("read", reads, "asn1crypto", ">= 1"),
            ("read", reads, "cryptography", ""),
            ("validated", validations, "cryptography", ""),
        )
    ]
    if options.json is not None:
        rows = [{"what": "read", **reads}, {"what": "validate", **validations}]
        options.json.write_text(json.dumps({"figures": figures, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
