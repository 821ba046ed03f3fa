"""`mirage-gateway run -- COMMAND` gives a command a network; `mirage-gateway listen PATH` makes one to be joined, and
`mirage-gateway join PATH -- COMMAND` joins it."""

from __future__ import annotations

import argparse
import ipaddress
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mirage.types import MirageError

from ._bind import AGAIN, bind, bind_file, raise_limit
from ._join import join
from .errors import BadOption, HostUnavailable
from .plan import Plan
from .policy import Address, Rule, parse_rule
from .publish import Publication, parse_publication

if TYPE_CHECKING:
    from .gateway import Gateway

__all__ = ["main"]

NETWORK = "{net}"
VARIABLE = "MIRAGE_NET"
_TROUBLE = 125
"""The exit status when the gateway itself fails, as env(1) and docker(1) have it."""
_ABOUT = """\
A network for a guest or a process, without root: addresses by DHCP and router advertisements, names, ways out to whom
--allow permits, and published ports in. The guest has 10.0.2.15, the gateway 10.0.2.2 (which stands for the host's own
loopback, where that is allowed), the name server 10.0.2.3; for IPv6 fd00::2 and fd00::3.
"""
_RUN = """\
{net} among the words of the command, and the variable MIRAGE_NET, say where the network is: fd:NUMBER,mac=...,mtu=...,
as mirage-hvt run --net NAME={net} takes it.
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    options = _parser().parse_args(sys.argv[1:] if words is None else words)
    try:
        if options.command == "join":
            _join(options.socket, options.words)
        plan = Plan.of(options.ipv4, options.ipv6, options.mtu)
        publications = [parse_publication(text) for text in options.publish]
        rules = [parse_rule(text, _resolve) for text in options.allow]
        bound = [(each, bind(each)) for each in publications]
        if options.command == "run":
            return _run(options, plan, rules, bound)
        return _listen(options, plan, rules, bound)
    except (MirageError, OSError) as error:
        print(f"mirage-gateway: {error}", file=sys.stderr)
        return _TROUBLE


_Bound = list[tuple[Publication, list[socket.socket]]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mirage-gateway", description=_ABOUT, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run a command with a network", epilog=_RUN, allow_abbrev=False)
    _add_options(run)
    run.add_argument("words", nargs="+", metavar="WORD", help="the command and its arguments, after --")
    listen = commands.add_parser("listen", help="make a network that guests join", allow_abbrev=False)
    _add_options(listen)
    listen.add_argument("socket", type=Path, metavar="PATH", help="the UNIX socket that guests connect to (SEQPACKET)")
    guest = commands.add_parser("join", help="run a command as a guest", epilog=_RUN, allow_abbrev=False)
    guest.add_argument("socket", type=Path, metavar="PATH", help="where mirage-gateway listen has made a network")
    guest.add_argument("words", nargs="+", metavar="WORD", help="the command and its arguments, after --")
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "-p", "--publish", action="append", default=[], metavar="[ADDRESS:]HOSTPORT:[GUEST:]GUESTPORT[/udp]",
        help="what comes to this port of the host, or to a file (unix:PATH:GUESTPORT), goes to the guest "
        "(ADDRESS: localhost; * for all; HOSTPORT 0: any)",
    )  # fmt: skip
    add(
        "-a", "--allow", action="append", default=[], metavar="HOST[:PORT]",
        help="guests may reach an address, a network, a name (as it is now), or * (all but the host's own addresses)",
    )  # fmt: skip
    add("--allow-all", action="store_true", help="the same as --allow '*'")
    add(
        "--names", action=argparse.BooleanOptionalAction, default=None,
        help="look names up for guests (default: if anything is allowed)",
    )  # fmt: skip
    add("--ipv4", default="10.0.2.0/24", metavar="NETWORK", help="default: %(default)s")
    add("--ipv6", default="fd00::/64", metavar="NETWORK", help="default: %(default)s")
    add("--mtu", type=int, default=1500, metavar="OCTETS", help="default: %(default)s")
    add("--pcap", type=Path, metavar="FILE", help="write all that passes to a file that tcpdump and Wireshark read")
    add("--stats", action="store_true", help="say at the end what was let through and what not")
    add("-q", "--quiet", action="store_true", help="do not say which ports are published")


def _resolve(name: str) -> list[Address]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise HostUnavailable(f"the addresses of {name!r} are not known: {error.strerror}") from None
    return [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


def _run(options: argparse.Namespace, plan: Plan, rules: list[Rule], bound: _Bound) -> int:
    """Start the command before the stack is loaded: frames wait in the socket meanwhile."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    where = f"fd:{theirs.fileno()},mac={plan.mac(0).hex(':')},mtu={plan.mtu},offload"
    words = [word.replace(NETWORK, where) for word in options.words]
    children: list[subprocess.Popen[bytes]] = []
    stops: list[int] = []

    def stop(number: int, _: object) -> None:
        stops.append(number)
        for child in children:
            child.terminate()

    # The keyboard's interrupt reaches the command by itself, and a request to stop is passed on: how it ends then is
    # what counts. Handlers and not SIG_IGN, which the command would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, stop)
    with theirs:
        try:
            child = subprocess.Popen(  # noqa: S603 - the user's own words
                words, pass_fds=[theirs.fileno()], env={**os.environ, VARIABLE: where}
            )
        except OSError as error:
            raise BadOption(f"{words[0]!r} cannot be started: {error.strerror}") from None
    children.append(child)
    if stops:
        child.terminate()
    _announce(options, bound)
    try:
        return _serve_child(options, plan, rules, bound, ours, child)
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()


