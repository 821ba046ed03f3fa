"""The command that starts an artifact: by the host's Python or as a virtual machine, on the network that was asked for.

A program with a TCP/IP stack of its own needs a network: a gateway of its own (`mirage-gateway run`, no root), one that
it shares with others (`mirage-gateway listen`), or a TAP interface. The gateway is another process, because the tender
of a virtual machine confines itself; it starts the program and hands it one end of a socket, in place of the word
``{net}``.

A virtual machine sees no file of the host. A certificate goes in as the text of its file, which the tender reads: the
private key stands on no command line, where other users of the host could read it.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from mirage.functoria import BootArgument

from .devices import CERTIFICATE, DNS_PORT, HTTPS_PORT, INSPECT, PORT
from .errors import UsageError
from .project import Project

__all__ = ["GATEWAY", "check_network", "start_command"]

GATEWAY = "gateway"
_TAP, _SHARED = "tap:", "unix:"
_SIOCGIFFLAGS, _IFF_UP = 0x8913, 1
_INTERFACE = "net0"
_GIVEN = "{net}"
_FOR_THE_GATEWAY = "--publish, --allow and --pcap are for the gateway"
_INSPECTED_AT = 9115
"""The port of a virtual machine that `--inspect` leads to."""


def start_command(
    project: Project,
    artifact: Path,
    boot: Sequence[str],
    *,
    net: str | None = None,
    publish: Sequence[str] = (),
    allow: Sequence[str] = (),
    memory: int | None = None,
    inspect: str | None = None,
    pcap: Path | None = None,
) -> list[str]:
    """The words that start `artifact` with the boot arguments `boot`. Raises `UsageError`.

    `net` is ``gateway`` (the default for a program with its own stack), ``unix:PATH`` for the network that a
    `mirage-gateway listen PATH` makes, or ``tap:NAME``. For the gateway `publish` are its publications, by default the
    ports that the program serves on, `allow` says whom the program may reach, and `pcap` is the file that all that
    passes is written to. `inspect` is the path of the socket where `mirage net` may ask about the program's stack.
    """
    if project.stack is None:
        if net is not None:
            raise UsageError(f"{project.name} has no TCP/IP stack of its own to connect to {net}: build it with one")
        if publish or allow or pcap:
            raise UsageError(f"{_FOR_THE_GATEWAY}, and the program uses the host's own network")
        if inspect is not None:
            raise UsageError("--inspect looks into a stack of the program's own, and it uses the host's: see ss(8)")
        return _program(project, artifact, memory, None, boot)
    net = net or GATEWAY
    guest = project.target.name == "hvt"
    if inspect is not None:
        _check_inspect(inspect, reachable=not guest or net == GATEWAY, shared=net.startswith(_SHARED))
        boot = [f"--{INSPECT.name}={_INSPECTED_AT if guest else inspect}", *boot]
    if net != GATEWAY:
        if not net.startswith((_TAP, _SHARED)) or not net.partition(":")[2]:
            raise UsageError(f"--net takes {GATEWAY}, {_SHARED}PATH or {_TAP}NAME, and not {net!r}")
        if net.startswith(_TAP):
            if publish or allow or pcap:
                raise UsageError(f"{_FOR_THE_GATEWAY}; on a TAP interface the program has an address of its own")
            return _program(project, artifact, memory, net, boot)
        if publish or allow or pcap:
            raise UsageError(f"{_FOR_THE_GATEWAY}, which runs already: say them to  mirage-gateway listen")
    if importlib.util.find_spec("mirage.gateway") is None:
        raise UsageError(
            "the gateway is not installed here: install it with  uv pip install 'mirage-gateway>=0.1,<0.2', "
            "or use a TAP interface with  --net tap:NAME"
        )
    if net != GATEWAY:
        program = _program(project, artifact, memory, _GIVEN, boot)
        return [sys.executable, "-m", "mirage.gateway", "join", net.removeprefix(_SHARED), "--", *program]
    if not publish:
        boot = _with_https_port(project, boot)
    options = [word for each in publish or _served(project, boot) for word in ("--publish", each)]
    if inspect is not None and guest:
        options += ["--publish", f"unix:{inspect}:{_INSPECTED_AT}"]
    options += [word for each in allow for word in ("--allow", each)]
    options += [] if pcap is None else ["--pcap", str(pcap)]
    program = _program(project, artifact, memory, _GIVEN, boot)
    return [sys.executable, "-m", "mirage.gateway", "run", *options, "--", *program]


def check_network(net: str | None) -> None:
    """Look whether a TAP interface is there and up, before anything is built. Raises `UsageError`, with the commands.

    Only root could have it made by the program, and then without an address for the host, so nobody would reach it.
    """
    if net is None or not net.startswith(_TAP):
        return
    name = net.removeprefix(_TAP)
    if not re.fullmatch(r"[\w.-]{1,15}", name, re.ASCII) or name in {".", ".."}:
        raise UsageError(f"{name!r} is no interface name: 1 to 15 letters, digits, or any of ._-")
    sudo = "sudo " if os.getuid() else ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("=16s24x", name.encode()))
        except OSError:
            raise UsageError(
                f"there is no interface {name}; these make one that is yours, with addresses for the host:\n"
                f"  {sudo}ip tuntap add dev {name} mode tap user {os.getuid()}\n"
                f"  {sudo}ip address add 10.0.0.1/24 dev {name}\n"
                f"  {sudo}ip address add fd00::1/64 dev {name} nodad\n"
                f"  {sudo}ip link set {name} up\n"
                f"then add to  mirage run --net tap:{name}  the program's own:  -- --ipv4 10.0.0.2/24 --ipv6 fd00::2/64"
            ) from None
    if not struct.unpack_from("=H", answer, 16)[0] & _IFF_UP:
        raise UsageError(f"the interface {name} is down:  {sudo}ip link set {name} up")


def _check_inspect(path: str, *, reachable: bool, shared: bool) -> None:
    if path.isdigit() or not path:
        raise UsageError(
            f"--inspect takes the path of a socket to be made, and {path!r} is none: ./{path or 'inspect'}"
        )
    if shared and not reachable:
        raise UsageError(
            "--inspect leads into a virtual machine through a gateway of its own; a network that is shared with other "
            "guests is no place for it"
        )
    if not reachable:
        raise UsageError(
            "--inspect leads into a virtual machine through the gateway; on a TAP interface have it answer at a port:  "
            f"-- --inspect {_INSPECTED_AT}  and  mirage net show ADDRESS:{_INSPECTED_AT}"
        )


def _program(project: Project, artifact: Path, memory: int | None, net: str | None, boot: Sequence[str]) -> list[str]:
    if project.target.name == "hvt":
        sized = [] if memory is None else ["--memory", str(memory)]
        connected = [] if net is None else ["--net", f"{_INTERFACE}={net}"]
        texts, boot = _texts(project, boot)
        return [sys.executable, "-m", "mirage.hvt", "run", *sized, *connected, *texts, str(artifact), *boot]
    if memory is not None:
        raise UsageError(f"--memory is for a virtual machine, and the target is {project.target.name}; add  -t hvt")
    return [sys.executable, str(artifact), *([] if net is None else ["--device", net]), *boot]


def _texts(project: Project, boot: Sequence[str]) -> tuple[list[str], list[str]]:
    """The tender's options for files whose text the guest is given, and what is left of its boot arguments."""
    option = f"--{CERTIFICATE.name}"
    path = _given_value(boot, option) if CERTIFICATE in project.graph.boot_arguments else None
    if not path:
        return [], list(boot)
    return ["--arg-file", f"{CERTIFICATE.name}={path}"], _without(boot, option)


