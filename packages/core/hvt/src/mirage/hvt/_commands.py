"""`mirage-hvt build` and `mirage-hvt show`."""

from __future__ import annotations

import argparse
from pathlib import Path

from mirage.hvt._format import Header
from mirage.hvt._layout import PAGE
from mirage.hvt.errors import BuildError
from mirage.hvt.image import DEFAULT_MEMORY, build


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
    )
    print(f"{image.path}: {image.size / 1e6:.1f} MB, {image.files} files, {image.modules} modules")
    print(f"sha256 {image.sha256}")
    return 0


def show_command(words: list[str]) -> int:
    """Print an image's manifest."""
    parser = argparse.ArgumentParser(prog="mirage-hvt show", description="Print an image's manifest.")
    parser.add_argument("image", type=Path)
    chosen = parser.parse_args(words)
    with chosen.image.open("rb") as file:
        header = Header.unpack(file.read(PAGE))
        file.seek(header.manifest_offset)
        print(file.read(header.manifest_size).decode())
    return 0
