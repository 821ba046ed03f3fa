"""x509-limbo: what its cases expect and what we answer; every difference is listed with its reason.

The cases under `rfc5280::` are answered by the profile `RFC5280`, all others by `WEB`. A difference that is not listed
fails, and so does a listed one that is none any more.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mirage.x509 import RFC5280, WEB, Certificate, InvalidEncoding, ValidationError, chain_of_trust

BESIDE = [place / "shared" / "data" for place in Path(__file__).resolve().parents]
LIMBO = Path(os.environ.get("MIRAGE_TEST_DATA") or next(filter(Path.is_dir, BESIDE), "shared/data")) / "limbo.json"

NOW = datetime(2026, 11, 1, tzinfo=UTC)
"""For the cases that name no time."""

_COMMON_NAME = (
    "the certificate has the common name example.com, which its subjectAltName does not repeat; CA/B 7.1.4.3 forbids "
    "that, and webpki::cn::not-in-san wants it refused"
)
DIFFERENCES = {
    "webpki::nc::nc-permits-dns-san-pattern": _COMMON_NAME,
    "webpki::san::exact-localhost-ip-san": _COMMON_NAME,
    "webpki::san::leftmost-wildcard-san": _COMMON_NAME,
}

REASONS = {
    "rfc5280::eku::ee-wrong-eku": "bad-purpose",
    "rfc5280::nc::permitted-dns-mismatch": "name-constraints",
    "rfc5280::nc::excluded-ipv6-match": "name-constraints",
    "rfc5280::nc::excluded-dn-match": "name-constraints",
    "rfc5280::nc::nc-forbids-othername": "name-constraints",
    "rfc5280::validity::expired-root": "expired",
    "rfc5280::validity::expired-intermediate": "expired",
    "rfc5280::validity::expired-leaf": "expired",
    "rfc5280::validity::not-yet-valid-1-second": "not-yet-valid",
    "rfc5280::unknown-critical-extension-ee": "unknown-critical-extension",
    "rfc5280::unknown-critical-extension-intermediate": "unknown-critical-extension",
    "rfc5280::intermediate-ca-without-ca-bit": "not-a-ca",
    "rfc5280::root-inconsistent-ca-extensions": "not-a-ca",
    "rfc5280::ca-as-leaf-wrong-san": "bad-name",
    "webpki::san::mismatch-domain-san": "bad-name",
    "webpki::cryptographydotio-chain-missing-intermediate": "unknown-issuer",
    "webpki::explicit-curve": "weak-key",
    "webpki::forbidden-p192-root": "weak-key",
    "webpki::forbidden-weak-rsa-in-leaf": "weak-key",
    "webpki::ee-basicconstraints-ca": "bad-purpose",
}
"""The reason that some refusals have, so that a case cannot be right by accident."""


@cache
def cases() -> dict[str, dict[str, Any]]:
    if not LIMBO.is_file():
        pytest.skip(f"{LIMBO} is absent; set MIRAGE_TEST_DATA to the folder with x509-limbo's limbo.json")
    return {case["id"]: case for case in json.loads(LIMBO.read_text())["testcases"]}


def verdict(case: dict[str, Any]) -> str:
    """``ok``, or the reason of the refusal."""
    texts = (case["peer_certificate"], *case["untrusted_intermediates"])
    time = case["validation_time"]
    names = [case["expected_peer_name"]] if case["expected_peer_name"] else case["expected_peer_names"]
    try:
        roots = [root for text in case["trusted_certs"] for root in Certificate.decode_pem(text)]
        chain = [certificate for text in texts for certificate in Certificate.decode_pem(text)]
        authenticator = chain_of_trust(roots, profile=RFC5280 if case["id"].startswith("rfc5280") else WEB)
        for name in names or [None]:
            authenticator(
                chain,
                name=name and name["value"],
                role=case["validation_kind"].lower(),
                now=datetime.fromisoformat(time) if time else NOW,
            )
    except InvalidEncoding:
        return "bad-certificate"
    except ValidationError as error:
        return error.reason
    return "ok"


@pytest.mark.slow
def test_limbo() -> None:
    """Each case is answered as expected, but for the listed ones."""
    found = {
        name for name, case in cases().items() if (verdict(case) == "ok") != (case["expected_result"] == "SUCCESS")
    }
    assert found == DIFFERENCES.keys()
    assert len(cases()) - len(found) >= 165


def test_reasons() -> None:
    """A refusal is for what is wrong."""
    assert {name: verdict(cases()[name]) for name in REASONS} == REASONS
