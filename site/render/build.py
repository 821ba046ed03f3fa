"""From the sources to the tree of files that the unikernel serves.

`build` is a function of the files that it reads and of nothing else: no clock, no environment, no network. The same
sources give the same octets.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from mirage.index import chart

from . import feeds, graph, tree, views
from .check import check_links, key_of
from .errors import ContentError, Problem
from .highlight import code_block
from .load import INDEX, Content, Sources, load
from .markdown import Rendered, Renderer
from .model import Entry, Guide, Package, Pioneer, System
from .published import Publication, Shelf, shelve
from .status import OUTCOMES, clock, duration, load_status, moment

__all__ = ["build", "write"]

M = TypeVar("M")

STYLES = ("palette.css", "base.css", "layout.css", "parts.css", "status.css", "code.css", "print.css")
"""The style sheets, in the order in which they are joined."""

LINKS = "links.json"
"""The key of the table that the running site reads its redirects from: {ID: URL}."""


def build(sources: Sources, url: str | None = None) -> dict[str, bytes]:
    """The whole site: keys as in `mirage.types.KeyValueRO`, each with its octets.

    `url` stands in for the address of content/site.md. Raises `ContentError` with everything that is wrong.
    """
    content = load(sources)
    if url is not None:
        content = replace(content, site=replace(content.site, url=url.rstrip("/")))
    return _Builder(sources, content).build()


def write(files: dict[str, bytes], out: Path) -> None:
    """Write a tree into the folder `out`, which is made; what an older tree had beyond it is removed.

    Raises FileExistsError for a folder that holds something else than such a tree.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not (out / LINKS).is_file():
        raise FileExistsError(f"{out} holds something else than a rendered site; name an empty or a new folder")
    for old in sorted(out.rglob("*"), reverse=True):
        if old.is_file() and old.relative_to(out).as_posix() not in files:
            old.unlink()
        elif old.is_dir() and not any(old.iterdir()):
            old.rmdir()
    for key, value in files.items():
        path = out / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry as templates see it."""

    entry: Entry[Any]
    address: str
    text: Rendered

    @property
    def meta(self) -> Any:
        """The entry's checked fields."""
        return self.entry.meta

    @property
    def id(self) -> str:
        """The last part of the entry's address."""
        return self.entry.id


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a system of the 2014 review stands here: computed from the tree."""

    system: System
    answered_by: tuple[Package, ...]

    @property
    def built(self) -> bool:
        """Whether a package of the tree says that it answers for the system."""
        return bool(self.answered_by)


@dataclass(frozen=True, slots=True)
class _Told:
    """A release train with its notes, or where it has none, what the changelogs say of its releases."""

    train: views.TrainView
    notes: Shown | None
    log: list[views.Changes]

    @property
    def title(self) -> str:
        """What it is called."""
        return str(self.notes.meta.title) if self.notes else self.train.title

    @property
    def summary(self) -> str:
        """What it brought, in a sentence."""
        return str(self.notes.meta.summary) if self.notes else self.train.summary


@dataclass(slots=True)
class _Builder:
    sources: Sources
    content: Content
    files: dict[str, bytes] = field(default_factory=dict)
    changed: dict[str, datetime.date | None] = field(default_factory=dict)
    """The pages for the sitemap, in order."""
    problems: list[Problem] = field(default_factory=list)
    pages: dict[str, Shown] = field(default_factory=dict)
    renderer: Renderer = field(init=False)
    environment: Environment = field(init=False)
    guides: dict[str, str] = field(init=False)
    """The address of the guide page about each package that has one."""
    standings: tuple[Standing, ...] = field(init=False)
    shelf: Shelf = field(init=False)
    packages: dict[str, views.PackageView] = field(init=False)
    trains: tuple[views.TrainView, ...] = field(init=False)

    def __post_init__(self) -> None:
        content = self.content
        self.shelf = shelve(content.publications, self.sources.index, INDEX, content.site.url)
        self.packages = views.package_views(content.packages, content.publications, self.shelf)
        self.trains = views.train_views(content.publications)
        self.renderer = Renderer(self.sources.root, self._addresses())
        self.environment = self._environment()
        about = [page for page in self.content.guide if page.meta.package]
        about.sort(key=lambda page: page.meta.package == f"mirage-{page.id}")  # its own page goes before its others
        self.guides = {str(page.meta.package): f"/docs/{page.id}/" for page in about}
        self.standings = self._standings()

    def build(self) -> dict[str, bytes]:
        content = self.content
        shown = {
            "posts": self._show(content.posts, "/blog/"),
            "guide": self._show(content.guide, "/docs/"),
            "releases": self._show(content.releases, "/releases/"),
            "links": self._show(content.links, "/links/", anchor=True),
            "talks": self._show(content.talks, "/talks/", anchor=True),
            "meetings": self._show(content.meetings, "/community/"),
            "pioneers": self._show(content.pioneers, "/pioneers/"),
        }
        self.pages = {page.id: page for page in self._show(tuple(content.pages.values()), "/")}
        self._check_references()
        if self.problems:
            raise ContentError(self.problems)
        trains = [_Told(train, _notes(train, shown["releases"]), self._logged(train.releases)) for train in self.trains]
        self._sections(shown, trains)
        self._feeds(shown, trains)
        self._status()
        for key, value in self.shelf.tree.items():
            self._put(key, value)
        self._put(LINKS, _json({link.id: link.meta.url for link in content.links}))
        self._put("sitemap.xml", feeds.sitemap(self.changed.items(), content.site.url))
        self._put("robots.txt", f"User-agent: *\nAllow: /\n\nSitemap: {content.site.url}/sitemap.xml\n".encode())
        self._check_content_links(shown)
        if self.problems:
            raise ContentError(self.problems)
        check_links(self.files, self._redirects())
        return dict(sorted(self.files.items()))

    # What things are called

    def _addresses(self) -> dict[str, str]:
        """The address of the page that each Markdown file becomes."""
        content = self.content
        folders: list[tuple[str, tuple[Entry[Any], ...]]] = [
            ("/blog/", content.posts),
            ("/docs/", content.guide),
            ("/releases/", content.releases),
            ("/pioneers/", content.pioneers),
            ("/community/", content.meetings),
        ]
        addresses = {entry.file.as_posix(): f"{folder}{entry.id}/" for folder, entries in folders for entry in entries}
        addresses |= {link.file.as_posix(): f"/links/{link.id}" for link in content.links}
        addresses |= {page.file.as_posix(): f"/{page.id}/" for page in content.pages.values()}
        addresses |= {
            (package.file.parent / "README.md").as_posix(): views.package_address(package.name)
            for package in content.packages
        }
        return addresses | {"docs/index.md": "/docs/"}

    def _redirects(self) -> frozenset[str]:
        return frozenset(f"/links/{link.id}" for link in self.content.links)

    def _environment(self) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(self.sources.site / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        styles = b"\n".join((self.sources.site / "styles" / name).read_bytes() for name in STYLES)
        environment.globals.update(
            site=self.content.site,
            stylesheet=self._asset("site.css", styles),
            icon=self._asset("icon.svg", (self.sources.site / "images" / "icon.svg").read_bytes()),
            drawing=self._drawing,
            change_kinds=tree.CHANGE_KINDS,
            code=code_block,
            package_address=views.package_address,
        )
        environment.filters["day"] = _day
        environment.filters["grouped"] = _grouped_by
        environment.filters.update(octets=_octets, moment=moment, clock=clock, duration=duration)
        return environment

    def _asset(self, name: str, content: bytes) -> str:
        """Put a file under a name that changes with its content, so that it can be kept for a year; its address."""
        stem, _, suffix = name.rpartition(".")
        key = f"assets/{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
        self._put(key, content)
        return f"/{key}"

    def _drawing(self, name: str) -> Markup:
        """An SVG file of the site, to stand inside a page."""
        return Markup((self.sources.site / name).read_text("utf-8").strip())  # noqa: S704  # a file of the tree

    # Content to HTML

    def _show(self, entries: tuple[Entry[M], ...], folder: str, *, anchor: bool = False) -> tuple[Shown, ...]:
        """Render entries whose pages live in `folder`, or stand on its one page under their ids."""
        out = []
        for entry in entries:
            title = getattr(entry.meta, "title", None)
            try:
                text = self.renderer.render(entry.body, entry.file, entry.line, title, top=3 if anchor else 2)
            except ContentError as error:
                self.problems.extend(error.problems)
                continue
            out.append(Shown(entry, f"{folder}#{entry.id}" if anchor else f"{folder}{entry.id}/", text))
        return tuple(out)

    def _standings(self) -> tuple[Standing, ...]:
        packages = self.content.packages
        return tuple(
            Standing(system, tuple(package for package in packages if system.name in package.systems))
            for system in self.content.systems
        )

    def _check_references(self) -> None:
        """Names that one file uses of another."""
        names = {package.name for package in self.content.packages}
        for page in self.content.guide:
            if page.meta.package and page.meta.package not in names:
                self._problem(page, f"field 'package': {page.meta.package!r} is not in the tree")
        for project in self.content.pioneers:
            if not re.fullmatch(r"mirage(-[a-z0-9]+)+", project.meta.package):
                self._problem(project, f"field 'package': expected mirage-NAME, found {project.meta.package!r}")
        for name in ("home", "community", "status", "talks", "pioneers", "packages", "links"):
            if name not in self.content.pages:
                message = f"this page is missing: {name}.md"
                self.problems.append(Problem("site/content/pages", 1, message))
        trains = {train.id: train.releases for train in self.trains}
        for release in self.content.releases:
            came = {f"{one.name} {one.version}" for one in trains.get(release.id, ())}
            said = set(release.meta.packages)
            if not came:
                self._problem(release, f"no release of {INDEX} came with a train {release.id!r}")
            elif said and said != came:
                differing = ", ".join(sorted(said ^ came))
                self._problem(release, f"field 'packages': {INDEX} and this file do not agree on {differing}")
        urls: dict[str, Entry[Any]] = {}
        for link in self.content.links:
            other = urls.setdefault(link.meta.url, link)
            if other is not link:
                self._problem(link, f"field 'url': {other.file.as_posix()} leads there already")

    def _problem(self, entry: Entry[Any], message: str) -> None:
        text = (self.sources.root / entry.file).read_text("utf-8")
        line = tree.line_of(text, message.split("'")[1] + ":") if message.startswith("field") else 1
        self.problems.append(Problem(str(entry.file), line, message))

    def _check_content_links(self, shown: dict[str, tuple[Shown, ...]]) -> None:
        redirects = self._redirects()
        for item in [*self.pages.values(), *(item for items in shown.values() for item in items)]:
            for link in item.text.links:
                address, _, fragment = link.href.partition("#")
                target = self.files.get(key_of(address))
                message = ""
                if address not in redirects and target is None:
                    message = (
                        f"link {link.href!r} leads nowhere; expected an address of this site, as /docs/ or /blog/ID/"
                    )
                elif fragment and target is not None and f'id="{fragment}"'.encode() not in target:
                    message = f"link {link.href!r}: that page has no {fragment!r}"
                if message:
                    self.problems.append(Problem(str(item.entry.file), link.line, message))

    # Pages

    def _sections(self, shown: dict[str, tuple[Shown, ...]], trains: list[_Told]) -> None:
        common: dict[str, Any] = dict(shown, packages=self.content.packages, guides=self.guides, shelf=self.packages)
        common["publications"] = self.content.publications
        common["trains"] = trains
        common["gone"] = [view for view in self.packages.values() if view.package is None]
        common["standings"] = [standing for standing in self.standings if standing.system.origin == "review"]
        common["beneath"] = [standing for standing in self.standings if standing.system.origin == "upstream"]
        common["graph"] = graph.drawing(self.content.packages)
        common["built"] = sum(standing.built for standing in common["standings"])
        self._page("/", "home.html", "home", common, page=self.pages["home"])
        self._page("/blog/", "blog.html", "blog", common)
        for post in shown["posts"]:
            changed = post.meta.updated or post.meta.date
            self._page(post.address, "post.html", "blog", common, changed=changed, post=post)
        self._guide(shown["guide"], common)
        for name in ("packages", "links", "talks", "community", "pioneers"):
            self._page(f"/{name}/", f"{name}.html", name, common, page=self.pages[name])
        self._packages(common)
        self._releases(common)
        for notes in shown["meetings"]:
            self._page(notes.address, "meeting.html", "community", common, changed=notes.meta.date, notes=notes)
        for project in shown["pioneers"]:
            started = any(package.name == project.meta.package for package in self.content.packages)
            systems = _systems_of(project.entry, self.content.systems)
            self._page(
                project.address, "pioneer.html", "pioneers", common, project=project, started=started, systems=systems
            )
        for status, name in ((404, "Not found"), (500, "Something broke")):
            self._put(f"{status}.html", self._html(f"{status}.html", "", common, f"/{status}.html", title=name))

    def _status(self) -> None:
        """The pages under /status/, and what the bot published beside them."""
        url = self.content.site.url
        found = load_status(self.sources.status, url)
        common: dict[str, Any] = {"status": found, "outcomes": OUTCOMES}
        self._page("/status/", "status.html", "status", common, page=self.pages["status"])
        if found is None:
            return
        for night in found.nights:
            self._page(f"/status/nights/{night['name']}/", "status-night.html", "status", common, night=night)
        for log in found.logs:
            self._page(f"/status/{log.cell['log'].removesuffix('.txt')}/", "status-log.html", "status", common, log=log)
        for path, content in found.files.items():
            self._put(f"status/{path}", content)

    def _guide(self, guide: tuple[Shown, ...], common: dict[str, Any]) -> None:
        overview = next((page for page in guide if page.id == "index"), None)
        pages = tuple(page for page in guide if page.id != "index")
        groups = _grouped(pages, self.content.packages)
        reading = tuple(page for _, members in groups for page in members)
        self._page("/docs/", "guide.html", "docs", common, page=overview, groups=groups)
        for before, page, after in zip((None, *reading), reading, (*reading[1:], None), strict=False):
            self._page(
                page.address, "guide-page.html", "docs", common, page=page, groups=groups, before=before, after=after
            )

    def _packages(self, common: dict[str, Any]) -> None:
        waiting = {package.name: changes for package, changes in self._unreleased()}
        for view in self.packages.values():
            about = self._described(view)
            self._page(
                view.address,
                "package.html",
                "packages",
                common,
                changed=view.releases[0].date if view.releases else None,
                view=view,
                about=about,
                waiting=waiting.get(view.name, []),
                log=self._logged(view.releases),
            )

    def _described(self, view: views.PackageView) -> Markup | None:
        """What a package's README says, if it says anything."""
        if view.package is None or not view.package.readme:
            return None
        return self._text(view.package.readme, view.package.file.parent / "README.md", top=3, slugs={})

    def _releases(self, common: dict[str, Any]) -> None:
        growth = Markup(chart(self.shelf.days, style="")) if self.shelf.days else None  # noqa: S704  # our own drawing
        self._page("/releases/", "releases.html", "releases", common, changes=self._unreleased(), growth=growth)
        for told in common["trains"]:
            self._page(told.train.address, "release.html", "releases", common, changed=told.train.date, told=told)

    def _logged(self, releases: Iterable[Publication]) -> list[views.Changes]:
        """What the packages' changelogs say of some releases."""
        out = []
        slugs: dict[str, int] = {}
        for one in releases:
            package = self.packages[one.name].package
            for part in package.log if package else ():
                if part.version == str(one.version) and part.body.strip():
                    text = self._text(part.body, part.file, part.line, top=4, slugs=slugs)
                    out.append(views.Changes(one.name, views.package_address(one.name), one.version, text))
        return out

    def _text(self, body: str, file: Path, line: int = 1, *, top: int, slugs: dict[str, int]) -> Markup:
        """A part of a page from a file of a package; what is wrong with it is noted."""
        try:
            return self.renderer.render(body, file, line, top=top, slugs=slugs).html
        except ContentError as error:
            self.problems.extend(error.problems)
            return Markup()

    def _unreleased(self) -> list[tuple[Package, list[tuple[str, Markup]]]]:
        """The packages that have changes since their last release, each change with its kind."""
        out = []
        for package in self.content.packages:
            slugs: dict[str, int] = {}
            changes = [(c.kind, self._text(c.body, c.file, top=4, slugs=slugs)) for c in package.changes]
            if changes:
                order = list(tree.CHANGE_KINDS)
                out.append((package, sorted(changes, key=lambda change: order.index(change[0]))))
        return out

    def _feeds(self, shown: dict[str, tuple[Shown, ...]], trains: list[_Told]) -> None:
        posts = tuple(
            feeds.Item(
                post.address, post.meta.title, post.meta.date, post.meta.updated or post.meta.date, post.meta.summary,
                post.text.html, "blog",
            )
            for post in shown["posts"]
        )  # fmt: skip
        releases = tuple(
            feeds.Item(
                told.train.address,
                told.title,
                told.train.date,
                told.train.date,
                told.summary,
                self._said(told),
                "release",
            )
            for told in trains
        )
        links = tuple(
            feeds.Item(
                f"/links/#{link.id}", link.meta.title, link.meta.date, link.meta.date, link.entry.body.strip(),
                link.text.html, "link",
            )
            for link in shown["links"]
        )  # fmt: skip
        everything = sorted((*posts, *releases, *links), key=lambda item: (-item.updated.toordinal(), item.address))
        title, site = self.content.site.title, self.content.site
        for feed in (
            feeds.Feed("/blog/atom.xml", f"{title}: blog", "Articles", "/blog/", posts),
            feeds.Feed("/releases/atom.xml", f"{title}: releases", "What was published", "/releases/", releases),
            feeds.Feed("/atom.xml", title, "Articles, releases and links", "/", tuple(everything)),
        ):
            self._put(feed.address[1:], feeds.atom(feed, site.url, site.author, site.started))

    def _told(self, train: views.TrainView, notes: Shown | None) -> _Told:
        """What a train's page says: its notes, which tell every package's changes, or else the changelogs."""
        return _Told(train, notes, [] if notes else self._logged(train.releases))

    def _said(self, told: _Told) -> Markup:
        """A train's page without its frame, for the feed."""
        values = {"told": told, "shelf": self.packages}
        return Markup(self.environment.get_template("train.html").render(values).strip())  # noqa: S704  # a template's

    def _page(
        self,
        address: str,
        template: str,
        section: str,
        common: dict[str, Any],
        *,
        changed: datetime.date | None = None,
        **context: Any,
    ) -> None:
        self.changed[address] = changed
        self._put(key_of(address), self._html(template, section, common, address, **context))

    def _html(self, template: str, section: str, common: dict[str, Any], address: str, **context: Any) -> bytes:
        values = common | context | {"section": section, "address": address}
        return self.environment.get_template(template).render(values).strip().encode() + b"\n"

    def _put(self, key: str, value: bytes) -> None:
        if key in self.files:
            self.problems.append(Problem(key, 1, "two sources make this file; rename one of them"))
        self.files[key] = value


