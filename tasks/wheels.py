"""Distribution files: built twice and compared, then tested where no source tree can help them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import tree
from .tree import ROOT, Package, requirement_name


class Failed(Exception):
    """A build differed from its twin, or a wheel failed its tests."""


def build_twice(packages: list[Package], out: Path) -> None:
    """Build sdist and wheel of each package into `out`, again elsewhere, and compare the bytes. Raises `Failed`."""
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        for package in packages:
            build(package, out)
            build(package, Path(scratch))
        first, second = _digests(out), _digests(Path(scratch))
    differing = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    if differing:
        raise Failed(f"these files are not the same bytes when built twice: {', '.join(differing)}")
    print(f"{len(first)} files built twice, the same bytes both times")


def test_alone(
    packages: list[Package],
    dist: Path,
    lock: Path,
    *,
    sources: Sequence[Package],
    pinned: Collection[str],
) -> None:
    """Install each package's wheel into an empty environment and run its tests against it. Raises `Failed`.

    Our own dependencies come from `dist` too; one that it lacks, because only some packages were asked for, is built,
    from among `sources`. The wheels of those that are `pinned` are taken whatever bounds others have.
    """
    every = {package.name: package for package in sources}
    for package in packages:
        for other in _missing_dependencies(package, dist, every):
            build(other, dist)
    options = overrides([every[name] for name in pinned], dist)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        outcomes = list(pool.map(lambda package: (package, _test_one(package, dist, lock, options)), packages))
    bad = [package for package, output in outcomes if output is not None]
    for package, output in outcomes:
        if output is not None:
            print(f"--- {package.name} ---\n{output}")
    if bad:
        raise Failed(f"these wheels fail their own tests: {', '.join(p.name for p in bad)}")


def overrides(pinned: Sequence[Package], dist: Path) -> list[str]:
    """The option that makes the wheels of pinned packages beat every bound; its file is written into `dist`."""
    if not pinned:
        return []
    for package in pinned:
        if not built(package, dist):
            build(package, dist)
    file = dist / "overrides.txt"
    file.write_text("".join(f"{package.name} @ {find(package, dist).as_uri()}\n" for package in pinned))
    return ["--override", str(file)]


def installation(package: Package, dist: Path, lock: Path, python: Path, options: list[str]) -> list[str]:
    """The command that installs a package's wheel, and what its tests need, for a Python."""
    extras = f"[{','.join(package.extras)}]" if package.extras else ""
    wanted = f"{package.name}{extras} @ {find(package, dist).as_uri()}"
    install = ["uv", "pip", "install", "--quiet", "--python", str(python), "--find-links", str(dist), wanted]
    install += ["--constraint", str(lock), *options]
    # uv would take a file of the same name and version from its cache, built when the tree was another.
    install += [argument for ours in tree.packages() for argument in ("--refresh-package", ours.name)]
    if package.group("test"):
        install += ["--group", f"{package.path / 'pyproject.toml'}:test"]
    return install


def _test_one(package: Package, dist: Path, lock: Path, options: list[str]) -> str | None:
    """The output of a failed run, or None when the wheel passed."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        # The tests, beside no source: an import can only find the wheel.
        for folder in ("tests", "examples"):
            if (package.path / folder).exists():
                shutil.copytree(package.path / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__"))
        for shared in ("conftest.py", "pyproject.toml"):
            shutil.copy(ROOT / shared, place / shared)
        shutil.copytree(ROOT / "tasks", place / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
        python = place / ".venv" / "bin" / "python"
        install = installation(package, dist, lock, python, options)
        environment = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH"}}
        environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"
        for command in (
            ["uv", "venv", "--quiet", "--python", sys.executable, str(python.parent.parent)],
            install,
            [str(python), "-m", "pytest", "-q", "tests"],
        ):
            result = subprocess.run(
                command,
                cwd=place,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
            )
            if result.returncode:
                return f"$ {' '.join(command)}\n{result.stdout}{result.stderr}"
        print(f"{package.name}: {result.stdout.strip().splitlines()[-1]}")
    return None


def _missing_dependencies(package: Package, dist: Path, by_name: Mapping[str, Package]) -> list[Package]:
    """Our own packages that this one and its tests need, directly or not, and that `dist` does not hold."""
    reached, queue = set[str](), [package.name]
    while queue:
        one = by_name[queue.pop()]
        for requirement in [*one.dependencies, *(one.group("test") if one is by_name[package.name] else [])]:
            name = requirement_name(requirement)
            if name in by_name and name not in reached:
                reached.add(name)
                queue.append(name)
    return [by_name[name] for name in sorted(reached) if not list(dist.glob(f"{name.replace('-', '_')}-*.whl"))]


def find(package: Package, dist: Path) -> Path:
    """The package's one wheel in a folder."""
    (wheel,) = built(package, dist)
    return wheel


def built(package: Package, dist: Path) -> list[Path]:
    """All of a package's wheels in a folder."""
    return list(dist.glob(f"{package.name.replace('-', '_')}-*.whl"))


def build(package: Package, out: Path) -> None:
    """Build a package's sdist and wheel into a folder. Raises `Failed`."""
    epoch = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    environment = {**os.environ, "SOURCE_DATE_EPOCH": epoch or "315532800"}
    command = ["uv", "build", "--quiet", "--no-sources", "--out-dir", str(out), str(package.path)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise Failed(f"{package.name} does not build:\n{result.stdout}{result.stderr}")


def _digests(folder: Path) -> dict[str, str]:
    files = [f for f in folder.iterdir() if f.name.endswith((".whl", ".tar.gz"))]
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
