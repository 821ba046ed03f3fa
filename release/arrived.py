"""A train that has arrived, looked at from outside: the website serves what was published, and each client installs it.

The website is built from the commit in which the train arrived, in an environment that comes from the staged index
alone, and booted; pip, uv and opam take the project's packages from it, and what others publish from an index beside.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tasks import files

from . import signing
from .clients import PLAIN, distribution_files, served
from .errors import Failed
from .index_data import FOLDER, IndexData
from .stages.stage import beside, prepare
from .stages.verify import CLIENTS, installs
from .train import Train

__all__ = ["check_files", "check_website"]

_SAID = "The website is at "


def check_files(train: Train, key: Path, uploaded: Path) -> int:
    """Compare what was published with what was signed and uploaded; how many files. Raises `Failed`.

    `key` is the signing key, `uploaded` the folder of the repository that twine sent to.
    """
    releases = [r for r in IndexData(train.root).releases if r["train"] == train.name]
    if len(releases) != len(train.packages):
        raise Failed(f"{len(releases)} of {len(train.packages)} packages are in {FOLDER}")
    published = train.root / FOLDER / "files"
    allowed = key.with_name("allowed")
    allowed.write_text(f"release {key.with_name(f'{key.name}.pub').read_text()}")
    count = 0
    for release in releases:
        for file in release["files"]:
            signing.verify(published / file["filename"], allowed, "release")
            if files.sha256(uploaded / file["filename"]) != file["sha256"]:
                raise Failed(f"{file['filename']} did not arrive at the repository as it was built")
            count += 1
    return count


def check_website(train: Train, without: Sequence[str]) -> list[str]:
    """Boot the website as it is published, and let each client install from it; a word on each. Raises `Failed`."""
    said = []
    with website(train) as address, served(distribution_files(beside(train), 0)) as others:
        for client in CLIENTS:
            if client in without:
                said.append(f"{client} left out")
            else:
                train.echo(f"{client} installs {len(train.packages)} packages from {address}")
                installs(train, client, address, others)
                said.append(f"{client} ok")
    return said


@contextmanager
def website(train: Train) -> Iterator[str]:
    """The website of the tree's HEAD, booted while the block runs; its address, with a slash at the end."""
    away = train.work / "arrived"
    shutil.rmtree(away, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="mirage-arrived-") as scratch:
        train.git.export(train.git.head(), ["."], Path(scratch))
        python = prepare(train, Path(scratch), away)
    env = {k: v for k, v in os.environ.items() if not k.startswith(PLAIN)}
    env |= {"PYTHONPATH": str(away), "PATH": f"{python.parent}:{os.environ['PATH']}"}
    command = [str(python), "-u", "-m", "integration.website", "-t", "unix", "--port", "0"]
    with subprocess.Popen(
        command, cwd=away, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        try:
            for line in process.stdout:
                lines.append(line)
                if line.startswith(_SAID):
                    yield line.removeprefix(_SAID).split()[0]
                    break
            else:
                raise Failed(f"the website that was published does not boot:\n{''.join(lines)[-4000:]}")
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    shutil.rmtree(away, ignore_errors=True)