def _with_https_port(project: Project, boot: Sequence[str]) -> Sequence[str]:
    """The boot arguments with a port for HTTPS that is free on the host, where the program would pick one itself.

    The gateway has to know it beforehand.
    """
    option = f"--{HTTPS_PORT.name}"
    if HTTPS_PORT not in project.graph.boot_arguments or _port(HTTPS_PORT, boot) != "0":
        return boot
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return [*_without(boot, option), f"{option}={probe.getsockname()[1]}"]


def _served(project: Project, boot: Sequence[str]) -> list[str]:
    """Publications of the ports that the program serves on, at the same numbers of the host."""
    published = []
    for argument, kinds in ((PORT, ("",)), (HTTPS_PORT, ("",)), (DNS_PORT, ("", "/udp"))):
        if argument in project.graph.boot_arguments:
            port = _port(argument, boot)
            published += [f"{port}:{port}{kind}" for kind in kinds]
    return published


def _port(argument: BootArgument[int], boot: Sequence[str]) -> str:
    return _given_value(boot, f"--{argument.name}") or str(argument.default)


def _given_value(boot: Sequence[str], option: str) -> str | None:
    """The value of an option among the boot arguments; the last one counts."""
    value = None
    for number, word in enumerate(boot):
        if word == option and number + 1 < len(boot):
            value = boot[number + 1]
        elif word.startswith(f"{option}="):
            value = word.partition("=")[2]
    return value


def _without(boot: Sequence[str], option: str) -> list[str]:
    """The boot arguments without an option and its value."""
    left, words = [], iter(boot)
    for word in words:
        if word == option:
            next(words, None)
        elif not word.startswith(f"{option}="):
            left.append(word)
    return left
