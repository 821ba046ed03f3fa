"""Reads the sources: every file of content, checked, and what the tree says of its packages."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from . import frontmatter, tree
from .errors import ContentError, Problem
from .model import (
    Entry,
    Guide,
    Link,
    Meeting,
    Package,
    Page,
    Pioneer,
    Post,
    Release,
    Site,
    System,
    Talk,
)

__all__ = ["Content", "Sources", "load"]

M = TypeVar("M")
R = TypeVar("R")

_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Sources:
    """The folders that the site is made from. `root` contains the others; file names are told relative to it."""

    root: Path
    site: Path
    docs: Path
    packages: Path
    status: Path
    """What the nightly bot has published; it need not be there."""

    @classmethod
    def of(cls, root: Path) -> Sources:
        """The folders of a source tree of the project."""
        return cls(root, root / "site", root / "docs", root / "packages", root / "bots/is_broken/data/published")


@dataclass(frozen=True, slots=True)
class Content:
    """All that is said, in the order in which it is shown."""

    site: Site
    pages: dict[str, Entry[Page]]
    posts: tuple[Entry[Post], ...]
    guide: tuple[Entry[Guide], ...]
    releases: tuple[Entry[Release], ...]
    links: tuple[Entry[Link], ...]
    talks: tuple[Entry[Talk], ...]
    meetings: tuple[Entry[Meeting], ...]
    pioneers: tuple[Entry[Pioneer], ...]
    systems: tuple[System, ...]
    packages: tuple[Package, ...]


class _Reader:
    """Reads on after a mistake, so that one run names them all."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.problems: list[Problem] = []

    def attempt(self, function: Callable[[], R], fallback: R) -> R:
        try:
            return function()
        except ContentError as error:
            self.problems.extend(error.problems)
            return fallback

    def entries(self, kind: type[M], folder: Path) -> tuple[Entry[M], ...]:
        """Every Markdown file of a folder, by its name."""
        found = (self.attempt(lambda file=file: self._entry(kind, file), None) for file in sorted(folder.glob("*.md")))  # type: ignore[misc]
        return tuple(entry for entry in found if entry is not None)

    def _entry(self, kind: type[M], file: Path) -> Entry[M] | None:
        shown = file.relative_to(self.sources.root)
        if not _ID.fullmatch(file.stem):
            raise ContentError.at(
                shown, 1, "the file's name becomes an address: expected lower-case words-with-hyphens.md"
            )
        document = frontmatter.parse(file.read_text("utf-8"), shown)
        meta = frontmatter.read(kind, document, shown)
        return Entry(file.stem, meta, document.body, shown, document.body_line)

    def site(self) -> Site:
        """The site's own settings."""
        file = self.sources.site / "content" / "site.md"
        shown = file.relative_to(self.sources.root)
        return frontmatter.read(Site, frontmatter.parse(file.read_text("utf-8"), shown), shown)

    def systems(self, packages: tuple[Package, ...]) -> tuple[System, ...]:
        """The 2014 review's systems; every name that a package claims must be among them."""
        file = self.sources.site / "content" / "systems.toml"
        shown = file.relative_to(self.sources.root)
        text = file.read_text("utf-8")
        try:
            rows: list[dict[str, Any]] = tomllib.loads(text).get("system", [])
        except tomllib.TOMLDecodeError as error:
            raise ContentError.at(shown, 1, f"not TOML: {error}") from error
        starts = [number for number, line in enumerate(text.splitlines(), 1) if line.strip() == "[[system]]"]
        systems: dict[str, System] = {}
        for row, line in zip(rows, starts, strict=True):
            values = {name: (value, line) for name, value in row.items()}
            system = self.attempt(lambda values=values, line=line: frontmatter.make(System, values, shown, line), None)  # type: ignore[misc]
            if system is not None and system.name in systems:
                self.problems.append(Problem(str(shown), line, f"system {system.name!r} is listed twice"))
            elif system is not None:
                systems[system.name] = system
        for package in packages:
            for name in package.systems:
                if name not in systems:
                    where = tree.line_of((self.sources.root / package.file).read_text("utf-8"), "systems")
                    message = (
                        f"[tool.mirage] systems: {name!r} is not in {shown.as_posix()}; add it there or correct it"
                    )
                    self.problems.append(Problem(str(package.file), where, message))
        return tuple(systems.values())


def load(sources: Sources) -> Content:
    """Read everything. Raises one `ContentError` with every problem of every file."""
    reader = _Reader(sources)
    content = sources.site / "content"
    site = reader.attempt(reader.site, None)
    packages = reader.attempt(lambda: tree.packages(sources.packages, sources.root), _NO_PACKAGES)
    systems = reader.attempt(lambda: reader.systems(packages), _NO_SYSTEMS)
    pages = reader.entries(Page, content / "pages")
    posts = reader.entries(Post, content / "blog")
    guide = reader.entries(Guide, sources.docs)
    releases = reader.entries(Release, content / "releases")
    links = reader.entries(Link, content / "links")
    talks = reader.entries(Talk, content / "talks")
    meetings = reader.entries(Meeting, content / "meetings")
    pioneers = reader.entries(Pioneer, content / "pioneers")
    if reader.problems or site is None:
        raise ContentError(reader.problems)
    return Content(
        site=site,
        pages={page.id: page for page in pages},
        posts=tuple(sorted(posts, key=lambda post: (post.meta.date, post.id), reverse=True)),
        guide=tuple(sorted(guide, key=lambda page: (page.meta.order, page.id))),
        releases=tuple(sorted(releases, key=lambda release: (-release.meta.date.toordinal(), release.id))),
        links=tuple(
            sorted(
                links,
                key=lambda link: (
                    _STREAMS.index(link.meta.stream),
                    -link.meta.date.toordinal(),
                    link.meta.title.lower(),
                ),
            )
        ),
        talks=tuple(sorted(talks, key=lambda talk: (-talk.meta.year, talk.id))),
        meetings=tuple(sorted(meetings, key=lambda meeting: (-meeting.meta.date.toordinal(), meeting.id))),
        pioneers=tuple(sorted(pioneers, key=lambda project: (_STEPS.index(project.meta.difficulty), project.id))),
        systems=systems,
        packages=packages,
    )


_NO_PACKAGES: tuple[Package, ...] = ()
_NO_SYSTEMS: tuple[System, ...] = ()
_STREAMS = ("origins", "papers", "standards", "tools")
_STEPS = ("gentle", "steady", "steep")
