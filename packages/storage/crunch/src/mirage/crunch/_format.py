"""How a blob is laid out. All integers are little-endian.

::

    header          56 octets, see `Header`
    displacements   one u64 for each bucket of the perfect hash
    records         one for each value and directory, see `Record`; its number is its place in the perfect hash
    children        for each directory its records' numbers (u32), in the order of their names
    strings         the keys, in UTF-8
    data            the values; equal values lie there once

**The perfect hash** is CHD (compress, hash, displace; Belazzougui, Botelho and Dietzfelbinger, ESA 2009). A key's
BLAKE2b gives three numbers (b, f, g). Bucket ``b mod buckets`` holds a displacement ``d``, and the key's record has the
number ``(f + (d // n) * g + d % n) mod n`` among the n records. The builder has chosen each displacement so that no two
keys meet. A key that is not in the tree lands on some other key's record, so the record's key is compared.

`index_digest` covers the header before it and everything up to the data, so no damage to those goes unnoticed.
"""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple

__all__ = [
    "DIRECTORY",
    "HEADER",
    "INDEX_DIGEST_SIZE",
    "MAGIC",
    "NO_TIME",
    "RECORD",
    "VALUE",
    "Header",
    "Record",
    "hash_key",
    "index_digest",
    "slot",
]

MAGIC = b"mcrunch1"
INDEX_DIGEST_SIZE = 16
HEADER = struct.Struct("<8sQQIIII16s")
RECORD = struct.Struct("<QQq16sIII")
VALUE, DIRECTORY = 0, 1
NO_TIME = -(1 << 63)
_NUMBERS = struct.Struct("<QQQ")


class Header(NamedTuple):
    """The start of a blob."""

    magic: bytes
    total: int
    """Octets of the whole blob."""
    salt: int
    """Number of the try in which the builder found displacements; it salts the hash."""
    buckets: int
    records: int
    children: int
    """Numbers in the table of children: one for each record but the root's."""
    strings: int
    """Octets of all keys."""
    index_digest: bytes


class Record(NamedTuple):
    """What a blob knows of one key."""

    start: int
    """Of a value: where its octets start, from the start of the blob. Of a directory: its first child's place."""
    size: int
    """Of a value: its octets. Of a directory: how many children it has."""
    modified: int
    """Nanoseconds since 1970, or `NO_TIME`."""
    digest: bytes
    """The value's digest; zero for a directory."""
    key_start: int
    """Where the key starts, from the start of the strings."""
    key_size: int
    kind: int


def hash_key(key: bytes, salt: int) -> tuple[int, int, int]:
    """The three numbers of a key."""
    digest = hashlib.blake2b(key, digest_size=24, salt=salt.to_bytes(8, "little"), usedforsecurity=False)
    return _NUMBERS.unpack(digest.digest())


def slot(f: int, g: int, displacement: int, records: int) -> int:
    """The number of a key's record."""
    return (f + displacement // records * g + displacement % records) % records


def index_digest(header: bytes, index: bytes | memoryview) -> bytes:
    """The digest over a header (without its last field) and what lies between header and data."""
    digest = hashlib.blake2b(header, digest_size=INDEX_DIGEST_SIZE, usedforsecurity=False)
    digest.update(index)
    return digest.digest()
