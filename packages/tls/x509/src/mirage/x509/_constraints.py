"""Name constraints (RFC 5280 4.2.1.10, 6.1.4 (g))."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from mirage.asn1 import Chosen

from .certificate import Certificate
from .errors import ValidationError
from .extensions import GeneralSubtree, NameConstraints
from .hosts import is_dns_name
from .names import name_of, show_general_name

__all__ = ["Budget", "check_constraints", "check_well_formed"]

MAX_COMPARISONS = 100_000
"""Comparisons of a name with a constraint for one chain; a hostile chain could ask for thousands of millions."""


class Budget:
    """How many comparisons are left."""

    def __init__(self, comparisons: int = MAX_COMPARISONS) -> None:
        self.left = comparisons

    def spend(self) -> None:
        """Count one. Raises `ValidationError` (too-complex)."""
        self.left -= 1
        if self.left < 0:
            raise ValidationError("too-complex", f"more than {MAX_COMPARISONS} comparisons with name constraints")


def _refuse(message: str) -> ValidationError:
    return ValidationError("name-constraints", message)


def _dns(base: str, name: str) -> bool:
    base, name = base.lower(), name.lower()
    return not base or name == base or name.endswith("." + base)


def _dns_excluded(base: str, name: str) -> bool:
    """Whether some host that the name, perhaps a wildcard, stands for lies under the base."""
    if _dns(base, name):
        return True
    return name.startswith("*.") and base.lower().partition(".")[2] == name.lower()[2:]


def _host(base: str, host: str) -> bool:
    # A base with a leading period is a domain of hosts, one without it is a single host.
    base, host = base.lower(), host.lower()
    return host.endswith(base) if base.startswith(".") else host == base


def _email(base: str, name: str) -> bool:
    local, at, domain = name.rpartition("@")
    if "@" in base:
        base_local, _, base_domain = base.rpartition("@")
        return bool(at) and local == base_local and domain.lower() == base_domain.lower()
    return not base or _host(base, domain)


def _uri(base: str, name: str) -> bool:
    try:
        host = urlsplit(name).hostname or ""
    except ValueError:
        host = ""
    if not host or ":" in host or not is_dns_name(host):
        raise _refuse(f"URI:{name!r} has no host name, so a constraint on URIs cannot be met")
    return _host(base, host)


def _ip(base: bytes, name: bytes) -> bool:
    size = len(base) // 2
    if len(name) != size:
        return False
    return all(n & m == b & m for n, b, m in zip(name, base[:size], base[size:], strict=True))


def _directory(base: bytes, name: bytes) -> bool:
    return name_of(name).within(name_of(base))


_MATCHERS: dict[str, Callable[[Any, Any], bool]] = {
    "dns": _dns,
    "email": _email,
    "uri": _uri,
    "ip": _ip,
    "directory": _directory,
}


def check_well_formed(constraints: NameConstraints) -> None:
    """Raise `ValidationError` for constraints that the standard does not allow."""
    if constraints.permitted is None and constraints.excluded is None:
        raise _refuse("name constraints without a constraint (RFC 5280 4.2.1.10)")
    for subtree in (*(constraints.permitted or ()), *(constraints.excluded or ())):
        if subtree.minimum != 0 or subtree.maximum is not None:
            raise _refuse("a name constraint with minimum or maximum (RFC 5280 4.2.1.10)")
        kind, value = subtree.base
        if kind == "dns":
            good = not value or is_dns_name(value.lower()) or _is_suffix(value)
        elif kind in ("email", "uri"):
            domain = (
                value.rpartition("@")[2].lower().removeprefix(".")
                if kind == "email"
                else value.lower().removeprefix(".")
            )
            good = is_dns_name(domain) and not value.startswith("@")
        elif kind == "ip":
            good = _is_network(value)
        else:
            good = True
        if not good:
            raise _refuse(f"{show_general_name(subtree.base)} is no name constraint (RFC 5280 4.2.1.10)")


def _is_suffix(value: str) -> bool:
    """A top-level domain may be made of digits only as part of a longer name, never here."""
    return is_dns_name(value.lower() + ".example") and not value.split(".")[-1].isdigit()


def _is_network(value: bytes) -> bool:
    if len(value) not in (8, 32):
        return False
    mask = int.from_bytes(value[len(value) // 2 :], "big")
    inverse = mask ^ ((1 << 4 * len(value)) - 1)
    # RFC 4632: ones, then zeros.
    return inverse & (inverse + 1) == 0


def _names(certificate: Certificate) -> list[Chosen]:
    """Every name of a certificate that constraints are about."""
    names = list(certificate.alt_names)
    if not certificate.subject.empty:
        names.append(Chosen("directory", certificate.fields.subject))
        if not any(name.name == "email" for name in names):
            # RFC 5280 4.2.1.10: then those in the subject count.
            names += [Chosen("email", text) for text in certificate.subject.get("emailAddress")]
    for name in names:
        check_name(name)
    return names


def check_name(name: Chosen) -> None:
    """Raise `ValidationError` for a name that no host or mailbox can have."""
    kind, value = name
    if kind == "dns":
        good = is_dns_name(value.lower(), wildcard=True)
    elif kind == "ip":
        good = len(value) in (4, 16)
    elif kind == "email":
        local, at, domain = value.rpartition("@")
        quoted = local.startswith('"') and local.endswith('"')
        good = bool(local and at) and ("@" not in local or quoted) and is_dns_name(domain.lower())
    else:
        good = True
    if not good:
        raise ValidationError("bad-certificate", f"{show_general_name(name)} in a certificate is no name of its kind")


def check_constraints(constraints: NameConstraints, certificate: Certificate, budget: Budget) -> None:
    """Return if all names of a certificate are within the constraints. Raises `ValidationError` (name-constraints)."""
    for name in _names(certificate):
        _check(constraints.excluded or [], name, budget, excluded=True)
        _check(constraints.permitted or [], name, budget, excluded=False)


def _check(subtrees: list[GeneralSubtree], name: Chosen, budget: Budget, excluded: bool) -> None:
    about = [subtree.base.value for subtree in subtrees if subtree.base.name == name.name]
    if not about:
        return
    matcher = _MATCHERS.get(name.name)
    if matcher is None:
        raise _refuse(f"a constraint on {show_general_name(name)}, a kind of name whose constraints are not known here")
    if excluded and matcher is _dns:
        matcher = _dns_excluded
    hit = False
    for base in about:
        budget.spend()
        hit = hit or matcher(base, name.value)
    if excluded and hit:
        raise _refuse(f"{show_general_name(name)} is excluded by the issuer's name constraints")
    if not excluded and not hit:
        raise _refuse(f"{show_general_name(name)} is not among the names that the issuer may certify")
