"""Coverage-guided fuzzing with atheris, which is asked for by itself (the dependency group `fuzz`).

    pip install atheris mirage-asn1
    python fuzz_asn1.py "a tree" -max_total_time=600

The first argument is one of `mirage.asn1.testing.targets()`, whose good octets begin the corpus; what follows is for
libFuzzer. Any exception but `DecodeError` ends the run with the octets that caused it.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mirage.asn1"]):
    from mirage.asn1 import DecodeError
    from mirage.asn1.testing import targets


def main() -> None:
    """Fuzz the target that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1] not in targets():
        raise SystemExit(f"name a target: {', '.join(targets())}")
    good, use = targets()[sys.argv.pop(1)]
    corpus = tempfile.mkdtemp(prefix="fuzz-asn1-")
    Path(corpus, "good").write_bytes(good)

    def once(data: bytes) -> None:
        with contextlib.suppress(DecodeError):
            use(data)

    atheris.Setup([*sys.argv, corpus], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
