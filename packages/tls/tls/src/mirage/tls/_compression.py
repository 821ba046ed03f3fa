"""Certificate compression (RFC 8879): algorithms, and a bound on what comes out."""

from __future__ import annotations

import functools
import importlib.util
import zlib
from typing import Any

from ._alerts import Alert
from .errors import PeerMisbehaved

__all__ = ["ALGORITHMS", "AVAILABLE", "NAMES", "compress", "decompress"]

ALGORITHMS = {"zlib": 1, "brotli": 2, "zstd": 3}
NAMES = {code: name for name, code in ALGORITHMS.items()}
_MODULES = {"brotli": "brotli", "zstd": "zstandard"}
AVAILABLE = tuple(n for n in ALGORITHMS if n == "zlib" or importlib.util.find_spec(_MODULES[n]) is not None)
"""zlib is in the standard library; the others where their modules are installed."""


def _module(name: str) -> Any:
    """The module of an algorithm, imported when it is first used."""
    if name == "brotli":
        import brotli as found  # type: ignore[import-not-found, import-untyped, unused-ignore]
    else:
        import zstandard as found  # type: ignore[import-not-found, unused-ignore]
    return found


@functools.lru_cache(maxsize=64)
def compress(name: str, data: bytes) -> bytes:
    """The octets compressed; a server's certificate is compressed once."""
    if name == "zlib":
        return zlib.compress(data, 9)
    if name == "brotli":
        return bytes(_module(name).compress(data))
    return bytes(_module(name).ZstdCompressor().compress(data))


def decompress(name: str, data: bytes, length: int, limit: int) -> bytes:
    """The octets, exactly `length`. Raises `PeerMisbehaved`; never makes more than `length` octets, nor `limit`."""
    if length > limit:
        raise PeerMisbehaved(f"a certificate of {length} octets, more than {limit}", Alert.BAD_CERTIFICATE)
    try:
        if name == "zlib":
            inflater = zlib.decompressobj()
            found = inflater.decompress(data, length + 1)
            whole = inflater.eof and not inflater.unused_data
        elif name == "brotli":
            decoder = _module(name).Decompressor()
            found = decoder.process(data, output_buffer_limit=length + 1)
            whole = decoder.is_finished()
        else:
            reader = _module(name).ZstdDecompressor(max_window_size=1 << 23).stream_reader(data)
            found = reader.read(length + 1)
            whole = True
    except Exception as error:
        raise PeerMisbehaved(f"a certificate that does not decompress: {error}", Alert.BAD_CERTIFICATE) from None
    if not whole or len(found) != length:
        raise PeerMisbehaved("a certificate that decompresses to another length", Alert.BAD_CERTIFICATE)
    return bytes(found)
