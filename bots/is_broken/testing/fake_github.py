"""A small GitHub that lives on loopback: the part of the REST API that the bot uses, with its state and its bad days.

    with FakeGitHub("mirage/mirage", clock) as github:
        client = github3.GitHubEnterprise(github.url, token=github.token)

It keeps labels, issues and comments; pages its lists; counts the rate limit down; and does what `faults` tell it: fail
with a status, answer late, or close the connection before or, worse, after the work was done. Shapes and header fields
are those of the recordings that github3.py is tested with (`tests/test_cassettes.py` holds them against each other).
What the bot has no business to call, search above all, answers 404 and is noted in `calls` like everything else.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal
from urllib.parse import parse_qs, quote, unquote, urlsplit

from . import fake_github_shapes as shapes

__all__ = ["Call", "FakeGitHub", "Fault"]

LIMIT = 65536
"""Characters that the body of an issue or comment may have; more is a 422."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that arrived: its method, its route with the parameters' names, and the status that it was given."""

    method: str
    route: str
    status: int


@dataclass(slots=True)
class Fault:
    """A bad answer, given once to the next request that fits.

    `lost-before` closes the connection without having done anything, `lost-after` when everything was done; a `late`
    answer comes after the client has given up, and its work was done too. `limited` is the primary rate limit, which
    lasts until `until`; `secondary` the other one, which names a number of seconds.
    """

    kind: Literal["status", "lost-before", "lost-after", "late", "limited", "secondary"]
    method: str = ""
    """The method of requests that it fits; empty for any."""
    route: str = ""
    """A part of their route."""
    status: int = 502
    until: float = 0
    """Seconds: the end of the rate limit in the fake's clock, or how long to hold back."""


@dataclass(slots=True)
class _Comment:
    id: int
    body: str
    created: float


@dataclass(slots=True)
class _Issue:
    number: int
    title: str
    body: str
    labels: list[str]
    created: float
    updated: float
    state: str = "open"
    closed: float | None = None
    comments: list[_Comment] = field(default_factory=list)
    pull_request: bool = False


class _Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, "documentation_url": "https://docs.github.com/rest", **more}


