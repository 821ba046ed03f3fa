"""Which certificates of a path are revoked, as far as lists and responses at hand say."""

from __future__ import annotations

from collections.abc import Sequence

from .certificate import Certificate

__all__ = ["Revocation"]


class Revocation:
    """No source of revocation yet."""

    def check(self, path: Sequence[Certificate], now: float, ocsp: bytes | None) -> None:
        """Return if nothing says that a certificate of the path is revoked."""
