"""Key-value stores: `MemoryStore`, `DirectoryStore` and `OverlayStore`.

All three fit `mirage.types.KeyValueRW` and give equal digests for equal values, so one can stand in for another.
"""

from .directory import DirectoryStore
from .memory import MemoryStore
from .overlay import OverlayStore

__all__ = ["DirectoryStore", "MemoryStore", "OverlayStore"]
