"""plan: say what is released and why, write the versions and bounds into the tree, and commit them.

The commit is what everything is built from, so that neither a later change nor a stray file gets into a release.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tasks import files

from .. import edit, graph, page
from ..journal import TRAINS
from ..train import Stage, Train

__all__ = ["STAGE"]


def _run(train: Train) -> None:
    train.step("plan", "page", lambda: _write(train, _pages(train)))
    edits = edited(train)
    train.step("plan", "edits", lambda: _write(train, edits))
    train.step("plan", "commit", lambda: _commit(train, list(edits)))


def _pages(train: Train) -> dict[str, str]:
    """The page that says what is planned, and its drawing."""
    plan = page.from_data(train.journal.data["plan"])
    stem = (TRAINS / train.name).as_posix()
    date = train.journal.data["date"]
    drawing = graph.svg(plan.packages, f"The packages of the train {train.name}")
    return {f"{stem}.md": page.page(plan, train.name, date), f"{stem}.svg": drawing}


def _write(train: Train, content: dict[str, str]) -> list[str]:
    for file, text in content.items():
        files.write(train.root / file, text)
        train.echo(f"plan: {file} is written")
    return list(content)


def edited(train: Train) -> dict[str, str]:
    """The files that the plan changes, below the root, as they are to be: made from what they were when it was made."""
    data = train.journal.data
    versions = {f"{p['path']}/pyproject.toml": p["new"] for p in data["plan"]["packages"]}
    bounds: dict[str, list[dict[str, str]]] = defaultdict(list)
    for bound in data["plan"]["bounds"]:
        bounds[bound["file"]].append(bound)
    found = {}
    for file in sorted({*versions, *bounds}):
        before = train.git.show(data["base"], file)
        after = edit.edited(before, file, versions.get(file), bounds[file])
        if after != before:
            found[file] = after
    return found


def _commit(train: Train, changed: list[str]) -> str:
    named = ", ".join(f"{p['name'].removeprefix('mirage-')} {p['new']}" for p in train.packages)
    message = f"release: the train {train.name} is planned\n\n{_wrapped(named)}"
    return train.git.commit([*train.own_paths, *changed], message, train.mark("plan"))


def _wrapped(text: str, width: int = 100) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)


def _describe(train: Train) -> list[str]:
    plan: dict[str, Any] = train.journal.data["plan"]
    found = [f"set {p['name']} to {p['new']} (now {p['old'] or 'never released'})" for p in plan["packages"]]
    found += [f"write {b['new']} in {b['file']} for {b['old']}" for b in plan["bounds"]]
    return [*found, f"commit that with {TRAINS / train.name}.json, .md and .svg"]


STAGE = Stage("plan", _run, _describe)
