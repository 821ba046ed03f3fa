"""announce: changelogs, release notes, tags; where asked, drafts of a GitHub release and of opam's pull request.

Fragments become a section of their package's `CHANGELOG.md` and vanish; the site makes its releases page, each
package's page and the feed from the changelogs and from what was published.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mirage.index import to_opam
from packaging.version import Version

from tasks import files

from .. import changelog, github, page
from ..journal import TRAINS
from ..model import Planned
from ..train import Stage, Train

__all__ = ["STAGE"]


def _run(train: Train) -> None:
    plan = page.from_data(train.journal.data["plan"])
    date = train.journal.data["date"]
    for package in plan.packages:
        train.step("announce", f"gather {package.name}", lambda package=package: _gather(train, package, date))  # type: ignore[misc]
    notes = changelog.notes(plan.packages, train.name)
    train.step("announce", "notes", lambda: _write(train, _notes(train), notes))
    for package in plan.packages:
        tag = f"{package.name}-{package.new}"
        message = f"{package.name} {package.new}\n\n{changelog.section(package, date)}"
        train.step("announce", f"tag {tag}", lambda tag=tag, message=message: _tag(train, tag, message))  # type: ignore[misc]
    train.step("announce", "commit", lambda: _commit(train, plan.packages))
    if there := train.settings.get("github"):
        train.step("announce", f"draft on {there}", lambda: _draft(train, str(there), notes))
    if fork := train.settings.get("opam"):
        train.step("announce", f"pull request for {fork}", lambda: _ask(train, str(fork), plan.packages))


def _draft(train: Train, place: str, notes: str) -> str:
    return github.release(place, train.name, train.commit, f"The release of {train.name}", notes)


def _ask(train: Train, place: str, packages: tuple[Planned, ...]) -> str:
    paths = [f"packages/{p.name}/{p.name}.{_opam(p.new)}/opam" for p in packages]
    content = {path: (train.work / "index" / "opam" / path).read_bytes() for path in paths}
    return github.opam_request(place, train.name, content)


def _notes(train: Train) -> Path:
    """Where the notes are, below the tree's root."""
    return TRAINS / f"{train.name}.notes.md"


def _opam(version: str) -> str:
    return to_opam(Version(version))


def _gather(train: Train, package: Planned, date: str) -> dict[str, Any]:
    file = train.root / package.path / "CHANGELOG.md"
    before = file.read_text() if file.exists() else ""
    after = changelog.added(before, package, date)
    if after != before:
        files.write(file, after)
        train.echo(f"announce: {package.name} has its section")
    for fragment in package.fragments:
        (train.root / fragment.file).unlink(missing_ok=True)
    return {"fragments": len(package.fragments)}


def _write(train: Train, path: Path, text: str) -> str:
    files.write(train.root / path, text)
    return path.as_posix()


def _tag(train: Train, tag: str, message: str) -> str:
    train.git.tag(tag, train.commit, message)
    return train.commit


def _commit(train: Train, packages: tuple[Planned, ...]) -> str:
    paths = [*train.own_paths, _notes(train).as_posix()]
    for package in packages:
        paths += [f"{package.path}/CHANGELOG.md", *(f.file for f in package.fragments)]
    return train.git.commit(paths, f"release: the train {train.name} is announced", train.mark("announce"))


def _describe(train: Train) -> list[str]:
    found = [
        f"gather {len(p.fragments)} fragments in {p.path}/CHANGELOG.md and tag {p.name}-{p.new}"
        for p in page.from_data(train.journal.data["plan"]).packages
    ]
    found += [f"draft a release on {place}" for place in [train.settings.get("github")] if place]
    found += [f"prepare a pull request for {place}" for place in [train.settings.get("opam")] if place]
    return [*found, f"write {_notes(train)} and commit all that"]


def _intact(train: Train) -> bool:
    wanted = [("github", "draft on {}"), ("opam", "pull request for {}")]
    steps = train.journal.steps("announce")
    return all(form.format(train.settings[key]) in steps for key, form in wanted if train.settings.get(key))


STAGE = Stage("announce", _run, _describe, _intact)
