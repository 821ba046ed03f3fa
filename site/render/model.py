"""The kinds of content, each a dataclass whose fields are the front matter that its files must have.

The annotations are the schema: `frontmatter.read` checks a file against them. Where a kind needs a new field, add it
here with its meaning; a file that has not got it yet is then named with its line.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

__all__ = [
    "Change",
    "Entry",
    "Guide",
    "Link",
    "Logged",
    "Meeting",
    "Package",
    "Page",
    "Pioneer",
    "Post",
    "Release",
    "Site",
    "System",
    "Talk",
]

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Entry(Generic[M]):
    """One file of content: its checked fields and its Markdown."""

    id: str
    """The file's name without its suffix: unique in its kind, and the last part of its address."""
    meta: M
    body: str
    file: Path
    line: int
    """The line of the file that the body starts on."""


@dataclass(frozen=True, slots=True)
class Site:
    """What is said once for the whole site (content/site.md)."""

    title: str
    tagline: str
    summary: str
    url: str
    """Where the site is served, without a trailing slash: for what must be absolute (feeds, the sitemap)."""
    author: str
    """Whom the feeds name as their author."""
    started: datetime.date
    """The date of a feed that has no entry yet."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of its own (content/pages)."""

    title: str
    summary: str


@dataclass(frozen=True, slots=True)
class Post:
    """An article of the blog."""

    title: str
    date: datetime.date
    summary: str
    updated: datetime.date | None = None
    tags: tuple[str, ...] = ()
    appendix: Literal["systems"] | None = None
    """A generated part that follows the text."""


@dataclass(frozen=True, slots=True)
class Guide:
    """A page of the guide (docs/ at the top of the tree)."""

    title: str
    summary: str
    order: int
    package: str | None = None
    """The distribution that the page is about."""


@dataclass(frozen=True, slots=True)
class Release:
    """What is said of a release train; the body is its notes."""

    title: str
    date: datetime.date
    summary: str
    packages: tuple[str, ...] = ()
    """What it released, each as NAME VERSION. `site/index` knows it too, and where both speak they say the same."""


@dataclass(frozen=True, slots=True)
class Link:
    """An entry of the link log. /links/ID leads to `url` for good, whatever becomes of the title."""

    title: str
    url: str
    stream: Literal["origins", "papers", "standards", "tools"]
    date: datetime.date
    """When it was added here."""


@dataclass(frozen=True, slots=True)
class Talk:
    """A talk or a paper given in public."""

    title: str
    speakers: tuple[str, ...]
    venue: str
    year: int
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Meeting:
    """The notes of a meeting."""

    title: str
    date: datetime.date


@dataclass(frozen=True, slots=True)
class Pioneer:
    """A project that waits for somebody to start it."""

    title: str
    summary: str
    package: str
    """The distribution that it would become."""
    difficulty: Literal["gentle", "steady", "steep"]
    needs: tuple[str, ...] = ()
    """What the newcomer should know or own beforehand."""


@dataclass(frozen=True, slots=True)
class System:
    """One of the systems that the 2014 review names (content/systems.toml)."""

    name: str
    what: str
    area: Literal["core", "drivers", "stack", "tls", "web", "storage", "services", "tooling"]
    package: str
    """The distribution that answers for it here, built or not."""
    origin: Literal["review", "upstream"] = "review"
    """Whether the review itself names it, or it is a library that the review's systems rest on."""


@dataclass(frozen=True, slots=True)
class Change:
    """A fragment of changes.d: something that the next release will say."""

    kind: str
    topic: str
    body: str
    file: Path


@dataclass(frozen=True, slots=True)
class Logged:
    """A release's part of a package's CHANGELOG.md."""

    version: str
    body: str
    file: Path
    line: int
    """The line of the file that the body starts on."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the tree, as its own pyproject.toml describes it."""

    name: str
    family: str
    version: str
    summary: str
    tier: str
    systems: tuple[str, ...]
    requires: tuple[str, ...]
    """The distributions of this project that it needs."""
    changes: tuple[Change, ...]
    file: Path
    needs: tuple[str, ...] = ()
    """All that it needs, as requirements."""
    log: tuple[Logged, ...] = ()
    """What past releases changed, the newest first."""
    readme: str = ""
    """Its README's Markdown, without the title."""
