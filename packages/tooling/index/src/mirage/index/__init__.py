"""One package index for pip, uv and opam, made from one set of metadata."""

from ._versions import formula, from_opam, to_opam
from .errors import BadDistribution, FileChanged, IndexingError, InvalidIndex, UnknownProject, Unmappable

__all__ = [
    "BadDistribution",
    "FileChanged",
    "IndexingError",
    "InvalidIndex",
    "UnknownProject",
    "Unmappable",
    "formula",
    "from_opam",
    "to_opam",
]
