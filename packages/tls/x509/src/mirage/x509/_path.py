"""Building and validating certification paths (RFC 5280 6, RFC 4158), with bounded work.

From the leaf, depth first: at each certificate first the anchors that could have signed it, then the intermediates that
came with it. A certificate is checked by itself before its signature is verified, and a path that reaches an anchor is
checked as a whole; when that fails, the search goes on. The error of the most advanced failure is the one that is
raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mirage.asn1 import Oid

from ._checks import check_anchor, check_ca, check_common, check_identifiers, check_key, check_leaf, check_time
from ._constraints import Budget, check_constraints
from ._policies import check_policies
from .certificate import Certificate
from .errors import InvalidEncoding, ValidationError
from .extensions import PURPOSES
from .names import Name
from .profile import Profile

__all__ = ["Limits", "Question", "find_path"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What validating one chain may cost."""

    depth: int = 8
    """Certificates between the leaf and the anchor."""

    certificates: int = 32
    """Certificates that the peer sends."""

    signatures: int = 64
    """Signatures verified."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a path is looked for."""

    role: str
    now: float
    profile: Profile
    limits: Limits
    policies: frozenset[Oid]
    require_policy: bool


class _Search:
    def __init__(
        self, question: Question, anchors: Mapping[Name, Sequence[Certificate]], others: Sequence[Certificate]
    ) -> None:
        self.question = question
        self.anchors = anchors
        self.others = others
        self.signatures = question.limits.signatures
        self.budget = Budget()
        self.error: ValidationError | None = None
        self.progress = -1

    def fail(self, progress: int, error: ValidationError) -> None:
        """Keep the error of the path that came furthest; too much work ends the search."""
        if error.reason == "too-complex":
            raise error
        if progress > self.progress:
            self.progress, self.error = progress, error

    def candidates(self, path: list[Certificate]) -> Iterator[tuple[Certificate, bool]]:
        """Who could have signed the last of the path; those whose key identifier fits come first."""
        child = path[-1]
        identifier = child.authority_key_id
        wanted = identifier.key_id if identifier is not None else None

        def rank(issuer: Certificate) -> int:
            return 0 if wanted is not None and issuer.subject_key_id == wanted else 1

        for anchor in sorted(self.anchors.get(child.issuer, ()), key=rank):
            yield anchor, True
        used = {(c.fields.subject, c.fields.spki) for c in path}
        fitting = [
            c for c in self.others if c.subject == child.issuer and (c.fields.subject, c.fields.spki) not in used
        ]
        for other in sorted(fitting, key=rank):
            yield other, False

    def walk(self, path: list[Certificate]) -> list[Certificate] | None:
        """The path from the leaf to an anchor, None if none is good."""
        # RFC 5280 6.1.4 (l): self-issued certificates do not count.
        below = sum(not c.self_issued for c in path[1:])
        for issuer, is_anchor in self.candidates(path):
            try:
                self.step(path, issuer, is_anchor, below)
                if is_anchor:
                    self.whole([*path, issuer])
                    return [*path, issuer]
            except InvalidEncoding as error:
                self.fail(len(path), ValidationError("bad-certificate", str(error)))
            except ValidationError as error:
                self.fail(len(path) + is_anchor, error)
            else:
                if len(path) > self.question.limits.depth:
                    self.fail(len(path), ValidationError("path-too-long", f"more than {len(path)} certificates"))
                elif found := self.walk([*path, issuer]):
                    return found
        return None

    def step(self, path: list[Certificate], issuer: Certificate, is_anchor: bool, below: int) -> None:
        """Raise unless `issuer` may have signed the last of the path, and did."""
        question = self.question
        check_time(issuer, question.now)
        if is_anchor:
            check_anchor(issuer, question.profile, below)
        else:
            check_common(issuer, question.profile)
            check_ca(issuer, question.profile, below)
            check_identifiers(issuer, question.profile, anchor=False)
        key = check_key(issuer, question.profile)
        self.signatures -= 1
        if self.signatures < 0:
            raise ValidationError(
                "too-complex", f"more than {question.limits.signatures} signatures to verify; send the path alone"
            )
        path[-1].check_signature(key)

    def whole(self, path: list[Certificate]) -> None:
        """What only a whole path shows: name constraints, purposes of CAs, policies."""
        question = self.question
        for index, issuer in enumerate(path[1:], 1):
            constraints = issuer.name_constraints
            if constraints is None:
                continue
            for position, certificate in enumerate(path[:index]):
                # RFC 5280 6.1.3 (b): self-issued certificates are exempt, but for the last of the path.
                if position == 0 or not certificate.self_issued:
                    check_constraints(constraints, certificate, self.budget)
        wanted = PURPOSES["serverAuth" if question.role == "server" else "clientAuth"]
        for issuer in path[1:]:
            # Not RFC 5280, but what every client of the web does: purposes of a CA bound those below it.
            purposes = issuer.purposes
            if purposes is not None and wanted not in purposes and PURPOSES["any"] not in purposes:
                raise ValidationError("bad-purpose", f"{issuer!r} may not certify {question.role}s")
        check_policies(path[:-1], question.policies, question.require_policy)


def find_path(
    chain: Sequence[Certificate], anchors: Mapping[Name, Sequence[Certificate]], question: Question
) -> list[Certificate]:
    """The path from ``chain[0]`` to one of the anchors, by way of the rest of the chain in any order.

    A leaf that is itself an anchor is a path of its own. Raises `ValidationError`.
    """
    if len(chain) > question.limits.certificates:
        raise ValidationError("too-complex", f"{len(chain)} certificates; at most {question.limits.certificates}")
    leaf = chain[0]
    try:
        check_time(leaf, question.now)
        check_common(leaf, question.profile)
        check_key(leaf, question.profile)
        check_leaf(leaf, question.profile, question.role)
        if leaf in anchors.get(leaf.subject, ()):
            return [leaf]
        check_identifiers(leaf, question.profile, anchor=False)
        search = _Search(question, anchors, list(dict.fromkeys(chain[1:])))
        path = search.walk([leaf])
    except InvalidEncoding as error:
        raise ValidationError("bad-certificate", str(error)) from None
    if path is not None:
        return path
    if search.error is not None:
        raise search.error
    # The first certificate, going up, whose issuer nobody knows.
    raise ValidationError("unknown-issuer", _unknown(leaf, search.others))


def _unknown(leaf: Certificate, others: Sequence[Certificate]) -> str:
    if leaf.self_issued:
        return f"{leaf!r} is self-signed and not among the trusted ones; trust it, or have it signed by a CA that is"
    if not others:
        return (
            f"{leaf!r} was issued by {leaf.issuer}, which is not trusted, and came alone; "
            "add that CA to the trusted ones, or have the peer send its intermediate certificates"
        )
    return f"{leaf!r} was issued by {leaf.issuer}, which is not trusted; add its CA to the trusted ones"
