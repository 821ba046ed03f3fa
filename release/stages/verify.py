"""verify: what was staged is used as its users will use it.

pip, uv and opam install everything from the staged index alone, and every module is imported; opam's own checks look at
the repository; each package's tests run against its wheel, with the newest and with the oldest releases that its bounds
admit; and whoever has the previous releases is upgraded. What is left out (``--without``) is remembered, and publish
refuses it unless told otherwise.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mirage.index import to_opam
from packaging.version import Version

from .. import survey
from ..clients import PLAIN, environment, run, served, served_folder
from ..errors import Failed, Refused
from ..model import Member
from ..train import Stage, Train
from .build import source
from .stage import everything, requirement

__all__ = ["CHECKS", "CLIENTS", "STAGE", "installs"]

_IMPORT = "import importlib, sys; [importlib.import_module(m) for m in sys.argv[1:]]; print(len(sys.argv) - 1)"


def _run(train: Train) -> None:
    without = list(train.settings.get("without", ()))
    if unknown := [name for name in without if name not in CHECKS]:
        raise Refused(f"there is no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    for name, check in CHECKS.items():
        if name not in without:
            check(train)
    train.journal.data["left_out"] = sorted(without)


def _opam(train: Train) -> None:
    train.step("verify", "opam lint and admin check", lambda: _opam_looks(train))
    train.step("verify", "opam installs everything", lambda: _staged(train, "opam"))


def _opam_looks(train: Train) -> dict[str, int]:
    repository = train.work / "index" / "opam"
    # What others wrote of their packages is not ours to mend.
    ours = [m.name for m in survey.members(source(train))]
    files = sorted(str(f) for name in ours for f in repository.glob(f"packages/{name}/*/opam"))
    with tempfile.TemporaryDirectory(prefix="mirage-opam-") as scratch:
        env = _opam_environment(Path(scratch))
        run(["opam", "admin", "check"], cwd=repository, env=env, drop=PLAIN)
        if said := run(["opam", "lint", "-s", *files], env=env, drop=PLAIN).strip():
            raise Failed(f"opam lint says: {said}")
    return {"descriptions": len(files)}


def _opam_environment(place: Path) -> dict[str, str]:
    plain = {"OPAMROOT": str(place / "root"), "HOME": str(place), "OPAMYES": "1", "OPAMROOTISOK": "1"}
    return plain | {"OPAMCOLOR": "never", "OPAMNODEPEXTS": "1"}


def installs(train: Train, client: str, ours: str, others: str | None = None) -> int:
    """Let pip, uv or opam install the train's packages, and import every module; how many.

    `ours` is the address of the index that has them, `others` of one that has what they need from others, if that is
    another one; each with a slash at its end.
    """
    with tempfile.TemporaryDirectory(prefix="mirage-verify-") as scratch:
        if client == "opam":
            return _opam_installs(train, ours, others, Path(scratch))
        more, default = _MORE[client]
        where = [more, f"{ours}simple/", default, f"{others}simple/"] if others else [default, f"{ours}simple/"]
        wanted = [requirement(train, p) for p in train.packages]
        run([*_START[client], *where, "--target", scratch, *wanted], drop=PLAIN)
        # -S: the modules must come from there.
        program = [sys.executable, "-S", "-c", _IMPORT, *_modules(train)]
        return int(run(program, env={"PYTHONPATH": scratch}, drop=PLAIN).split()[-1])


CLIENTS = ("pip", "uv", "opam")
"""Who installs."""
_START = {
    "pip": [
        *(sys.executable, "-m", "pip", "--isolated", "--no-cache-dir", "--disable-pip-version-check"),
        *("install", "--quiet"),
    ],
    "uv": ["uv", "--no-config", "--no-cache", "pip", "install", "--quiet", "--python", sys.executable],
}
_MORE = {"pip": ("--extra-index-url", "--index-url"), "uv": ("--index", "--default-index")}
"""The options that name an index more, and the only one."""


def _opam_installs(train: Train, ours: str, others: str | None, place: Path) -> int:
    env = _opam_environment(place)
    where = [("mirage", f"{ours}opam"), *([("beside", f"{others}opam")] if others else [])]
    name, address = where[-1]
    run(["opam", "init", "--bare", "--disable-sandboxing", "-n", "--bypass-checks", name, address], env=env, drop=PLAIN)
    repositories = ",".join([*(f"{n}={a}" for n, a in where[:-1]), name])
    run(["opam", "switch", "create", "x", "--empty", "--repositories", repositories], env=env, drop=PLAIN)
    wanted = [f"{p['name']}.{to_opam(Version(p['new']))}" for p in train.packages]
    run(["opam", "install", *wanted], env=env, drop=PLAIN)
    program = ["opam", "exec", "--", sys.executable, "-S", "-c", _IMPORT, *_modules(train)]
    return int(run(program, env=env, drop=PLAIN).split()[-1])


def _staged(train: Train, client: str) -> int:
    with served(everything(train)) as address:
        return installs(train, client, address)


def _modules(train: Train) -> list[str]:
    return [_module(p["name"]) for p in train.packages]


def _module(name: str) -> str:
    return f"mirage.{name.removeprefix('mirage-').replace('-', '_')}"


def _pip(train: Train) -> None:
    train.step("verify", "pip installs everything", lambda: _staged(train, "pip"))


def _uv(train: Train) -> None:
    train.step("verify", "uv installs everything", lambda: _staged(train, "uv"))


def _upgrade(train: Train) -> None:
    older = [p for p in train.packages if p["old"]]
    if older:
        train.step("verify", "upgrade from the previous releases", lambda: _upgrades(train, older))
    else:
        train.echo("verify: no package was released before, so there is nothing to upgrade from")


def _upgrades(train: Train, older: list[dict[str, Any]]) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="mirage-verify-") as scratch,
        served_folder(train.work / "index") as address,
    ):
        python = environment(Path(scratch) / "venv")
        start = ["uv", "--no-config", "--no-cache", "pip", "install", "--quiet", "--python", str(python)]
        start += ["--default-index", f"{address}simple/"]
        run([*start, *(f"{p['name']}=={p['old']}" for p in older)], drop=PLAIN)
        run([*start, "--upgrade", *(p["name"] for p in older)], drop=PLAIN)
        run([*start, *(f"{p['name']}=={p['new']}" for p in older)], drop=PLAIN)
        run(["uv", "pip", "check", "--quiet", "--python", str(python)])
        return int(run([str(python), "-c", _IMPORT, *(_module(p["name"]) for p in older)], drop=PLAIN).split()[-1])


def _newest(train: Train) -> None:
    _test_all(train, "newest", "highest")


def _lowest(train: Train) -> None:
    _test_all(train, "lowest", "lowest-direct")


def _test_all(train: Train, name: str, resolution: str) -> None:
    members = {m.name: m for m in survey.members(source(train))}
    for package in train.packages:
        key = f"{name} dependencies of {package['name']}"
        train.step("verify", key, lambda p=package: _test(train, p, members, resolution))  # type: ignore[misc]


def _test(train: Train, package: dict[str, Any], members: dict[str, Member], resolution: str) -> str:
    """Run a package's tests against its wheel, beside no source; pytest's last line."""
    tree = source(train)
    folder = tree / package["path"]
    with (
        tempfile.TemporaryDirectory(prefix="mirage-verify-") as scratch,
        tempfile.TemporaryDirectory(prefix="mirage-tests-") as temporary,
        served_folder(train.work / "index") as address,
    ):
        place = Path(scratch)
        for name in ("tests", "examples"):
            if (folder / name).exists():
                shutil.copytree(folder / name, place / name)
        for name in ("conftest.py", "pyproject.toml", "tasks"):
            if (tree / name).is_dir():
                shutil.copytree(tree / name, place / name)
            elif (tree / name).exists():
                shutil.copy(tree / name, place / name)
        python = environment(place / ".venv")
        # The staged index comes first: what it holds is taken from nowhere else. The tests' own tools are the
        # registry's.
        install = ["uv", "pip", "install", "--quiet", "--python", str(python), "--index", f"{address}simple/"]
        install += [a for ours in members for a in ("--refresh-package", ours)]
        what = [requirement(train, package)]
        if resolution == "highest":
            what += ["--upgrade"]
        else:  # its direct requirements are those of the command line: name them, and they are the oldest admitted
            what += members[package["name"]].requirements
        run([*install, "--resolution", resolution, *what])
        # Their floors are not what is looked at; what is there stays.
        groups = ["--group", f"{folder / 'pyproject.toml'}:test"] if members[package["name"]].groups else []
        run([*install, "pytest", *groups])
        # A folder of its own: where another pytest on this machine tidies up what both left, either may fail.
        own = ["-p", "no:cacheprovider", f"--basetemp={temporary}/t"]
        command = [str(python), "-m", "pytest", "-q", *own, "tests"]
        if "slow" in train.settings.get("without", ()):
            command += ["-m", "not slow"]
        environ = {"PATH": f"{python.parent}:{os.environ['PATH']}"}
        return run(command, cwd=place, env=environ).strip().splitlines()[-1].strip("= ")


def _slow(train: Train) -> None:
    """Slow tests are part of the tests; leaving them out is a check left out."""


CHECKS: dict[str, Callable[[Train], None]] = {
    "opam": _opam,
    "pip": _pip,
    "uv": _uv,
    "upgrade": _upgrade,
    "newest": _newest,
    "lowest": _lowest,
    "slow": _slow,
}
"""What ``--without`` may name."""


def _describe(train: Train) -> list[str]:
    count = len(train.packages)
    words = {
        "opam": "run opam lint and opam admin check, and install everything with opam",
        "pip": "install everything with pip from the staged index alone",
        "uv": "install everything with uv from the staged index alone",
        "upgrade": f"upgrade {sum(bool(p['old']) for p in train.packages)} packages from their previous releases",
        "newest": f"run the tests of {count} packages against their wheels, with the newest dependencies",
        "lowest": "the same with the oldest that their bounds admit",
        "slow": "slow tests included",
    }
    return [text for name, text in words.items() if name not in train.settings.get("without", ())]


STAGE = Stage("verify", _run, _describe)
