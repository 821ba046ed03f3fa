"""What GitHub's REST API says of a repository, an issue, a comment and a label: the JSON, field by field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

__all__ = ["FIELDS", "comment", "issue", "label", "moment", "repository"]

FIELDS = {
    "Content-Type": "application/json; charset=utf-8",
    "Server": "GitHub.com",
    "Cache-Control": "private, max-age=60, s-maxage=60",
    "Vary": "Accept, Authorization, Cookie, X-GitHub-OTP",
    "X-GitHub-Media-Type": "github.v3; param=full; format=json",
    "X-GitHub-Request-Id": "0000:0000:0000000:0000000:00000000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "deny",
    "X-XSS-Protection": "1; mode=block",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Link, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining",
    "Content-Security-Policy": "default-src 'none'",
    "Strict-Transport-Security": "max-age=31536000; includeSubdomains; preload",
}
"""The header fields of every answer."""

_REPOSITORY_LINKS = {
    "archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}", "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}", "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}", "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}", "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors", "deployments_url": "/deployments", "downloads_url": "/downloads",
    "events_url": "/events", "forks_url": "/forks", "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}", "git_tags_url": "/git/tags{/sha}", "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}", "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}", "labels_url": "/labels{/name}",
    "languages_url": "/languages", "merges_url": "/merges", "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}", "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}", "stargazers_url": "/stargazers", "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers", "subscription_url": "/subscription", "tags_url": "/tags",
    "teams_url": "/teams", "trees_url": "/git/trees{/sha}",
}  # fmt: skip

_USER_LINKS = {
    "events_url": "/events{/privacy}", "followers_url": "/followers", "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}", "organizations_url": "/orgs", "received_events_url": "/received_events",
    "repos_url": "/repos", "starred_url": "/starred{/owner}{/repo}", "subscriptions_url": "/subscriptions",
}  # fmt: skip


def moment(time: float | None) -> str | None:
    """Seconds since the epoch as the API writes them."""
    return None if time is None else datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def user(api: str, login: str) -> dict[str, Any]:
    """An account."""
    url = f"{api}/users/{login}"
    return {
        "login": login, "id": 1, "avatar_url": f"{api}/avatars/{login}", "gravatar_id": "", "url": url,
        "html_url": f"https://github.example/{login}", "type": "Bot", "site_admin": False,
        **{name: url + path for name, path in _USER_LINKS.items()},
    }  # fmt: skip


def label(base: str, name: str, color: str, description: str) -> dict[str, Any]:
    """A label of the repository whose address is `base`."""
    return {
        "id": sum(name.encode()), "node_id": f"LA_{name}", "url": f"{base}/labels/{quote(name, safe='')}", "name": name,
        "color": color, "default": False, "description": description or None,
    }  # fmt: skip


def issue(
    base: str, number: int, title: str, state: str, labels: list[dict[str, Any]], text: dict[str, str],
    times: list[str | None], comments: int, *, pull_request: bool,
) -> dict[str, Any]:  # fmt: skip
    """An issue; `text` has its body in three forms, `times` when it was created, updated and closed."""
    url = f"{base}/issues/{number}"
    shown: dict[str, Any] = {
        "url": url, "repository_url": base, "labels_url": url + "/labels{/name}", "comments_url": url + "/comments",
        "events_url": url + "/events", "html_url": f"https://github.example/issues/{number}", "id": 5000 + number,
        "number": number, "title": title, "user": user(base.partition("/repos/")[0], "is-broken"), "labels": labels,
        "state": state, "locked": False, "assignee": None, "assignees": [], "milestone": None, "comments": comments,
        "created_at": times[0], "updated_at": times[1], "closed_at": times[2], "author_association": "MEMBER",
        "closed_by": None, **text,
    }  # fmt: skip
    if pull_request:
        shown["pull_request"] = {"url": f"{base}/pulls/{number}"}
    return shown


def comment(base: str, number: int, identity: int, text: dict[str, str], created: str | None) -> dict[str, Any]:
    """A comment on an issue."""
    return {
        "url": f"{base}/issues/comments/{identity}", "issue_url": f"{base}/issues/{number}", "id": identity,
        "html_url": f"https://github.example/issues/{number}#issuecomment-{identity}", "created_at": created,
        "updated_at": created, "author_association": "MEMBER", "user": user(base.partition("/repos/")[0], "is-broken"),
        **text,
    }  # fmt: skip


def repository(api: str, name: str, open_issues: int, *, may_label: bool) -> dict[str, Any]:
    """A repository, ``OWNER/NAME``."""
    owner, _, short = name.partition("/")
    url, page, then = f"{api}/repos/{name}", f"https://github.example/{name}", "2014-11-10T00:00:00Z"
    counts = ("forks", "forks_count", "network_count", "size", "stargazers_count", "subscribers_count", "watchers")
    return {
        "id": 1, "name": short, "full_name": name, "owner": user(api, owner), "private": False, "html_url": page,
        "description": None, "fork": False, "url": url, "created_at": then, "updated_at": then, "pushed_at": then,
        "git_url": f"git://github.example/{name}.git", "ssh_url": f"git@github.example:{name}.git",
        "clone_url": f"{page}.git", "svn_url": page, "homepage": None, "language": "Python", "license": None,
        "mirror_url": None, "archived": False, "default_branch": "main", "has_downloads": True, "has_issues": True,
        "has_pages": False, "has_projects": True, "has_wiki": True, "open_issues": open_issues,
        "open_issues_count": open_issues, "watchers_count": 0,
        "permissions": {"admin": False, "push": may_label, "pull": True}, **dict.fromkeys(counts, 0),
        **{field: url + path for field, path in _REPOSITORY_LINKS.items()},
    }  # fmt: skip
