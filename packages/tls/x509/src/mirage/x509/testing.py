"""For fuzzing: good octets of every kind that this package reads, each with what is then asked of them.

`targets()` is what the package's own tests and `./noxw -s fuzz` run over. Each function raises nothing but
`X509Error`, whatever it is given.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache

from mirage.crypto import PrivateKey

from .authenticators import chain_of_trust
from .build import Identity, make_ca, make_server
from .certificate import Certificate
from .crl import Crl, Revoked, make_crl
from .csr import Request, make_request_for
from .errors import ValidationError
from .ocsp import OcspResponse, make_request, make_response, read_request
from .pem import decode_pem
from .pkcs12 import Store, decode_pkcs8, decode_pkcs12, encode_pkcs8, encode_pkcs12
from .profile import PRACTICAL, RFC5280, WEB
from .revocation import Revocation
from .show import show_certificate, show_crl, show_request

__all__ = ["NOW", "Target", "leaf", "root", "targets"]

Target = tuple[bytes, Callable[[bytes], object]]
"""Good octets, and a function that reads octets and uses what was read."""

_START = datetime(2026, 1, 1, tzinfo=UTC)
_END = _START + timedelta(days=90)
NOW = _START + timedelta(days=1)
"""A time at which all of it is valid."""


@cache
def root() -> Identity:
    """A CA with name constraints; its key is always the same, so that what fuzzing finds can be tried again."""
    key = PrivateKey.from_pkcs8(bytes.fromhex("302e020100300506032b657004220420") + bytes(range(32)))
    permitted = ["example.org", "192.0.2.0/24", "a@example.org"]
    return make_ca("O=Example, CN=Root", key, permitted=permitted, not_before=_START, not_after=_END)


@cache
def leaf() -> Certificate:
    """A server's certificate by that CA, for example.org."""
    return make_server(["example.org", "192.0.2.1"], root().key.public, root(), not_before=_START, not_after=_END)


def _octets(count: int) -> bytes:
    return random.Random(count).randbytes(count)  # noqa: S311  (for files that nobody keeps)


def _use_certificate(der: bytes) -> None:
    certificate = Certificate.decode(der)
    for profile in (PRACTICAL, RFC5280, WEB):
        trust = chain_of_trust([root().certificate], profile=profile)
        for chain in ([certificate], [leaf(), certificate]):
            with contextlib.suppress(ValidationError):
                trust(chain, name="example.org", now=NOW)
    with contextlib.suppress(ValidationError):
        chain_of_trust([certificate])([leaf()], now=NOW)
    repr(certificate)
    show_certificate(certificate, NOW)


def _use_pem(text: bytes) -> None:
    for block in decode_pem(text):
        _use_certificate(block.data)


def _use_crl(der: bytes) -> None:
    crl = Crl.decode(der)
    show_crl(crl)
    crl.covers(leaf())
    crl.check(root().certificate, NOW.timestamp())


def _use_response(der: bytes) -> None:
    OcspResponse.decode(der).check(leaf(), root().certificate, NOW.timestamp())
    Revocation().check([leaf(), root().certificate], NOW.timestamp(), der)


@cache
def targets() -> dict[str, Target]:
    """All of them, by name."""
    ca, key = root(), root().key
    store = Store(key, leaf(), (ca.certificate,), "name")
    crl = make_crl(ca, {5: Revoked(_START, "superseded")}, this_update=_START, next_update=NOW, number=3)
    statuses = [(leaf(), Revoked(_START))]
    response = make_response(ca, ca.certificate, statuses, now=_START, next_update=NOW, include=[leaf()])
    return {
        "leaf": (leaf().der, _use_certificate),
        "root": (ca.certificate.der, _use_certificate),
        "crl": (crl.der, _use_crl),
        "ocsp response": (response.der, _use_response),
        "ocsp request": (make_request(leaf(), ca.certificate), read_request),
        "request": (make_request_for(["example.org"], key, "x").der, lambda der: show_request(Request.decode(der))),
        "pkcs12": (encode_pkcs12(store, "x", _octets, 1, 1), lambda data: decode_pkcs12(data, "x")),
        "pkcs8": (encode_pkcs8(key, "x", _octets, 1), lambda data: decode_pkcs8(data, "x")),
        "plain pkcs8": (key.pkcs8(), decode_pkcs8),
        "pem": (leaf().pem().encode(), _use_pem),
    }
