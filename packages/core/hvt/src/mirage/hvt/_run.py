"""`mirage-hvt run`: its options are read by hand, for `argparse` takes as long to import as a guest to boot."""

from __future__ import annotations

import sys

from mirage.hvt.errors import HvtError
from mirage.hvt.tender import Tender

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mirage.hvt._devices import Device

_USAGE = """\
usage: mirage-hvt run [--net NAME=NETWORK] [--block NAME=FILE[:ro]] [--arg KEY=VALUE] [--arg-file KEY=FILE]
                      [--memory MIB] [--snapshot FILE] [--dump-core FILE] [--log-unknown] [--times] [--unconfined]
                      IMAGE [ARGUMENT ...]
       mirage-hvt resume [--net NAME=NETWORK] [--block NAME=FILE[:ro]] [--dump-core FILE] [--times]
                         [--image IMAGE] [--share] [--unconfined] SNAPSHOT

  --net NAME=tap:INTERFACE  the guest's network /dev/NAME is this TAP interface
  --net NAME=fd:NUMBER,mac=ADDRESS[,mtu=OCTETS][,offload]
                            ... is this open socket of frames, such as  mirage-gateway run  gives (offload: to one
                            whose other end takes checksums and super-frames to complete, as the gateway does)
  --block NAME=FILE[:ro]    the guest's disk /dev/NAME is this file or block device; :ro to read only
  --arg KEY=VALUE           the application finds --KEY=VALUE among its arguments, before each ARGUMENT
  --arg-file KEY=FILE       ... with the text of this file as its value, which other users of the host do not see
  --memory MIB     memory of the guest, an even number (default: what the image says)
  --snapshot FILE  where the guest is saved when it asks for it
  --dump-core FILE where a guest that faults is written, for gdb
  --image IMAGE    where the snapshot's image is, if no longer where it was
  --share          have what it does not change in common with other guests: less memory, slower at first
  --log-unknown    name the system calls that the library OS does not support
  --times          say afterwards how often the guest left for the tender
  --unconfined     keep this process's rights and system calls (to debug the tender itself)
"""


class _Usage(HvtError):
    """The command line makes no sense."""


_FLAGS = {"--help", "--log-unknown", "--share", "--times", "--unconfined"}
_OF_RESUME = {"--dump-core", "--image", "--share", "--times", "--unconfined"}
_ARGUMENTS = ("--arg", "--arg-file")
_REPEATED = ("--net", "--block", *_ARGUMENTS)
_LONGEST = 96 << 10
"""Octets of a file that becomes an argument; all of them together have 128 KiB."""


class _Options(dict[str, str]):
    """The options that are given once, and lists of those that may be repeated."""

    def __init__(self) -> None:
        self.repeated: dict[str, list[tuple[str, str]]] = {name: [] for name in _REPEATED}

    def repeat(self, name: str, text: str) -> None:
        """Note a pair."""
        key, equals, value = text.partition("=")
        if not key or not equals or (name not in _ARGUMENTS and key in dict(self.repeated[name])):
            raise _Usage(f"{name} wants {'KEY' if name in _ARGUMENTS else 'NAME'}=VALUE, each once, and not {text!r}")
        self.repeated[name].append((key, value))

    def arguments(self) -> list[str]:
        """What --arg and --arg-file say, as words of the application; files are read now."""
        words = [f"--{key}={value}" for key, value in self.repeated["--arg"]]
        return words + [f"--{key}={_text(path)}" for key, path in self.repeated["--arg-file"]]

    def devices(self) -> dict[str, Device]:
        """What --net and --block say."""
        networks, disks = self.repeated["--net"], self.repeated["--block"]
        if not networks and not disks:
            return {}
        from mirage.hvt.devices import Disk, FrameSocket, Tap

        found: dict[str, Device] = {}
        for name, value in networks:
            kind, _, rest = value.partition(":")
            if kind not in {"tap", "fd"} or not rest:
                raise _Usage(
                    f"--net wants {name}=tap:INTERFACE or {name}=fd:NUMBER,mac=ADDRESS, and not {name}={value}"
                )
            try:
                found[name] = Tap(rest) if kind == "tap" else FrameSocket.parse(rest)
            except ValueError as error:
                raise _Usage(f"--net {name}={value}: {error}") from None
        for name, value in disks:
            if name in found:
                raise _Usage(f"two devices have the name {name}")
            path = value.removesuffix(":ro")
            found[name] = Disk(path, read_only=path != value)
        return found


