"""The fake answers as GitHub did when github3.py recorded it, call by call.

The recordings are in the source distribution of github3.py, which is fetched from the index that this machine is set up
with, once, into `_build/is_broken`. Without an index the test is skipped.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tomllib
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from bots.is_broken.testing.fake_github import Call, FakeGitHub

from .sample import CHANGE, finding
from .test_report import REPOSITORY, Nights, Time

pytestmark = pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv: ./noxw -s tests")
ROOT = Path(__file__).resolve().parents[3]
FIELDS = ("content-type", "etag", "link", "location", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset",
          "x-github-media-type", "retry-after")  # fmt: skip
"""The header fields that matter to a client; of these the fake has what every recording has."""

ROUTES = re.compile(r"/repos/[^/]+/[^/]+(/(issues|labels)(/.*)?)?")


def sdist() -> Path:
    """The source distribution of the installed github3.py, its hash checked against what the index says."""
    release = version("github3.py")
    file = ROOT / "_build" / "is_broken" / f"github3.py-{release}.tar.gz"
    if file.exists():
        return file
    command = ["uv", "pip", "compile", "-", "--no-deps", "--quiet", "--format", "pylock.toml"]
    try:
        lock = subprocess.run(
            command, input=f"github3.py=={release}", capture_output=True, text=True, check=True
        ).stdout
        found = tomllib.loads(lock)["packages"][0]["sdist"]
        with urllib.request.urlopen(found["url"], timeout=60) as answer:
            content = answer.read(found["size"] + 1)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the configured index does not give github3.py {release}'s source distribution: {error}")
    assert hashlib.sha256(content).hexdigest() == found["hashes"]["sha256"]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


@dataclass(frozen=True)
class Recorded:
    """What GitHub answered once."""

    fields: dict[str, str]
    value: Any


@functools.cache
def recordings() -> dict[Call, list[Recorded]]:
    """Every recorded answer, by its call."""
    found: dict[Call, list[Recorded]] = defaultdict(list)
    with tarfile.open(sdist()) as archive:
        for member in archive:
            if not re.fullmatch(r"[^/]+/tests/cassettes/[^/]+\.json", member.name):
                continue
            stream = archive.extractfile(member)
            assert stream is not None
            for interaction in json.load(stream)["http_interactions"]:
                request, response = interaction["request"], interaction["response"]
                status = response.get("status_code") or response["status"]["code"]
                path = re.sub(r"^https://[^/]+", "", request["uri"]).partition("?")[0]
                call = Call(request["method"], route(path), status)
                fields = {name.lower(): "".join(text) for name, text in response["headers"].items()}
                if "json" not in fields.get("content-type", "") or not ROUTES.fullmatch(path):
                    continue
                found[call].append(Recorded(fields, body(response["body"])))
    return found


def route(path: str) -> str:
    """A path with the names of its parameters."""
    path = re.sub(r"^/repos/[^/]+/[^/]+", "/repos/O/R", path)
    path = re.sub(r"/labels/[^/]+$", "/labels/L", path)
    return re.sub(r"/\d+(?=/|$)", "/N", path)


def body(recorded: Any) -> Any:
    """The JSON of a recorded body; None for none."""
    if isinstance(recorded, str):
        text = recorded.encode()
    elif "base64_string" in recorded:
        raw = base64.b64decode(recorded["base64_string"])
        text = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    else:
        text = recorded["string"].encode()
    return json.loads(text) if text.strip() else None


def kinds(values: list[Any]) -> dict[str, set[str]]:
    """The types that each field has in a list of objects; `absent` where one lacks it."""
    names = {name for value in values for name in value}
    return {
        name: {type(v.get(name, Ellipsis)).__name__.replace("ellipsis", "absent") for v in values} for name in names
    }


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of an answer, which is one or a list of them."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


def compare(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], where: str) -> Iterator[str]:
    """How our objects differ in form from GitHub's: what it always says we say, and we say nothing of another kind."""
    known = kinds(theirs)
    for name, types in kinds(ours).items():
        if name not in known:
            yield f"{where}: GitHub says no {name!r}"
        elif types - known[name] - {"NoneType", "absent"} and known[name] != {"NoneType"}:
            yield f"{where}.{name}: {types}, and GitHub {known[name]}"
        else:
            inner = [v[name] for v in theirs if isinstance(v.get(name), dict)]
            mine = [v[name] for v in ours if isinstance(v.get(name), dict)]
            listed = [one for v in theirs if isinstance(v.get(name), list) for one in objects(v[name])]
            my_list = [one for v in ours if isinstance(v.get(name), list) for one in objects(v[name])]
            if inner and mine:
                yield from compare(mine, inner, f"{where}.{name}")
            if listed and my_list:
                yield from compare(my_list, listed, f"{where}.{name}[]")
    for name, types in known.items():
        if "absent" not in types and any(name not in value for value in ours):
            yield f"{where}: lacks {name!r}"


