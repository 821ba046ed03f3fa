"""Compiled wheels: the modules that a package names in `[tool.mirage] compiled`, made into machine code by mypyc.

The source is the same and stays in the wheel; only its hot modules are compiled besides, and Python imports those where
they fit. So a compiled wheel is for one version of Python and one kind of machine, and needs a C compiler to be made.
Compiled classes cannot be subclassed by interpreted ones, nor patched by tests.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

from . import wheels
from .tree import ROOT, Package, packages

_SETUP = """\
from mypyc.build import mypycify
from setuptools import setup

modules = mypycify({words!r}, opt_level="2", debug_level="0")
setup(name="compiled", py_modules=[], ext_modules=modules)
"""


def modules(package: Package) -> list[Path]:
    """The files that the package wants compiled, below its `src`; none for most packages. Raises `wheels.Failed`."""
    wanted = package.pyproject.get("tool", {}).get("mirage", {}).get("compiled", {})
    found: list[Path] = []
    for pattern in wanted.get("modules", ()):
        files = sorted(package.source.glob(pattern))
        if not files:
            raise wheels.Failed(f"{package.path / 'pyproject.toml'}: compiled.modules: {pattern!r} matches no file")
        found += files
    left_out = {package.source / name for name in wanted.get("except", ())}
    return [file.relative_to(package.path / "src") for file in found if file not in left_out]


def build(package: Package, out: Path, python: Path) -> Path:
    """Make a package's compiled wheel in `out`, with an interpreter that has mypy, setuptools and wheel.

    Raises `wheels.Failed`.
    """
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(os.environ.get("CC", compiler)) is None:
        raise wheels.Failed(f"compiling needs the C compiler {compiler}: apt-get install gcc")
    names = [str(file) for file in modules(package)]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        wheels.build(package, place)
        (pure,) = place.glob("*.whl")
        tree = place / "tree"
        with zipfile.ZipFile(pure) as archive:
            archive.extractall(tree)
        # What other modules lack is the business of the `types` session, which has what they depend on.
        words = ["--namespace-packages", "--explicit-package-bases", "--ignore-missing-imports"]
        words += ["--follow-imports=silent", *names]
        (tree / "setup.py").write_text(_SETUP.format(words=words))
        sources = os.pathsep.join(str(p.path / "src") for p in packages() if p.name != package.name)
        environment = {**os.environ, "MYPYPATH": sources, "PYTHONPATH": ""}
        _run([str(python), "setup.py", "-q", "build_ext", "--inplace"], tree, environment, package)
        for made in ("setup.py", "build", ".mypy_cache"):
            path = tree / made
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        _retag(tree)
        out.mkdir(parents=True, exist_ok=True)
        for old in wheels.built(package, out):
            old.unlink()
        _run([str(python), "-m", "wheel", "pack", str(tree), "--dest-dir", str(out)], place, dict(os.environ), package)
        return wheels.find(package, out)


def benchmarks(package: Package) -> list[Path]:
    """The benchmarks that tell what compiled wheels are worth, of this package or below it."""
    names = package.pyproject.get("tool", {}).get("mirage", {}).get("compiled", {}).get("benchmarks", ())
    return [package.path / "benchmarks" / name for name in names]


def build_once(package: Package, out: Path, python: Path) -> bool:
    """`build`, unless what lies in `out` was made of just this; whether it was built. Raises `wheels.Failed`."""
    made_from = out / f"{package.name}.sha256"
    digest = _digest(package, python)
    if len(wheels.built(package, out)) == 1 and made_from.exists() and made_from.read_text() == digest:
        return False
    made_from.unlink(missing_ok=True)
    build(package, out, python)
    made_from.write_text(digest)
    return True


def _digest(package: Package, python: Path) -> str:
    """Of all that a package's compiled wheel depends on: its types may come from any package of the tree."""
    version = subprocess.run([str(python), "-VV"], check=True, capture_output=True).stdout
    digest = hashlib.sha256(version)
    files = []
    for each in (package, *packages()):
        files += [each.path / "pyproject.toml", *sorted((each.path / "src").rglob("*.py"))]
    for file in [Path(__file__), ROOT / "ci.lock.txt", *files]:
        digest.update(f"{file.name} {file.stat().st_size}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def requirement(package: Package, folder: Path) -> str:
    """What installs a package's compiled wheel, and nothing that was compiled before."""
    wheel = wheels.find(package, folder)
    return f"{package.name} @ {wheel.as_uri()}#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}"


def _retag(tree: Path) -> None:
    """Say in the wheel's metadata what it fits now (PEP 425)."""
    version = f"cp{sys.version_info.major}{sys.version_info.minor}"
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    (file,) = tree.glob("*.dist-info/WHEEL")
    lines = [
        line for line in file.read_text().splitlines() if line and not line.startswith(("Tag:", "Root-Is-Purelib:"))
    ]
    file.write_text("\n".join([*lines, "Root-Is-Purelib: false", f"Tag: {version}-{version}-{platform}", ""]))


def _run(command: list[str], place: Path, environment: dict[str, str], package: Package) -> None:
    result = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise wheels.Failed(f"{package.name} does not compile:\n{result.stdout[-4000:]}{result.stderr[-4000:]}")
