"""build: each package's sdist and wheel, twice, in different surroundings, and the bytes compared.

The source is exported from the plan's commit, so that no file of the working tree gets in. The twin is built in another
folder, another time zone, with another order of hashing and other permissions: what a build takes from them shows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tasks import files

from ..errors import Failed
from ..train import Stage, Train

__all__ = ["STAGE", "source"]

_SURROUNDINGS = (
    {"TZ": "UTC", "PYTHONHASHSEED": "0", "umask": "022"},
    {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "1", "umask": "002"},
)
SECONDS = 1800
"""How long one build may take: the library OS is compiled, on a first run with a compiler that is fetched."""


def source(train: Train) -> Path:
    """The tree as the plan's commit has it, without history."""
    target = train.work / "source"
    if not target.exists():
        scratch = train.work / "source.new"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        train.git.export(train.commit, ["."], scratch)
        scratch.rename(target)
    return target


def _run(train: Train) -> None:
    place = source(train)
    for package in train.packages:
        train.step(
            "build",
            package["name"],
            lambda package=package: _build(train, place / package["path"], package),  # type: ignore[misc]
            lambda built: all(files.sha256(train.dist / name) == said["sha256"] for name, said in built.items()),
        )


def _build(train: Train, path: Path, package: dict[str, Any]) -> dict[str, Any]:
    """Build the twins, compare, put one in place; the files with their digests. Raises `Failed`."""
    epoch = str(train.git.date(train.commit))
    with tempfile.TemporaryDirectory(prefix="mirage-build-") as scratch:
        places = [Path(scratch) / name / path.name for name in ("first", "another-folder")]
        for place in places:
            shutil.copytree(path, place)
        with ThreadPoolExecutor(2) as pool:
            made = list(pool.map(lambda i: _once(places[i], epoch, _SURROUNDINGS[i]), range(2)))
        train.echo(f"build: {package['name']} was built twice")
        first, second = ({f.name: files.sha256(f) for f in each} for each in made)
        if differing := sorted(name for name in first | second if first.get(name) != second.get(name)):
            raise Failed(f"{', '.join(differing)}: not the same bytes when built twice")
        _named(package, first)
        for file in made[0]:
            files.write(train.dist / file.name, file.read_bytes())
        return {f.name: {"sha256": first[f.name], "size": f.stat().st_size} for f in made[0]}


def _once(path: Path, epoch: str, surroundings: dict[str, str]) -> list[Path]:
    out = path.parent / "out"
    environment = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}}
    environment |= {k: v for k, v in surroundings.items() if k != "umask"} | {"SOURCE_DATE_EPOCH": epoch}
    command = ["uv", "build", "--quiet", "--no-sources", "--out-dir", str(out), str(path)]
    result = subprocess.run(
        command,
        env=environment,
        umask=int(surroundings["umask"], 8),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
    )
    if result.returncode:
        raise Failed(f"{path.name} does not build:\n{result.stdout}{result.stderr}")
    return sorted(f for f in out.iterdir() if f.name.endswith((".whl", ".tar.gz")))


def _named(package: dict[str, Any], built: dict[str, str]) -> None:
    """One wheel and one sdist, of the version that was planned."""
    stem = f"{package['name'].replace('-', '_')}-{package['new']}"
    if sorted(name.endswith(".whl") for name in built) != [False, True] or not all(n.startswith(stem) for n in built):
        raise Failed(f"{package['name']} {package['new']} was planned, and built were {', '.join(sorted(built))}")


def _intact(train: Train) -> bool:
    built = train.journal.steps("build")
    said = {name: file["sha256"] for each in built.values() for name, file in each.items()}
    return all(files.sha256(train.dist / name) == digest for name, digest in said.items())


def _describe(train: Train) -> list[str]:
    done = train.journal.steps("build")
    return [f"build {p['name']} {p['new']} twice and compare" for p in train.packages if p["name"] not in done]


STAGE = Stage("build", _run, _describe, _intact)
