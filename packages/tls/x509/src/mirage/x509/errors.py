"""What can go wrong: octets that are not what they should be, a chain that is not to be trusted, and local misuse."""

from __future__ import annotations

from mirage.types import MirageError

__all__ = ["BadPassword", "InvalidEncoding", "UnusableInput", "ValidationError", "X509Error"]


class X509Error(MirageError):
    """Root of this package's errors."""


class InvalidEncoding(X509Error, ValueError):
    """Remote misbehaviour: octets that are no certificate (request, list, response, store); the message says where."""


class BadPassword(X509Error, ValueError):
    """The password does not open the store, or the store was changed since it was written; the two look alike."""


class UnusableInput(X509Error, ValueError):
    """Local misuse: what was asked for cannot be made, or cannot be used so; the message says what to do."""


class ValidationError(X509Error):
    """The chain is not to be trusted. `reason` is one of `REASONS`, for programs; the message is for people."""

    REASONS = (
        "bad-certificate",
        "bad-name",
        "bad-purpose",
        "bad-signature",
        "certificate-required",
        "expired",
        "fingerprint-mismatch",
        "name-constraints",
        "not-a-ca",
        "not-yet-valid",
        "path-too-long",
        "policy",
        "revocation-unknown",
        "revoked",
        "too-complex",
        "unknown-critical-extension",
        "unknown-issuer",
        "weak-key",
        "weak-signature",
    )

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        assert reason in self.REASONS
        self.reason = reason

    def __reduce__(self) -> tuple[type[ValidationError], tuple[str, str]]:
        return type(self), (self.reason, str(self))
