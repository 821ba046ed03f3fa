"""`mirage serve`: the configuration of a unikernel that serves a directory or zone files, made in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from .devices import STACK, WHOSE_NETWORK
from .distributions import cache_dir
from .errors import UsageError
from .project import Project, open_application

__all__ = ["serve_source", "serve_zones"]


def serve_source(folder: Path, *, crunched: bool, target: str | None = None, stack: bool = False) -> Project:
    """The project that serves `folder`: read as it is when asked for, or `crunched` into the program.

    `stack`: on a TCP/IP stack of its own, whatever the target.

    Raises `UsageError` for what is no directory.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a directory: mirage serve DIR serves one")
    whole = folder.resolve()
    store = f"crunch({str(whole)!r})" if crunched else f"directory({str(whole)!r}, read_only=True)"
    source = (
        f'"""Serves {whole.name}."""\n'
        "from mirage.tool.devices import crunch, directory, http_server, register, static_site\n"
        f"register('serve', http_server(static_site({store}, listing=True)))\n"
    )
    place = _place(source)
    application = open_application(place / "config.py", source=source, build_dir=place / "_build")
    return application.decide(target=target, given={WHOSE_NETWORK.name: STACK} if stack else {}, fresh=True)


def serve_zones(
    files: Sequence[Path], *, origin: str | None = None, target: str | None = None, stack: bool = False
) -> Project:
    """The project that answers from zone files, as they are now: they are built into the program.

    `origin` is the name of the zone, for a single file that does not say it. Raises `UsageError`.
    """
    contents: dict[str, bytes] = {}
    for file in files:
        if file.name in contents:
            raise UsageError(f"two zone files are named {file.name}; give one of them another name")
        try:
            contents[file.name] = file.read_bytes()
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror}; mirage serve dns needs a zone file") from None
    if origin is not None and len(contents) != 1:
        raise UsageError("--origin names the zone of one file; begin each of several files with $ORIGIN")
    zones = dict.fromkeys(contents, origin)
    source = (
        f'"""Answers names from {", ".join(contents)}."""\n'
        "from mirage.tool.devices import crunch, dns_server, register\n"
        f"register('names', dns_server(crunch('zones'), {zones!r}))\n"
    )
    place = _place("\0".join([source, *(str(file.resolve()) for file in files)]))
    folder = place / "zones"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        if old.name not in contents:
            old.unlink()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    application = open_application(place / "config.py", source=source, build_dir=place / "_build")
    return application.decide(target=target, given={WHOSE_NETWORK.name: STACK} if stack else {}, fresh=True)


def _place(identity: str) -> Path:
    """A folder of the cache, the same for the same configuration."""
    place = cache_dir() / "serve" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    return place
