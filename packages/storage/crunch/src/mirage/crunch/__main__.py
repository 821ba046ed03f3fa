"""The command `mirage-crunch`: compile a directory into a blob or a Python module."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Literal

from mirage.types import MirageError

from ._build import crunch, crunch_module
from ._read import CrunchStore

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, or 1 after a message on standard error."""
    parser = argparse.ArgumentParser(
        prog="mirage-crunch", description="Compile a directory into one blob, or into a Python module that holds it."
    )
    parser.add_argument("directory", metavar="DIR", help="the directory to compile")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="where to write the result")
    parser.add_argument("--module", action="store_true", help="write a Python module whose `store` is the tree")
    parser.add_argument(
        "--modified",
        metavar="WHEN",
        type=_when,
        default=os.environ.get("SOURCE_DATE_EPOCH", "keep"),
        help="times of last change: 'keep' the files', 'none', or one for all in seconds since 1970 "
        "(default: SOURCE_DATE_EPOCH if it is set, else keep)",
    )
    options = parser.parse_args(argv)
    try:
        blob = crunch(options.directory, modified=options.modified)
        name = os.path.basename(os.path.abspath(options.directory))
        result = crunch_module(blob, name=name).encode() if options.module else blob
        with open(options.output, "wb") as file:
            file.write(result)
    except (MirageError, OSError) as error:
        print(f"mirage-crunch: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: {CrunchStore(blob, verify=False)!r}"[:-1].replace("<CrunchStore of ", ""))
    return 0


def _when(text: str) -> float | Literal["keep"] | None:
    if text == "keep":
        return "keep"
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither 'keep', 'none' nor seconds since 1970") from None


if __name__ == "__main__":
    sys.exit(main())
