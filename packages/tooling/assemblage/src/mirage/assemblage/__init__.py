"""A package's description to all its build files and back.

`read` takes a `Description` from a `pyproject.toml`; `pyproject`, `opam`, `guide_stub`, `matrix` and `table` make from
descriptions what says the same again, and `drift` shows where a tree's files do not.
"""

from ._description import TIERS, Description, read
from ._drift import descriptions, drift
from ._generate import guide_stub, matrix, opam, pyproject, table
from .errors import AssemblageError, InvalidDescription

__all__ = [
    "TIERS",
    "AssemblageError",
    "Description",
    "InvalidDescription",
    "descriptions",
    "drift",
    "guide_stub",
    "matrix",
    "opam",
    "pyproject",
    "read",
    "table",
]
