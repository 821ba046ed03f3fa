"""A rehearsal: the whole train on a clone of the tree, so that nothing of it is real.

The clone is in `_build/rehearsal`. A key that is made for it signs; twine uploads to a pypiserver on loopback; at the
end the website is booted with what was published, and pip, uv and opam install from it. Beyond loopback, only
the registry of this machine is asked.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks import files

from . import arrived, survey
from .clients import run
from .errors import Failed
from .git import Git
from .index_data import IndexData
from .journal import STAGES, TRAINS, Journal
from .train import Train

__all__ = ["rehearse", "repository"]

FRAGMENT = "changes.d/rehearsal.fixed.md"


def rehearse(root: Path, names: Sequence[str], without: Sequence[str], dry_run: bool) -> int:
    """Run it and print what came of it; 0 only when everything worked. Raises `TrainError`."""
    place = root / "_build" / "rehearsal"
    if dry_run:
        print(f"rehearse: would clone HEAD to {place / 'clone'} and bring a train there through {', '.join(STAGES)}")
        return 0
    if dirty := Git(root).dirty(["_build/"]):
        print(f"rehearse: {len(dirty)} files are not committed and stay out of it: {', '.join(dirty[:3])}")
    clone = _clone(root, place)
    _something_to_release(clone, names)
    key = place / "key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "rehearsal", "-f", str(key)])
    started = time.monotonic()
    with repository(place / "uploaded") as address:
        words = ["run", "--sign", str(key), "--upload", address, *names]
        words += ["--without", ",".join(without), "--accept-unverified"] if without else []
        _release(clone, words)
    (file,) = [f for f in (clone / TRAINS).glob("*.json") if not (root / TRAINS / f.name).exists()]
    train = Train(clone, Journal.load(file), echo=lambda line: print(f"rehearse: {line}", flush=True))
    rows = [(stage, train.journal.seconds(stage)) for stage in STAGES]
    looking = time.monotonic()
    train.echo(
        f"{arrived.check_files(train, key, place / 'uploaded')} files are signed and uploaded as they were built"
    )
    said = arrived.check_website(train, without)
    rows.append(("look", time.monotonic() - looking))
    print("\n".join([f"\n  {'stage':<10} {'seconds':>9}", *(f"  {name:<10} {spent:>9.2f}" for name, spent in rows)]))
    print(f"  {'together':<10} {time.monotonic() - started:>9.2f}\n")
    website = train.journal.steps("stage")["website"]
    print(f"  {website}")
    print(f"rehearsal: {len(train.packages)} packages released, website booted from the index, {', '.join(said)}")
    return 0


def _clone(root: Path, place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    clone = place / "clone"
    clone.parent.mkdir(parents=True)
    Git(root)("clone", "--quiet", "--no-hardlinks", str(root), str(clone))
    git = Git(clone)
    git("config", "user.name", "Rehearsal")
    git("config", "user.email", "rehearsal@example.org")
    git("config", "commit.gpgsign", "false")
    return clone


def _something_to_release(clone: Path, names: Sequence[str]) -> None:
    """Where no package has a change to tell, each gets one, so that there is something to rehearse with."""
    members = survey.members(clone)
    published = IndexData(clone).published()
    if any(m.fragments or m.name not in published for m in members):
        return
    wanted = [m for m in members if not names or m.name.removeprefix("mirage-") in names or m.name in names]
    for member in wanted:
        files.write(clone / member.path / FRAGMENT, "A rehearsal of the release train.\n")
    git = Git(clone)
    git("add", "--", *(f"{m.path}/{FRAGMENT}" for m in wanted))
    git("commit", "--quiet", "-m", "rehearsal: something to release")
    print(f"rehearse: nothing has changed since the last release, so {len(wanted)} packages get a fragment")


def _release(clone: Path, words: Sequence[str]) -> None:
    """The command in the clone, with the clone's own code; its output is shown as it comes."""
    environment = {**_environment(), "PYTHONPATH": str(clone)}
    command = [sys.executable, "-m", "release", *words]
    if subprocess.run(command, cwd=clone, env=environment, check=False, stdin=subprocess.DEVNULL).returncode:
        raise Failed(f"the rehearsal stopped; look at {clone}, mend the tree, commit, and rehearse again")


def _environment() -> dict[str, str]:
    # What pins the tree that is rehearsed does not pin the clone.
    kept = {k: v for k, v in os.environ.items() if k not in {"MIRAGE_PINS", "MIRAGE_PINNED"}}
    return kept | {"TWINE_USERNAME": "rehearsal", "TWINE_PASSWORD": "rehearsal"}


@contextlib.contextmanager
def repository(folder: Path) -> Iterator[str]:
    """A pypiserver on loopback that takes uploads from anybody while the block runs; its address."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "pypiserver", "run", "-i", "127.0.0.1", "-p", str(port), "-P", ".", "-a", "."]
    command += ["--disable-fallback", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _listening(port, process)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()


def _listening(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > end:
                raise Failed("pypiserver does not listen; is it installed?") from None
            time.sleep(0.05)
        else:
            return
