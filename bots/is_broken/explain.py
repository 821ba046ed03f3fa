"""What a person needs to act on a finding. The step `explain` of a night."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.parser import HeaderParser
from pathlib import Path

from packaging.version import Version

from .judge import difference
from .model import Change, ChangeKind, Explanation, Failure, Lock
from .resolve import uv

HELD_DAYS = 30
"""Days until a proposed hold says of itself that it is old."""
_LABELS = ("changelog", "changes", "releasenotes", "history", "whatsnew", "news", "source", "repository", "homepage")
"""The labels of project URLs that lead to what changed, best first (core metadata: well-known labels)."""


def explain(
    key: str, failure: Failure, changes: Sequence[Change], base: Lock | None, lock: Lock | None, first: float
) -> Explanation:
    """Put together what is known; `lock` is the last good one with just the culprits taken in, `first` the night
    that saw it first: what is proposed does not change from night to night."""
    return Explanation(
        failure,
        difference(base, lock) if base and lock else (),
        tuple(map(note, changes)),
        f"./noxw -s is_broken -- repro {key}",
        hold(changes, failure, first),
    )


def note(change: Change) -> str:
    """A sentence on a culprit."""
    day = f" of {datetime.fromtimestamp(change.when, UTC):%Y-%m-%d %H:%M} UTC" if change.when is not None else ""
    was = f"; {change.old[:12]} was good" if change.old else "; it was not needed before"
    was = "; it is what can be had" if change.old == change.new else was
    was += ", so a floor above it, or the end of its yank, would mend this" if older(change) else ""
    kind = {
        ChangeKind.RELEASE: "pre-release" if change.prerelease else "older release" if older(change) else "release",
        ChangeKind.HEAD: "commit",
        ChangeKind.PYTHON: "Python",
    }[change.kind]
    where = f"; what changed: {change.link}" if change.link else "; its metadata has no link to what changed"
    return f"{change.spelled}: {kind}{day}{was}{where if change.kind is ChangeKind.RELEASE else ''}"


def hold(changes: Sequence[Change], failure: Failure, first: float) -> str:
    """Lines for `pins.toml` that keep the latest culprit out; empty where the culprits are no upgrades."""
    upgrades = [c for c in changes if c.kind is ChangeKind.RELEASE and c.old and not older(c)]
    if not upgrades:
        return ""
    last = max(upgrades, key=lambda c: (c.when is None, c.when or 0.0, c.name))
    others = [c.spelled for c in changes if c is not last]
    why = f"fails with {last.new}{' beside ' + ', '.join(others) if others else ''}: {failure.signature}"
    lines = [f"[hold.{last.name}]", f'spec = "<{last.new}"', f"why = {_toml(why[:200])}"]
    lines.append(f"until = {datetime.fromtimestamp(first, UTC) + timedelta(days=HELD_DAYS):%Y-%m-%d}")
    return "\n".join(lines)


def older(change: Change) -> bool:
    """Whether a change is a way back, to a floor or to what a yank has left."""
    return change.kind is ChangeKind.RELEASE and bool(change.old) and Version(change.new) < Version(change.old)


def _toml(text: str) -> str:
    """A basic string of TOML: JSON's escapes are among its own."""
    return json.dumps(text.replace("\x7f", " "), ensure_ascii=False)


def linked(changes: Sequence[Change], environ: Mapping[str, str], python: str) -> tuple[Change, ...]:
    """Releases with the link to their changelog, from their own metadata; those that have none stay as they are."""
    return tuple(
        replace(change, link=_link(change, environ, python)) if change.kind is ChangeKind.RELEASE else change
        for change in changes
    )


def _link(change: Change, environ: Mapping[str, str], python: str) -> str:
    with tempfile.TemporaryDirectory(prefix="is-broken-") as folder:
        words = [uv(), "pip", "install", "--quiet", "--no-deps", "--python-version", python, "--only-binary", ":all:"]
        words += ["--target", folder, f"{change.name}=={change.new}"]
        try:
            subprocess.run(
                words, env=dict(environ), check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60
            )
            (metadata,) = Path(folder).glob("*.dist-info/METADATA")
            return changelog(metadata.read_text(errors="replace"))
        except (subprocess.SubprocessError, ValueError, OSError):
            return ""  # a link is a courtesy: a release that cannot be fetched is explained without


def changelog(metadata: str) -> str:
    """The best link to what changed in a release's core metadata, empty for none."""
    headers = HeaderParser().parsestr(metadata)
    found: dict[str, str] = {}
    for value in headers.get_all("Project-URL") or ():
        label, _, url = str(value).partition(",")
        found.setdefault(re.sub(r"[\W_]", "", label).lower(), url.strip())
    found.setdefault("homepage", str(headers.get("Home-page") or ""))
    for label in _LABELS:
        if (url := found.get(label, "")).startswith(("https://", "http://")) and not re.search(r"[\s<>\"]", url):
            return url
    return ""
