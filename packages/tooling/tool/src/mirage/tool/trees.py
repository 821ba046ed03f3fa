"""Trees of files that are made when the application is built, each crunched into one blob.

The rendering function and the cruncher run in processes of their own, in the application's environment: nothing of
theirs is linked. A blob is cached by a hash of all that it is made from, the rendering code included.
"""

from __future__ import annotations

import glob
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from mirage.functoria import ConfigError, Location

from .devices import BuildTree
from .distributions import cache_dir, closure, fingerprint, hash_tree
from .errors import BuildError

__all__ = ["blob", "tree_key"]

_CRUNCHER = "mirage-crunch"


def tree_key(tree: BuildTree, folder: Path, location: Location | None) -> str:
    """A hash of everything that the tree is made from. Raises `ConfigError` for a folder or file that is not there."""
    parts = [repr(sys.version_info[:2]), tree.render or "copy", modified()]
    sources = [tree.folder] if tree.folder is not None else [*tree.source, _render_place(tree, folder, location)]
    for source in sources:
        found = sorted(glob.glob(source, root_dir=folder))
        if not found:
            raise ConfigError(f"there is no {source} in {folder}: paths are relative to config.py", location)
        for path in found:  # named as seen from the folder: the same in every checkout
            content = hash_tree(folder / path)
            parts.append(f"{os.path.relpath(folder / path, folder)} {content}")
    used = closure([(requirement, "config.py") for requirement in (*tree.packages, _CRUNCHER)])
    parts.extend(f"{one.name} {fingerprint(one)}" for one in used)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def modified() -> str:
    """The time of last change that the values of a tree bear: SOURCE_DATE_EPOCH, or none.

    The times of the files are those of a checkout, which differ from one machine to the next.
    """
    return os.environ.get("SOURCE_DATE_EPOCH") or "none"


def _render_place(tree: BuildTree, folder: Path, location: Location | None) -> str:
    """The file or package of the rendering function, relative to the application's folder."""
    module, colon, function = (tree.render or "").partition(":")
    if not colon or not function.isidentifier():
        raise ConfigError(f"generated() expects render='module:function', got {tree.render!r}", location)
    top = module.partition(".")[0]
    for place in (top, f"{top}.py"):
        if (folder / place).exists():
            return place
    raise ConfigError(
        f"generated() names the module {module!r}, and there is no {top}.py or {top}/ in {folder}", location
    )


def blob(tree: BuildTree, folder: Path, key: str) -> tuple[bytes, bool]:
    """The tree as one crunched blob, and whether it was made anew. Raises `BuildError`."""
    cached = cache_dir() / "trees" / f"{key[:32]}.crunch"
    if cached.is_file():
        return cached.read_bytes(), False
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent) as temporary:
        root, made = folder / (tree.folder or ""), Path(temporary) / "blob"
        if tree.render is not None:
            root = Path(temporary) / "tree"
            root.mkdir()
            _run([sys.executable, "-c", _RENDER, tree.render, str(root)], folder, f"generated({tree.render!r})")
        _run(
            [sys.executable, "-m", "mirage.crunch", str(root), "-o", str(made), "--modified", modified()],
            folder,
            "mirage.crunch",
        )
        os.replace(made, cached)
    return cached.read_bytes(), True


_RENDER = """
import importlib, pathlib, sys
sys.path.insert(0, "")
module, _, function = sys.argv[1].partition(":")
getattr(importlib.import_module(module), function)(pathlib.Path(sys.argv[2]))
"""


def _run(command: Iterable[str], folder: Path, what: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    result = subprocess.run(  # noqa: S603  # the application's own code, run as its build asks
        [*command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise BuildError(f"{what} failed:\n{(result.stderr or result.stdout).strip()}")
