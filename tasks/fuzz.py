"""Fuzzing guided by coverage: atheris runs over the targets that a package has for it, within bounds.

Run by `./noxw -s fuzz`, which has atheris. A package that can be fuzzed has a module of targets by name, each of them
good octets, which begin the corpus, and a function that reads octets: it raises nothing but the package's declared
error, and stays within `BOUNDS` of time and memory. Anything else ends the run with the octets that caused it, in a
file of `_build/fuzz`. What was found to reach new code is kept there too, and the next run goes on from it.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Target = tuple[bytes, Callable[[bytes], object]]

PLACE = Path(__file__).resolve().parent.parent / "_build" / "fuzz"
BOUNDS = ("-timeout=5", "-rss_limit_mb=768", "-max_len=65536")
"""What libFuzzer holds each input to: seconds, mebioctets of the whole process, and octets of the input."""


@dataclass(frozen=True)
class Fuzzed:
    """Where a package keeps its targets, and what they may raise."""

    targets: str
    error: str
    instrumented: tuple[str, ...]
    """The packages whose branches guide the fuzzer."""

    def load(self) -> tuple[Mapping[str, Target], type[Exception]]:
        """The targets and the error."""
        module, _, name = self.error.rpartition(".")
        declared: type[Exception] = getattr(importlib.import_module(module), name)
        return importlib.import_module(self.targets).targets(), declared


PACKAGES = {
    "asn1": Fuzzed("mirage.asn1.testing", "mirage.asn1.DecodeError", ("mirage.asn1",)),
    "x509": Fuzzed("mirage.x509.testing", "mirage.x509.X509Error", ("mirage.asn1", "mirage.x509")),
    "tls": Fuzzed("mirage.tls.testing.fuzzing", "mirage.tls.TlsError", ("mirage.tls",)),
}


def chosen(words: Sequence[str]) -> tuple[Fuzzed, str, list[str]]:
    """The package, the target's name and libFuzzer's options; ends the program with what there is to choose from."""
    if not words or words[0] not in PACKAGES:
        raise SystemExit(f"fuzz: name a package: {', '.join(PACKAGES)}")
    if len(words) < 2 or words[1].startswith("-"):
        names = "\n  ".join(sorted(PACKAGES[words[0]].load()[0]))
        raise SystemExit(f"fuzz: name a target of {words[0]}:\n  {names}")
    return PACKAGES[words[0]], words[1], list(words[2:])


def main(words: Sequence[str]) -> None:
    """Fuzz a target until an option of libFuzzer or what it finds ends it."""
    fuzzed, name, options = chosen(words)
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=list(fuzzed.instrumented)):
        targets, declared = fuzzed.load()
    if name not in targets:
        raise SystemExit(f"fuzz: {words[0]} has no target {name!r}:\n  " + "\n  ".join(sorted(targets)))
    good, use = targets[name]

    def once(data: bytes) -> None:
        with contextlib.suppress(declared):
            use(data)

    once(good)  # so that what is made on the first call counts for no input
    corpus = PLACE / words[0] / re.sub("[^a-z0-9.]+", "-", name)
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / "good").write_bytes(good)
    atheris.Setup([sys.argv[0], *BOUNDS, f"-artifact_prefix={corpus}.", *options, str(corpus)], once)
    atheris.Fuzz()  # which ends the program


if __name__ == "__main__":
    main(sys.argv[1:])
