"""A tree of values compiled into one blob, or into a Python module that holds the blob.

`crunch` makes a blob from a directory or any store; `CrunchStore` reads it, from bytes or mapped from a file. A key is
found with one probe of a perfect hash, and digests, sizes and times are those of build time. The same tree gives the
same octets. `crunch_module` makes a module whose `store` is the tree.
"""

from ._build import crunch, crunch_module
from ._read import CrunchStore
from .errors import CorruptBlob

__all__ = ["CorruptBlob", "CrunchStore", "crunch", "crunch_module"]
