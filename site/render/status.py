"""The pages under ``/status/``, from what the nightly bot has published and from nothing else.

The data is the folder `bots/is_broken/data/published`, whose form `bots/is_broken/publish.py` describes. Every text in
it may come from anybody; templates escape it. A folder that is not there means that no night has been published.

Nothing here knows what time it is: pages say when a night was, and the running site says how long ago that is
(`website.status`), in the place that the template marks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import ContentError

__all__ = ["OUTCOMES", "Log", "Status", "clock", "duration", "load_status", "moment"]

OUTCOMES = {
    "good": "good",
    "fixed": "fixed",
    "flaky": "flaky",
    "regressed": "broken",
    "unresolvable": "no releases fit",
    "infrastructure": "not known",
    "": "did not run",
}
"""What each outcome is called."""

_SHOWN_HEAD, _SHOWN_TAIL = 60, 200
"""Lines of a log that its page shows."""
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Log:
    """A job's output: what people read first, and how much is left out between its two parts."""

    cell: dict[str, Any]
    night: dict[str, Any]
    head: str
    left_out: int
    tail: str


@dataclass(frozen=True, slots=True)
class Status:
    """What is published."""

    latest: dict[str, Any]
    """status.json"""
    nights: tuple[dict[str, Any], ...]
    """nights/NAME.json, the newest first."""
    files: dict[str, bytes]
    """What is served as it is, by its path below ``/status/``."""
    logs: tuple[Log, ...]


def load_status(folder: Path, url: str) -> Status | None:
    """What the bot has published; None for nothing. `url` is the site's address, for the feed.

    Raises `ContentError` for data that is cut short or was written by hand.
    """
    if not (folder / "status.json").is_file():
        return None
    try:
        latest = json.loads((folder / "status.json").read_text("utf-8"))
        nights = [
            json.loads((folder / f"nights/{night['name']}.json").read_text("utf-8")) for night in latest["nights"]
        ]
        files = {name: (folder / name).read_bytes() for name in ("status.json", "badge.svg", "badge-stale.svg")}
        feed = (folder / "atom.xml").read_text("utf-8")
        files["atom.xml"] = feed.replace(f'"{latest["site"]}/', f'"{url}/').encode()
        logs = []
        for night in nights:
            for cell in night["results"]:
                if cell["log"]:
                    content = (folder / cell["log"]).read_text("utf-8")
                    files[cell["log"]] = content.encode()
                    logs.append(_log(cell, night, content))
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"the published nights cannot be read ({type(error).__name__}: {error}); publish them again"
        raise ContentError.at(folder / "status.json", 1, message) from error
    return Status(latest, tuple(nights), files, tuple(logs))


def _log(cell: dict[str, Any], night: dict[str, Any], content: str) -> Log:
    lines = content.splitlines()
    if len(lines) <= _SHOWN_HEAD + _SHOWN_TAIL:
        return Log(cell, night, "\n".join(lines), 0, "")
    head, tail = lines[:_SHOWN_HEAD], lines[-_SHOWN_TAIL:]
    return Log(cell, night, "\n".join(head), len(lines) - len(head) - len(tail), "\n".join(tail))


def moment(when: float) -> str:
    """A time in words: ``25 November 2026, 03:00 UTC``."""
    at = datetime.fromtimestamp(when, UTC)
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}, {at:%H:%M} UTC"


def clock(when: float) -> str:
    """A time as HTML's ``datetime`` attribute wants it."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """How long something took: ``42 s``, ``3 min``."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
