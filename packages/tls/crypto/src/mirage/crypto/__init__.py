"""Hashes, MACs, AEADs, signatures and key exchange behind small safe interfaces over `cryptography`.

Algorithms are frozen values (`SHA256`, `AES_128_GCM`, `RSA_PSS_SHA256`, `X25519`); keys are objects that do not print
themselves. Octets from outside raise `InvalidKey`, `InvalidSignature` or `InvalidTag`; a wrong combination of ours is
`UnsupportedAlgorithm`. The modules are named after what they hold; everything is importable from here too.
"""

from .aead import AES_128_CCM, AES_128_CCM_8, AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, Aead, AeadAlgorithm
from .errors import CryptoError, InvalidKey, InvalidSignature, InvalidTag, UnsupportedAlgorithm
from .exchange import GROUPS, ML_KEM_768, P256, P384, P521, X448, X25519, Group, KemShare, KeyShare, MlKem
from .hashes import SHA1, SHA224, SHA256, SHA384, SHA512, HashAlgorithm, hash_named
from .kdf import hkdf_expand, hkdf_extract, pbkdf2
from .keys import CURVES, EcPublicKey, Ed448PublicKey, Ed25519PublicKey, PrivateKey, PublicKey, RsaPublicKey
from .mac import equal, hmac
from .signatures import (
    ECDSA_SHA1,
    ECDSA_SHA224,
    ECDSA_SHA256,
    ECDSA_SHA384,
    ECDSA_SHA512,
    ED448,
    ED25519,
    RSA_PKCS1_SHA1,
    RSA_PKCS1_SHA224,
    RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512,
    RSA_PSS_SHA256,
    RSA_PSS_SHA384,
    RSA_PSS_SHA512,
    SCHEMES,
    SignatureScheme,
)

__all__ = [
    "AES_128_CCM",
    "AES_128_CCM_8",
    "AES_128_GCM",
    "AES_256_GCM",
    "CHACHA20_POLY1305",
    "CURVES",
    "ECDSA_SHA1",
    "ECDSA_SHA224",
    "ECDSA_SHA256",
    "ECDSA_SHA384",
    "ECDSA_SHA512",
    "ED448",
    "ED25519",
    "GROUPS",
    "ML_KEM_768",
    "P256",
    "P384",
    "P521",
    "RSA_PKCS1_SHA1",
    "RSA_PKCS1_SHA224",
    "RSA_PKCS1_SHA256",
    "RSA_PKCS1_SHA384",
    "RSA_PKCS1_SHA512",
    "RSA_PSS_SHA256",
    "RSA_PSS_SHA384",
    "RSA_PSS_SHA512",
    "SCHEMES",
    "SHA1",
    "SHA224",
    "SHA256",
    "SHA384",
    "SHA512",
    "X448",
    "X25519",
    "Aead",
    "AeadAlgorithm",
    "CryptoError",
    "EcPublicKey",
    "Ed448PublicKey",
    "Ed25519PublicKey",
    "Group",
    "HashAlgorithm",
    "InvalidKey",
    "InvalidSignature",
    "InvalidTag",
    "KemShare",
    "KeyShare",
    "MlKem",
    "PrivateKey",
    "PublicKey",
    "RsaPublicKey",
    "SignatureScheme",
    "UnsupportedAlgorithm",
    "equal",
    "hash_named",
    "hkdf_expand",
    "hkdf_extract",
    "hmac",
    "pbkdf2",
]
