"""The artifact of the target hvt: an image that `mirage.hvt` boots as a virtual machine.

The files of the application and of its packages are laid out in a temporary folder as an installer would lay them out,
and `mirage.hvt.build` takes them from there.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import mirage.hvt
import mirage.libos

from .distributions import Distribution, Files

__all__ = ["is_image", "sources", "write_image"]

_START = "from main import run\n\nrun()\n"
_APPLICATION = "mirage-application"
"""The name under which the application's own files are installed in the guest."""


def sources() -> list[Path]:
    """The folders of the code that makes images: when it changes, they do."""
    return [Path(module.__file__).parent for module in (mirage.hvt, mirage.libos) if module.__file__]


def is_image(start: bytes) -> bool:
    """Whether these are the first octets of an image, of whatever version."""
    return start.startswith(b"MIRAGE-HVT\0")


def write_image(
    output: Path, own: Files, packages: Iterable[tuple[Distribution, Files]], devices: Mapping[str, str]
) -> tuple[int, str]:
    """Write the image; its size in octets and its SHA-256. `devices` are those that the guest needs, by name.

    Raises `mirage.hvt.BuildError`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        site = Path(temporary, "site")
        info = f"{_APPLICATION.replace('-', '_')}-0.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {_APPLICATION}\nVersion: 0\n"
        _install(site, {**own, f"{info}/METADATA": metadata.encode()}, info)
        names = [_APPLICATION]
        for one, files in packages:
            _install(
                site, files, next(name.partition("/")[0] for name in files if name.endswith(".dist-info/METADATA"))
            )
            names.append(one.name)
        script = Path(temporary, "start.py")
        script.write_text(_START)
        output.parent.mkdir(parents=True, exist_ok=True)
        image = mirage.hvt.build(
            output, script, path=[str(site)], distributions=names, dependencies=False, devices=devices
        )
    return image.size, image.sha256


def _install(site: Path, files: Files, info: str) -> None:
    """Write files below `site`, and the RECORD that lists them."""
    record = io.StringIO()
    csv.writer(record, lineterminator="\n").writerows((name, "", "") for name in [*sorted(files), f"{info}/RECORD"])
    for name, content in {**files, f"{info}/RECORD": record.getvalue().encode()}.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
