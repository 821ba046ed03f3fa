"""Every vector of the Wycheproof files, through this package's interface.

The files are found through `MIRAGE_TEST_DATA`. A vector for a parameter that the interface does not offer (AES-192,
tags of other lengths) is asserted to be not offered, and counted apart: nothing is passed over in silence.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mirage import crypto
from mirage.crypto import AeadAlgorithm, CryptoError, Group, PublicKey, SignatureScheme

BESIDE = [place / "shared" / "data" for place in Path(__file__).resolve().parents]
DATA = Path(os.environ.get("MIRAGE_TEST_DATA") or next(filter(Path.is_dir, BESIDE), "shared/data"))
FOLDER = DATA / "wycheproof"

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="set MIRAGE_TEST_DATA to a folder with Wycheproof's testvectors_v1 as wycheproof/"
)

Vector = dict[str, Any]


def vectors(name: str) -> Iterator[tuple[Vector, Vector]]:
    """Each vector of a file with its group; as many as the file says."""
    content = json.loads((FOLDER / name).read_text())
    found = [(group, test) for group in content["testGroups"] for test in group["tests"]]
    assert len(found) == content["numberOfTests"]
    yield from found


def octets(vector: Vector, *names: str) -> list[bytes]:
    """The values of some members."""
    return [bytes.fromhex(vector[name]) for name in names]


_AEADS: dict[str, dict[tuple[int, int], AeadAlgorithm]] = {
    "aes_gcm_test.json": {(128, 128): crypto.AES_128_GCM, (256, 128): crypto.AES_256_GCM},
    "aes_ccm_test.json": {(128, 128): crypto.AES_128_CCM, (128, 64): crypto.AES_128_CCM_8},
    "chacha20_poly1305_test.json": {(256, 128): crypto.CHACHA20_POLY1305},
}


@pytest.mark.parametrize("name", _AEADS)
def test_aead(name: str) -> None:
    """Valid ones seal and open to what stands there, by both ways of either; of the others nothing opens."""
    done = Counter[str]()
    for group, test in vectors(name):
        algorithm = _AEADS[name].get((group["keySize"], group["tagSize"]))
        if algorithm is None:
            assert group["keySize"] // 8 not in {a.key_size for a in _AEADS[name].values() if group["tagSize"] == 128}
            done["not offered"] += 1
            continue
        key, nonce, aad, plain, cipher, tag = octets(test, "key", "iv", "aad", "msg", "ct", "tag")
        aead = algorithm.new(key)
        sealed = cipher + tag
        if test["result"] == "valid":
            out = bytearray(len(sealed))
            if 8 <= len(nonce) <= 128 or name != "aes_gcm_test.json":
                assert aead.seal(nonce, plain, aad) == sealed, test
                aead.seal_into(nonce, plain, aad, out)
                assert out == sealed
                assert aead.open(nonce, sealed, aad) == plain
                out = bytearray(len(plain))
                aead.open_into(nonce, sealed, aad, out)
                assert out == plain
                done["right"] += 1
            else:
                with pytest.raises(ValueError, match="Nonce must be"):  # the library's limits
                    aead.seal(nonce, plain, aad)
                done["not offered"] += 1
        else:
            out = bytearray(b"\xff" * len(plain))
            # A nonce of a length that does not exist is a caller's mistake, and a `ValueError`.
            expected = CryptoError if len(nonce) == algorithm.nonce_size else (CryptoError, ValueError)
            with pytest.raises(expected):
                aead.open(nonce, sealed, aad)
            with pytest.raises(expected) as raised:
                aead.open_into(nonce, sealed, aad, out)
            if isinstance(raised.value, CryptoError):
                assert out == bytes(len(plain))  # nothing unauthenticated is left there
            done["refused"] += 1
    assert sum(done.values()) == len(list(vectors(name)))
    assert done["right"] > 50
    assert done["refused"] > 20


def _verify(key: PublicKey, scheme: SignatureScheme, test: Vector) -> bool:
    message, signature = octets(test, "msg", "sig")
    try:
        key.verify(scheme, signature, message)
    except crypto.InvalidSignature:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("ecdsa_secp256r1_sha256_test.json", crypto.ECDSA_SHA256),
        ("ecdsa_secp384r1_sha384_test.json", crypto.ECDSA_SHA384),
        ("ed25519_test.json", crypto.ED25519),
        ("rsa_pss_2048_sha256_mgf1_32_test.json", crypto.RSA_PSS_SHA256),
        ("rsa_signature_2048_sha256_test.json", crypto.RSA_PKCS1_SHA256),
    ],
)
def test_signatures(name: str, scheme: SignatureScheme) -> None:
    """The valid ones verify, the others do not; one without the NULL in its DigestInfo may, and does not here."""
    for group, test in vectors(name):
        key = PublicKey.from_spki(bytes.fromhex(group["publicKeyDer"]))
        assert _verify(key, scheme, test) is (test["result"] == "valid"), test


@pytest.mark.parametrize(
    ("name", "group"),
    [("ecdh_secp256r1_ecpoint_test.json", crypto.P256), ("ecdh_secp384r1_ecpoint_test.json", crypto.P384)],
)
def test_ecdh(name: str, group: Group) -> None:
    """Valid points give the secret; points off the curve, and compressed ones, which TLS knows not, are refused."""
    for _, test in vectors(name):
        public, shared = octets(test, "public", "shared")
        private = int(test["private"], 16).to_bytes(group.private_size, "big")
        share = group.private(private)
        if test["result"] == "valid":
            assert share.exchange(public) == shared, test
        else:
            with pytest.raises(crypto.InvalidKey):
                share.exchange(public)


def test_x25519() -> None:
    """Every secret is right, those of twists too; a secret of zeros is refused (RFC 7748 section 6.1)."""
    for _, test in vectors("x25519_test.json"):
        private, public, shared = octets(test, "private", "public", "shared")
        share = crypto.X25519.private(private)
        if "ZeroSharedSecret" in test["flags"]:
            with pytest.raises(crypto.InvalidKey):
                share.exchange(public)
        else:
            assert share.exchange(public) == shared, test


def test_hkdf() -> None:
    """Extract and expand; more than 255 blocks are refused."""
    for _, test in vectors("hkdf_sha256_test.json"):
        ikm, salt, info, okm = octets(test, "ikm", "salt", "info", "okm")
        expand: Callable[[], bytes] = lambda ikm=ikm, salt=salt, info=info, size=test["size"]: crypto.hkdf_expand(  # noqa: E731
            crypto.SHA256, crypto.hkdf_extract(crypto.SHA256, salt, ikm), info, size
        )
        if test["result"] == "valid":
            assert expand() == okm, test
        else:
            with pytest.raises(crypto.UnsupportedAlgorithm):
                expand()


def test_ml_kem() -> None:
    """Keys from seeds, secrets from ciphertexts; seeds and ciphertexts of other lengths are refused."""
    for _, test in vectors("mlkem_768_test.json"):
        seed, ciphertext = octets(test, "seed", "c")
        if test["result"] == "valid":
            share = crypto.ML_KEM_768.private(seed)
            assert share.public.hex() == test["ek"]
            assert share.decapsulate(ciphertext).hex() == test["K"], test
        else:
            with pytest.raises(crypto.InvalidKey):
                crypto.ML_KEM_768.private(seed).decapsulate(ciphertext)


def test_every_file_is_used() -> None:
    """A file that is added wants a test."""
    text = Path(__file__).read_text()
    unused = [path.name for path in FOLDER.glob("*.json") if path.name not in text]
    assert not unused
