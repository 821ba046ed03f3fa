"""Hashes, MACs, key derivation and AEADs: known answers of the RFCs, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.crypto import (
    AES_128_CCM,
    AES_128_CCM_8,
    AES_128_GCM,
    AES_256_GCM,
    CHACHA20_POLY1305,
    SHA256,
    SHA384,
    AeadAlgorithm,
    InvalidKey,
    InvalidTag,
    UnsupportedAlgorithm,
    equal,
    hash_named,
    hkdf_expand,
    hkdf_extract,
    hmac,
    pbkdf2,
)

AEADS = [AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, AES_128_CCM, AES_128_CCM_8]


def test_hashes_are_found_by_name() -> None:
    """FIPS 180-4: the hash of abc."""
    assert SHA256.digest(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert SHA256.new(b"a").copy().digest() == SHA256.digest(b"a")
    assert hash_named("SHA-384") is SHA384
    with pytest.raises(UnsupportedAlgorithm, match="md5"):
        hash_named("md5")


def test_rfc_4231_hmac() -> None:
    """Test case 2 of RFC 4231."""
    found = hmac(SHA256, b"Jefe", b"what do ya want for nothing?")
    assert found.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert equal(found, bytes(found))
    assert not equal(found, found[:-1])


def test_rfc_5869_hkdf() -> None:
    """Test case 1 of RFC 5869; and output of more than one block begins with that of one."""
    prk = hkdf_extract(SHA256, bytes(range(13)), b"\x0b" * 22)
    okm = hkdf_expand(SHA256, prk, bytes(range(0xF0, 0xFA)), 42)
    assert okm.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
    assert hkdf_expand(SHA256, prk, bytes(range(0xF0, 0xFA)), 20) == okm[:20]
    with pytest.raises(UnsupportedAlgorithm, match="at most 8160"):
        hkdf_expand(SHA256, prk, b"", 8161)


def test_rfc_7914_pbkdf2() -> None:
    """RFC 7914 11: PBKDF2-HMAC-SHA-256."""
    assert pbkdf2(SHA256, b"passwd", b"salt", 1, 64).hex().startswith("55ac046e56e3089fec1691c22544b605")
    with pytest.raises(UnsupportedAlgorithm):
        pbkdf2(SHA256, b"", b"", 0, 32)


@pytest.mark.parametrize("algorithm", AEADS, ids=lambda algorithm: algorithm.name)
@given(plaintext=st.binary(max_size=64), aad=st.binary(max_size=16), bit=st.integers(min_value=0))
def test_what_was_sealed_opens_and_what_was_changed_does_not(
    algorithm: AeadAlgorithm, plaintext: bytes, aad: bytes, bit: int
) -> None:
    """Both forms agree; a flipped bit anywhere is found, and what was decrypted until then is wiped."""
    aead, nonce = algorithm.new(bytes(range(algorithm.key_size))), bytes(12)
    sealed = aead.seal(nonce, plaintext, aad)
    assert len(sealed) == len(plaintext) + algorithm.tag_size
    assert aead.open(nonce, sealed, aad) == plaintext

    buffer = bytearray(plaintext + bytes(algorithm.tag_size))
    view = memoryview(buffer)
    assert aead.seal_into(nonce, view[: len(plaintext)], aad, view) == len(sealed)
    assert buffer == sealed, "in place"
    out = bytearray(len(plaintext))
    assert aead.open_into(nonce, sealed, aad, out) == len(plaintext)
    assert out == plaintext

    bit %= 8 * len(sealed)
    buffer[bit // 8] ^= 1 << bit % 8
    out[:] = b"\xff" * len(out)
    with pytest.raises(InvalidTag):
        aead.open(nonce, buffer, aad)
    with pytest.raises(InvalidTag):
        aead.open_into(nonce, buffer, aad, out)
    assert out == bytes(len(out))


@pytest.mark.parametrize("algorithm", AEADS, ids=lambda algorithm: algorithm.name)
def test_a_ciphertext_shorter_than_its_tag(algorithm: AeadAlgorithm) -> None:
    """It is not authentic, whatever its length; and a key of another length is refused."""
    aead = algorithm.new(bytes(algorithm.key_size))
    for length in range(algorithm.tag_size):
        with pytest.raises(InvalidTag):
            aead.open(bytes(12), bytes(length), b"")
        with pytest.raises(InvalidTag):
            aead.open_into(bytes(12), bytes(length), b"", bytearray())
    with pytest.raises(InvalidKey, match="octets"):
        algorithm.new(b"short")
    assert "key" in repr(aead)
