"""Block devices: numbered sectors in a file, on a disk, on a unikernel's `/dev/blk0`, or in memory.

All fit `mirage.types.Block`. `FileBlock` uses ordinary file operations only, so one class serves an image file, a disk
of the host and the disk of a unikernel; `create` makes an image; `MemoryBlock` keeps what was written in memory.
"""

from ._file import FileBlock, create
from ._memory import MemoryBlock
from .errors import BlockBusy, BlockUnavailable

__all__ = ["BlockBusy", "BlockUnavailable", "FileBlock", "MemoryBlock", "create"]
