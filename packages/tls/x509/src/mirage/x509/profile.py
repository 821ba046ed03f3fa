"""How strictly the standards are held to: a profile is a name and a set of rules, beyond what is always checked.

Always checked, since trust hangs on it: signatures and their algorithms, key sizes, validity, CA bits and key usage,
path lengths, purposes, names and name constraints, policies, critical extensions, well-formed encodings.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import UnusableInput

__all__ = ["PRACTICAL", "RFC5280", "WEB", "Profile", "profile_named"]

_RFC5280 = frozenset(
    (
        "anchor",  # trust anchors are held to the rules of CA certificates
        "critical",  # extensions are critical, or not, as RFC 5280 4.2 demands
        "key-identifiers",  # RFC 5280 4.2.1.1, 4.2.1.2: those of key and issuer are there
        "serial",  # RFC 5280 4.1.2.2: positive, at most 20 octets
        "name-constraints-critical",  # RFC 5280 4.2.1.10
        "alt-names",  # RFC 5280 4.2.1.6: every DNS name in preferred syntax
    )
)
_WEB = (_RFC5280 - {"name-constraints-critical"}) | {
    "anchor-identifiers",  # CA/B 7.1.2.1.3: a root's authorityKeyIdentifier is its own key's, and nothing else
    "purpose-stated",  # CA/B 7.1.2.7.10: serverAuth or clientAuth is stated, no root states any
    "end-entity",  # CA/B 7.1.2.7.8: a server's certificate is no CA's
    "common-name",  # CA/B 7.1.4.3: a common name repeats one of the alternative names
    "alt-names-critical",  # CA/B 7.1.2.7.12: critical only beside an empty subject
    "keys",  # CA/B 6.1.5, 7.1.2.10.7: RSA of a multiple of 8 bits; CAs state their key usage
}


@dataclass(frozen=True, slots=True)
class Profile:
    """A set of rules under a name."""

    name: str
    rules: frozenset[str]


PRACTICAL = Profile("practical", frozenset())
"""What trust hangs on, and no more: certificates of private CAs pass that forget an identifier or a critical mark."""

RFC5280 = Profile("rfc5280", _RFC5280)
"""The letter of RFC 5280."""

WEB = Profile("web", frozenset(_WEB))
"""RFC 5280 and the CA/Browser Forum's baseline requirements, as public web servers meet them."""


def profile_named(name: str) -> Profile:
    """The profile with a name. Raises `UnusableInput`."""
    for profile in (PRACTICAL, RFC5280, WEB):
        if profile.name == name:
            return profile
    raise UnusableInput(f"no profile is called {name!r}; there are practical, rfc5280 and web")
