"""Which certificates of a path are revoked, as far as lists and responses at hand say.

Nothing is fetched: whoever calls brings the lists, and TLS brings the stapled response.
"""

from __future__ import annotations

from collections.abc import Sequence

from .certificate import Certificate
from .crl import Crl, Revoked
from .errors import InvalidEncoding, UnusableInput, ValidationError
from .ocsp import OcspResponse

__all__ = ["Revocation"]

_REQUIRE = ("nothing", "leaf", "path")


class Revocation:
    """What is asked about revocation, and what must be answered.

    `require` is ``nothing`` (a certificate about which nobody says anything passes; the default without lists and
    responses), ``leaf`` (the peer's must be known to be good; the default with them) or ``path`` (every one below the
    anchor). A stapled response that is there must be right, whatever is required, and must be there for a certificate
    that says so (RFC 7633).
    """

    def __init__(
        self, crls: Sequence[Crl] = (), responses: Sequence[OcspResponse] = (), require: str | None = None
    ) -> None:
        if require is None:
            require = "leaf" if crls or responses else "nothing"
        if require not in _REQUIRE:
            raise UnusableInput(f"require={require!r}; it is one of {', '.join(_REQUIRE)}")
        self._crls, self._responses, self._require = tuple(crls), tuple(responses), require

    def check(self, path: Sequence[Certificate], now: float, ocsp: bytes | None) -> None:
        """Return if no certificate of the path is revoked, and those that must be known are.

        Raises `ValidationError` (revoked, revocation-unknown), `InvalidEncoding`.
        """
        for index, certificate in enumerate(path[:-1]):
            issuer = path[index + 1]
            known = index == 0 and ocsp is not None and self._stapled(ocsp, certificate, issuer, now)
            known = known or self._known(certificate, issuer, now)
            if not known and (self._require == "path" or (self._require == "leaf" and index == 0)):
                raise ValidationError(
                    "revocation-unknown",
                    f"nothing says whether {certificate!r} is revoked; give a current list of its issuer, "
                    "or have the server staple an OCSP response",
                )

    def _stapled(self, ocsp: bytes, certificate: Certificate, issuer: Certificate, now: float) -> bool:
        response = OcspResponse(ocsp)
        if response.data is None and not certificate.must_staple:
            return False
        _refuse(certificate, response.check(certificate, issuer, now))
        return True

    def _known(self, certificate: Certificate, issuer: Certificate, now: float) -> bool:
        """Whether something at hand says that the certificate is good; raises if something says that it is revoked."""
        known = False
        for response in self._responses:
            try:
                found = response.check(certificate, issuer, now)
            except (ValidationError, InvalidEncoding):
                continue
            _refuse(certificate, found)
            known = True
        for crl in self._crls:
            if crl.issuer != issuer.subject:
                continue
            try:
                crl.check(issuer, now)
                found, covered = crl.entries.get(certificate.serial), crl.covers(certificate)
            except (ValidationError, InvalidEncoding):
                continue
            _refuse(certificate, found)
            known = known or covered
        return known

    def check_stapling(self, certificate: Certificate, ocsp: bytes | None) -> None:
        """Raise `ValidationError` for a certificate that must come with a response, and did not."""
        if ocsp is None and certificate.must_staple:
            raise ValidationError(
                "revocation-unknown", f"{certificate!r} must come with an OCSP response; turn on stapling in the server"
            )


def _refuse(certificate: Certificate, revoked: Revoked | None) -> None:
    if revoked is not None:
        raise ValidationError(
            "revoked", f"{certificate!r} was revoked on {revoked.time:%Y-%m-%d} ({revoked.reason}); have it issued anew"
        )
