"""GitHub issues, through github3.py: one issue a finding, found again by its label and the hidden mark in its body.

Everything is done by looking first: the issues with the label are listed (never searched for: a search's index lags and
its limits are low), and what is there already is not done again. So any work may be repeated, and is: after an outage,
after a time-out of which nobody knows whether the request had arrived, and after a crash of the bot. Of a comment the
hidden mark says which event of which night it speaks of.

People may do as they please with an issue. One that a person has closed stays closed for as long as the same break goes
on; its text is kept up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import github3  # type: ignore[import-untyped]
from github3.exceptions import (  # type: ignore[import-untyped]
    AuthenticationFailed,
    GitHubError,
    GitHubException,
    NotFoundError,
    ResponseError,
    UnprocessableEntity,
)

from . import wording
from .errors import Postponed, Refused
from .report import Event, Message

__all__ = ["LABEL", "GitHubChannel"]

T = TypeVar("T")

LABEL = "is-broken"
COLOUR = "b60205"
ABOUT = "Opened, kept up to date and closed by the nightly bot"

_FIRST_WAIT = 5.0
_LONGEST_WAIT = 300.0


class GitHubChannel:
    """The issues of one repository.

    `client` is a `github3.GitHub` or `GitHubEnterprise` that has a token. `sleep` and `clock` (seconds since 1970) are
    the time; `patience` is how many seconds of waiting, for rate limits and outages, a night may have in all.
    """

    name = "github"

    def __init__(
        self,
        client: Any,
        repository: str,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        *,
        patience: float = 7200.0,
    ) -> None:
        self._client = client
        self._repository_name = repository
        self._clock = clock
        self._sleep = sleep
        self._patience = patience
        self._repository: Any = None
        self._issues: dict[str, Any] | None = None

    def deliver(self, message: Message, number: int) -> int:
        """Open, edit, comment, reopen or close the issue of a finding; its number."""
        return self._insist(lambda: self._once(message, number))

    # One try: looks, and does what is not done yet

    def _once(self, message: Message, number: int) -> int:
        issue = self._find(message.finding.key, number)
        if issue is None:
            if message.event in {Event.SEEN, Event.CLOSED}:
                return 0  # a person has deleted it, or it was never opened
            return self._open(message)
        comment = message.comment
        if message.event is Event.OPENED and issue.state == "closed":
            comment = wording.recurred(message.finding)  # our state was lost; the issue is older than it
        if comment:
            self._comment(issue, wording.comment_mark(message.event.value, message.night), comment)
        wanted = {Event.CLOSED: "closed", Event.OPENED: "open", Event.REOPENED: "open"}.get(message.event, issue.state)
        changes: dict[str, str] = {}
        if issue.body != message.body:
            changes["body"] = message.body
        if issue.state != wanted:
            changes["state"] = wanted
        if changes:
            issue.edit(**changes)
        return int(issue.number)

    def _open(self, message: Message) -> int:
        repository = self._get_repository()
        rights = repository.as_dict().get("permissions")
        if rights is not None and not any(rights.get(one) for one in ("admin", "maintain", "push", "triage")):
            # GitHub would open the issue, leave the label out and say nothing; it could not be found again.
            raise Refused(f"the token may not set labels in {self._repository_name}: give it the right to triage")
        self._ensure_label(repository)
        issue = repository.create_issue(message.title, message.body, labels=[LABEL])
        if LABEL not in {label.name for label in issue.original_labels}:
            raise Refused(
                f"issue {issue.number} of {self._repository_name} was opened without the label {LABEL}, by which it is "
                "found again: give the token the right to triage, and set the label by hand"
            )
        if self._issues is not None:
            self._issues[message.finding.key] = issue
        return int(issue.number)

    def _ensure_label(self, repository: Any) -> None:
        try:
            repository.label(LABEL)
        except NotFoundError:
            try:
                repository.create_label(LABEL, COLOUR, ABOUT)
            except UnprocessableEntity:
                repository.label(LABEL)  # it was made meanwhile, or by a try whose answer was lost

    def _comment(self, issue: Any, mark: str, text: str) -> None:
        if any((comment.body or "").startswith(mark) for comment in issue.comments()):
            return
        issue.create_comment(f"{mark}\n{text}")

    def _get_repository(self) -> Any:
        if self._repository is None:
            owner, _, name = self._repository_name.partition("/")
            self._repository = self._client.repository(owner, name)
        return self._repository

    def _find(self, key: str, number: int) -> Any:
        """The issue of a finding. Of several the oldest: another can only be a copy."""
        if self._issues is None:
            self._issues = {}
            for issue in self._listed():
                found = wording.key_of(issue.body)
                if found and (found not in self._issues or issue.number < self._issues[found].number):
                    self._issues[found] = issue
        if key not in self._issues and number:
            try:
                issue = self._client.issue(*self._repository_name.split("/"), number)  # its label was taken off
            except ResponseError as error:
                if error.code not in {404, 410}:
                    raise
                return None
            if wording.key_of(issue.body) == key:
                self._issues[key] = issue
        return self._issues.get(key)

    def _listed(self) -> Iterator[Any]:
        """All issues with the label; pull requests, which GitHub lists among them, left out."""
        listed = self._get_repository().issues(state="all", labels=LABEL)
        return (issue for issue in listed if issue.pull_request_urls is None)

    # Until it is done

    def _insist(self, work: Callable[[], T]) -> T:
        """Do a work that can be repeated until it succeeds. Raises `Postponed` and `Refused`."""
        wait = _FIRST_WAIT
        while True:
            try:
                return work()
            except AuthenticationFailed as error:
                raise Refused("GitHub does not know the token; make a new one") from error
            except (GitHubException, ValueError) as error:  # ValueError: an answer that is no JSON
                seconds = self._seconds_to_wait(error)
                self._issues = None  # nobody knows what was done: look again
                if seconds is None:
                    seconds, wait = wait, min(wait * 2, _LONGEST_WAIT)
                if seconds > self._patience:
                    raise Postponed(f"GitHub asks for {seconds:.0f} s of patience ({_short(error)})") from error
                self._patience -= seconds
                self._sleep(seconds)

    def _seconds_to_wait(self, error: Exception) -> float | None:
        """How long an answer asks to wait; None where it does not say. Raises `Refused` where waiting is no use."""
        response = getattr(error, "response", None)
        if not isinstance(error, GitHubError) or response is None or not 400 <= response.status_code < 500:
            return None  # no answer, one that makes no sense, or a failure of the server's own
        fields: Mapping[str, str] = response.headers
        if error.code in {403, 429}:
            if fields.get("Retry-After", "").isdigit():
                return float(fields["Retry-After"]) + 1
            if fields.get("X-RateLimit-Remaining") == "0" and fields.get("X-RateLimit-Reset", "").isdigit():
                return max(float(fields["X-RateLimit-Reset"]) - self._clock(), 0) + 1
            if error.code == 429 or "rate limit" in str(error.message).lower():
                return 60.0  # what GitHub asks for where it gives no number
        raise Refused(
            f"GitHub refuses: {_short(error)}; look at the repository's name and the token's rights"
        ) from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def connect(repository: str, token: str, api: str, clock: Callable[[], float], sleep: Callable[[float], None],
            *, read_timeout: float = 30.0) -> GitHubChannel:  # fmt: skip
    """The channel to a repository of github.com, or of the server at `api`."""
    session = github3.session.GitHubSession(default_connect_timeout=10, default_read_timeout=read_timeout)
    if api:
        client = github3.GitHubEnterprise(api, token=token, session=session)
    else:
        client = github3.GitHub(token=token, session=session)
    return GitHubChannel(client, repository, clock, sleep)
