"""What is prepared on GitHub, through github3.py: drafts, for a person to look at and send.

Where is said as ``OWNER/NAME`` or as an address of another GitHub, ``https://github.example/OWNER/NAME``; who, by
GITHUB_TOKEN. Whatever is there already is found and left as it is, so that a train may ask again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import github3  # type: ignore[import-untyped]  # it has none
from github3.exceptions import GitHubException, NotFoundError  # type: ignore[import-untyped]

from .errors import Failed, Refused

__all__ = ["opam_request", "release"]


def release(place: str, train: str, commit: str, title: str, notes: str) -> str:
    """Draft a release for a train, or find the draft that is there; its address. Raises `Failed`, `Refused`."""
    text = notes.partition("\n\n")[2]  # its title is the release's
    try:
        repository = _repository(place)
        tag = f"train-{train}"
        for there in repository.releases():
            if there.tag_name == tag:
                return str(there.html_url)
        made = repository.create_release(tag, target_commitish=commit, name=title, body=text, draft=True)
        return str(made.html_url)
    except GitHubException as error:
        raise Failed(f"GitHub refused the draft of a release on {place}: {error}") from error


def opam_request(place: str, train: str, content: Mapping[str, bytes]) -> str:
    """Put opam files on a branch of a repository and ask for it to be merged; the request's address.

    `place` is a fork, or opam-repository itself for who may push there. Raises `Failed`, `Refused`.
    """
    try:
        repository = _repository(place)
        base, branch = repository.default_branch, f"mirage-{train}"
        _branch(repository, base, branch)
        for path, data in sorted(content.items()):
            _put(repository, branch, path, data)
        for there in repository.pull_requests(state="open"):
            if there.head.ref == branch:
                return str(there.html_url)
        count = f"{len(content)} {'package' if len(content) == 1 else 'packages'}"
        body = f"{count} of MirageOS in Python, released by the train {train}."
        made = repository.create_pull(f"[new release] MirageOS in Python, {train}", base, branch, body)
        return str(made.html_url)
    except GitHubException as error:
        raise Failed(f"GitHub refused the pull request for {place}: {error}") from error


def _repository(place: str) -> Any:
    """The repository. github3.py's own types say less than it does, so it is `Any` from here on."""
    token = os.environ.get("GITHUB_TOKEN")
    if not token:
        raise Refused(f"GITHUB_TOKEN is not set, so nothing can be prepared on {place}")
    address = urlsplit(place)
    owner, slash, name = address.path.strip("/").partition("/")
    if not slash or not name or "/" in name:
        raise Refused(f"{place!r} is neither OWNER/NAME nor https://HOST/OWNER/NAME")
    if address.netloc:
        session: Any = github3.GitHubEnterprise(f"{address.scheme}://{address.netloc}", token=token)
    else:
        session = github3.GitHub(token=token)
    return session.repository(owner, name)


def _branch(repository: Any, base: str, branch: str) -> None:
    try:
        repository.ref(f"heads/{branch}")
    except NotFoundError:
        repository.create_ref(f"refs/heads/{branch}", repository.ref(f"heads/{base}").object.sha)


def _put(repository: Any, branch: str, path: str, data: bytes) -> None:
    try:
        there = repository.file_contents(path, ref=branch)
    except NotFoundError:
        repository.create_file(path, f"{path.split('/')[1]}: a new release", data, branch=branch)
    else:
        if there.decoded != data:
            there.update(f"{path.split('/')[1]}: the release as it is now", data, branch=branch)
