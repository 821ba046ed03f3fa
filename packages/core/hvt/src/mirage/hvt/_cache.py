"""What was worked out about a file once, kept by what it was worked out from.

Entries lie below ``mirage/hvt`` of XDG_CACHE_HOME. Each begins with the SHA-256 of the rest: a damaged one is worked
out anew. An entry's name is a hash of all inputs, the interpreter's version and the builder's source among them, so
none is ever out of date.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

_DIGEST = 32
_WORKERS = ("_collect.py", "_modules.py", "_layout.py", "_elf.py", "_rewrite.py", "_unwind.py", "_x86.py")


def _folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root) / "mirage" / "hvt"


@functools.cache
def _builder() -> str:
    """A hash of the code that does the work."""
    files = (Path(__file__).with_name(name) for name in _WORKERS)
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def cached(kind: str, inputs: tuple[str, ...], source: bytes, work: Callable[[], bytes]) -> bytes:
    """What `work` returns for the source and the inputs, from the cache where it is there and whole."""
    words = "\0".join([kind, sys.version, _builder(), *inputs])
    key = hashlib.sha256(hashlib.sha256(source).digest() + words.encode()).hexdigest()
    path = _folder() / key[:2] / key[2:]
    try:
        entry = path.read_bytes()
    except OSError:
        entry = b""
    result = entry[_DIGEST:]
    if len(entry) >= _DIGEST and hashlib.sha256(result).digest() == entry[:_DIGEST]:
        return result
    result = work()
    with contextlib.suppress(OSError):  # no room or no right: only slower
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_bytes(hashlib.sha256(result).digest() + result)
        temporary.replace(path)
    return result
