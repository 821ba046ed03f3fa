"""A tar archive as a read-only key-value store, and any store as a tar archive.

`TarStore` reads ustar, pax and GNU archives in place, from bytes or mapped from a file. `write_tar` and `tar_chunks`
write an archive of any store, the same store always to the same octets.
"""

from ._store import TarStore
from ._write import tar_chunks, write_tar
from .errors import CorruptArchive, HostileName, UnsupportedArchive

__all__ = ["CorruptArchive", "HostileName", "TarStore", "UnsupportedArchive", "tar_chunks", "write_tar"]
