"""Authenticators: what decides whether a peer is who it should be. One interface for TLS in both roles.

``authenticator(chain, name=..., role=..., now=...) -> Validated`` or `ValidationError`. Time is an argument; nothing
here reads a clock or a network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeAlias

from mirage.asn1 import Oid
from mirage.crypto import HashAlgorithm, PublicKey, equal, hash_named
from mirage.crypto import UnsupportedAlgorithm as _UnsupportedAlgorithm

from . import hosts
from ._path import Limits, Question, find_path
from .certificate import Certificate
from .errors import InvalidEncoding, UnusableInput, ValidationError
from .hosts import PeerName
from .names import Name
from .profile import PRACTICAL, Profile, profile_named
from .revocation import Revocation

__all__ = [
    "Authenticator",
    "ChainOfTrust",
    "Presented",
    "Validated",
    "certificate_fingerprint",
    "chain_of_trust",
    "from_string",
    "key_fingerprint",
    "raw_public_key",
    "system_roots",
]

Presented: TypeAlias = "Sequence[Certificate] | PublicKey"
"""What the peer showed: its certificates, its own first, or a raw public key (RFC 7250)."""


@dataclass(frozen=True, slots=True)
class Validated:
    """A peer that was found to be who it should be."""

    public_key: PublicKey
    """The key that its signatures must verify with."""

    path: tuple[Certificate, ...] = ()
    """Its certificate, the intermediates, and the anchor; only the first for fingerprints, none for a raw key."""

    policies: frozenset[Oid] = field(default_factory=frozenset)
    """The policies that were asked for and found."""


class Authenticator(Protocol):
    """What TLS asks, in both roles."""

    def __call__(
        self,
        chain: Presented,
        *,
        name: PeerName | None = None,
        role: str = "server",
        now: datetime | float,
        ocsp: bytes | None = None,
    ) -> Validated:
        """Return if the peer, whose part is `role` ("server" or "client"), is the one called `name`.

        `name` None asks for no name, as a server does of its clients. `now` is aware, or seconds of the epoch. `ocsp`
        is a stapled OCSP response. Raises `ValidationError`.
        """
        ...


def _seconds(now: datetime | float) -> float:
    if isinstance(now, datetime):
        if now.tzinfo is None:
            raise UnusableInput("`now` without a zone; use datetime.now(timezone.utc), or time.time()")
        return now.timestamp()
    return float(now)


def _certificates(chain: Presented) -> Sequence[Certificate]:
    if isinstance(chain, PublicKey) or not chain:
        raise ValidationError("certificate-required", "the peer sent no certificate; configure one for it")
    return chain


def _role(role: str) -> str:
    if role not in ("server", "client"):
        raise UnusableInput(f"role {role!r}; it is server or client")
    return role


class ChainOfTrust:
    """Trusts whoever has a certificate with a path to an anchor, the right name, and no revocation."""

    def __init__(
        self,
        anchors: Iterable[Certificate],
        *,
        profile: Profile = PRACTICAL,
        revocation: Revocation | None = None,
        policies: frozenset[Oid] = frozenset(),
        require_policy: bool = False,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
    ) -> None:
        """See `chain_of_trust`."""
        self._anchors: dict[Name, list[Certificate]] = {}
        for anchor in anchors:
            self._anchors.setdefault(anchor.subject, []).append(anchor)
        if not self._anchors:
            raise UnusableInput("no trust anchor, so nobody could be trusted; give at least one root certificate")
        self._profile, self._limits = profile, limits
        self._revocation = revocation or Revocation()
        self._policies, self._require_policy = policies, require_policy

    @property
    def anchors(self) -> tuple[Certificate, ...]:
        """Whose signatures are believed in the end."""
        return tuple(anchor for named in self._anchors.values() for anchor in named)

    def __call__(
        self,
        chain: Presented,
        *,
        name: PeerName | None = None,
        role: str = "server",
        now: datetime | float,
        ocsp: bytes | None = None,
    ) -> Validated:
        """As `Authenticator`."""
        certificates, seconds = _certificates(chain), _seconds(now)
        question = Question(_role(role), seconds, self._profile, self._limits, self._policies, self._require_policy)
        path = find_path(certificates, self._anchors, question)
        try:
            if name is not None:
                hosts.match(path[0], name)
            if role == "server":
                self._revocation.check_stapling(path[0], ocsp)
            self._revocation.check(path, seconds, ocsp)
        except InvalidEncoding as error:
            raise ValidationError("bad-certificate", str(error)) from None
        return Validated(path[0].public_key, tuple(path), self._policies)

    def __repr__(self) -> str:
        count = sum(map(len, self._anchors.values()))
        return f"<chain of trust, {count} anchors, profile {self._profile.name}>"


def chain_of_trust(
    anchors: Iterable[Certificate],
    *,
    profile: Profile = PRACTICAL,
    revocation: Revocation | None = None,
    policies: frozenset[Oid] = frozenset(),
    require_policy: bool = False,
    limits: Limits = Limits(),  # noqa: B008  (frozen)
) -> ChainOfTrust:
    """Trust the peers that have a path to one of `anchors` (RFC 5280 6). Raises `UnusableInput` for no anchor.

    `profile` says how strict to be; `revocation` which lists and responses to ask; `policies` which certificate
    policies are wanted (none: any), and `require_policy` that there must be one.
    """
    return ChainOfTrust(
        anchors,
        profile=profile,
        revocation=revocation,
        policies=policies,
        require_policy=require_policy,
        limits=limits,
    )


class _Pinned:
    """Trusts one certificate or key, by fingerprint, whatever it says; only the time is checked for certificates."""

    def __init__(self, algorithm: HashAlgorithm, digest: bytes, of_key: bool) -> None:
        if len(digest) != algorithm.digest_size:
            raise UnusableInput(f"a {algorithm.name} fingerprint has {algorithm.digest_size} octets, not {len(digest)}")
        if algorithm.digest_size < 32:
            raise UnusableInput(f"{algorithm.name} fingerprints can be forged; use SHA-256")
        self._algorithm, self._digest, self._of_key = algorithm, digest, of_key

    def __call__(
        self,
        chain: Presented,
        *,
        name: PeerName | None = None,
        role: str = "server",
        now: datetime | float,
        ocsp: bytes | None = None,
    ) -> Validated:
        """As `Authenticator`; the name is not looked at, since the fingerprint is the identity."""
        if isinstance(chain, PublicKey) and self._of_key:
            self._compare(self._algorithm.digest(chain.spki()))
            return Validated(chain)
        leaf = _certificates(chain)[0]
        self._compare(leaf.key_fingerprint(self._algorithm) if self._of_key else leaf.fingerprint(self._algorithm))
        seconds = _seconds(now)
        if not self._of_key and not leaf.not_before.timestamp() <= seconds < leaf.not_after.timestamp() + 1:
            reason = "expired" if seconds > leaf.not_before.timestamp() else "not-yet-valid"
            raise ValidationError(reason, f"{leaf!r} is the right one, but out of its time; renew it")
        return Validated(leaf.public_key, (leaf,))

    def _compare(self, found: bytes) -> None:
        if not equal(found, self._digest):
            what = "key" if self._of_key else "certificate"
            raise ValidationError(
                "fingerprint-mismatch",
                f"the peer's {what} has the {self._algorithm.name} fingerprint {found.hex()}, not {self._digest.hex()}",
            )

    def __repr__(self) -> str:
        what = "key" if self._of_key else "certificate"
        return f"<{what} fingerprint {self._algorithm.name}:{self._digest.hex()}>"


def key_fingerprint(algorithm: HashAlgorithm, digest: bytes) -> Authenticator:
    """Trust the peer whose SubjectPublicKeyInfo has this hash, in a certificate or raw. It does not expire."""
    return _Pinned(algorithm, digest, of_key=True)


def certificate_fingerprint(algorithm: HashAlgorithm, digest: bytes) -> Authenticator:
    """Trust the peer whose certificate has this hash, during its validity."""
    return _Pinned(algorithm, digest, of_key=False)


class _RawKey:
    def __init__(self, keys: frozenset[PublicKey]) -> None:
        if not keys:
            raise UnusableInput("no key, so nobody could be trusted; give at least one")
        self._keys = keys

    def __call__(
        self,
        chain: Presented,
        *,
        name: PeerName | None = None,
        role: str = "server",
        now: datetime | float,
        ocsp: bytes | None = None,
    ) -> Validated:
        """As `Authenticator`; nothing but the key is looked at."""
        key = chain if isinstance(chain, PublicKey) else _certificates(chain)[0].public_key
        if key not in self._keys:
            raise ValidationError("fingerprint-mismatch", "the peer's key is none of those that are trusted")
        return Validated(key, () if isinstance(chain, PublicKey) else (chain[0],))

    def __repr__(self) -> str:
        return f"<{len(self._keys)} trusted keys>"


def raw_public_key(*keys: PublicKey) -> Authenticator:
    """Trust the peers that have one of these keys (RFC 7250)."""
    return _RawKey(frozenset(keys))


_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)


def system_roots(path: str | Path | None = None) -> list[Certificate]:
    """The roots that the operating system trusts, from its file (or the one given). Raises `UnusableInput`.

    Roots that cannot be read are left out.
    """
    candidates = [Path(path)] if path else [Path(store) for store in _STORES]
    for candidate in candidates:
        if candidate.is_file():
            return _readable(candidate)
    looked = ", ".join(map(str, candidates))
    raise UnusableInput(f"no trusted roots: looked for {looked}; apt-get install ca-certificates, or name a file")


def _readable(path: Path) -> list[Certificate]:
    from .pem import decode_pem

    found = []
    for block in decode_pem(path.read_bytes()):
        try:
            certificate = Certificate(block.data)
            certificate.subject  # noqa: B018  (decoded now, so that an unreadable one is left out)
        except InvalidEncoding:
            continue
        found.append(certificate)
    return found


_FINGERPRINT = re.compile(r"(key-fp|cert-fp):([a-zA-Z0-9-]+):([0-9a-fA-F:]+)")


def from_string(text: str) -> Authenticator:
    """An authenticator from a configuration's text. Raises `UnusableInput`, which says what the forms are.

    ``system``, ``chain:FILE`` (PEM or DER), both with ``;profile=web`` if wanted, ``key-fp:sha256:HEX``,
    ``cert-fp:sha256:HEX``, ``raw-key:FILE`` (PEM).
    """
    plain, _, profile = text.partition(";profile=")
    kind, _, rest = plain.partition(":")
    try:
        if kind == "chain" or plain == "system":
            roots = Certificate.load(rest) if kind == "chain" else system_roots()
            return chain_of_trust(roots, profile=profile_named(profile or "practical"))
        if found := _FINGERPRINT.fullmatch(text):
            make = key_fingerprint if found[1] == "key-fp" else certificate_fingerprint
            return make(hash_named(found[2]), bytes.fromhex(found[3].replace(":", "")))
        if kind == "raw-key":
            return raw_public_key(*_keys(Path(rest)))
    except (OSError, InvalidEncoding, _UnsupportedAlgorithm, ValueError) as error:
        raise UnusableInput(f"{text!r}: {error}") from None
    raise UnusableInput(
        f"{text!r} is no authenticator; write system, chain:FILE, key-fp:sha256:HEX, cert-fp:sha256:HEX or raw-key:FILE"
    )


def _keys(path: Path) -> list[PublicKey]:
    from .pem import decode_pem

    return [PublicKey.from_spki(block.data) for block in decode_pem(path.read_bytes()) if block.label == "PUBLIC KEY"]
