"""The Pythons of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging.version import Version

from .errors import BotError

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
_ASK = (
    "import platform, sys; i = sys.version_info;"
    "print(platform.python_version() if (sys.implementation.name, i[3]) == ('cpython', 'final') else '')"
)


def interpreters(wanted: Iterable[str] = ()) -> dict[str, tuple[str, str]]:
    """The newest patch version and its path, of each Python such as ``3.12`` that is wanted; none named: all supported.

    Raises `BotError` when one that is named is not there.
    """
    named = tuple(wanted)
    candidates = [(minor, path) for minor in named or SUPPORTED for path in _candidates(minor)]
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda one: _version(one[1]), candidates))
    found: dict[str, tuple[str, str]] = {}
    for (minor, path), version in zip(candidates, versions, strict=True):
        fits = version.startswith(f"{minor}.")
        if fits and (minor not in found or Version(version) > Version(found[minor][0])):
            found[minor] = (version, path)
    if lacking := [minor for minor in named if minor not in found]:
        raise BotError(f"there is no Python {lacking[0]} here: take it out of `pythons` in config.toml, or install it")
    return found


def _candidates(minor: str) -> list[str]:
    """Where a Python may be: on PATH, beside the one that runs this, where uv keeps its own."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    kept = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local" / "share" / "uv" / "python")
    folders += [*Path(sys.base_prefix).parent.glob(f"*{minor}*/bin"), *kept.glob(f"*{minor}*/bin")]
    paths = (folder / f"python{minor}" for folder in folders)
    # A virtualenv's is no base for another.
    return sorted({str(path) for path in paths if path.exists() and not (path.parent.parent / "pyvenv.cfg").exists()})


def _version(path: str) -> str:
    try:
        result = subprocess.run(
            [path, "-I", "-c", _ASK], capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
