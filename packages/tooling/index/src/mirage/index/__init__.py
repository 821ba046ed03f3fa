"""One package index for pip, uv and opam, made from one set of metadata.

`build` is a pure function from distribution files, yanks and a signer to a tree of files, path to octets; `append` says
what changes in a tree when a release is added. `Index` answers questions from such a tree, in memory or in a
`Directory`. `answer` is what a server has to do with it.
"""

from ._directory import Directory, ssh_signer, ssh_verify, write
from ._files import File, read_file
from ._history import Day, chart, history
from ._reader import Fit, Index, Release
from ._serve import Answer, answer, server
from ._tree import append, build
from ._versions import formula, from_opam, to_opam
from .errors import (
    BadDistribution,
    FileChanged,
    IndexingError,
    InvalidIndex,
    NoVersion,
    UnknownProject,
    Unmappable,
)

__all__ = [
    "Answer",
    "BadDistribution",
    "Day",
    "Directory",
    "File",
    "FileChanged",
    "Fit",
    "Index",
    "IndexingError",
    "InvalidIndex",
    "NoVersion",
    "Release",
    "UnknownProject",
    "Unmappable",
    "answer",
    "append",
    "build",
    "chart",
    "formula",
    "from_opam",
    "history",
    "read_file",
    "server",
    "ssh_signer",
    "ssh_verify",
    "to_opam",
    "write",
]