class FakeGitHub:
    """The server. It listens from the moment it is made until `close`, or the end of its ``with`` block.

    `clock` gives seconds since the epoch. `may_label`: whether the token may set labels; without that right GitHub
    leaves them out and says nothing.
    """

    def __init__(self, repository: str, clock: Callable[[], float], *, may_label: bool = True) -> None:
        self.repository = repository
        self.clock = clock
        self.may_label = may_label
        self.token = "a-token-for-loopback-only"  # of no use anywhere else
        self.labels: dict[str, dict[str, str]] = {}
        self.issues: list[_Issue] = []
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.answers: list[tuple[Call, dict[str, str], Any]] = []
        """Every answer with its header fields and its JSON, for who compares them."""
        self.remaining = 5000
        self.limited_until = 0.0
        self._last_id = 1000
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        """What `github3.GitHubEnterprise` is given."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def api(self) -> str:
        """The address that all routes are below."""
        return f"{self.url}/api/v3"

    def close(self) -> None:
        """Stop listening, and wait for it."""
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> FakeGitHub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open_by_hand(self, title: str, body: str, labels: list[str], *, pull_request: bool = False) -> int:
        """Open an issue as a person would; its number."""
        issue = self._create(title, body, labels)
        issue.pull_request = pull_request
        return issue.number

    # The API

    def answer(self, method: str, target: str, body: bytes) -> tuple[str, int, dict[str, str], Any]:
        """The route, status, header fields and JSON for a request. Does its work."""
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        path = parts.path.removeprefix("/api/v3")
        for verb, pattern, route, function in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and verb == method:
                try:
                    self._check_repository(found["repository"])
                    given = json.loads(body) if body else {}
                    words = [unquote(word) for name, word in found.groupdict().items() if name != "repository"]
                    status, fields, value = function(self, query, given, *words)
                except _Refused as refusal:
                    return route, refusal.status, {}, refusal.body
                if isinstance(value, list):
                    value, link = self._page(value, query, path)
                    fields |= {"Link": link} if link else {}
                return route, status, fields, value
        return path, 404, {}, _Refused(404, "Not Found").body

    def _check_repository(self, name: str) -> None:
        if name != self.repository:
            raise _Refused(404, "Not Found")

    def _page(self, items: list[Any], query: dict[str, str], path: str) -> tuple[list[Any], str]:
        """A page of a list, and the Link field that leads on (RFC 8288)."""
        size = min(int(query.get("per_page", "30")), 100)
        page = int(query.get("page", "1"))
        others = "&".join(f"{name}={quote(value)}" for name, value in query.items() if name != "page")
        last = max(1, -(-len(items) // size))
        links = [("next", page + 1), ("last", last)] if page < last else []
        links += [("prev", page - 1), ("first", 1)] if page > 1 else []
        shown = ", ".join(f'<{self.api}{path}?{others}&page={number}>; rel="{rel}"' for rel, number in links)
        return items[(page - 1) * size : page * size], shown

    def _get_repository(self, query: dict[str, str], given: Any) -> tuple[int, dict[str, str], Any]:
        opened = sum(issue.state == "open" for issue in self.issues)
        return 200, {}, shapes.repository(self.api, self.repository, opened, may_label=self.may_label)

    def _list_issues(self, query: dict[str, str], given: Any) -> tuple[int, dict[str, str], Any]:
        wanted = set(filter(None, query.get("labels", "").split(",")))
        state = query.get("state", "open")
        found = [
            issue
            for issue in sorted(self.issues, key=lambda issue: -issue.number)
            if wanted <= set(issue.labels) and state in {"all", issue.state}
        ]
        listed = [self._issue(issue) for issue in found]
        for entry in listed:
            del entry["closed_by"]  # only the answers about one issue say it
        return 200, {}, listed

    def _create_issue(self, query: dict[str, str], given: Any) -> tuple[int, dict[str, str], Any]:
        if not given.get("title"):
            raise _Refused(422, "Validation Failed", errors=[{"resource": "Issue", "code": "missing_field"}])
        self._check_body(given)
        issue = self._create(given["title"], given.get("body") or "", given.get("labels", []) if self.may_label else [])
        shown = self._issue(issue)
        return 201, {"Location": shown["url"]}, shown

    def _create(self, title: str, body: str, labels: list[str]) -> _Issue:
        now = self.clock()
        for name in labels:
            self.labels.setdefault(name, {"color": "ededed", "description": ""})
        issue = _Issue(len(self.issues) + 1, title, body, list(labels), now, now)
        self.issues.append(issue)
        return issue

    def _get_issue(self, query: dict[str, str], given: Any, number: str) -> tuple[int, dict[str, str], Any]:
        return 200, {}, self._issue(self._find(number))

    def _edit_issue(self, query: dict[str, str], given: Any, number: str) -> tuple[int, dict[str, str], Any]:
        issue = self._find(number)
        self._check_body(given)
        issue.title = given.get("title", issue.title)
        issue.body = given.get("body", issue.body)
        if given.get("state", issue.state) != issue.state:
            issue.state = given["state"]
            issue.closed = self.clock() if issue.state == "closed" else None
        if "labels" in given and self.may_label:
            issue.labels = list(given["labels"])
        issue.updated = self.clock()
        return 200, {}, self._issue(issue)

    def _list_comments(self, query: dict[str, str], given: Any, number: str) -> tuple[int, dict[str, str], Any]:
        issue = self._find(number)
        return 200, {}, [self._comment(issue, comment) for comment in issue.comments]

    def _create_comment(self, query: dict[str, str], given: Any, number: str) -> tuple[int, dict[str, str], Any]:
        issue = self._find(number)
        self._check_body(given)
        self._last_id += 1
        issue.comments.append(_Comment(self._last_id, given["body"], self.clock()))
        shown = self._comment(issue, issue.comments[-1])
        return 201, {"Location": shown["url"]}, shown

    def _get_label(self, query: dict[str, str], given: Any, name: str) -> tuple[int, dict[str, str], Any]:
        if name not in self.labels:
            raise _Refused(404, "Not Found")
        return 200, {}, self._label(name)

    def _create_label(self, query: dict[str, str], given: Any) -> tuple[int, dict[str, str], Any]:
        if given["name"] in self.labels:
            raise _Refused(422, "Validation Failed", errors=[{"resource": "Label", "code": "already_exists"}])
        self.labels[given["name"]] = {"color": given["color"], "description": given.get("description", "")}
        shown = self._label(given["name"])
        return 201, {"Location": shown["url"]}, shown

    def _find(self, number: str) -> _Issue:
        if not 0 < int(number) <= len(self.issues):
            raise _Refused(404, "Not Found")
        return self.issues[int(number) - 1]

    def _check_body(self, given: Any) -> None:
        if len(given.get("body") or "") > LIMIT:
            raise _Refused(422, "Validation Failed", errors=[{"message": "body is too long", "code": "custom"}])

    # How things are shown

    def _base(self) -> str:
        return f"{self.api}/repos/{self.repository}"

    def _label(self, name: str) -> dict[str, Any]:
        return shapes.label(self._base(), name, **self.labels[name])

    def _issue(self, issue: _Issue) -> dict[str, Any]:
        short = ("id", "url", "name", "color", "default")
        labels = [{name: shown[name] for name in short} for shown in map(self._label, issue.labels)]
        times = [shapes.moment(issue.created), shapes.moment(issue.updated), shapes.moment(issue.closed)]
        text = {"body": issue.body, "body_html": f"<p>{html.escape(issue.body)}</p>", "body_text": issue.body}
        count, pull_request = len(issue.comments), issue.pull_request
        return shapes.issue(
            self._base(), issue.number, issue.title, issue.state, labels, text, times, count, pull_request=pull_request
        )

    def _comment(self, issue: _Issue, comment: _Comment) -> dict[str, Any]:
        text = {"body": comment.body, "body_html": f"<p>{html.escape(comment.body)}</p>", "body_text": comment.body}
        return shapes.comment(self._base(), issue.number, comment.id, text, shapes.moment(comment.created))

    # Bad days

    def fault_for(self, method: str, target: str) -> Fault | None:
        """The fault that a request is in for, taken off the list."""
        for fault in self.faults:
            if fault.method in {"", method} and fault.route in target:
                self.faults.remove(fault)
                return fault
        return None

    def rate(self) -> dict[str, str]:
        """The header fields that say how much may still be asked."""
        now = self.clock()
        reset = self.limited_until if self.limited_until > now else now + 3600
        return {
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": "0" if self.limited_until > now else str(self.remaining),
            "X-RateLimit-Reset": str(int(reset)),
        }

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request, or do to it what a fault says."""
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        with self._lock:
            fault = self.fault_for(handler.command, handler.path)
            route, status, fields, value, held = self._decide(handler, body, fault)
            fields = {**shapes.FIELDS, **self.rate(), **fields}
            fields["Date"] = datetime.fromtimestamp(self.clock(), UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
            call = Call(handler.command, route, status)
            self.calls.append(call)
            self.answers.append((call, fields, value))
        if held:
            self._released.wait(held)
        if fault is not None and fault.kind in {"lost-before", "lost-after", "late"}:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        payload = json.dumps(value).encode()
        fields["ETag"] = f'"{hashlib.sha256(payload).hexdigest()[:32]}"'
        handler.send_response_only(status)
        for name, text in {**fields, "Content-Length": str(len(payload))}.items():
            handler.send_header(name, text)
        handler.end_headers()
        handler.wfile.write(payload)
        handler.wfile.flush()

    def _decide(
        self, handler: BaseHTTPRequestHandler, body: bytes, fault: Fault | None
    ) -> tuple[str, int, dict[str, str], Any, float]:
        """Route, status, fields, JSON, and the seconds to hold the answer back."""
        if fault is not None and fault.kind == "limited":
            self.limited_until = fault.until
        if handler.headers.get("Authorization") != f"token {self.token}":
            return handler.path, 401, {}, _Refused(401, "Bad credentials").body, 0
        if self.limited_until > self.clock():
            return handler.path, 403, {}, _Refused(403, "API rate limit exceeded").body, 0
        if fault is not None and fault.kind == "secondary":
            message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
            return handler.path, 403, {"Retry-After": str(int(fault.until))}, _Refused(403, message).body, 0
        if fault is not None and fault.kind == "status":
            return handler.path, fault.status, {}, _Refused(fault.status, "Server Error").body, 0
        if fault is not None and fault.kind == "lost-before":
            return handler.path, 0, {}, None, 0
        self.remaining -= 1
        held = fault.until if fault is not None and fault.kind == "late" else 0.0
        return *self.answer(handler.command, handler.path, body), held


_REPOSITORY = r"/repos/(?P<repository>[^/]+/[^/]+)"
_NUMBER = r"/issues/(?P<number>\d+)"
_ROUTES: list[tuple[str, str, str, Callable[..., tuple[int, dict[str, str], Any]]]] = [
    ("GET", _REPOSITORY, "/repos/O/R", FakeGitHub._get_repository),
    ("GET", _REPOSITORY + "/issues", "/repos/O/R/issues", FakeGitHub._list_issues),
    ("POST", _REPOSITORY + "/issues", "/repos/O/R/issues", FakeGitHub._create_issue),
    ("GET", _REPOSITORY + _NUMBER, "/repos/O/R/issues/N", FakeGitHub._get_issue),
    ("PATCH", _REPOSITORY + _NUMBER, "/repos/O/R/issues/N", FakeGitHub._edit_issue),
    ("GET", _REPOSITORY + _NUMBER + "/comments", "/repos/O/R/issues/N/comments", FakeGitHub._list_comments),
    ("POST", _REPOSITORY + _NUMBER + "/comments", "/repos/O/R/issues/N/comments", FakeGitHub._create_comment),
    ("GET", _REPOSITORY + "/labels/(?P<name>[^/]+)", "/repos/O/R/labels/L", FakeGitHub._get_label),
    ("POST", _REPOSITORY + "/labels", "/repos/O/R/labels", FakeGitHub._create_label),
]


def _handler(github: FakeGitHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave in one segment, so that none waits for an acknowledgement

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            pass

        def _any(self) -> None:
            github.serve(self)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any  # noqa: N815  # the base class looks for these

    return Handler
