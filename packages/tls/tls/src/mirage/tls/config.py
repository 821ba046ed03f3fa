"""Configurations: frozen, and checked once, so that a connection never meets one that contradicts itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Literal, TypeVar

from mirage.crypto import SHA256
from mirage.x509 import Authenticator

from . import _compression as compression
from ._constants import (
    DEFAULT_GROUPS,
    DEFAULT_SCHEMES,
    DEFAULT_SUITES,
    GROUPS,
    SCHEMES,
    SUITES,
    TLS12,
    TLS13,
    NamedGroup,
    Scheme,
    Suite,
)
from .errors import ConfigurationError
from .identity import Identity
from .tickets import ReplayGuard, TicketKeys

__all__ = ["ClientConfig", "ServerConfig"]

VERSIONS = {"TLSv1.3": TLS13, "TLSv1.2": TLS12}


_Value = TypeVar("_Value")


def _known(what: str, names: tuple[str, ...], table: dict[str, _Value]) -> tuple[_Value, ...]:
    if not names:
        raise ConfigurationError(f"{what} is empty; name at least one of {', '.join(table)}")
    for name in names:
        if name not in table:
            raise ConfigurationError(f"{what} has {name!r}, which is not known; there are {', '.join(table)}")
    if len(set(names)) != len(names):
        raise ConfigurationError(f"{what} names one of them twice")
    return tuple(table[name] for name in names)


@dataclass(frozen=True, kw_only=True)
class _Config:
    """What both sides have. Names are those of the IANA registries; the first of a tuple is the favourite."""

    versions: tuple[str, ...] = ("TLSv1.3", "TLSv1.2")
    suites: tuple[str, ...] = DEFAULT_SUITES
    groups: tuple[str, ...] = DEFAULT_GROUPS
    schemes: tuple[str, ...] = DEFAULT_SCHEMES
    """Signature schemes that we take, and make."""
    alpn: tuple[str, ...] = ()
    """Application protocols, such as h2 and http/1.1."""
    record_size_limit: int | None = None
    """Octets of plaintext in a record that we take at the most (RFC 8449); 64 to 16,385 (TLS 1.2: 16,384)."""
    certificate_compression: tuple[str, ...] = compression.AVAILABLE
    """Algorithms of RFC 8879."""
    raw_public_keys: Literal["no", "allow", "only"] = "no"
    """Whether the peer may prove a raw public key in place of a certificate (RFC 7250); the authenticator must know
    how to judge one."""
    max_handshake: int = 128 * 1024
    """Octets of one handshake message that we take at the most."""
    keylog: Callable[[str], None] | None = field(default=None, repr=False)
    """Called with each line of the SSLKEYLOGFILE format: whoever has them can read the connection."""

    suites_13: tuple[Suite, ...] = field(init=False, repr=False)
    suites_12: tuple[Suite, ...] = field(init=False, repr=False)
    group_values: tuple[NamedGroup, ...] = field(init=False, repr=False)
    groups_by_code: dict[int, NamedGroup] = field(init=False, repr=False)
    scheme_values: tuple[Scheme, ...] = field(init=False, repr=False)
    schemes_by_code: dict[int, Scheme] = field(init=False, repr=False)
    suites_by_code: dict[int, Suite] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._set("versions", tuple(self.versions))
        versions = set(_known("versions", self.versions, VERSIONS))
        suites = _known("suites", self.suites, SUITES)
        self._set("suites_13", tuple(suite for suite in suites if suite.version == TLS13 and TLS13 in versions))
        self._set("suites_12", tuple(suite for suite in suites if suite.version == TLS12 and TLS12 in versions))
        for version, chosen in (("TLSv1.3", self.suites_13), ("TLSv1.2", self.suites_12)):
            if version in self.versions and not chosen:
                raise ConfigurationError(
                    f"versions has {version} and suites has none for it; add one, or leave the version out"
                )
        self._set("suites_by_code", {suite.code: suite for suite in (*self.suites_13, *self.suites_12)})
        groups = _known("groups", self.groups, GROUPS)
        self._set("group_values", groups)
        self._set("groups_by_code", {group.code: group for group in groups})
        if TLS12 in versions and all(group.hybrid for group in groups):
            raise ConfigurationError("TLSv1.2 has no hybrid groups; add one such as x25519 to groups")
        schemes = _known("schemes", self.schemes, SCHEMES)
        self._set("scheme_values", schemes)
        self._set("schemes_by_code", {scheme.code: scheme for scheme in schemes})
        if len(set(self.alpn)) != len(self.alpn):
            raise ConfigurationError("alpn names one of them twice")
        for name in self.alpn:
            if not 1 <= len(name) <= 255 or not name.isascii():
                raise ConfigurationError(f"alpn has {name!r}; a protocol's name has 1 to 255 ASCII characters")
        most = 16_385 if TLS13 in versions else 16_384
        if self.record_size_limit is not None and not 64 <= self.record_size_limit <= most:
            raise ConfigurationError(f"record_size_limit is {self.record_size_limit}; it must be 64 to {most}")
        _known(
            "certificate_compression",
            ("zlib", *(n for n in self.certificate_compression if n != "zlib")),
            compression.ALGORITHMS,
        )
        for name in self.certificate_compression:
            if name not in compression.AVAILABLE:
                raise ConfigurationError(f"certificate_compression has {name}; install its module, or leave it out")
        if self.raw_public_keys not in ("no", "allow", "only"):
            raise ConfigurationError(f"raw_public_keys is {self.raw_public_keys!r}; say no, allow or only")
        if self.raw_public_keys != "no" and TLS13 not in versions:
            raise ConfigurationError("raw_public_keys and versions clash: they are for TLSv1.3, which versions has not")
        if self.keylog is not None and not callable(self.keylog):
            raise ConfigurationError("keylog is not callable; it is called with each line, as open(...).write could be")
        if not 16_384 <= self.max_handshake < 1 << 24:
            raise ConfigurationError("max_handshake must be 16,384 octets or more, and below 16 MiB")

    def _check_identities(self, identities: tuple[Identity, ...]) -> None:
        """Each can prove itself, with a scheme and in a version that there is."""
        for identity in identities:
            if not any(
                identity.scheme_for((scheme,), TLS13) or identity.scheme_for((scheme,), TLS12)
                for scheme in self.scheme_values
            ):
                raise ConfigurationError(f"schemes has none for {identity.key!r}; add one that goes with it")
            if not identity.chain and not self.has_13:
                raise ConfigurationError(
                    "identities and versions clash: a raw public key is shown in TLSv1.3 only, which versions has not"
                )

    def wrap(self, protocol: Any, **more: Any) -> Any:
        """For event loops that take this as `ssl`: the protocol, behind TLS. `mirage.conduit` is what does it."""
        try:
            native = import_module("mirage.conduit.native")
        except ImportError as error:
            raise ConfigurationError(
                f"a loop that is to speak TLS needs mirage.conduit ({error}): pip install 'mirage-conduit[native]'"
            ) from None
        return native.wrap(self, protocol, **more)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def has_13(self) -> bool:
        """Whether TLS 1.3 may be spoken."""
        return bool(self.suites_13)

    @property
    def has_12(self) -> bool:
        """Whether TLS 1.2 may be spoken."""
        return bool(self.suites_12)


@dataclass(frozen=True, kw_only=True)
class ClientConfig(_Config):
    """How a client speaks. Only `authenticator` has no default. Raises `ConfigurationError`."""

    authenticator: Authenticator
    """Who judges the server."""
    identities: tuple[Identity, ...] = ()
    """What the client shows when it is asked; the first whose key the server takes."""
    key_shares: tuple[str, ...] = ()
    """Groups for which shares are sent at once; the rest cost a round trip. Without it: the first group, and the first
    that is not hybrid."""
    ocsp: bool = True
    """Whether to ask for a stapled OCSP response."""
    resume: bool = True
    """Whether to ask for tickets."""
    grease: bool = True
    """Whether to send code points that mean nothing, so that servers stay tolerant (RFC 8701)."""

    share_values: tuple[NamedGroup, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = self.key_shares
        if not shares:
            plain = next((group.name for group in self.group_values if not group.hybrid), None)
            shares = tuple(dict.fromkeys(name for name in (self.groups[0], plain) if name is not None))
        for name in shares:
            if name not in self.groups:
                raise ConfigurationError(f"key_shares has {name}, which groups has not; add it there")
        self._set("key_shares", shares)
        self._set("share_values", _known("key_shares", shares, GROUPS))
        if not callable(self.authenticator):
            raise ConfigurationError("authenticator is not callable; take one from mirage.x509")
        self._check_identities(self.identities)


@dataclass(frozen=True, kw_only=True)
class ServerConfig(_Config):
    """How a server speaks. Only `identities` has no default. Raises `ConfigurationError`."""

    identities: tuple[Identity, ...]
    """What the server shows: the first that has the name the client asks for, and whose key the client takes; the
    first of all where no name fits."""
    authenticator: Authenticator | None = None
    """Who judges clients."""
    client_certificates: Literal["no", "ask", "require"] = "no"
    strict_name: bool = False
    """Whether a client that asks for a name that no identity has is refused."""
    tickets: TicketKeys | None = None
    """Seals sessions so that clients can resume; None for no resumption."""
    ticket_count: int = 2
    """Tickets after a full handshake of TLS 1.3; one after a resumed one."""
    early_data: int = 0
    """Octets of early data that are taken; 0 for none."""
    replay_guard: ReplayGuard | None = None
    grease: bool = False
    """Whether to send code points that mean nothing in CertificateRequest and tickets of TLS 1.3 (RFC 8701 3.2)."""
    client_authorities: tuple[bytes, ...] = ()
    """Distinguished names, in DER, of those whose certificates clients should show."""

    scope: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.identities:
            raise ConfigurationError("identities is empty; a server needs a certificate and its key")
        self._check_identities(self.identities)
        if self.strict_name and not any(identity.names for identity in self.identities):
            raise ConfigurationError("strict_name and identities clash: no certificate has a DNS name to ask for")
        if self.has_12 and not self.has_13:
            kinds = {"ecdsa" if identity.key.public.kind != "rsa" else "rsa" for identity in self.identities}
            if not any(suite.auth in kinds for suite in self.suites_12):
                raise ConfigurationError(f"no suite goes with keys of {' and '.join(sorted(kinds))}; add one")
        if self.client_certificates not in ("no", "ask", "require"):
            raise ConfigurationError(f"client_certificates is {self.client_certificates!r}; say no, ask or require")
        if (self.client_certificates != "no") != (self.authenticator is not None):
            raise ConfigurationError(
                "client_certificates and authenticator clash: clients are asked for a certificate exactly when there "
                "is an authenticator to judge it; give both or neither"
            )
        for name, given in (
            ("raw_public_keys", self.raw_public_keys != "no"),
            ("client_authorities", bool(self.client_authorities)),
        ):
            if given and self.client_certificates == "no":
                raise ConfigurationError(
                    f"{name} and client_certificates clash: it says what clients may show, and none is asked to; "
                    "set client_certificates to ask or require"
                )
        if not 0 <= self.ticket_count <= 16:
            raise ConfigurationError("ticket_count must be 0 to 16")
        if self.early_data:
            if not self.has_13 or self.tickets is None:
                raise ConfigurationError("early_data needs TLSv1.3 in versions, and tickets")
            if self.replay_guard is None:
                raise ConfigurationError("early_data needs a replay_guard, or whoever recorded it could send it again")
            if not 0 < self.early_data < 1 << 32:
                raise ConfigurationError("early_data is a number of octets, below 4 GiB")
        elif self.replay_guard is not None:
            raise ConfigurationError("replay_guard guards early_data, which is 0; give that a number of octets")
        described = repr((self.client_certificates, self.raw_public_keys, self.client_authorities))
        self._set("scope", SHA256.digest(described.encode())[:8])

    def with_identities(self, *identities: Identity) -> ServerConfig:
        """The same with other certificates: what is connected stays so, what connects from now on sees these."""
        return replace(self, identities=identities)
