"""The `mirage` command.

The configuration is loaded before the options are looked at: its keys are options of the command, and an error in
config.py is reported as itself, whatever else is wrong. Exit codes: 0 done, 1 the application is wrong or cannot be
built, 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mirage.functoria import (
    Key,
    UnknownKey,
    describe_boot_arguments,
    describe_keys,
    dot,
    nearest,
    svg,
    table,
    tree,
)
from mirage.types import MirageError

from . import __version__
from .build import Stage, build, configure, is_generated, plan
from .devices import STACK, WHOSE_NETWORK
from .errors import BuildError, UsageError
from .launch import check_network, start_command
from .network import look, net_parser
from .project import Application, Project, open_application
from .query import QUERIES, answer
from .serve import serve_source, serve_zones
from .targets import TARGETS

__all__ = ["main"]

COMMANDS: Mapping[str, str] = {
    "configure": "choose target and keys, save the choices, write main.py",
    "describe": "show the devices, keys and boot arguments",
    "query": "print one fact about the application",
    "build": "make the artifact",
    "run": "build, then run; boot arguments follow --",
    "clean": "delete the files that mirage wrote, and no others",
    "serve": "serve a directory as a unikernel, or zone files (serve dns), with no code written",
    "net": "look into the TCP/IP stack of a running program: show, connections, counters, capture",
    "help": "explain the commands, or one of them",
}


class _Parser(argparse.ArgumentParser):
    """An argument parser that suggests the nearest option."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See  {self.prog} --help")

    def options(self) -> list[str]:
        """The long options."""
        return [name for name in self._option_string_actions if name.startswith("--")]


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except (UsageError, UnknownKey) as error:
        print(f"mirage: {error}", file=sys.stderr)
        return 2
    except MirageError as error:
        print(f"mirage: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        return _help(arguments[1:])
    if arguments[0] == "--version":
        print(f"mirage {__version__}")
        return 0
    command, rest = arguments[0], arguments[1:]
    if command not in COMMANDS:
        raise UsageError(
            f"there is no command {command!r}.{nearest(command, COMMANDS)} The commands: {', '.join(COMMANDS)}"
        )
    if {"-h", "--help"} & set(rest[: rest.index("--")] if "--" in rest else rest):
        words = [command, "dns"] if [command, *rest[:1]] == ["serve", "dns"] else [command]
        return _help(words, _file(rest))
    boot: list[str] = []
    if "--" in rest:
        cut = rest.index("--")
        rest, boot = rest[:cut], rest[cut + 1 :]
        if boot and command not in {"run", "serve"}:
            raise UsageError(f"only run and serve pass boot arguments on; mirage {command} takes nothing after --")
    if command == "serve":
        return _serve(rest, boot)
    if command == "net":
        return look(_parsed(net_parser(_Parser), rest))
    application = _application(rest)
    options = _parse(command, rest, application)
    if command == "clean":
        return _clean(application, options)
    given = {
        key.name: getattr(options, f"key_{key.attribute}")
        for key in application.graph.keys
        if getattr(options, f"key_{key.attribute}") is not None
    }
    if command == "run" and options.net is not None and WHOSE_NETWORK in application.graph.keys:
        given.setdefault(WHOSE_NETWORK.name, STACK)
    project = application.decide(target=options.target, given=given, fresh=command == "configure")
    actions: Mapping[str, Callable[[], int]] = {
        "configure": lambda: _configure(project, options),
        "describe": lambda: _describe(project, options, given),
        "query": lambda: _query(project, options),
        "build": lambda: _build(project, options),
        "run": lambda: _run(project, options, boot),
    }
    return actions[command]()


def _application(arguments: list[str]) -> Application:
    """Load the config.py that the arguments name, before anything else about them is judged."""
    return open_application(_file(arguments))


def _file(arguments: list[str]) -> Path:
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("-f", "--file", type=Path, default=Path("config.py"))
    try:
        file: Path = first.parse_known_args(arguments)[0].file
    except argparse.ArgumentError as error:
        raise UsageError(str(error)) from None
    return file


def _parse(command: str, arguments: list[str], application: Application | None) -> argparse.Namespace:
    parser = _parser(command, application.graph.keys if application else ())
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        option = unknown[0].partition("=")[0]
        keys = ", ".join(f"--{key.name}" for key in application.graph.keys) if application else ""
        listed = f" The keys of this application: {keys}" if keys else " This application has no keys."
        raise UnknownKey(f"there is no option or key {option!r}.{nearest(option, parser.options())}{listed}")
    return options


def _parsed(parser: _Parser, arguments: list[str]) -> argparse.Namespace:
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise UsageError(f"there is no option {unknown[0]!r}.{nearest(unknown[0], parser.options())}")
    return options


def _parser(command: str, keys: Sequence[Key[Any]]) -> _Parser:
    parser = _Parser(prog=f"mirage {command}", description=COMMANDS[command].capitalize() + ".", allow_abbrev=False)
    parser.add_argument(
        "-f", "--file", type=Path, default=Path("config.py"), help="the configuration (default: %(default)s)"
    )
    volume = parser.add_mutually_exclusive_group()
    volume.add_argument("-v", "--verbose", action="store_true", help="say more")
    volume.add_argument("-q", "--quiet", action="store_true", help="say only what is wrong")
    if command in {"configure", "build", "run", "clean"}:
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    if command == "clean":
        return parser
    parser.add_argument("-t", "--target", metavar="TARGET", help=f"one of {', '.join(TARGETS)}")
    if command in {"build", "run", "describe"}:
        parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where the result goes")
    if command == "run":
        _add_launch_options(parser)
    if command == "describe":
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--dot", action="store_true", help="print the graph in Graphviz' language")
        form.add_argument("--svg", type=Path, metavar="FILE", help="draw the graph")
        parser.add_argument(
            "--eval", action=argparse.BooleanOptionalAction, default=True, help="decide the choices, or leave them open"
        )
    if command == "query":
        parser.add_argument("what", choices=list(QUERIES), metavar="FACT", help=", ".join(QUERIES))
        parser.add_argument("--json", action="store_true", help="print JSON")
    group = parser.add_argument_group("keys of this application") if keys else None
    for key in keys:
        assert group is not None
        doc = f"{key.doc} ({key.kind.name}; default: {key.kind.show(key.default)})".replace("%", "%%")
        group.add_argument(f"--{key.name}", dest=f"key_{key.attribute}", metavar="VALUE", help=doc)
    return parser


def _add_launch_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--memory", type=int, metavar="MIB", help="memory of the virtual machine (target hvt)")
    parser.add_argument(
        "--net",
        metavar="NETWORK",
        help="for a TCP/IP stack of the program's own: gateway (no root needed; the default), unix:PATH (what "
        "mirage-gateway listen PATH joins) or tap:NAME",
    )
    parser.add_argument(
        "--publish",
        action="append",
        default=[],
        metavar="HOSTPORT:PORT",
        help="a port of the host that leads to one of the program, through the gateway (default: the one it serves on)",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="whom the program may reach through the gateway: an address, a network, a name, or * (default: nobody)",
    )
    parser.add_argument(
        "--pcap", type=Path, metavar="FILE", help="write what passes the gateway to a file for tcpdump and Wireshark"
    )
    parser.add_argument(
        "--inspect", metavar="PATH", help="make a socket there, at which mirage net may look into the running stack"
    )


def _launch_options(options: argparse.Namespace) -> dict[str, Any]:
    """What those options say, as `start_command` takes it."""
    return {name: getattr(options, name) for name in ("net", "publish", "allow", "memory", "inspect", "pcap")}


def _help(arguments: list[str], file: Path = Path("config.py")) -> int:
    """Explain; with the application's keys and boot arguments where there is one that can be loaded."""
    application, trouble = None, ""
    if file.exists() and arguments[:1] not in (["serve"], ["help"]):
        try:
            application = open_application(file)
        except MirageError as error:
            trouble = f"\nThe keys of this application cannot be shown: {error}"
    if arguments[:1] == ["net"]:
        net_parser(_Parser).print_help()
        return 0
    if arguments:
        command = arguments[0]
        if command not in COMMANDS:
            raise UsageError(
                f"there is no command {command!r}.{nearest(command, COMMANDS)} The commands: {', '.join(COMMANDS)}"
            )
        keys = application.graph.keys if application else ()
        (_serve_parser(dns=arguments[1:2] == ["dns"]) if command == "serve" else _parser(command, keys)).print_help()
        print(trouble, end="\n" if trouble else "")
        return 0
    print("usage: mirage COMMAND [OPTION ...]\n\nMakes unikernels from a config.py.\n\ncommands:")
    print(table(list(COMMANDS.items())), end="")
    print("\ntargets:")
    rows = [(one.name, one.doc + ("" if one.built else " (not built yet)")) for one in TARGETS.values()]
    print(table(rows), end="")
    if application:
        project = application.decide()
        print(f"\nkeys of {project.name}, set by mirage configure:")
        print(describe_keys(project.full.keys, project.settings) or "  none\n", end="")
        print(f"\nboot arguments of {project.name}, given when it starts:")
        print(describe_boot_arguments(project.full.boot_arguments) or "  none\n", end="")
    print(f"{trouble}\n'mirage help COMMAND' explains a command.")
    return 0


def _configure(project: Project, options: argparse.Namespace) -> int:
    written = [project.build_dir / "main.py", project.build_dir / "context.json"]
    if not options.dry_run:
        configure(project)
    if not options.quiet:
        verb = "would write" if options.dry_run else "wrote"
        print(f"{project.name}: target {project.target.name}")
        print(describe_keys(project.full.keys, project.settings), end="")
        print(f"{verb} {', '.join(str(path) for path in written)}")
    return 0


def _describe(project: Project, options: argparse.Namespace, given: Mapping[str, str]) -> int:
    graph = project.graph
    if not options.eval:  # what is said on the command line is decided all the same
        graph = project.full.evaluate({name: project.values[name] for name in given})
    if options.svg:
        _emit(svg(graph, project.name), options.svg)
        return 0
    text = dot(graph, project.name) if options.dot else _description(project, graph, verbose=options.verbose)
    _emit(text, options.output)
    return 0


def _description(project: Project, graph: Any, *, verbose: bool) -> str:
    title = f"{project.name}: {project.configuration.doc}" if project.configuration.doc else project.name
    facts = [("target", project.target.name), ("artifact", str(project.artifact))]
    if verbose:
        facts += [("packages", ", ".join(graph.packages) or "none")]
    sections = [f"{title}\n", table(facts), "\nDevices\n" + _indent(tree(graph))]
    sections.append("\nKeys, fixed by mirage configure\n")
    sections.append(describe_keys(project.full.keys, project.settings) or "  none\n")
    sections.append("\nBoot arguments, given when the program starts\n")
    sections.append(describe_boot_arguments(graph.boot_arguments) or "  none\n")
    return "".join(sections)


def _indent(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def _emit(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BuildError(f"cannot write {output}: {error.strerror}") from None


def _query(project: Project, options: argparse.Namespace) -> int:
    found = answer(options.what, project)
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif isinstance(found, str):
        print(found)
    elif options.what == "bom":
        print(table([(one["name"], one["version"], one["sha256"], one["licence"]) for one in found], indent=""), end="")
    else:
        for one in found:
            print(one if isinstance(one, str) else "  ".join(str(value) for value in one.values()))
    return 0


def _reporter(options: argparse.Namespace) -> Callable[[Stage], None]:
    def report(stage: Stage) -> None:
        if not options.quiet:
            print(f"{stage.name:<10} {stage.seconds:6.2f} s  {stage.result}", file=sys.stderr, flush=True)
            if options.verbose:
                print("".join(f"{'':21}{line}\n" for line in stage.details), end="", file=sys.stderr, flush=True)

    return report


def _build(project: Project, options: argparse.Namespace) -> int:
    if options.dry_run:
        inputs = plan(project)
        rows = [(one.name, one.version, "from its sources" if one.source else "") for one in inputs.distributions]
        print(f"would build {options.output or project.artifact} from {len(inputs.own)} files of the application and")
        print(table([*rows, *((name, "data", "") for name in inputs.trees)]), end="")
        return 0
    build(project, output=options.output, report=_reporter(options))
    return 0


def _run(project: Project, options: argparse.Namespace, boot: list[str]) -> int:
    artifact = options.output or project.artifact
    command = start_command(project, artifact, boot, **_launch_options(options))
    if options.dry_run:
        print(shlex.join(command))
        return 0
    check_network(options.net)
    build(project, output=options.output, report=_reporter(options))
    return _replace(command)


def _replace(command: list[str]) -> int:
    """Become the program: signals and the exit code are its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)  # noqa: S606  # no shell is wanted


def _clean(application: Application, options: argparse.Namespace) -> int:
    folder = application.build_dir
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if not path.is_file() or path.is_symlink() or not is_generated(path):
            print(f"left {path}: mirage did not write it", file=sys.stderr)
            continue
        if not options.dry_run:
            path.unlink()
        if not options.quiet:
            print(f"{'would delete' if options.dry_run else 'deleted'} {path}")
    if not options.dry_run and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    return 0


def _serve_parser(*, dns: bool = False) -> _Parser:
    if dns:
        about, ports, port = "Answer names from zone files (RFC 1035), over UDP and TCP.", "UDP and TCP port", 5300
    else:
        about, ports, port = "Serve a directory as a unikernel, with no code written.", "TCP port", 8080
    prog = "mirage serve dns" if dns else "mirage serve"
    epilog = None if dns else "Zone files: mirage serve dns --help. A directory named dns: mirage serve ./dns."
    parser = _Parser(prog=prog, description=about, epilog=epilog, allow_abbrev=False)
    if dns:
        parser.add_argument(
            "files", type=Path, metavar="ZONEFILE", nargs="+", help="built into the program as it is now"
        )
        parser.add_argument("--origin", metavar="NAME", help="the zone, where the file does not begin with $ORIGIN")
    else:
        parser.add_argument("dir", type=Path, metavar="DIR", help="the directory")
        parser.add_argument("--crunch", action="store_true", help="build the files into the program, as they are now")
    parser.add_argument(
        "-p", "--port", type=int, default=port, help=f"{ports} (default: %(default)s; 0 picks a free one)"
    )
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1; all, on a stack of its own)")
    parser.add_argument("-t", "--target", metavar="TARGET", help=f"one of {', '.join(TARGETS)}")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where the program goes (default: a cache)")
    _add_launch_options(parser)
    volume = parser.add_mutually_exclusive_group()
    volume.add_argument("-v", "--verbose", action="store_true", help="say more")
    volume.add_argument("-q", "--quiet", action="store_true", help="say only what is wrong")
    parser.add_argument("--dry-run", action="store_true", help="build, and print the command instead of running it")
    return parser


def _serve(arguments: list[str], boot: list[str]) -> int:
    dns = arguments[:1] == ["dns"]
    parser = _serve_parser(dns=dns)
    if dns:
        arguments = arguments[1:]
    options = _parsed(parser, arguments)
    stack = options.net is not None
    if dns:
        project = serve_zones(options.files, origin=options.origin, target=options.target, stack=stack)
    else:
        project = serve_source(options.dir, crunched=options.crunch, target=options.target, stack=stack)
    if not options.dry_run:
        check_network(options.net)
    built = build(project, output=options.output, report=_reporter(options))
    host = ["--host", options.host] if options.host is not None else []
    words = [*host, "--dns-port" if dns else "--port", str(options.port), *boot]
    command = start_command(project, built.path, words, **_launch_options(options))
    if options.dry_run:
        print(shlex.join(command))
        return 0
    return _replace(command)


if __name__ == "__main__":
    sys.exit(main())
