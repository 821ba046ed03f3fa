"""What both sides agreed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mirage.x509 import Certificate

__all__ = ["Info"]


@dataclass(frozen=True, slots=True)
class Info:
    """The parameters of a connection whose handshake is done; `Connection.info`."""

    version: str
    """TLSv1.3 or TLSv1.2."""
    suite: str
    """The cipher suite's name in the IANA registry."""
    group: str | None
    """The group of the key exchange; None for a resumption without one."""
    scheme: str | None
    """The scheme of the peer's signature; None if it made none."""
    server_name: str | None
    """The name that the client asked for (SNI)."""
    alpn: str | None
    """The application protocol that was chosen."""
    peer_chain: tuple[Certificate, ...]
    """What the peer sent, its own certificate first; of a resumed connection, what it sent the first time."""
    peer_key: bytes | None
    """The peer's raw public key, a SubjectPublicKeyInfo, where one came in place of a chain (RFC 7250)."""
    ocsp: bytes | None
    """The OCSP response that the server stapled."""
    resumed: bool
    """Whether an earlier session vouches for the peer."""
    early_data: bool
    """Whether early data was accepted."""
    retried: bool
    """Whether the server asked for another key share (HelloRetryRequest)."""
