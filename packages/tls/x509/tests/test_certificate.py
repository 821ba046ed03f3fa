"""Certificates field by field, beside `cryptography`; names; what is refused and how it is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509 as theirs
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import NameOID
from mirage.asn1 import BitString, Oid
from mirage.crypto import SHA256, PrivateKey
from mirage.x509 import (
    Certificate,
    InvalidEncoding,
    Name,
    UnusableInput,
    ValidationError,
    build,
    chain_of_trust,
    extension,
)
from mirage.x509 import extensions as ext
from mirage.x509._schema import SIGNED, Extension, SignedData
from mirage.x509.names import general_name
from mirage.x509.show import show_certificate

START = datetime(2026, 1, 1, tzinfo=UTC)
SPAN: dict[str, Any] = {"not_before": START, "not_after": START + timedelta(days=90)}
KEY = PrivateKey.generate_ec()
THEIR_KEY = rsa.generate_private_key(65537, 2048)


def by_cryptography(**pss: Any) -> theirs.Certificate:
    """A certificate with about everything in it."""
    name = theirs.Name(
        [
            theirs.NameAttribute(NameOID.COUNTRY_NAME, "AQ"),
            theirs.NameAttribute(NameOID.ORGANIZATION_NAME, "Пингвины, Ltd."),
            theirs.NameAttribute(NameOID.COMMON_NAME, "Root"),
        ]
    )
    builder = theirs.CertificateBuilder().subject_name(name).issuer_name(name).public_key(THEIR_KEY.public_key())
    builder = builder.serial_number(1 << 100).not_valid_before(START).not_valid_after(datetime(2055, 1, 1, tzinfo=UTC))
    names = [
        theirs.DNSName("example.org"),
        theirs.RFC822Name("a@example.org"),
        theirs.UniformResourceIdentifier("https://example.org/"),
        theirs.IPAddress(__import__("ipaddress").ip_address("2001:db8::1")),
        theirs.DirectoryName(name),
        theirs.RegisteredID(theirs.ObjectIdentifier("1.2.3")),
        theirs.OtherName(theirs.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
    ]
    usage = dict.fromkeys(
        ("content_commitment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
    )
    for value, critical in (
        (theirs.BasicConstraints(True, 3), True),
        (theirs.SubjectAlternativeName(names), False),
        (theirs.KeyUsage(True, key_encipherment=True, key_cert_sign=True, crl_sign=True, **usage), True),
        (theirs.SubjectKeyIdentifier.from_public_key(THEIR_KEY.public_key()), False),
        (theirs.ExtendedKeyUsage([theirs.ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (theirs.TLSFeature([theirs.TLSFeatureType.status_request]), False),
        (
            theirs.CertificatePolicies([theirs.PolicyInformation(theirs.ObjectIdentifier("1.2.3"), ["https://x/"])]),
            False,
        ),
        (theirs.CRLDistributionPoints([theirs.DistributionPoint([names[2]], None, None, None)]), False),
        (theirs.NameConstraints([theirs.DNSName("example.org")], None), True),
        (theirs.PolicyConstraints(1, None), True),
        (theirs.InhibitAnyPolicy(2), True),
    ):
        builder = builder.add_extension(value, critical)  # type: ignore[arg-type]
    return builder.sign(THEIR_KEY, hashes.SHA256(), **pss)


def test_every_field() -> None:
    """Ours are what `cryptography` says."""
    made = by_cryptography()
    ours = Certificate.decode(made.public_bytes(serialization.Encoding.DER))
    assert (ours.version, ours.serial) == (3, made.serial_number)
    assert (ours.not_before, ours.not_after) == (made.not_valid_before_utc, made.not_valid_after_utc)
    assert ours.tbs == made.tbs_certificate_bytes
    assert ours.signature == made.signature
    assert ours.fingerprint(SHA256) == made.fingerprint(hashes.SHA256())
    assert ours.spki == made.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert str(ours.subject) == "C=AQ, O=Пингвины\\, Ltd., CN=Root"
    assert ours.self_issued
    assert ours.basic_constraints == (True, 3)
    assert ours.key_usage == {"digitalSignature", "keyEncipherment", "keyCertSign", "cRLSign"}
    assert [name.name for name in ours.alt_names] == ["dns", "email", "uri", "ip", "directory", "registered", "other"]
    assert ours.must_staple
    assert ours.subject_key_id == theirs.SubjectKeyIdentifier.from_public_key(THEIR_KEY.public_key()).digest
    assert ours.extension(ext.POLICY_CONSTRAINTS).require_explicit == 1
    assert ours.extension(ext.INHIBIT_ANY_POLICY) == 2
    assert Certificate.decode_pem(made.public_bytes(serialization.Encoding.PEM)) == [ours]
    ours.check_signature(ours.public_key)
    for oid, grammar in ext.GRAMMARS.items():
        for each in ours.extensions:
            if each.oid == oid:
                assert grammar.encode(grammar.decode(each.value)) == each.value
    shown = show_certificate(ours, START)
    for words in (
        "CA certificate",
        "yes, with at most 3 CAs below",
        "must staple",
        "only DNS:example.org",
        "URI:https://",
    ):
        assert words in shown


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_rsassa_pss(algorithm: hashes.HashAlgorithm) -> None:
    """With the salt as long as the hash; other salts are refused (CA/Browser Forum 7.1.3.2.1)."""
    for salt, good in ((algorithm.digest_size, True), (10, False)):
        name = theirs.Name([theirs.NameAttribute(NameOID.COMMON_NAME, "x")])
        builder = theirs.CertificateBuilder().subject_name(name).issuer_name(name).public_key(THEIR_KEY.public_key())
        builder = builder.serial_number(1).not_valid_before(START).not_valid_after(START)
        made = builder.sign(THEIR_KEY, algorithm, rsa_padding=padding.PSS(padding.MGF1(algorithm), salt))  # type: ignore[arg-type]
        ours = Certificate.decode(made.public_bytes(serialization.Encoding.DER))
        if good:
            ours.check_signature(ours.public_key)
        else:
            with pytest.raises(ValidationError, match="mask or salt"):
                ours.check_signature(ours.public_key)


@pytest.mark.parametrize(
    ("oid", "reason"),
    [
        ("1.2.840.113549.1.1.5", "weak-signature"),
        ("1.2.840.113549.1.1.4", "weak-signature"),
        ("1.2.3", "weak-signature"),
    ],
)
def test_weak_signatures(oid: str, reason: str) -> None:
    """SHA-1, MD5 and whatever is not known verify nothing, even where the signature is right."""
    from mirage.x509._schema import ALGORITHM, TBS, Algorithm

    made = by_cryptography()
    ours = Certificate.decode(made.public_bytes(serialization.Encoding.DER))
    algorithm = ALGORITHM.encode(Algorithm(Oid(oid), b"\x05\x00"))
    tbs = TBS.encode(ours.fields._replace(signature=algorithm))
    signature = THEIR_KEY.sign(tbs, padding.PKCS1v15(), hashes.SHA1())
    weak = Certificate(SIGNED.encode(SignedData(tbs, algorithm, BitString(signature))))
    with pytest.raises(ValidationError) as caught:
        weak.check_signature(weak.public_key)
    assert caught.value.reason == reason


def test_names_are_compared_as_rfc_5280_says() -> None:
    """Case and runs of spaces do not matter; order and type do (7.1)."""
    name = Name.parse("C=AQ, O=Example  Org, CN=Straße")
    assert name == Name.parse("C=aq, O= example org, CN=STRASSE")
    assert hash(name) == hash(Name.parse("C=aq, O= example org, CN=STRASSE"))
    for other in ("O=Example Org, C=AQ, CN=Straße", "C=AQ, OU=Example Org, CN=Straße", "C=AQ, O=Example Org"):
        assert name != Name.parse(other)
    assert name.within(Name.parse("C=AQ, O=example org"))
    assert not Name.parse("C=AQ").within(name)
    assert name.get("CN") == ["Straße"]
    assert Name.build().empty
    with pytest.raises(InvalidEncoding):
        Name(b"\x30\x02\x31\x00")
    with pytest.raises(UnusableInput, match="C='Ж'"):
        Name.build(("C", "Ж"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("example.org", "dns"),
        ("*.example.org", "dns"),
        ("192.0.2.1", "ip"),
        ("2001:db8::1", "ip"),
        ("a@example.org", "email"),
        ("https://example.org/", "uri"),
        ("bücher.example", "dns"),
    ],
)
def test_general_names_from_text(text: str, kind: str) -> None:
    """What people write is what they mean."""
    assert general_name(text).name == kind


def test_a_broken_extension_is_told() -> None:
    """Also where the name that the message would use stands in it."""
    broken = build(
        Name.build(), KEY.public, KEY, issuer=Name.parse("x"), **SPAN,
        extensions=[Extension(ext.SUBJECT_ALT_NAME, True, b"\x30\x03\x82\x05a")],
    )  # fmt: skip
    assert repr(broken) == "<certificate of a name that cannot be read>"
    with pytest.raises(InvalidEncoding, match=r"extension 2\.5\.29\.17 of a certificate"):
        broken.alt_names  # noqa: B018
    with pytest.raises(ValidationError) as caught:
        chain_of_trust([broken])([broken], now=START)
    assert caught.value.reason == "bad-certificate"
    assert "cannot be read" in show_certificate(broken, START)


def test_outlines_that_are_refused() -> None:
    """A certificate is DER, whole, and nothing more."""
    der = build(Name.parse("x"), KEY.public, KEY, issuer=Name.parse("x"), extensions=[], **SPAN).der
    for bad in (der + b"\x00", der[:-1], b"", b"\x30\x80" + der[4:] + b"\x00\x00", der[:1] + b"\x83\x00" + der[2:]):
        with pytest.raises(InvalidEncoding, match="no certificate"):
            Certificate.decode(bad)
    with pytest.raises(InvalidEncoding, match="size"):
        Certificate.decode(bytes(2 << 20))
    assert Certificate.decode(memoryview(der)).der == der  # type: ignore[arg-type]
    with pytest.raises(UnusableInput):
        extension(ext.KEY_USAGE, frozenset(["flying"]))
