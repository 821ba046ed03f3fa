"""`mirage serve DIR`: the configuration of a unikernel that serves a directory, made in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .devices import STACK, WHOSE_NETWORK
from .distributions import cache_dir
from .errors import UsageError
from .project import Project, open_application

__all__ = ["serve_source"]


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
    place = cache_dir() / "serve" / hashlib.sha256(source.encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    application = open_application(place / "config.py", source=source, build_dir=place / "_build")
    return application.decide(target=target, given={WHOSE_NETWORK.name: STACK} if stack else {}, fresh=True)
