"""Keys, signatures and exchanges: both halves fit, and nothing else does."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.crypto import (
    ECDSA_SHA256,
    ED25519,
    GROUPS,
    ML_KEM_768,
    P256,
    RSA_PKCS1_SHA256,
    RSA_PSS_SHA256,
    X25519,
    Group,
    InvalidKey,
    InvalidSignature,
    PrivateKey,
    PublicKey,
    UnsupportedAlgorithm,
)

MAKERS: dict[str, Callable[[], PrivateKey]] = {
    "rsa": PrivateKey.generate_rsa,
    "secp256r1": PrivateKey.generate_ec,
    "secp384r1": lambda: PrivateKey.generate_ec("secp384r1"),
    "secp521r1": lambda: PrivateKey.generate_ec("secp521r1"),
    "ed25519": PrivateKey.generate_ed25519,
    "ed448": PrivateKey.generate_ed448,
}


@pytest.fixture(scope="module", params=MAKERS)
def key(request: pytest.FixtureRequest) -> PrivateKey:
    return MAKERS[request.param]()


def test_signatures_of_every_scheme(key: PrivateKey) -> None:
    """Each scheme of a key signs; another message, a broken signature and a scheme of another kind are refused."""
    public = PublicKey.from_spki(key.public.spki())
    assert public == key.public
    assert hash(public) == hash(key.public)
    for scheme in key.schemes():
        signature = key.sign(scheme, b"message")
        public.verify(scheme, signature, b"message")
        for wrong, message in ((signature, b"another"), (signature[:-1], b"message"), (b"", b"message")):
            with pytest.raises(InvalidSignature):
                public.verify(scheme, wrong, message)
    other = ED25519 if public.kind != "ed25519" else ECDSA_SHA256
    with pytest.raises(UnsupportedAlgorithm, match="does not go"):
        public.verify(other, b"", b"")
    with pytest.raises(UnsupportedAlgorithm, match="does not go"):
        key.sign(other, b"")


def test_a_private_key_goes_through_its_forms_and_does_not_show_itself(key: PrivateKey) -> None:
    """PKCS #8 and PEM, with and without a password; neither repr nor pickle has the key."""
    assert PrivateKey.from_pkcs8(key.pkcs8()) == key
    assert PrivateKey.from_pem(key.to_pem(b"secret"), b"secret") == key
    with pytest.raises(InvalidKey):
        PrivateKey.from_pem(key.to_pem(b"secret"))
    with pytest.raises(InvalidKey):
        PrivateKey.from_pem(key.to_pem(b"secret"), b"wrong")
    assert repr(key) == f"<private {key.public.curve or key.public.kind} key, {key.public.bits} bits>"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)


def test_a_key_for_pss_alone_refuses_the_older_padding() -> None:
    """RFC 4055 1.2: a key whose identifier is id-RSASSA-PSS is for that scheme."""
    key = PrivateKey.generate_rsa()
    plain, pss = bytes.fromhex("300d06092a864886f70d0101010500"), bytes.fromhex("300b06092a864886f70d01010a")
    der = key.public.spki().replace(plain, pss)
    public = PublicKey.from_spki(der[:2] + (int.from_bytes(der[2:4], "big") - 2).to_bytes(2, "big") + der[4:])
    public.verify(RSA_PSS_SHA256, key.sign(RSA_PSS_SHA256, b"m"), b"m")
    with pytest.raises(UnsupportedAlgorithm, match="RSASSA-PSS"):
        public.verify(RSA_PKCS1_SHA256, key.sign(RSA_PKCS1_SHA256, b"m"), b"m")


def test_keys_that_are_refused_where_they_are_made() -> None:
    """Short RSA keys and unknown curves."""
    with pytest.raises(UnsupportedAlgorithm, match="2048"):
        PrivateKey.generate_rsa(1024)
    with pytest.raises(UnsupportedAlgorithm, match="secp256r1"):
        PrivateKey.generate_ec("secp112r1")


@given(data=st.binary(max_size=120), cut=st.integers(0, 90))
def test_octets_that_are_no_key(data: bytes, cut: int) -> None:
    """Untrusted octets raise declared errors alone."""
    whole = bytearray(PrivateKey.generate_ed25519().public.spki())
    whole[cut % len(whole)] ^= 0x41
    for octets in (data, bytes(whole)):
        for load in (PublicKey.from_spki, PrivateKey.from_pkcs8, PrivateKey.from_pem):
            try:
                load(octets)
            except (InvalidKey, UnsupportedAlgorithm):
                continue


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_two_sides_of_a_group_agree(group: Group) -> None:
    """With the library's generator and with ours, which makes the same share again; sizes are as announced."""
    draw = random.Random(group.name).randbytes
    ours, theirs = group.generate(draw), group.generate()
    assert len(ours.public) == group.public_size
    secret = ours.exchange(theirs.public)
    assert secret == theirs.exchange(ours.public)
    assert len(secret) == group.secret_size
    assert group.generate(random.Random(group.name).randbytes).public == ours.public
    for wrong in (b"", bytes(group.public_size), ours.public[:-1], b"\x04" + b"\x01" * (group.public_size - 1)):
        if wrong[:1] == b"\x04" and group.name.startswith("x"):
            continue
        with pytest.raises(InvalidKey):
            ours.exchange(wrong)
    with pytest.raises(InvalidKey):
        group.private(b"short")
    with pytest.raises(TypeError):
        pickle.dumps(ours)


def test_rfc_7748_x25519() -> None:
    """RFC 7748 5.2, the first vector."""
    ours = X25519.private(bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"))
    peer = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    assert ours.exchange(peer).hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"


def test_compressed_points_are_refused() -> None:
    """RFC 8446 4.2.8.2: the wire has uncompressed points alone."""
    share = P256.generate()
    with pytest.raises(InvalidKey):
        share.exchange(bytes((2 + (share.public[-1] & 1),)) + share.public[1:33])


def test_ml_kem() -> None:
    """A ciphertext opens to its secret; a changed one opens to another (implicit rejection); lengths are checked."""
    share = ML_KEM_768.generate(random.Random(1).randbytes)
    assert share.public == ML_KEM_768.generate(random.Random(1).randbytes).public
    assert len(share.public) == ML_KEM_768.public_size
    ciphertext, secret = ML_KEM_768.encapsulate(share.public)
    assert len(ciphertext) == ML_KEM_768.ciphertext_size
    assert share.decapsulate(ciphertext) == secret
    assert share.decapsulate(bytes((ciphertext[0] ^ 1,)) + ciphertext[1:]) != secret
    with pytest.raises(InvalidKey):
        share.decapsulate(ciphertext[:-1])
    with pytest.raises(InvalidKey):
        ML_KEM_768.encapsulate(share.public[:-1])
    with pytest.raises(InvalidKey):
        ML_KEM_768.encapsulate(b"\xff" * ML_KEM_768.public_size)
    with pytest.raises(InvalidKey):
        ML_KEM_768.private(b"short")
