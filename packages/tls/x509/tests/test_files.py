"""Requests, PKCS #8 and PKCS #12: ours read by `cryptography` and openssl, theirs by us."""

from __future__ import annotations

import random
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509 as theirs
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12 as their_pkcs12
from mirage.crypto import PrivateKey
from mirage.x509 import (
    BadPassword,
    Certificate,
    InvalidEncoding,
    Request,
    Store,
    UnusableInput,
    ValidationError,
    chain_of_trust,
    decode_pem,
    decode_pkcs8,
    decode_pkcs12,
    encode_pkcs8,
    encode_pkcs12,
    make_ca,
    make_request_for,
    make_server,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
SPAN = {"not_before": START, "not_after": START + timedelta(days=90)}
ROOT = make_ca("Root", PrivateKey.generate_ec(), **SPAN)
KEY = PrivateKey.generate_ec()
LEAF = make_server(["example.org"], KEY.public, ROOT, **SPAN)
STORE = Store(KEY, LEAF, (ROOT.certificate,), "web")


def octets(count: int) -> bytes:
    return random.Random(count).randbytes(count)


def test_requests() -> None:
    """A request asks for names; the CA answers with those that it chooses."""
    request = make_request_for(["example.org", "192.0.2.1"], KEY, "CN=web")
    again = Request.decode_pem(request.pem())
    assert [name.name for name in again.alt_names] == ["dns", "ip"]
    assert (str(again.subject), again.public_key) == ("CN=web", KEY.public)
    read = theirs.load_pem_x509_csr(request.pem().encode())
    assert read.is_signature_valid
    assert read.extensions.get_extension_for_class(theirs.SubjectAlternativeName).value.get_values_for_type(
        theirs.DNSName
    ) == ["example.org"]
    leaf = again.make_server(["example.org"], ROOT, **SPAN)
    chain_of_trust([ROOT.certificate])([leaf], name="example.org", now=START)
    made = theirs.CertificateSigningRequestBuilder().subject_name(theirs.Name([]))
    made = made.add_extension(theirs.SubjectAlternativeName([theirs.DNSName("a.example")]), critical=True)
    key = serialization.load_der_private_key(KEY.pkcs8(), None)
    signed = made.sign(key, hashes.SHA256())  # type: ignore[arg-type]
    assert Request.decode(signed.public_bytes(serialization.Encoding.DER)).alt_names[0].value == "a.example"
    damaged = bytearray(request.der)
    damaged[-1] ^= 1
    with pytest.raises(ValidationError):
        Request.decode(bytes(damaged))
    with pytest.raises(UnusableInput, match="needs a name"):
        make_request_for([], KEY)
    with pytest.raises(InvalidEncoding, match="no CERTIFICATE REQUEST"):
        Request.decode_pem(LEAF.pem())


@pytest.mark.parametrize("password", ["secret", "", "пароль"])
def test_pkcs12_comes_back(password: str) -> None:
    """What was written is read again, by us and by `cryptography`; another password opens nothing."""
    data = encode_pkcs12(STORE, password, octets, iterations=100, mac_iterations=100)
    assert decode_pkcs12(data, password) == STORE
    with pytest.raises(BadPassword):
        decode_pkcs12(data, password + "x")
    if password:
        read = their_pkcs12.load_pkcs12(data, password.encode())
        assert read.cert is not None
        assert read.cert.friendly_name == b"web"
        assert read.cert.certificate.public_bytes(serialization.Encoding.DER) == LEAF.der
        assert len(read.additional_certs) == 1


def test_pkcs12_of_cryptography() -> None:
    """Their files, as far as they are encrypted with PBES2."""
    encryption = serialization.PrivateFormat.PKCS12.encryption_builder().kdf_rounds(1000)
    encryption = encryption.key_cert_algorithm(their_pkcs12.PBES.PBESv2SHA256AndAES256CBC)
    key = serialization.load_der_private_key(KEY.pkcs8(), None)
    leaf, root = (theirs.load_der_x509_certificate(c.der) for c in (LEAF, ROOT.certificate))
    data = their_pkcs12.serialize_key_and_certificates(
        b"web",
        key,
        leaf,
        [root],
        encryption.hmac_hash(hashes.SHA256()).build(b"secret"),  # type: ignore[arg-type]
    )
    assert decode_pkcs12(data, "secret") == STORE
    old = serialization.PrivateFormat.PKCS12.encryption_builder()
    old = old.key_cert_algorithm(their_pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
    data = their_pkcs12.serialize_key_and_certificates(b"web", key, leaf, [root], old.build(b"secret"))  # type: ignore[arg-type]
    with pytest.raises(InvalidEncoding, match="write the file anew"):
        decode_pkcs12(data, "secret")


@pytest.mark.tool("openssl")
def test_pkcs12_and_openssl(tmp_path: Path) -> None:
    """Both ways."""
    (tmp_path / "ours.p12").write_bytes(encode_pkcs12(STORE, "secret", octets, iterations=1000, mac_iterations=100))
    command = ["openssl", "pkcs12", "-in", "ours.p12", "-passin", "pass:secret", "-nodes"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert Certificate.decode_pem(told) == [LEAF, ROOT.certificate]
    assert PrivateKey.from_pem(told.encode()) == KEY
    (tmp_path / "all.pem").write_text(told)
    command = ["openssl", "pkcs12", "-export", "-in", "all.pem", "-out", "theirs.p12", "-passout", "pass:secret"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    read = decode_pkcs12((tmp_path / "theirs.p12").read_bytes(), "secret")
    assert (read.key, read.certificate, read.others) == (KEY, LEAF, (ROOT.certificate,))


def test_pkcs8() -> None:
    """Encrypted and not, ours and theirs."""
    data = encode_pkcs8(KEY, "secret", octets, iterations=100)
    assert decode_pkcs8(data, "secret") == KEY == PrivateKey.from_pkcs8(data, b"secret")
    assert decode_pkcs8(KEY.pkcs8()) == KEY
    assert decode_pkcs8(KEY.pkcs8(b"secret"), "secret") == KEY
    with pytest.raises((BadPassword, InvalidEncoding)):
        decode_pkcs8(data, "other")


def test_effort_is_bounded() -> None:
    """A file does not say how long we work."""
    hard = encode_pkcs12(STORE, "x", octets, iterations=10, mac_iterations=20).replace(b"\x02\x01\x14", b"\x02\x01\x7f")
    with pytest.raises(BadPassword):
        decode_pkcs12(hard, "x")
    harder = encode_pkcs8(KEY, "x", octets, iterations=1).replace(b"\x02\x01\x01", b"\x02\x01\xff")
    with pytest.raises(InvalidEncoding, match="iterations"):
        decode_pkcs8(harder, "x")


def test_pem() -> None:
    """Blocks among other text; broken ones are refused."""
    text = f"subject: x\n{LEAF.pem()}\r\n{KEY.to_pem().decode()}"
    assert [block.label for block in decode_pem(text)] == ["CERTIFICATE", "PRIVATE KEY"]
    assert next(block.data for block in decode_pem(text.replace("\n", "\r\n"))) == LEAF.der
    for bad, why in {
        text.replace("END CERT", "END KERT"): "without its END",
        text.replace("\nM", "\n!M", 1): "not base64",
    }.items():
        with pytest.raises(InvalidEncoding, match=why):
            list(decode_pem(bad))
