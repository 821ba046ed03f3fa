"""A certificate for development: made when a program starts, and gone when it ends.

Nobody vouches for it, so a client trusts it by its key: `Development.pin` is what curl takes with ``--pinnedpubkey``,
and `mirage.x509.from_string` with ``key-fp:sha256:...``. Its key is never in a file, and so in no image and no archive.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mirage.crypto import SHA256, PrivateKey
from mirage.x509.build import make_ca, make_server

from .identity import Identity

__all__ = ["Development", "development"]


@dataclass(frozen=True, slots=True)
class Development:
    """What was made."""

    identity: Identity
    """For `ServerTls`."""
    fingerprint: bytes
    """The SHA-256 of the public key, as a SubjectPublicKeyInfo (RFC 7469 section 2.4)."""

    @property
    def pin(self) -> str:
        """The same as curl wants it."""
        return f"sha256//{base64.b64encode(self.fingerprint).decode()}"


def development(names: Sequence[str] = (), *, now: float, days: int = 90) -> Development:
    """A certificate for these names and addresses, and for this machine's loopback, from a day before `now` on.

    `now` is in seconds since the epoch. Raises `mirage.x509.UnusableInput` for a text that is no name.
    """
    begin = datetime.fromtimestamp(now, UTC).replace(microsecond=0) - timedelta(1)
    end = begin + timedelta(days + 1)
    authority = make_ca("CN=Development", PrivateKey.generate_ec(), not_before=begin, not_after=end)
    key = PrivateKey.generate_ec()
    everyone = ("0.0.0.0", "::")  # noqa: S104 - compared: nobody is called so
    wanted = dict.fromkeys(("localhost", "127.0.0.1", "::1", *(name for name in names if name not in everyone)))
    leaf = make_server(list(wanted), key.public, authority, not_before=begin, not_after=end)
    identity = Identity((leaf.der, authority.certificate.der), key)
    return Development(identity, SHA256.digest(key.public.spki()))
