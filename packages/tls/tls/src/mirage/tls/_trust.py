"""The one place that speaks to `mirage.x509`: certificates are read here, and the authenticator is asked."""

from __future__ import annotations

from cryptography import x509
from mirage.crypto import PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from ._alerts import Alert
from .errors import ConfigurationError, PeerMisbehaved, PeerUntrusted


class Certificate:
    def __init__(self, der):
        self.der = der
        self.x = x509.load_der_x509_certificate(der)
        self.public_key = PublicKey.from_spki(self.x.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def read_own_chain(chain):
    return [Certificate(d) for d in chain]


def dns_names(leaf):
    try:
        return tuple(leaf.x.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        return ()


def read_chain(ders):
    try:
        return tuple([Certificate(d) for d in ders])
    except Exception as e:
        raise PeerMisbehaved(f"bad certificate {e}", Alert.BAD_CERTIFICATE)


def read_key(spki):
    return PublicKey.from_spki(spki)


def judge_chain(authenticator, chain, *, name, role, now, ocsp):
    authenticator(chain, name=name, role=role, now=now, ocsp=ocsp)


def judge_key(authenticator, spki, *, name, role, now):
    authenticator(spki, name=name, role=role, now=now, ocsp=None)


def leaf_key(chain):
    return chain[0].public_key


def encoded(c):
    return c.der
