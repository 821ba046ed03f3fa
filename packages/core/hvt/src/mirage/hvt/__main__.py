"""`mirage-hvt build SCRIPT` makes an image; `mirage-hvt run IMAGE` boots it."""

from __future__ import annotations

import sys

_USAGE = """\
usage: mirage-hvt build [options] SCRIPT -o IMAGE    make an image that runs SCRIPT
       mirage-hvt run [options] IMAGE [ARGUMENT ...] boot an image on /dev/kvm
       mirage-hvt resume SNAPSHOT                    let a saved guest go on
       mirage-hvt show IMAGE                         say what is in an image

`mirage-hvt COMMAND --help` says more.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    command, rest = (words[0], words[1:]) if words else ("", [])
    from mirage.types.errors import MirageError

    try:
        if command in {"run", "resume"}:
            from mirage.hvt import _run

            # Confining is for good and for the whole process, so not where a program calls this function.
            confine = arguments is None
            return _run.run(rest, confine) if command == "run" else _run.resume(rest, confine)
        if command in {"build", "show"}:
            from mirage.hvt._commands import build_command, show_command

            return build_command(rest) if command == "build" else show_command(rest)
    except MirageError as error:
        print(f"mirage-hvt: {error}", file=sys.stderr)
        return 125
    except OSError as error:
        print(f"mirage-hvt: {error}", file=sys.stderr)
        return 125
    print(_USAGE, end="", file=sys.stdout if command in {"-h", "--help"} else sys.stderr)
    return 0 if command in {"-h", "--help"} else 2


if __name__ == "__main__":
    sys.exit(main())
