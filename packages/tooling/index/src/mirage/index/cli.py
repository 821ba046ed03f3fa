"""The `mirage-index` command: make an index, add to it, ask it, serve it.

Exit codes: 0 done, 1 what was asked cannot be done or the index is wrong, 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mirage.types import MirageError
from packaging.requirements import InvalidRequirement, Requirement

from ._directory import Directory, ssh_signer, ssh_verify, write
from ._files import File, read_file
from ._history import chart, history
from ._reader import Index, Release
from ._serve import server
from ._tree import append, build
from .errors import IndexingError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    try:
        chosen = _parser().parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    try:
        found, text = COMMANDS[chosen.command](chosen)
    except (MirageError, OSError) as error:
        print(f"mirage-index: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found, indent=2, default=str) if chosen.json else text)
    return 1 if chosen.command == "verify" and found["problems"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("mirage-index", description="One package index for pip, uv and opam.")
    parser.add_argument("--dir", type=Path, default=Path("index"), help="where the index is (default: index)")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, words: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=words, description=words)
        made.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        return made

    for name, words in (("build", "make a new index of files"), ("append", "add files to an index")):
        made = command(name, words)
        made.add_argument("files", nargs="*", type=Path, metavar="FILE", help="wheels, sdists, folders of them")
        made.add_argument(
            "--uploaded", type=int, metavar="SECONDS", help="since 1970; else SOURCE_DATE_EPOCH, else now"
        )
        made.add_argument("--sign", type=Path, metavar="KEY", help="an SSH key that signs the root")
        if name == "build":
            made.add_argument("--base", required=True, metavar="URL", help="where the index will be served")
    made = command("yank", "mark a release as one that nobody should choose")
    made.add_argument("release", metavar="NAME==VERSION")
    made.add_argument("why")
    made.add_argument("--sign", type=Path, metavar="KEY")
    command("list", "the projects with their newest releases")
    command("search", "projects by name or summary").add_argument("text")
    made = command("show", "a release: description, files, what it needs and who needs it")
    made.add_argument("release", metavar="NAME[==VERSION]")
    command("closure", "all that requirements lead to").add_argument("requirements", nargs="+", metavar="REQUIREMENT")
    made = command("dependents", "who needs a project")
    made.add_argument("name")
    made.add_argument("--all", action="store_true", help="also through others")
    command("fits", "which versions work with every dependent").add_argument("name")
    made = command("history", "packages and releases by date")
    made.add_argument("--svg", type=Path, metavar="FILE", help="draw them too")
    made = command("verify", "check every file against the root, and the root's signature")
    made.add_argument("--allowed", type=Path, metavar="FILE", help="allowed signers, as ssh-keygen reads them")
    made.add_argument("--identity", default="release", help="who must have signed (default: release)")
    made = command("serve", "serve the index until Ctrl-C")
    made.add_argument("--port", type=int, default=8000)
    return parser


def _read(paths: Sequence[Path], uploaded: int | None) -> list[File]:
    when = uploaded if uploaded is not None else int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    found: list[Path] = []
    for path in paths:
        found += sorted(p for p in path.iterdir() if p.name.endswith((".whl", ".tar.gz"))) if path.is_dir() else [path]
    beside = [(p, p.with_name(f"{p.name}.provenance")) for p in found]
    return [
        read_file(p.name, p.read_bytes(), uploaded=when, provenance=q.read_bytes() if q.exists() else None)
        for p, q in beside
    ]


def _build(chosen: argparse.Namespace) -> tuple[Any, str]:
    if (chosen.dir / "simple").exists():
        raise IndexingError(f"{chosen.dir} holds an index already: add to it with append")
    signer = ssh_signer(chosen.sign) if chosen.sign else None
    return _written(chosen.dir, build(_read(chosen.files, chosen.uploaded), base=chosen.base, sign=signer))


def _append(chosen: argparse.Namespace) -> tuple[Any, str]:
    signer = ssh_signer(chosen.sign) if chosen.sign else None
    files = _read(chosen.files, chosen.uploaded)
    return _written(chosen.dir, append(Directory(chosen.dir), files, sign=signer))


def _yank(chosen: argparse.Namespace) -> tuple[Any, str]:
    name, _, version = chosen.release.partition("==")
    signer = ssh_signer(chosen.sign) if chosen.sign else None
    yanks = {(name, version): chosen.why}
    return _written(chosen.dir, append(Directory(chosen.dir), [], yanks=yanks, sign=signer))


def _written(root: Path, changed: dict[str, bytes]) -> tuple[Any, str]:
    write(root, changed)
    return {"written": list(changed)}, f"{len(changed)} files written in {root}"


def _index(chosen: argparse.Namespace) -> Index:
    return Index(Directory(chosen.dir))


def _lines(index: Index, releases: Sequence[Release]) -> tuple[Any, str]:
    rows = [(r.name, str(r.version), index.metadata(r).summary or "") for r in releases]
    width = max((len(name) for name, _, _ in rows), default=0)
    lines = [f"{name:<{width}}  {version:<10}  {words}" for name, version, words in rows]
    return [dict(zip(("name", "version", "summary"), row, strict=True)) for row in rows], "\n".join(lines)


def _list(chosen: argparse.Namespace) -> tuple[Any, str]:
    index = _index(chosen)
    return _lines(index, [index.release(name) for name in index.projects])


def _search(chosen: argparse.Namespace) -> tuple[Any, str]:
    index = _index(chosen)
    return _lines(index, index.search(chosen.text))


def _show(chosen: argparse.Namespace) -> tuple[Any, str]:
    index = _index(chosen)
    name, _, version = chosen.release.partition("==")
    release = index.release(name, version or None)
    said = index.metadata(release)
    found = {
        "name": release.name,
        "version": str(release.version),
        "summary": said.summary,
        "licence": said.license_expression,
        "uploaded": release.uploaded,
        "yanked": release.yanked,
        "versions": [str(r.version) for r in index.releases(name)],
        "requires": [str(r) for r in index.requires(release)],
        "dependents": list(index.dependents(name)),
        "files": {f["filename"]: f["hashes"]["sha256"] for f in release.files},
    }
    lines = []
    for key, value in found.items():
        words = (
            [str(v) for v in value] if isinstance(value, (list, dict)) else [str(value)] if value is not None else []
        )
        lines.append(f"{key:<11} {', '.join(words) or '-'}")
    return found, "\n".join(lines)


def _closure(chosen: argparse.Namespace) -> tuple[Any, str]:
    try:
        wanted = [Requirement(text) for text in chosen.requirements]
    except InvalidRequirement as error:
        raise IndexingError(f"that is no requirement: {error}") from error
    found = {n: str(r.version) for n, r in _index(chosen).closure(wanted).items()}
    return found, "\n".join(f"{name}=={version}" for name, version in found.items())


def _dependents(chosen: argparse.Namespace) -> tuple[Any, str]:
    found = {n: str(s) for n, s in _index(chosen).dependents(chosen.name, direct=not chosen.all).items()}
    return found, "\n".join(f"{name}  {specifiers}".rstrip() for name, specifiers in found.items())


def _fits(chosen: argparse.Namespace) -> tuple[Any, str]:
    fit = _index(chosen).fits(chosen.name)
    found = {
        "name": fit.name,
        "wanted": {n: str(s) for n, s in fit.wanted.items()},
        "versions": list(map(str, fit.versions)),
    }
    lines = [f"{name} wants {specifiers or 'any'}" for name, specifiers in fit.wanted.items()]
    return found, "\n".join([*lines, f"that is: {', '.join(map(str, fit.versions)) or 'no published version'}"])


def _history(chosen: argparse.Namespace) -> tuple[Any, str]:
    days = history(_index(chosen))
    if chosen.svg:
        chosen.svg.write_text(chart(days))
    return [asdict(d) for d in days], "\n".join(
        f"{d.date}  {d.packages:>4} packages  {d.releases:>5} releases" for d in days
    )


def _verify(chosen: argparse.Namespace) -> tuple[Any, str]:
    index = _index(chosen)
    if chosen.allowed:
        ssh_verify(Directory(chosen.dir), chosen.allowed, chosen.identity)
    problems, absent = index.problems(), index.absent()
    lines = problems or [
        "every file is as the root says" + (f", which {chosen.identity} signed" if chosen.allowed else "")
    ]
    lines += [f"not in this index: {name}, needed by {', '.join(who)}" for name, who in absent.items()]
    return {"problems": problems, "absent": absent}, "\n".join(lines)


def _serve(chosen: argparse.Namespace) -> tuple[Any, str]:
    with server(Directory(chosen.dir), port=chosen.port) as running:
        address = "http://{}:{}".format(*running.server_address[:2])
        print(f"{address}/simple/ for pip and uv, {address}/opam for opam", file=sys.stderr)
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            return {}, ""
    return {}, ""


COMMANDS: dict[str, Callable[[argparse.Namespace], tuple[Any, str]]] = {
    "build": _build,
    "append": _append,
    "yank": _yank,
    "list": _list,
    "search": _search,
    "show": _show,
    "closure": _closure,
    "dependents": _dependents,
    "fits": _fits,
    "history": _history,
    "verify": _verify,
    "serve": _serve,
}