def _serve_child(
    options: argparse.Namespace,
    plan: Plan,
    rules: list[Rule],
    bound: _Bound,
    ours: socket.socket,
    child: subprocess.Popen[bytes],
) -> int:
    import asyncio

    async def serve() -> int:
        gateway = _gateway(options, plan, rules, bound)
        gateway.join(ours)
        raise_limit()
        # Again, by the loop: the kernel may give the signal to the thread that waits, which wakes nobody.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, child.terminate)
        try:
            return await asyncio.to_thread(child.wait)
        finally:
            _report(options, gateway)
            await gateway.close()

    status = asyncio.run(serve())
    return 128 - status if status < 0 else status


def _join(path: Path, words: Sequence[str]) -> NoReturn:
    """Become the command, which finds the network open."""
    sock, where = join(path)
    sock.set_inheritable(True)
    words = [word.replace(NETWORK, where) for word in words]
    try:
        os.execvpe(words[0], words, {**os.environ, VARIABLE: where})  # noqa: S606 - the user's own words
    except OSError as error:
        raise BadOption(f"{words[0]!r} cannot be started: {error.strerror}") from None


def _listen(options: argparse.Namespace, plan: Plan, rules: list[Rule], bound: _Bound) -> int:
    import asyncio

    path: Path = options.socket
    listener = bind_file(str(path), socket.SOCK_SEQPACKET)
    listener.listen()
    listener.setblocking(False)
    _announce(options, bound)
    print(f"guests join at {path}", file=sys.stderr, flush=True)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        gateway = _gateway(options, plan, rules, bound)
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)

        def accept() -> None:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError:  # out of descriptors: others will end
                loop.remove_reader(listener.fileno())
                loop.call_later(AGAIN, loop.add_reader, listener.fileno(), accept)
                return
            gateway.join(sock, welcome=True)

        raise_limit()
        loop.add_reader(listener.fileno(), accept)
        try:
            await stop.wait()
        finally:
            loop.remove_reader(listener.fileno())
            _report(options, gateway)
            await gateway.close()

    try:
        asyncio.run(serve())
    finally:
        listener.close()
        path.unlink(missing_ok=True)
    return 0


def _gateway(options: argparse.Namespace, plan: Plan, rules: list[Rule], bound: _Bound) -> Gateway:
    from .gateway import Gateway

    return Gateway(
        plan,
        rules=rules,
        everything=options.allow_all,
        publish=bound,
        names=options.names,
        capture=options.pcap,
    )


def _announce(options: argparse.Namespace, bound: _Bound) -> None:
    if options.quiet:
        return
    for publication, sockets in bound:
        for sock in sockets:
            if sock.family == socket.AF_UNIX:
                print(
                    f"{sock.getsockname()} is port {publication.guest_port} of the guest", file=sys.stderr, flush=True
                )
                continue
            host, port, *_ = sock.getsockname()
            kind = "UDP port" if publication.udp else "port"
            at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            print(f"{at} is {kind} {publication.guest_port} of the guest", file=sys.stderr, flush=True)


def _report(options: argparse.Namespace, gateway: Gateway) -> None:
    if options.stats:
        gateway.flush()
        to_guest, from_guest = gateway.octets
        told = "".join(f", {name} {count}" for name, count in sorted(gateway.counters.items()))
        print(f"octets to guests {to_guest}, from guests {from_guest}{told}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
