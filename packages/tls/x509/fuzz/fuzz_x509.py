"""Coverage-guided fuzzing with atheris, which is asked for by itself (the dependency group `fuzz`).

    pip install atheris mirage-x509
    python fuzz_x509.py "ocsp response" -max_total_time=600

The first argument is one of `mirage.x509.testing.targets()`, whose good octets begin the corpus; what follows is for
libFuzzer. Any exception but `X509Error` ends the run with the octets that caused it.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mirage.asn1", "mirage.x509"]):
    from mirage.x509 import X509Error
    from mirage.x509.testing import targets


def main() -> None:
    """Fuzz the target that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1] not in targets():
        raise SystemExit(f"name a target: {', '.join(targets())}")
    good, use = targets()[sys.argv.pop(1)]
    corpus = tempfile.mkdtemp(prefix="fuzz-x509-")
    Path(corpus, "good").write_bytes(good)

    def once(data: bytes) -> None:
        with contextlib.suppress(X509Error):
            use(data)

    atheris.Setup([*sys.argv, corpus], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
