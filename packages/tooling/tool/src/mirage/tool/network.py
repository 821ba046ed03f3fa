"""`mirage net`: looking into the TCP/IP stack of a running program.

The program was started with ``--inspect``, and answers at a Unix socket or at a TCP port: a line of JSON is asked, one
comes back, and after the one for a capture the frames as a pcapng file (`mirage.runtime` has the other end).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mirage.functoria import table

from .errors import NetworkError, UsageError

__all__ = ["look", "net_parser", "tables"]

_P = TypeVar("_P", bound=argparse.ArgumentParser)
_PATIENCE = 10.0
_LONGEST = 64 << 20
"""An answer is no longer than this."""
_QUESTIONS = {
    "show": "interfaces, routes and neighbours",
    "connections": "who is connected to whom, and how it goes",
    "counters": "what has happened, by protocol",
    "capture": "the frames that pass from now on, as pcapng",
}


def net_parser(kind: Callable[..., _P]) -> _P:
    """The options of `mirage net`."""
    facts = "\n".join(f"  {name:<12} {doc}" for name, doc in _QUESTIONS.items())
    parser = kind(
        prog="mirage net",
        description="Look into the TCP/IP stack of a program that was started with  mirage run --inspect PATH",
        epilog=f"what there is to see:\n{facts}\n\nmirage net capture PATH | tcpdump -nr -",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("what", choices=list(_QUESTIONS), metavar="WHAT", help=", ".join(_QUESTIONS))
    parser.add_argument(
        "target", metavar="TARGET", help="the PATH, or ADDRESS:PORT where the program has a port for it"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--limit", type=int, metavar="N", help="list at most so many of each kind (default: 1000)")
    parser.add_argument(
        "-i", "--interface", metavar="NAME", help="of a capture: this interface only (default: all but lo)"
    )
    parser.add_argument("-c", "--count", type=int, metavar="N", help="of a capture: end after so many frames")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="of a capture: where it goes (default: stdout)"
    )
    return parser


def look(options: argparse.Namespace) -> int:
    """Ask, and print. Raises `NetworkError`, `UsageError`."""
    question = {"ask": options.what}
    if options.limit is not None:
        question["limit"] = options.limit
    if options.interface is not None:
        question["interface"] = options.interface
    with _connected(options.target) as sock:
        sock.sendall(json.dumps(question).encode() + b"\n")
        stream = sock.makefile("rb")
        answer = _answer(stream.readline(_LONGEST), options)
        if options.what == "capture":
            sock.settimeout(None)
            _save(stream, answer, options)
        elif options.json:
            print(json.dumps(answer, indent=2))
        else:
            try:
                told = tables(options.what, answer)
            except (LookupError, TypeError, ValueError, AttributeError):
                raise NetworkError(
                    f"{options.target} tells something else than was asked for; --json shows it"
                ) from None
            # A program's words are no commands to the terminal.
            sys.stdout.write("".join(c if c.isprintable() or c == "\n" else "?" for c in told))
    return 0


def _connected(target: str) -> socket.socket:
    host, colon, port = target.rpartition(":")
    try:
        if colon and port.isdigit() and not Path(target).exists():
            return socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE)
        with contextlib.ExitStack() as closing:
            sock = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            sock.settimeout(_PATIENCE)
            sock.connect(target)
            closing.pop_all()
            return sock
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NetworkError(
            f"nobody answers at {target} ({reason}): is the program running, with  --inspect {target} ?"
        ) from None


def _answer(line: bytes, options: argparse.Namespace) -> Any:
    try:
        answer = json.loads(line)
        if "error" in answer:
            raise UsageError(f"{options.target}: {ascii(answer['error'])[1:-1]}")
        return answer[options.what]
    except (ValueError, KeyError, TypeError):
        what = "gave no answer" if not line else "is no stack to look into"
        raise NetworkError(
            f"{options.target} {what}; a port answers the router of its network only, or its neighbours if it has none"
        ) from None


def _save(stream: Any, names: Sequence[str], options: argparse.Namespace) -> None:
    """Copy blocks whole until there are enough, until the program ends, or until the keyboard's interrupt."""
    output = open(options.output, "wb") if options.output else sys.stdout.buffer  # noqa: SIM115
    frames = 0
    print(f"capturing from {', '.join(map(ascii, names))}", file=sys.stderr, flush=True)
    try:
        for kind, block in _blocks(stream):
            output.write(block)
            output.flush()
            frames += kind == 6
            if options.count is not None and frames >= options.count:
                break
    except KeyboardInterrupt:
        pass  # that is how a capture is meant to end
    finally:
        if options.output:
            output.close()
        print(f"{frames} frames", file=sys.stderr)


