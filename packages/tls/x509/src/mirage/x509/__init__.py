"""X.509: certificates decoded and made, and chains of them validated.

`Certificate` reads one; an **authenticator** (`chain_of_trust`, `key_fingerprint`, `certificate_fingerprint`,
`raw_public_key`) decides whether a peer is who it should be, and is the one interface that TLS asks, in both roles.
Octets from outside raise `InvalidEncoding`, a chain that is not to be trusted `ValidationError`, and both cost bounded
work. Time is an argument; nothing here reads a clock or a network, and only `load`, `system_roots` and `from_string`
read files.
"""

from ._path import Limits
from .authenticators import (
    Authenticator,
    ChainOfTrust,
    Presented,
    Validated,
    certificate_fingerprint,
    chain_of_trust,
    from_string,
    key_fingerprint,
    raw_public_key,
    system_roots,
)
from .build import Identity, build, extension, make_ca, make_client, make_server
from .certificate import Certificate
from .crl import Crl, Revoked, make_crl
from .csr import Request, make_request_for
from .errors import BadPassword, InvalidEncoding, UnusableInput, ValidationError, X509Error
from .hosts import PeerName
from .names import Name
from .ocsp import OcspResponse, make_request, make_response, read_request
from .pem import Block, decode_pem, encode_pem
from .pkcs12 import Store, decode_pkcs8, decode_pkcs12, encode_pkcs8, encode_pkcs12
from .profile import PRACTICAL, RFC5280, WEB, Profile
from .revocation import Revocation

__all__ = [
    "PRACTICAL",
    "RFC5280",
    "WEB",
    "Authenticator",
    "BadPassword",
    "Block",
    "Certificate",
    "ChainOfTrust",
    "Crl",
    "Identity",
    "InvalidEncoding",
    "Limits",
    "Name",
    "OcspResponse",
    "PeerName",
    "Presented",
    "Profile",
    "Request",
    "Revocation",
    "Revoked",
    "Store",
    "UnusableInput",
    "Validated",
    "ValidationError",
    "X509Error",
    "build",
    "certificate_fingerprint",
    "chain_of_trust",
    "decode_pem",
    "decode_pkcs8",
    "decode_pkcs12",
    "encode_pem",
    "encode_pkcs8",
    "encode_pkcs12",
    "extension",
    "from_string",
    "key_fingerprint",
    "make_ca",
    "make_client",
    "make_crl",
    "make_request",
    "make_request_for",
    "make_response",
    "make_server",
    "raw_public_key",
    "read_request",
    "system_roots",
]