_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def _day(date: datetime.date) -> str:
    """A date in words, whatever the locale of the machine that builds."""
    return f"{date.day} {_MONTHS[date.month - 1]} {date.year}"


def _notes(train: views.TrainView, releases: tuple[Shown, ...]) -> Shown | None:
    """What somebody wrote of a train, if anybody did."""
    return next((shown for shown in releases if shown.id == train.id), None)


def _octets(size: int) -> str:
    """A size as a reader wants it."""
    return (
        f"{size:,} octets" if size < 10_000 else f"{size / 1000:,.0f} kB" if size < 10**6 else f"{size / 10**6:,.1f} MB"
    )


def _grouped_by(items: Iterable[Any], path: str) -> list[tuple[Any, list[Any]]]:
    """Items with the same attribute put together, in the order in which each value first appears."""
    value = operator.attrgetter(path)
    groups: dict[Any, list[Any]] = {}
    for item in items:
        groups.setdefault(value(item), []).append(item)
    return list(groups.items())


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"


def _systems_of(project: Entry[Pioneer], systems: tuple[System, ...]) -> list[System]:
    return [system for system in systems if system.package == project.meta.package]


def _grouped(pages: tuple[Shown, ...], packages: tuple[Package, ...]) -> list[tuple[str, list[Shown]]]:
    """The guide's pages: first those about the whole, then those of each family's packages."""
    family_of = {package.name: package.family for package in packages}
    groups: dict[str, list[Shown]] = {"Start here": []}
    for family in tree.FAMILIES:
        groups[family.capitalize() if family != "tls" else "TLS"] = []
    for page in pages:
        meta: Guide = page.meta
        family = family_of.get(meta.package or "", "")
        name = "Start here" if not family else family.capitalize() if family != "tls" else "TLS"
        groups[name].append(page)
    return [(name, members) for name, members in groups.items() if members]
