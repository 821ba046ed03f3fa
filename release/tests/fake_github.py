"""A stand-in for the part of GitHub's REST API that a train uses, in memory, on loopback.

github3.py's models ask for every field that the real API has, so an answer that they take has the real form.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["FakeGitHub", "fake_github"]

WHEN = "2026-11-25T12:00:00Z"
_LINKS = """archive assignees blobs branches collaborators comments commits compare contents contributors deployments
downloads events forks git_commits git_refs git_tags hooks html issue_comment issue_events issues keys labels languages
merges milestones notifications pulls releases stargazers statuses subscribers subscription tags teams trees clone git
mirror ssh svn"""
_COUNTS = "forks_count network_count open_issues_count size stargazers_count subscribers_count watchers_count"
_USER_LINKS = "avatar events followers following gists html organizations received_events repos starred subscriptions"


class FakeGitHub:
    """One repository, which everybody with a token may write to."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.url = f"{address}/api/v3/repos/{name}"
        self.refs = {"heads/main": "1" * 40}
        self.files: dict[tuple[str, str], bytes] = {}
        """By branch and path."""
        self.releases: list[dict[str, Any]] = []
        self.pulls: list[dict[str, Any]] = []
        self.calls: list[str] = []

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, Any]:
        """Status and JSON for a request below the repository."""
        self.calls.append(f"{method} {path}")
        kind, _, rest = path.partition("/")
        if path == "":
            return 200, self._repository()
        if kind == "releases":
            return self._list(self.releases, method, lambda: self._release(body))
        if kind == "pulls":
            return self._list(self.pulls, method, lambda: self._pull(body))
        if kind == "git" and rest.partition("/")[0] in {"ref", "refs"}:
            return self._ref(method, rest.partition("/")[2], body)
        if kind == "contents":
            return self._contents(method, rest, query, body)
        return 404, {"message": "Not Found"}

    @staticmethod
    def _list(there: list[dict[str, Any]], method: str, make: Any) -> tuple[int, Any]:
        if method == "POST":
            there.append(make())
            return 201, there[-1]
        return 200, there

    def _ref(self, method: str, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        if method == "POST":
            name = body["ref"].removeprefix("refs/")
            self.refs[name] = body["sha"]
        if name not in self.refs:
            return 404, {"message": "Not Found"}
        target = {"url": self.url, "sha": self.refs[name], "type": "commit"}
        return 201 if method == "POST" else 200, {"url": self.url, "ref": f"refs/{name}", "object": target}

    def _contents(self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, Any]:
        branch = body.get("branch") or query.get("ref", ["main"])[0]
        if method == "PUT":
            there = self.files.get((branch, path))
            if there is not None and body.get("sha") != hashlib.sha1(there).hexdigest():
                return 422, {"message": 'Invalid request.\n\n"sha" wasn\'t supplied.'}
            self.files[branch, path] = base64.b64decode(body["content"])
            return 201 if there is None else 200, {"content": self._file(branch, path), "commit": self._commit()}
        if (branch, path) not in self.files:
            return 404, {"message": "Not Found"}
        return 200, self._file(branch, path)

    def _file(self, branch: str, path: str) -> dict[str, Any]:
        data = self.files[branch, path]
        links = dict.fromkeys(("url", "download_url", "git_url", "html_url"), f"{self.url}/contents/{path}")
        known = {"name": path.rpartition("/")[2], "path": path, "size": len(data), "type": "file", "_links": links}
        known |= {"content": base64.b64encode(data).decode(), "encoding": "base64"}
        return links | known | {"sha": hashlib.sha1(data).hexdigest()}

    def _commit(self) -> dict[str, Any]:
        who = {"name": "Somebody", "email": "somebody@example.org", "date": WHEN}
        known = {"url": self.url, "author": who, "committer": who, "message": "", "parents": [], "sha": "2" * 40}
        return known | {"tree": {"url": self.url, "sha": "3" * 40}, "verification": {}}

    def _user(self) -> dict[str, Any]:
        links = {f"{name}_url": self.url for name in _USER_LINKS.split()}
        return links | {"gravatar_id": "", "id": 1, "login": "somebody", "type": "User", "url": self.url}

    def _repository(self) -> dict[str, Any]:
        links: dict[str, Any] = {f"{name}_url": self.url for name in _LINKS.split()}
        links |= {"url": self.url, "name": self.name.partition("/")[2], "full_name": self.name, "id": 1}
        links |= {"owner": self._user(), "default_branch": "main", "description": "", "homepage": "", "language": None}
        links |= dict.fromkeys(("created_at", "pushed_at", "updated_at"), WHEN) | dict.fromkeys(_COUNTS.split(), 0)
        flags = (
            "private",
            "fork",
            "archived",
            *(f"has_{w}" for w in ["downloads", "issues", "pages", "projects", "wiki"]),
        )
        return links | dict.fromkeys(flags, False)

    def _release(self, body: dict[str, Any]) -> dict[str, Any]:
        number = len(self.releases) + 1
        links = dict.fromkeys(("url", "assets_url", "html_url", "tarball_url", "upload_url", "zipball_url"), self.url)
        known = {"id": number, "assets": [], "author": self._user(), "created_at": WHEN, "published_at": None}
        return links | known | {"prerelease": False} | body | {"html_url": f"{self.url}/releases/{number}"}

    def _pull(self, body: dict[str, Any]) -> dict[str, Any]:
        number = len(self.pulls) + 1
        links = ["comments", "commits", "diff", "issue", "patch", "review_comment", "review_comments", "statuses"]
        made: dict[str, Any] = {f"{name}_url": self.url for name in links}
        nothing = "active_lock_reason assignee body_html body_text closed_at merge_commit_sha merged_at milestone"
        made |= dict.fromkeys(nothing.split()) | {"_links": {}, "assignees": [], "locked": False, "number": number}
        made |= {"requested_reviewers": [], "requested_teams": [], "user": self._user(), "id": number, "url": self.url}
        made |= {"created_at": WHEN, "updated_at": WHEN, "html_url": f"{self.url}/pull/{number}", "state": "open"}
        ends = {
            end: {
                "label": body[end],
                "ref": body[end],
                "sha": "4" * 40,
                "user": self._user(),
                "repo": self._repository(),
            }
            for end in ("base", "head")
        }
        return made | {"title": body["title"], "body": body["body"]} | ends


@contextlib.contextmanager
def fake_github(name: str) -> Iterator[tuple[FakeGitHub, str]]:
    """The repository, and how `--github` names it, while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            target = urlsplit(self.path)
            start = f"/api/v3/repos/{name}"
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            if not self.headers.get("Authorization", "").endswith("secret"):
                status, said = 401, {"message": "Bad credentials"}
            elif not target.path.startswith(start):
                status, said = 404, {"message": "Not Found"}
            else:
                path = unquote(target.path.removeprefix(start)).strip("/")
                status, said = fake.answer(self.command, path, parse_qs(target.query), body)
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815  the names that http.server calls

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        address = "http://{}:{}".format(*server.server_address[:2])
        fake = FakeGitHub(name, address)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield fake, f"{address}/{name}"
        finally:
            server.shutdown()
            thread.join()