def every_call(time: Time) -> list[tuple[Call, dict[str, str], Any]]:
    """What the fake answered to a bot that did all that it can do."""
    with FakeGitHub(REPOSITORY, time.clock) as github:
        Nights(github, time).bad(finding())  # makes the label, and the first issue
        for number in range(120):
            github.open_by_hand(f"another {number}", "", ["is-broken"])
        nights = Nights(github, time)
        nights.bad(finding(replace(CHANGE, name="another")))
        nights.bad(finding(replace(CHANGE, name="another"), night=1))
        nights.good()
        nights.good()
        nights.bad(finding(replace(CHANGE, name="another"), night=4))
        github.issues[-1].labels.clear()
        nights.bad(finding(replace(CHANGE, name="another"), night=5))
        return github.answers


# What is refused has one form for every route, and github3.py recorded it for others.
_REFUSALS = {404: {"message", "documentation_url"}}


@pytest.mark.slow
def test_every_call_of_the_bot_is_recorded_and_answered_alike() -> None:
    """Status, header fields and every field of the JSON, down to the accounts and labels inside."""
    known = recordings()
    assert sum(map(len, known.values())) > 200
    answers = every_call(Time())
    seen = {call for call, _, _ in answers}
    assert {f"{call.method} {call.route}" for call in seen} == {
        "GET /repos/O/R", "GET /repos/O/R/issues", "POST /repos/O/R/issues", "GET /repos/O/R/issues/N",
        "PATCH /repos/O/R/issues/N", "GET /repos/O/R/issues/N/comments", "POST /repos/O/R/issues/N/comments",
        "GET /repos/O/R/labels/L", "POST /repos/O/R/labels",
    }  # fmt: skip
    faults = []
    for call, fields, value in answers:
        if call.status in _REFUSALS:
            assert set(value) == _REFUSALS[call.status]
            continue
        assert call in known, f"{call} was never recorded"
        recorded = known[call]
        where = f"{call.method} {call.route}"
        faults += list(compare(objects(value), [one for r in recorded for one in objects(r.value)], where))
        always = {name for name in FIELDS if all(name in r.fields for r in recorded)}
        faults += [f"{where}: lacks the field {name}" for name in always - {name.lower() for name in fields} - {"etag"}]
    assert not faults, "\n".join(sorted(set(faults)))


@pytest.mark.slow
def test_the_comparison_can_tell() -> None:
    """A field too many, one too few and one of another kind are each found."""
    theirs = [{"a": 1, "b": {"c": "x"}}]
    assert list(compare([{"a": 1, "b": {"c": "y"}}], theirs, "x")) == []
    assert list(compare([{"a": 1, "b": {"c": 1}}], theirs, "x")) == ["x.b.c: {'int'}, and GitHub {'str'}"]
    assert list(compare([{"a": 1, "b": {"c": "y"}, "d": 1}], theirs, "x")) == ["x: GitHub says no 'd'"]
    assert list(compare([{"b": {"c": "y"}}], theirs, "x")) == ["x: lacks 'a'"]


@pytest.mark.slow
def test_pages_are_linked_as_github_links_them() -> None:
    """The Link field of a list's first page names the next and the last one, as in the recordings."""
    recorded = [r for call, found in recordings().items() if call.route == "/repos/O/R/issues" for r in found]
    theirs = {rel for r in recorded for rel in re.findall(r'rel="(\w+)"', r.fields.get("link", ""))}
    first = next(
        fields for call, fields, _ in every_call(Time()) if call.route == "/repos/O/R/issues" and "Link" in fields
    )
    assert set(re.findall(r'rel="(\w+)"', first["Link"])) == {"next", "last"} <= theirs
