"""`mirage-hvt build` and `mirage-hvt show`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from mirage.hvt._collect import APPLICATION, LIBRARIES, SITE, STDLIB
from mirage.hvt._format import Header
from mirage.hvt._layout import PAGE
from mirage.hvt.errors import BuildError, ImageError
from mirage.hvt.image import DEFAULT_MEMORY, build

_LARGEST = 64 << 20
"""Octets of a manifest that is read."""
_PLACES = {
    f"{SITE}/": "distributions and modules on the path",
    f"{LIBRARIES}/": "shared libraries",
    f"{STDLIB}/": "the standard library",
    f"{APPLICATION}/": "the application",
    "/usr/bin/": "the interpreter",
    "/lib": "the dynamic linker",
}
"""Folders of a guest, the narrower first, and what they hold."""


def build_command(words: list[str]) -> int:
    """Make an image and say what is in it."""
    parser = argparse.ArgumentParser(prog="mirage-hvt build", description="Make an image that runs a script.")
    parser.add_argument("script", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the image to write")
    parser.add_argument("--module", action="append", default=[], metavar="NAME", help="take this module too")
    parser.add_argument("--path", action="append", default=[], metavar="FOLDER", help="look for modules here too")
    parser.add_argument(
        "--distribution", action="append", default=[], metavar="NAME", help="take this installed distribution"
    )
    parser.add_argument(
        "--no-dependencies", dest="dependencies", action="store_false", help="without what the distributions require"
    )
    parser.add_argument("--data", action="append", default=[], metavar="GUEST=HOST", help="put a file or folder in")
    parser.add_argument("--net", action="append", default=[], metavar="NAME", help="it needs the network /dev/NAME")
    parser.add_argument("--block", action="append", default=[], metavar="NAME", help="it needs the disk /dev/NAME")
    parser.add_argument("--writable", action="append", default=[], metavar="FOLDER", help="in memory, beside /tmp")
    parser.add_argument(
        "--no-rewrite", dest="rewrite", action="store_false", help="leave the C library's system calls as they are"
    )
    parser.add_argument("--memory", type=int, default=DEFAULT_MEMORY >> 20, metavar="MIB", help="of the guest")
    chosen = parser.parse_args(words)
    data = {}
    for pair in chosen.data:
        where, equals, source = pair.partition("=")
        if not equals:
            raise BuildError(f"--data wants GUEST=HOST, and {pair!r} has no =")
        data[where] = source
    devices = dict.fromkeys(chosen.net, "net") | dict.fromkeys(chosen.block, "block")
    if len(devices) < len(chosen.net) + len(chosen.block):
        raise BuildError("two devices have one name")
    image = build(
        chosen.output,
        chosen.script,
        modules=chosen.module,
        path=chosen.path,
        distributions=chosen.distribution,
        dependencies=chosen.dependencies,
        data=data,
        devices=devices,
        memory=chosen.memory << 20,
        writable=chosen.writable,
        rewrite=chosen.rewrite,
    )
    print(f"{image.path}: {image.size / 1e6:.1f} MB, {image.files} files, {image.modules} modules")
    print(f"sha256 {image.sha256}")
    return 0


def show_command(words: list[str]) -> int:
    """Print what is in an image."""
    parser = argparse.ArgumentParser(prog="mirage-hvt show", description="Print what is in an image.")
    parser.add_argument("image", type=Path)
    parser.add_argument("--json", action="store_true", help="the whole manifest: every file with its SHA-256")
    chosen = parser.parse_args(words)
    text = _manifest(chosen.image)
    if chosen.json:
        print(text)
        return 0
    try:
        lines = _summary(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ImageError(f"the manifest of {chosen.image} is damaged; build it again") from error
    print("\n".join(lines))
    return 0


def _manifest(image: Path) -> str:
    """The manifest's text. Raises `ImageError`."""
    with image.open("rb") as file:
        header = Header.unpack(file.read(PAGE))
        size = image.stat().st_size
        if header.manifest_offset > size or header.manifest_size > min(size - header.manifest_offset, _LARGEST):
            raise ImageError(f"{image} is cut short; build it again")
        file.seek(header.manifest_offset)
        try:
            return file.read(header.manifest_size).decode()
        except UnicodeDecodeError as error:
            raise ImageError(f"the manifest of {image} is damaged; build it again") from error


def _printable(text: str) -> str:
    """An image may come from anywhere: what could steer a terminal is shown as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _summary(manifest: dict[str, Any]) -> list[str]:
    """What people look for: the interpreter, what it needs, and where the octets are."""
    folders: dict[str, list[int]] = {}
    for path, file in manifest["files"].items():
        known = next((name for name in _PLACES if path.startswith(name)), "elsewhere")
        folders.setdefault(known, []).append(file["size"])
    devices = [f"/dev/{name} ({kind})" for name, kind in manifest["devices"].items()]
    distributions = [f"{name} {version}" for name, version in manifest["distributions"].items()]
    facts = {
        "Python": [manifest["python"]],
        "memory": [f"{manifest['memory'] >> 20} MiB"],
        "devices": devices,
        "writable": ["/tmp", *manifest["writable"]],  # noqa: S108 - the guest's own
        "distributions": distributions,
        "modules": [str(len(manifest["modules"]))],
        "system calls": [
            f"{path}: {done['rewritten']} rewritten, {sum(done['left'].values())} as they were"
            for path, done in manifest.get("system calls", {}).items()
        ],
    }
    lines = []
    for what, values in facts.items():
        lines += [f"{'' if n else what:14} {_printable(value)}" for n, value in enumerate(values or ["none"])]
    lines += ["", f"{'files':>7} {'MB':>8}  where"]
    for folder, sizes in sorted(folders.items(), key=lambda item: -sum(item[1])):
        lines.append(f"{len(sizes):7} {sum(sizes) / 1e6:8.2f}  {_PLACES.get(folder, folder)}")
    every = [size for sizes in folders.values() for size in sizes]
    lines.append(f"{len(every):7} {sum(every) / 1e6:8.2f}  in all")
    return lines
