"""The `.pyz`: a zip archive that Python runs, the same bytes for the same contents.

Entries are sorted, bear one fixed time and are stored without compression: neither the clock, the file system nor the
version of zlib shows, and Python reads modules without inflating them. Folders have entries of their own, for Python
finds a namespace package by them. Beside each module is its compiled form, which
the Python that built the archive uses and any other passes over. Packages with compiled extensions lie below `NATIVE`
and are unpacked once, into a private folder named after their hash, when the program starts.
"""

from __future__ import annotations

import io
import marshal
import struct
import warnings
import zipfile
from collections.abc import Iterator
from importlib.util import MAGIC_NUMBER, source_hash

from .distributions import Files

__all__ = ["NATIVE", "bootstrap", "compiled", "pack"]

NATIVE = "native/"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNCHECKED = 0b01  # PEP 552: named by the hash of its source, which is not read again


def pack(files: Files, header: str) -> bytes:
    """The archive that holds `files`; `header` is a comment near its start."""
    buffer = io.BytesIO()
    buffer.write(f"#!/usr/bin/env python3\n# {header}\n".encode())
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        for name in sorted({*files, *_folders(files)}):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3
            info.external_attr = 0o40755 << 16 | 0x10 if name.endswith("/") else 0o644 << 16
            archive.writestr(info, files.get(name, b""))
    return buffer.getvalue()


def _folders(files: Files) -> Iterator[str]:
    for name in files:
        parts = name.split("/")
        yield from ("/".join(parts[:depth]) + "/" for depth in range(1, len(parts)))


def compiled(files: Files) -> Files:
    """The compiled forms of the modules among `files`, where Python looks for them in an archive.

    Written in marshal's format 2, which records no sharing: what is shared depends on what else the process did.
    """
    found = {}
    for name, source in files.items():
        if not name.endswith(".py") or name.startswith(NATIVE):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                code = compile(source, name, "exec", dont_inherit=True, optimize=0)
            found[name + "c"] = (
                MAGIC_NUMBER + struct.pack("<L", _UNCHECKED) + source_hash(source) + marshal.dumps(code, 2)
            )
        except (SyntaxError, ValueError):  # a template, or a module for another Python: left as source
            continue
    return found


def bootstrap(name: str, header: str, native: str) -> str:
    """The source of ``__main__.py``: sees to it that only the archive and the standard library are imported from.

    `native` is the hash of the files below `NATIVE`, or empty where there are none.
    """
    unpack = _UNPACK.replace("{HASH}", native).replace("{NAME}", name).strip() + "\n\n\n" if native else ""
    first = "unpacked(), archive" if native else "archive"
    return (
        _BOOTSTRAP.replace("{HEADER}", header)
        .replace("{NAME}", name)
        .replace("{UNPACK}", unpack)
        .replace("{FIRST}", first)
    )


_BOOTSTRAP = '''"""Start {NAME}, importing from this archive and the standard library only.

{HEADER}
"""

import os
import sys

archive = os.path.abspath(sys.path[0])
library = os.path.dirname(os.__file__)
version = f"python{sys.version_info.major}.{sys.version_info.minor}"
standard = {
    library,
    os.path.join(library, "lib-dynload"),
    os.path.join(sys.base_exec_prefix, sys.platlibdir, version, "lib-dynload"),
    os.path.join(sys.base_prefix, sys.platlibdir, version.replace(".", "") + ".zip"),
}


{UNPACK}sys.path[:] = [{FIRST}, *(entry for entry in sys.path[1:] if entry in standard)]
finders = {"_frozen_importlib", "_frozen_importlib_external"}
sys.meta_path[:] = [finder for finder in sys.meta_path if getattr(finder, "__module__", "") in finders]

from main import run  # noqa: E402

run()
'''

_UNPACK = '''
def unpacked():
    """The folder of the compiled modules, filled when the program first runs: the system cannot load them from here."""
    import shutil
    import tempfile
    import zipfile

    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(cache, "mirage", "native", "{HASH}")
    try:
        if not os.path.isdir(folder):
            os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
            temporary = tempfile.mkdtemp(dir=os.path.dirname(folder))
            with zipfile.ZipFile(archive) as bundle:
                bundle.extractall(temporary, [name for name in bundle.namelist() if name.startswith("native/")])
            os.chmod(os.path.join(temporary, "native"), 0o700)
            try:
                os.rename(os.path.join(temporary, "native"), folder)
            except OSError:  # another start was faster
                if not os.path.isdir(folder):
                    raise
            shutil.rmtree(temporary)
        if os.lstat(folder).st_uid != os.getuid():
            sys.exit(f"{NAME}: {folder} belongs to another user: remove it, or set XDG_CACHE_HOME")
    except OSError as error:
        sys.exit(f"{NAME}: cannot unpack compiled modules: {error}; XDG_CACHE_HOME may name another folder for them")
    return folder
'''