def _text(path: str) -> str:
    """A file's text. Raises `_Usage` for one that cannot be an argument."""
    try:
        with open(path, "rb") as file:
            octets = file.read(_LONGEST + 1)
        text = octets.decode()
    except OSError as error:
        raise _Usage(f"--arg-file: {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise _Usage(f"--arg-file: {path} is no text in UTF-8") from None
    if len(octets) > _LONGEST or "\0" in text:
        raise _Usage(f"--arg-file: {path} must be a text of at most {_LONGEST >> 10} KiB, without the character NUL")
    return text


def _parse(words: list[str]) -> tuple[_Options, str, list[str]]:
    options = _Options()
    words = list(words)
    while words and words[0].startswith("--"):
        name, equals, value = words.pop(0).partition("=")
        if name in _FLAGS:
            options[name] = "yes"
        elif name in {"--memory", "--snapshot", "--dump-core", "--image", *_REPEATED}:
            if not equals and not words:
                raise _Usage(f"{name} wants a value\n{_USAGE}")
            text = value if equals else words.pop(0)
            if name in _REPEATED:
                options.repeat(name, text)
            else:
                options[name] = text
        else:
            raise _Usage(f"there is no option {name}\n{_USAGE}")
    if "--help" in options:
        return options, "", []
    if not words:
        raise _Usage(f"which image?\n{_USAGE}")
    return options, words[0], words[1:]


def run(words: list[str], confine: bool) -> int:
    """Boot an image; returns the guest's exit status. `confine`: see `Tender.confine`."""
    options, image, arguments = _parse(words)
    if "--help" in options:
        print(_USAGE, end="")
        return 0
    for name in ("--image", "--share"):
        if name in options:
            raise _Usage(f"{name} is for a saved guest\n{_USAGE}")
    memory = options.get("--memory")
    if memory is not None and not memory.isdecimal():
        raise _Usage(f"--memory wants a number of MiB, and {memory!r} is none")
    devices = options.devices()
    tender = Tender(
        image,
        [*options.arguments(), *arguments],
        memory=None if memory is None else int(memory) << 20,
        stdin=_stdin(),
        snapshot=options.get("--snapshot"),
        devices=devices,
        log_unknown="--log-unknown" in options,
        core=options.get("--dump-core"),
    )
    return _serve(tender, options, confine)


def resume(words: list[str], confine: bool) -> int:
    """Let a saved guest go on; returns its exit status. `confine`: see `Tender.confine`."""
    options, snapshot, arguments = _parse(words)
    if "--help" in options:
        print(_USAGE, end="")
        return 0
    given = arguments or any(options.repeated[name] for name in _ARGUMENTS)
    if given or options.keys() - _OF_RESUME:
        raise _Usage(f"a saved guest takes no arguments\n{_USAGE}")
    tender = Tender.resume(
        snapshot,
        stdin=_stdin(),
        devices=options.devices(),
        core=options.get("--dump-core"),
        image=options.get("--image"),
        share="--share" in options,
    )
    return _serve(tender, options, confine)


def _stdin() -> int | None:
    return sys.stdin.fileno() if sys.stdin is not None else None


def _serve(tender: Tender, options: dict[str, str], confine: bool) -> int:
    with tender:
        if confine and "--unconfined" not in options:
            tender.confine()
        status = tender.run()
        if "--times" in options:
            print(f"exits to the tender: {tender.exits}", file=sys.stderr)
    return status
