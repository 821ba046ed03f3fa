"""publish: the files join the index, `site/index/`; where asked, they are signed, attested, and uploaded by twine.

The index is part of the tree: what is committed here is what the website serves after its next build.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from mirage.index import build, read_file, ssh_signer
from mirage.types import MirageError

from tasks import files

from .. import signing
from ..clients import run
from ..errors import Failed, Refused
from ..index_data import FOLDER, IndexData, entry
from ..train import Stage, Train, published_paths

__all__ = ["STAGE", "base_address", "sign_root", "upload"]


def _run(train: Train) -> None:
    _gate(train)
    data = IndexData(train.root)
    uploaded = train.step("publish", "time", lambda: int(train.now()))
    key, vouched = train.settings.get("sign"), {}
    for package in train.packages:
        name = package["name"]
        vouched[name] = train.step("publish", f"vouch for {name}", lambda name=name: _vouch(train, name, key))  # type: ignore[misc]
    for package in train.packages:
        name = package["name"]
        beside = [*vouched[name]["signatures"], *vouched[name]["attestations"]]
        paths = [*train.files(name), *(train.dist / each for each in beside)]
        train.step("publish", f"add the files of {name}", lambda paths=paths: _add(train, data, paths))  # type: ignore[misc]
    train.step("publish", "list them", lambda: data.add([_entry(train, p, uploaded, vouched) for p in train.packages]))
    if key:
        train.step("publish", "sign the root", lambda: sign_root(train.root, Path(key)))
    train.step("publish", "commit", lambda: _commit(train))
    if address := train.settings.get("upload"):
        for package in train.packages:
            paths = train.files(package["name"])
            what = f"upload {package['name']} to {address}"
            train.step("publish", what, lambda paths=paths: upload(paths, address))  # type: ignore[misc]


def _gate(train: Train) -> None:
    """The tree must be one that has the plan in it, and verify must have looked at everything. Raises `Refused`."""
    if train.git.find(train.mark("plan")) != train.commit:
        raise Refused(f"HEAD does not have the plan's commit {train.commit[:12]}; check out the branch that it is on")
    for name, built in train.journal.steps("build").items():
        for file, said in built.items():
            if files.sha256(train.dist / file) != said["sha256"]:
                raise Refused(f"{file} of {name} is not what was built: ./noxw -s release -- build")
    left_out = train.journal.data.get("left_out", [])
    if left_out and not train.settings.get("accept_unverified"):
        raise Refused(
            f"verify left out {', '.join(left_out)}; run verify without --without, or publish with --accept-unverified"
        )


def _vouch(train: Train, name: str, key: str | None) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {"signatures": [], "attestations": []}
    kind = signing.identity()
    for path in train.files(name):
        if key:
            said["signatures"].append(signing.sign(path, Path(key)).name)
        if kind:
            said["attestations"].append(signing.attest(path, _publisher(kind)).name)
    return said


def _publisher(kind: str) -> dict[str, str]:
    """Who publishes, as the environment of a workflow tells it (PEP 740)."""
    if kind == "github":
        workflow = os.environ.get("GITHUB_WORKFLOW_REF", "").partition("@")[0].rpartition("/")[2]
        return {"kind": "GitHub", "repository": os.environ.get("GITHUB_REPOSITORY", ""), "workflow": workflow}
    repository = os.environ.get("CI_PROJECT_PATH", "")
    return {"kind": "GitLab", "repository": repository, "workflow_filepath": ".gitlab-ci.yml"}


def _add(train: Train, data: IndexData, paths: list[Path]) -> list[str]:
    for path in paths:
        if data.add_file(path):
            train.echo(f"publish: {path.name} is in the index's files")
    return [path.name for path in paths]


def _entry(train: Train, package: dict[str, Any], uploaded: int, vouched: dict[str, Any]) -> dict[str, Any]:
    made = entry(
        package["name"],
        package["new"],
        date=train.journal.data["date"],
        train=train.name,
        commit=train.commit,
        uploaded=uploaded,
        paths=train.files(package["name"]),
    )
    made.update(vouched[package["name"]])
    return made


def base_address(root: Path) -> str:
    """Where the website, and so the index, is served: `url` of `site/content/site.md`. Raises `Failed`."""
    file = root / "site" / "content" / "site.md"
    if file.exists():
        for line in file.read_text().splitlines():
            if line.startswith("url:"):
                return line.partition(":")[2].strip().rstrip("/") + "/"
    raise Failed(f"{file} does not say url:, so the index has no address to be signed for")


def sign_root(root: Path, key: Path) -> str:
    """Sign `SHA256SUMS` of the whole index as the site makes it; the signature is kept beside the list."""
    data = IndexData(root)
    found, yanks = [], {}
    for release in data.releases:
        if release["yanked"] is not None:
            yanks[release["name"], release["version"]] = release["yanked"]
        for file in release["files"]:
            path = data.folder / "files" / file["filename"]
            beside = path.with_name(f"{path.name}.provenance")
            provenance = beside.read_bytes() if beside.exists() else None
            uploaded = _seconds(file["upload_time"])
            found.append(read_file(path.name, path.read_bytes(), uploaded=uploaded, provenance=provenance))
    try:
        tree = build(found, base=base_address(root), yanks=yanks, sign=ssh_signer(key))
    except MirageError as error:
        raise Failed(f"the index's root cannot be signed: {error}") from error
    files.write(data.folder / "SHA256SUMS.sig", tree["SHA256SUMS.sig"])
    return files.sha256(data.folder / "SHA256SUMS.sig")


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def _commit(train: Train) -> str:
    count = len(train.packages)
    message = f"release: the train {train.name} publishes {count} {'package' if count == 1 else 'packages'}"
    return train.git.commit([*train.own_paths, *published_paths()], message, train.mark("publish"))


def upload(paths: list[Path], address: str) -> dict[str, str]:
    """Upload files to a repository; of each, whether it was sent or there already. Raises `Failed`.

    Who uploads is twine's business: TWINE_USERNAME and TWINE_PASSWORD, or a keyring. Its own --skip-existing works with
    some repositories only, so a refusal is read here: 409 Conflict, or words that say so.
    """
    command = [sys.executable, "-m", "twine", "upload", "--non-interactive", "--disable-progress-bar", "--verbose"]
    command += ["--repository-url", address]
    with contextlib.suppress(Failed):  # which of them it was, is found out one by one
        run([*command, *map(str, paths)], seconds=600)
        return {path.name: "sent" for path in paths}
    said = {}
    for path in paths:
        try:
            run([*command, str(path)], seconds=600)
            said[path.name] = "sent"
        except Failed as error:
            if not _EXISTS.search(str(error)):
                raise
            said[path.name] = "there already"
    return said


_EXISTS = re.compile(r"\b409 |already (exists|been taken)|file name has already", re.IGNORECASE)


def _describe(train: Train) -> list[str]:
    found = [f"add {p['name']} {p['new']} to {FOLDER}" for p in train.packages]
    if train.settings.get("sign"):
        found.append("sign each file and the root")
    if signing.identity():
        found.append("attest each file")
    if address := train.settings.get("upload"):
        found.append(f"upload them to {address}")
    return [*found, f"commit {FOLDER}"]


def _intact(train: Train) -> bool:
    there = {(e["name"], e["version"]) for e in IndexData(train.root).releases}
    uploaded = train.settings.get("upload")
    steps = train.journal.steps("publish")
    sent = not uploaded or all(f"upload {p['name']} to {uploaded}" in steps for p in train.packages)
    return sent and all((p["name"], p["new"]) in there for p in train.packages)


STAGE = Stage("publish", _run, _describe, _intact)
