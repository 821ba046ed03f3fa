"""Connections by name: an endpoint becomes an asyncio transport or server, with the TLS implementation of one's choice.

`connect` and `listen` take endpoints such as ``tls://example.org:443``. `ClientTls` and `ServerTls` say what is wanted
of TLS; ``native`` is `mirage.tls`, ``openssl`` the standard library's `ssl`, and which of the two speaks is chosen at
run time. Who the peer is, an authenticator of `mirage.x509` decides, for both implementations and in both roles.
"""

from .connect import Listener, connect, listen
from .endpoints import Endpoint, Tcp, Tls, Unix, parse_endpoint
from .engine import Info
from .errors import (
    ConduitError,
    ConfigurationError,
    ImplementationUnavailable,
    InvalidEndpoint,
    PeerRefused,
    TlsFailure,
    TlsTimeout,
    Truncated,
)
from .identity import Identity
from .sides import Authenticator, ClientTls, ServerTls, Side, implementation, trust

__all__ = [
    "Authenticator",
    "ClientTls",
    "ConduitError",
    "ConfigurationError",
    "Endpoint",
    "Identity",
    "ImplementationUnavailable",
    "Info",
    "InvalidEndpoint",
    "Listener",
    "PeerRefused",
    "ServerTls",
    "Side",
    "Tcp",
    "Tls",
    "TlsFailure",
    "TlsTimeout",
    "Truncated",
    "Unix",
    "connect",
    "implementation",
    "listen",
    "parse_endpoint",
    "trust",
]
