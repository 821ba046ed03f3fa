"""Coverage-guided fuzzing with atheris, which is asked for by itself (the dependency group `fuzz`).

    pip install atheris mirage-tls
    python fuzz_tls.py "1.3: server inside" -max_total_time=600

The first argument is one of `mirage.tls.testing.fuzzing.targets()`, whose good octets begin the corpus; what follows is
for libFuzzer. Any exception but `TlsError` ends the run with the octets that caused it.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mirage.tls"]):
    from mirage.tls import TlsError
    from mirage.tls.testing.fuzzing import targets


def main() -> None:
    """Fuzz the target that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1] not in targets():
        raise SystemExit(f"name a target: {', '.join(targets())}")
    good, use = targets()[sys.argv.pop(1)]
    corpus = tempfile.mkdtemp(prefix="fuzz-tls-")
    Path(corpus, "good").write_bytes(good)

    def once(data: bytes) -> None:
        with contextlib.suppress(TlsError):
            use(data)

    atheris.Setup([*sys.argv, corpus], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
