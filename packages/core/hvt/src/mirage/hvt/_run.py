"""`mirage-hvt run`: its options are read by hand, for `argparse` takes as long to import as a guest to boot."""

from __future__ import annotations

import sys

from mirage.hvt.errors import HvtError
from mirage.hvt.tender import Tender

_USAGE = """\
usage: mirage-hvt run [--memory MIB] [--snapshot FILE] [--dump-core FILE] [--log-unknown] [--times]
                      IMAGE [ARGUMENT ...]
       mirage-hvt resume [--times] SNAPSHOT

  --memory MIB     memory of the guest, an even number (default: what the image says)
  --snapshot FILE  where the guest is saved when it asks for it
  --dump-core FILE where a guest that faults is written, for gdb
  --log-unknown    name the system calls that the library OS does not support
  --times          say afterwards how often the guest left for the tender
"""


class _Usage(HvtError):
    """The command line makes no sense."""


def _parse(words: list[str]) -> tuple[dict[str, str], str, list[str]]:
    options: dict[str, str] = {}
    words = list(words)
    while words and words[0].startswith("--"):
        name, equals, value = words.pop(0).partition("=")
        if name in {"--log-unknown", "--times", "--help"}:
            options[name] = "yes"
        elif name in {"--memory", "--snapshot", "--dump-core"}:
            if not equals and not words:
                raise _Usage(f"{name} wants a value\n{_USAGE}")
            options[name] = value if equals else words.pop(0)
        else:
            raise _Usage(f"there is no option {name}\n{_USAGE}")
    if "--help" in options:
        return options, "", []
    if not words:
        raise _Usage(f"which image?\n{_USAGE}")
    return options, words[0], words[1:]


def run(words: list[str]) -> int:
    """Boot an image; returns the guest's exit status."""
    options, image, arguments = _parse(words)
    if "--help" in options:
        print(_USAGE, end="")
        return 0
    memory = options.get("--memory")
    if memory is not None and not memory.isdecimal():
        raise _Usage(f"--memory wants a number of MiB, and {memory!r} is none")
    tender = Tender(
        image,
        arguments,
        memory=None if memory is None else int(memory) << 20,
        stdin=_stdin(),
        snapshot=options.get("--snapshot"),
        log_unknown="--log-unknown" in options,
        core=options.get("--dump-core"),
    )
    return _serve(tender, options)


def resume(words: list[str]) -> int:
    """Let a saved guest go on; returns its exit status."""
    options, snapshot, arguments = _parse(words)
    if "--help" in options:
        print(_USAGE, end="")
        return 0
    if arguments or options.keys() - {"--times"}:
        raise _Usage(f"a saved guest takes no arguments\n{_USAGE}")
    return _serve(Tender.resume(snapshot, stdin=_stdin()), options)


def _stdin() -> int | None:
    return sys.stdin.fileno() if sys.stdin is not None else None


def _serve(tender: Tender, options: dict[str, str]) -> int:
    with tender:
        status = tender.run()
        if "--times" in options:
            print(f"exits to the tender: {tender.exits}", file=sys.stderr)
    return status
