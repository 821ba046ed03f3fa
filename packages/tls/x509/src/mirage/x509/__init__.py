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
from .errors import BadPassword, InvalidEncoding, UnusableInput, ValidationError, X509Error
from .hosts import PeerName
from .names import Name
from .pem import Block, decode_pem, encode_pem
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
    "Identity",
    "InvalidEncoding",
    "Limits",
    "Name",
    "PeerName",
    "Presented",
    "Profile",
    "Revocation",
    "UnusableInput",
    "Validated",
    "ValidationError",
    "X509Error",
    "build",
    "certificate_fingerprint",
    "chain_of_trust",
    "decode_pem",
    "encode_pem",
    "extension",
    "from_string",
    "key_fingerprint",
    "make_ca",
    "make_client",
    "make_server",
    "raw_public_key",
    "system_roots",
]
