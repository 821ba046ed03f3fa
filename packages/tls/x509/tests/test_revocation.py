"""Revocation lists and OCSP: what they say of a chain, and what `cryptography` and openssl make of ours."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509 as theirs
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp as their_ocsp
from mirage.asn1 import Oid
from mirage.crypto import PrivateKey
from mirage.x509 import (
    Certificate,
    Crl,
    Identity,
    InvalidEncoding,
    OcspResponse,
    Revocation,
    Revoked,
    UnusableInput,
    ValidationError,
    build,
    chain_of_trust,
    extension,
    make_ca,
    make_crl,
    make_request,
    make_response,
    make_server,
    read_request,
)
from mirage.x509.extensions import EXTENDED_KEY_USAGE, KEY_USAGE, PURPOSES, SUBJECT_ALT_NAME, TLS_FEATURE
from mirage.x509.names import Name, general_name

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=90)
NOW = START + timedelta(days=1)
KEY = PrivateKey.generate_ec()
ROOT = make_ca("Root", PrivateKey.generate_ec(), not_before=START, not_after=END)
MIDDLE = make_ca("Middle", PrivateKey.generate_rsa(2048), not_before=START, not_after=END, issuer=ROOT)
OTHER = make_ca("Middle", PrivateKey.generate_ec(), not_before=START, not_after=END)
LEAF = make_server(["example.org"], KEY.public, MIDDLE, not_before=START, not_after=END)
STAPLED = make_server(
    ["example.org"], KEY.public, MIDDLE, not_before=START, not_after=END, more=[extension(TLS_FEATURE, [5])]
)
SPAN = {"this_update": START, "next_update": START + timedelta(days=7)}


def crl(issuer: Identity, *serials: int, **span: datetime) -> Crl:
    revoked = {serial: Revoked(START, "keyCompromise") for serial in serials}
    return make_crl(issuer, revoked, number=7, **(span or SPAN))  # type: ignore[arg-type]


def reason(revocation: Revocation, leaf: Certificate = LEAF, ocsp: bytes | None = None) -> str:
    trust = chain_of_trust([ROOT.certificate], revocation=revocation)
    try:
        trust([leaf, MIDDLE.certificate], name="example.org", now=NOW, ocsp=ocsp)
    except ValidationError as error:
        return error.reason
    return "good"


def test_lists() -> None:
    """A certificate is good, revoked or unknown by the lists that are given."""
    middle = MIDDLE.certificate.serial
    assert reason(Revocation()) == "good"
    assert reason(Revocation(require="leaf")) == "revocation-unknown"
    assert reason(Revocation([crl(MIDDLE)])) == "good"
    assert reason(Revocation([crl(MIDDLE, LEAF.serial)])) == "revoked"
    assert reason(Revocation([crl(MIDDLE, LEAF.serial + 1)])) == "good"
    assert reason(Revocation([crl(MIDDLE)], require="path")) == "revocation-unknown"
    assert reason(Revocation([crl(MIDDLE), crl(ROOT)], require="path")) == "good"
    assert reason(Revocation([crl(MIDDLE), crl(ROOT, middle)])) == "revoked"
    with pytest.raises(UnusableInput, match="one of nothing"):
        Revocation(require="all")


def test_lists_that_say_nothing() -> None:
    """Not signed by the issuer, out of time, or of another issuer: as if there were none."""
    assert reason(Revocation([crl(OTHER, LEAF.serial)])) == "revocation-unknown"
    assert reason(Revocation([crl(ROOT, LEAF.serial)])) == "revocation-unknown"
    old = crl(MIDDLE, LEAF.serial, this_update=START - timedelta(9), next_update=START)
    assert reason(Revocation([old])) == "revocation-unknown"
    early = crl(MIDDLE, LEAF.serial, this_update=START + timedelta(9), next_update=END)
    assert reason(Revocation([early])) == "revocation-unknown"


def test_ocsp() -> None:
    """A stapled response is asked first, and must be right."""

    def response(status: Revoked | str, signer: Identity = MIDDLE, about: Certificate = LEAF, days: int = 0) -> bytes:
        when = START + timedelta(days=days)
        return make_response(
            signer, MIDDLE.certificate, [(about, status)], now=when, next_update=when + timedelta(7)
        ).der

    every = Revocation(require="leaf")
    assert reason(every, ocsp=response("good")) == "good"
    assert reason(Revocation(), ocsp=response(Revoked(START))) == "revoked"
    assert reason(Revocation(), ocsp=response("unknown")) == "revocation-unknown"
    assert reason(Revocation(), ocsp=response("good", about=STAPLED)) == "revocation-unknown"
    assert reason(Revocation(), ocsp=response("good", signer=OTHER)) == "revocation-unknown"
    assert reason(Revocation(), ocsp=response("good", days=-30)) == "revocation-unknown"
    assert reason(Revocation(), ocsp=response("good", days=30)) == "revocation-unknown"
    assert reason(Revocation(), ocsp=b"\x30\x03\x0a\x01\x03") == "good"  # tryLater, and nothing is required
    assert reason(every, ocsp=b"\x30\x03\x0a\x01\x03") == "revocation-unknown"
    assert reason(Revocation(), ocsp=b"junk") == "bad-certificate"
    assert reason(Revocation(responses=[OcspResponse(response(Revoked(START)))])) == "revoked"
    damaged = bytearray(response("good"))
    damaged[-1] ^= 1
    assert reason(Revocation(), ocsp=bytes(damaged)) == "bad-signature"


def test_must_staple() -> None:
    """A certificate that asks for stapling does not pass without it (RFC 7633)."""
    good = make_response(MIDDLE, MIDDLE.certificate, [(STAPLED, "good")], now=START, next_update=END).der
    assert reason(Revocation(), STAPLED) == "revocation-unknown"
    assert reason(Revocation(), STAPLED, b"\x30\x03\x0a\x01\x03") == "revocation-unknown"
    assert reason(Revocation(), STAPLED, good) == "good"


@pytest.mark.parametrize(
    ("purpose", "issuer", "expected"),
    [
        ("OCSPSigning", MIDDLE, "good"),
        ("serverAuth", MIDDLE, "revocation-unknown"),
        ("OCSPSigning", ROOT, "revocation-unknown"),
    ],
)
def test_delegated_responders(purpose: str, issuer: Identity, expected: str) -> None:
    """A responder needs a certificate by the issuer itself, for this purpose (RFC 6960 4.2.2.2)."""
    key = PrivateKey.generate_ec()
    responder = build(
        Name.parse("Responder"),
        key.public,
        issuer.key,
        issuer=issuer.certificate.subject,
        not_before=START,
        not_after=END,
        extensions=[extension(EXTENDED_KEY_USAGE, [PURPOSES[purpose]])],
    )
    response = make_response(
        Identity(responder, key), MIDDLE.certificate, [(LEAF, "good")], now=START, next_update=END, include=[responder]
    )
    assert reason(Revocation(), ocsp=response.der) == expected


def test_a_ca_without_crl_sign() -> None:
    """Its list says nothing (RFC 5280 6.3.3 (f))."""
    weak = build(
        Name.parse("x"), KEY.public, KEY, issuer=Name.parse("x"), not_before=START, not_after=END,
        extensions=[extension(KEY_USAGE, frozenset(["keyCertSign"])), extension(SUBJECT_ALT_NAME, [general_name("x")])],
    )  # fmt: skip
    with pytest.raises(ValidationError, match="may not sign"):
        crl(Identity(weak, KEY)).check(weak, NOW.timestamp())


def test_cryptography_reads_ours() -> None:
    """The same entries, and a right signature."""
    made = crl(MIDDLE, 5, 1 << 100)
    read = theirs.load_der_x509_crl(made.der)
    assert {entry.serial_number for entry in read} == {5, 1 << 100}
    assert read.is_signature_valid(theirs.load_der_x509_certificate(MIDDLE.certificate.der).public_key())  # type: ignore[arg-type]
    assert theirs.load_pem_x509_crl(made.pem().encode()) == read
    assert made.number == 7

    response = make_response(
        MIDDLE, MIDDLE.certificate, [(LEAF, Revoked(START, "superseded"))], now=START, next_update=END
    )
    told = their_ocsp.load_der_ocsp_response(response.der)
    assert told.serial_number == LEAF.serial
    assert told.certificate_status == their_ocsp.OCSPCertStatus.REVOKED
    assert told.revocation_reason == theirs.ReasonFlags.superseded


def test_we_read_those_of_cryptography() -> None:
    """Lists, responses and requests."""
    issuer = theirs.load_der_x509_certificate(MIDDLE.certificate.der)
    leaf = theirs.load_der_x509_certificate(LEAF.der)
    key = serialization.load_der_private_key(MIDDLE.key.pkcs8(), None)
    entry = theirs.RevokedCertificateBuilder().serial_number(LEAF.serial).revocation_date(START)
    builder = theirs.CertificateRevocationListBuilder().issuer_name(issuer.subject).last_update(START).next_update(END)
    made = builder.add_revoked_certificate(entry.build()).sign(key, hashes.SHA256())  # type: ignore[arg-type]
    assert reason(Revocation([Crl.decode(made.public_bytes(serialization.Encoding.DER))])) == "revoked"

    for algorithm in (hashes.SHA1(), hashes.SHA256()):
        answer = their_ocsp.OCSPResponseBuilder().add_response(
            leaf, issuer, algorithm, their_ocsp.OCSPCertStatus.GOOD, START, END, None, None
        )
        answer = answer.responder_id(their_ocsp.OCSPResponderEncoding.NAME, issuer)
        told = answer.sign(key, hashes.SHA256())  # type: ignore[arg-type]
        assert reason(Revocation(require="leaf"), ocsp=told.public_bytes(serialization.Encoding.DER)) == "good"
        asked = their_ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, algorithm).build()
        assert read_request(asked.public_bytes(serialization.Encoding.DER))[0].serial == LEAF.serial
    assert their_ocsp.load_der_ocsp_request(make_request(LEAF, MIDDLE.certificate)).serial_number == LEAF.serial


@pytest.mark.tool("openssl")
def test_openssl_reads_ours(tmp_path: Path) -> None:
    """`openssl crl` verifies the list, `openssl verify -crl_check` acts on it, `openssl ocsp` verifies the response."""
    (tmp_path / "ca.pem").write_text(ROOT.certificate.pem() + MIDDLE.certificate.pem())
    (tmp_path / "issuer.pem").write_text(MIDDLE.certificate.pem())
    (tmp_path / "leaf.pem").write_text(LEAF.pem())
    (tmp_path / "crl.pem").write_text(crl(MIDDLE, LEAF.serial).pem())
    response = make_response(
        MIDDLE, MIDDLE.certificate, [(LEAF, Revoked(START, "superseded"))], now=START, next_update=END
    )
    (tmp_path / "ocsp.der").write_bytes(response.der)

    def openssl(*words: str) -> str:
        told = subprocess.run(["openssl", *words], cwd=tmp_path, capture_output=True, text=True)
        return told.stdout + told.stderr

    assert "verify OK" in openssl("crl", "-in", "crl.pem", "-CAfile", "issuer.pem", "-noout")
    when = str(int(NOW.timestamp()))
    told = openssl("verify", "-CAfile", "ca.pem", "-CRLfile", "crl.pem", "-crl_check", "-attime", when, "leaf.pem")
    assert "certificate revoked" in told
    told = openssl(
        "ocsp", "-respin", "ocsp.der", "-issuer", "issuer.pem", "-cert", "leaf.pem", "-CAfile", "ca.pem", "-no_nonce",
        "-attime", when, "-validity_period", "1000000000",
    )  # fmt: skip
    assert "Response verify OK" in told
    assert "leaf.pem: revoked" in told


def test_a_responder_without_a_key() -> None:
    """A certificate in a response is from outside: its key may be anything."""
    key = PrivateKey.generate_ec()
    good = build(
        Name.parse("x"), key.public, key, issuer=Name.parse("x"), extensions=[], not_before=START, not_after=END
    )
    broken = Certificate(good.der.replace(key.public.spki()[-66:], b"\x23" + key.public.spki()[-65:]))
    response = make_response(
        Identity(good, key), MIDDLE.certificate, [(LEAF, "good")], now=START, next_update=END, include=[broken]
    )
    with pytest.raises(InvalidEncoding, match="public key"):
        response.check(LEAF, MIDDLE.certificate, NOW.timestamp())


def test_junk() -> None:
    """Octets that are neither."""
    for read in (Crl.decode, OcspResponse.decode, read_request):
        with pytest.raises(InvalidEncoding):
            read(b"\x30\x00")
    with pytest.raises(KeyError):
        extension(Oid("1.2.3"), 1)
