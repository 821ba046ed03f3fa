"""The command that starts an artifact: by the host's Python or as a virtual machine, on the network that was asked for.

A program with a TCP/IP stack of its own needs a network: the gateway (`mirage-gateway`, no root) or a TAP interface.
The gateway is another process, because the tender of a virtual machine confines itself; it starts the program and hands
it one end of a socket, in place of the word ``{net}``.

A virtual machine sees no file of the host. A certificate goes in as the text of its file, which the tender reads: the
private key stands on no command line, where other users of the host could read it.
"""

from __future__ import annotations

import importlib.util
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from mirage.functoria import BootArgument

from .devices import CERTIFICATE, DNS_PORT, HTTPS_PORT, INSPECT, PORT
from .errors import UsageError
from .project import Project

__all__ = ["GATEWAY", "start_command"]

GATEWAY = "gateway"
_INTERFACE = "net0"
_GIVEN = "{net}"
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
) -> list[str]:
    """The words that start `artifact` with the boot arguments `boot`. Raises `UsageError`.

    `net` is ``gateway`` (the default for a program with its own stack) or ``tap:NAME``. For the gateway `publish` are
    its publications, by default the ports that the program serves on, and `allow` says whom the program may reach.
    `inspect` is the path of the socket where `mirage net` may ask about the program's stack.
    """
    if project.stack is None:
        if net is not None:
            raise UsageError(f"{project.name} has no TCP/IP stack of its own to connect to {net}: build it with one")
        if publish or allow:
            raise UsageError("--publish and --allow are for the gateway, and the program uses the host's own network")
        if inspect is not None:
            raise UsageError("--inspect looks into a stack of the program's own, and it uses the host's: see ss(8)")
        return _program(project, artifact, memory, None, boot)
    net = net or GATEWAY
    guest = project.target.name == "hvt"
    if inspect is not None:
        _check_inspect(inspect, reachable=not guest or net == GATEWAY)
        boot = [f"--{INSPECT.name}={_INSPECTED_AT if guest else inspect}", *boot]
    if net != GATEWAY:
        if not net.startswith("tap:") or not net[4:]:
            raise UsageError(f"--net takes {GATEWAY} or tap:NAME, and not {net!r}")
        if publish or allow:
            raise UsageError(
                "--publish and --allow are for the gateway; on a TAP interface the program has an address of its own"
            )
        return _program(project, artifact, memory, net, boot)
    if importlib.util.find_spec("mirage.gateway") is None:
        raise UsageError(
            "the gateway is not installed here: install it with  uv pip install 'mirage-gateway>=0.1,<0.2', "
            "or use a TAP interface with  --net tap:NAME"
        )
    if not publish:
        boot = _with_https_port(project, boot)
    options = [word for each in publish or _served(project, boot) for word in ("--publish", each)]
    if inspect is not None and guest:
        options += ["--publish", f"unix:{inspect}:{_INSPECTED_AT}"]
    options += [word for each in allow for word in ("--allow", each)]
    program = _program(project, artifact, memory, _GIVEN, boot)
    return [sys.executable, "-m", "mirage.gateway", "run", *options, "--", *program]


def _check_inspect(path: str, *, reachable: bool) -> None:
    if path.isdigit() or not path:
        raise UsageError(
            f"--inspect takes the path of a socket to be made, and {path!r} is none: ./{path or 'inspect'}"
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
