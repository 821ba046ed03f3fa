"""Compares the tree with what was published: what breaks, and which floors are too low.

A floor is too low where a package writes a name that the oldest release its bound admits does not have: imported,
behind a dot, or as a keyword in a call; in what it distributes, in its tests, its examples or its benchmarks, for a
floor is proved by tests. Only what it writes more than it did at the commit of that release counts, as the tree was of
one piece then. Names alone are compared, since a source says no types: a new ``x.take`` raises the floor of every
provider that has a new ``take``. So a floor may rise for nothing, which costs a user a newer release; that is the
better mistake.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from packaging.version import Version

from . import api, uses
from .git import Git
from .model import Application, Member, Need, Published
from .uses import Kind

__all__ = ["Comparison", "module"]

_Name = tuple[Kind, str]

_FIRST = ("src/", "backend/")
"""What a package distributes: its places are named before those of its tests."""


def module(name: str) -> str:
    """The import name of a distribution of the tree."""
    return f"mirage.{name.removeprefix('mirage-').replace('-', '_')}"


class Comparison:
    """The tree beside its releases; sources of releases are laid out below `scratch`, each API is read once."""

    def __init__(
        self, git: Git, scratch: Path, members: Iterable[Member], published: Mapping[str, tuple[Published, ...]]
    ) -> None:
        self._git = git
        self._scratch = scratch
        self._members = {m.name: m for m in members}
        self._published = published
        self._there: set[tuple[str, str]] = set()
        self._before = cache(self._load_release)
        self._now = cache(lambda name: api.load(git.root / self._members[name].path / "src", module(name)))
        self._fresh = cache(self._find_fresh)
        self._edited = cache(lambda commit: [f for f in git.changed(commit) if f.endswith(".py")])

    def breaks(self) -> dict[str, tuple[str, ...]]:
        """What of each package's public API its last release did and the tree does not."""
        last = {name: self._published[name][-1] for name in self._members if name in self._published}
        changed = {name: release for name, release in last.items() if self._is_edited(name, release)}
        self._lay_out((release.commit, f"{self._members[name].path}/src") for name, release in changed.items())
        found = {}
        for name, release in changed.items():
            old, new = self._before(name, release.commit), self._now(name)
            if old is not None and new is not None and (gone := api.breaks(old, new)):
                found[name] = gone
        return found

    def needs(self, users: Iterable[Member | Application]) -> dict[tuple[str, str], tuple[Need, ...]]:
        """Why floors are too low: (user, provider) to the names, imports first; the user is a name or a path."""
        pairs = [(user, *each) for user in users for each in self._oldest(user)]
        self._lay_out((release.commit, f"{self._members[provider].path}/src") for _, provider, release in pairs)
        written: dict[tuple[str, str], list[tuple[str, Published]]] = defaultdict(list)
        for user, provider, release in pairs:
            written[user.path, release.commit].append((provider, release))
        files = {key: list(self._files(*key, providers)) for key, providers in written.items()}
        self._lay_out((commit, f"{path}/{file}") for (path, commit), each in files.items() for file in each)
        names = {user.path: _name(user) for user, _, _ in pairs}
        found = {}
        for (path, commit), providers in written.items():
            used = self._uses(path, commit, files[path, commit], self._words(providers))
            for provider, release in providers:
                if needs := tuple(self._lacking(used, provider, release)):
                    found[names[path], provider] = needs
        return found

    def _oldest(self, user: Member | Application) -> Iterator[tuple[str, Published]]:
        """The oldest release of each provider that a user admits, where the provider's code has changed since."""
        for provider, requirements in user.needs_with_groups.items():
            if provider == _name(user) or provider not in self._members:
                continue
            for release in self._published.get(provider, ()):
                version = release.version
                if release.yanked is None and any(r.specifier.contains(version, True) for r in requirements):
                    if self._is_edited(provider, release):
                        yield provider, release
                    break

    def _words(self, providers: Iterable[tuple[str, Published]]) -> frozenset[str]:
        """The names of these providers that are news behind a dot or in a call."""
        fresh = [self._fresh(provider, release.commit) for provider, release in providers]
        return frozenset(word for each in fresh if each for word in {*each.members, *each.keywords})

    def _files(self, path: str, commit: str, providers: Iterable[tuple[str, Published]]) -> Iterator[str]:
        """A user's files that differ from a commit's and may hold news, those that are distributed first."""
        anywhere = [_any(self._words(providers))]
        beside = []
        for provider, release in providers:
            if fresh := self._fresh(provider, release.commit):
                beside.append((module(provider), _any(fresh.imports)))
        files = [f.removeprefix(f"{path}/") for f in self._edited(commit) if f.startswith(f"{path}/")]
        for file in sorted(files, key=lambda f: (not f.startswith(_FIRST), f)):
            place = self._git.root / path / file
            text = place.read_text(encoding="utf-8") if place.exists() else ""
            some = [*anywhere, *(pattern for start, pattern in beside if start in text)]
            if any(pattern.search(text) for pattern in some):
                yield file

    def _uses(self, path: str, commit: str, files: Iterable[str], words: Collection[str]) -> Mapping[_Name, str]:
        """The names that a user writes and did not at a commit, each with the first place."""
        found: dict[_Name, str] = {}
        for file in files:
            old = self._scratch / commit / path / file
            before = old.read_text(encoding="utf-8") if old.exists() else ""
            now = (self._git.root / path / file).read_text(encoding="utf-8")
            for use in uses.more(now, before, words, f"{path}/{file}"):
                found.setdefault((use.kind, use.name), f"{file}:{use.line}")
        return found

    def _lacking(self, used: Mapping[_Name, str], provider: str, oldest: Published) -> Iterator[Need]:
        """What of it the oldest release does not have."""
        old, fresh = self._before(provider, oldest.commit), self._fresh(provider, oldest.commit)
        if old is None or fresh is None:
            return
        for (kind, name), place in sorted(used.items(), key=lambda each: (each[0][0].value, each[0][1])):
            if what := _what(old, fresh, provider, kind, name):
                yield Need(what, place, self._since(provider, oldest, kind, name))

    def _since(self, provider: str, oldest: Published, kind: Kind, name: str) -> Version | None:
        """The first release after the oldest from which on a name is no news; None where there is none yet."""
        for release in self._published[provider]:
            if release.version <= oldest.version:
                continue
            old, fresh = self._before(provider, release.commit), self._fresh(provider, release.commit)
            if old is not None and fresh is not None and not _what(old, fresh, provider, kind, name):
                return release.version
        return None

    def _find_fresh(self, provider: str, commit: str) -> api.Fresh | None:
        old, new = self._before(provider, commit), self._now(provider)
        return None if old is None or new is None else api.fresh(old, new)

    def _is_edited(self, name: str, release: Published) -> bool:
        """Whether a package's Python code has changed since a release."""
        start = f"{self._members[name].path}/src/"
        return any(file.startswith(start) for file in self._edited(release.commit))

    def _load_release(self, name: str, commit: str) -> api.Module | None:
        source = f"{self._members[name].path}/src"
        self._lay_out([(commit, source)])
        return api.load(self._scratch / commit / source, module(name))

    def _lay_out(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Write paths as commits have them; many at once are quicker."""
        paths: dict[str, list[str]] = defaultdict(list)
        for commit, path in sorted(set(wanted) - self._there):
            paths[commit].append(path)
            self._there.add((commit, path))
        for commit, each in paths.items():
            self._git.export(commit, each, self._scratch / commit)


def _any(words: Collection[str]) -> re.Pattern[str]:
    """One of the words; with none, nothing."""
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(words)))})\b" if words else r"(?!)")


def _what(old: api.Module, fresh: api.Fresh, provider: str, kind: Kind, name: str) -> str:
    """What a name is that an API has and an old one has not, in words; empty where it is nothing new."""
    if kind is Kind.IMPORT:
        return name if name.startswith(f"{module(provider)}.") and not api.has(old, name) else ""
    if kind is Kind.MEMBER:
        return f".{name} of {fresh.members[name]}" if name in fresh.members else ""
    return f"{name}= of {fresh.keywords[name]}" if name in fresh.keywords else ""


def _name(user: Member | Application) -> str:
    return user.name if isinstance(user, Member) else user.path