def _blocks(stream: Any) -> Iterator[tuple[int, bytes]]:
    """Kind and octets of each block of a pcapng file, little-endian, as long as they are whole."""
    while len(head := stream.read(8)) == 8:
        kind, size = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:], "little")
        if not 12 <= size <= 1 << 20:
            raise NetworkError("what comes is no pcapng")
        rest = stream.read(size - 8)
        if len(rest) < size - 8:
            return
        yield kind, head + rest


def tables(what: str, answer: Any) -> str:
    """An answer for people."""
    return {"show": _show, "connections": _connections, "counters": _counters}[what](answer)


def _rows(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    return f"{title}\n{table(list(rows))}" if rows else ""


def _show(answer: Any) -> str:
    told = ""
    for one in answer["interfaces"]:
        rows = [(own["address"], "" if own["state"] == "preferred" else own["state"]) for own in one["addresses"]]
        passed = [
            (way, f"{one[way]['frames']} frames", f"{one[way]['octets']} octets") for way in ("in", "out")
        ]  # fmt: skip
        dropped = one["out"].get("dropped", 0)
        offload = f", offload {' '.join(one['offload'])}" if one["offload"] else ""
        told += _rows(f"{one['name']}: {one['mac']}, mtu {one['mtu']}{offload}", rows)
        told += table(passed) + (f"  {dropped} frames that the device had no room for\n" if dropped else "")
    told += _rows("routes", [(r["to"], f"by {r['by']}" if r["by"] else "", r["interface"]) for r in answer["routes"]])
    neighbours = [
        (n["address"], n["mac"] or "", n["interface"], n["state"] + (", router" if n["router"] else ""))
        for n in answer["neighbours"]
    ]
    return told + _rows("neighbours", neighbours)


def _connections(answer: Any) -> str:
    rows = [("", "LOCAL", "REMOTE", "STATE", "UNREAD", "UNSENT", "RTT", "CWND", "AGAIN")]
    rows += [("tcp", one["local"], "", "LISTEN", str(one["waiting"]), "", "", "", "") for one in answer["listeners"]]
    for one in answer["tcp"]:
        info = one["info"]
        rtt = f"{info['rtt'] * 1e3:.3g} ms" if info.get("rtt") else ""
        again = str(info.get("total_retrans", 0))
        window = str(info.get("snd_cwnd", ""))
        rows.append(
            (
                "tcp",
                one["local"],
                one["remote"],
                one["state"],
                str(one["unread"]),
                str(one["unsent"]),
                rtt,
                window,
                again,
            )
        )
    rows += [
        ("udp", one["local"], one["remote"] or "", "", str(one["waiting"]), "", "", "", "") for one in answer["udp"]
    ]
    told = table(rows, indent="")
    left = sum(answer["total"].values()) - len(rows) + 1
    return told + (f"and {left} more: --limit\n" if left > 0 else "")


def _counters(answer: Any) -> str:
    protocols: dict[str, list[tuple[str, ...]]] = {}
    for name, count in answer.items():
        protocol, _, event = name.partition(".")
        protocols.setdefault(protocol, []).append((event, str(count)))
    return "".join(_rows(protocol, rows) for protocol, rows in protocols.items()) or "nothing was counted\n"
