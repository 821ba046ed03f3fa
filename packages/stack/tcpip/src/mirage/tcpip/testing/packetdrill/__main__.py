"""The command."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...settings import Settings
from . import World, serve
from . import __doc__ as description

__all__ = ["main", "usual"]


def usual(congestion: str = "reno", delayed_ack: float = 0.0, *, ecn: bool = False) -> Settings:
    """Settings that most scripts expect."""
    return Settings(
        duplicate_address_probes=0,
        congestion_control=congestion,
        delayed_ack=delayed_ack,
        ecn=ecn,
        plpmtud=False,
        receive_buffer=15 << 20,  # whose scale is 8
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m mirage.tcpip.testing.packetdrill",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--socket", type=Path, help="where packetdrill's shared object connects")
    what.add_argument("--shim", action="store_true", help="say where the source of that object is")
    parser.add_argument("--runs", type=int, help="end after so many runs of packetdrill")
    parser.add_argument("--congestion", default="reno", help="cubic, reno or westwood; most scripts expect reno")
    parser.add_argument("--delayed-ack", type=float, default=0.0, help="seconds; most scripts expect quick ones")
    parser.add_argument("--ecn", action="store_true", help="offer and accept ECN")
    options = parser.parse_args()
    if options.shim:
        print(Path(__file__).with_name("shim.c"))
        return
    settings = usual(options.congestion, options.delayed_ack, ecn=options.ecn)
    serve(options.socket, options.runs, lambda: World(settings), lambda: print("ready", flush=True))


if __name__ == "__main__":
    main()
