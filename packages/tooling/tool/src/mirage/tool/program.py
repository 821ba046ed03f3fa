"""The generated main.py: a program that makes the devices in order and does the jobs.

It reads as if written by hand: imports, the few classes that devices define, the boot arguments, one ``async def
main``. A job is a coroutine; a request to stop cancels it, and what it does on the way out, such as draining a server,
is its own.
"""

from __future__ import annotations

import builtins
import keyword
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import PurePath
from typing import Any

from mirage.functoria import BOOL, FLOAT, INT, PATH, BootArgument, Key, Made, Parameter

from . import __version__
from .devices import HOST, NETWORK
from .project import HEADER, Project

__all__ = ["data_names", "generate", "names"]

_WIDTH = 120
_GUEST = "from mirage.hvt import guest"
"""For what a virtual machine does when it is saved, and when it goes on."""
_TAKEN = {
    "arguments",
    "argparse",
    "asyncio",
    "data",
    "guest",
    "jobs",
    "main",
    "os",
    "parse_arguments",
    "run",
    "signal",
    "sys",
}


def generate(project: Project) -> str:
    """The source of main.py."""
    devices = [node for node in project.graph.devices if node.typ is not NETWORK]
    stack = project.stack
    variables = names(devices)
    blobs = data_names(devices)
    arguments = project.graph.boot_arguments
    title = f"{project.name}: {project.configuration.doc}" if project.configuration.doc else f"{project.name}."
    head = _docstring(
        title,
        f"{HEADER} {__version__} from {project.configuration.file.name} for the target {project.target.name}. "
        "To change this program, change that file.",
    )
    linked = [*devices, stack] if stack else devices
    guest = {_GUEST} if stack and project.target.guest else set()
    parts = [f"{head}\n\n{_imports(linked, arguments, bool(blobs), guest)}"]
    definitions = dict.fromkeys(node.device.definition for node in devices if node.device.definition)
    parts.extend(definition.strip("\n").replace("{NAME}", project.name) for definition in definitions)
    if blobs:
        parts.append(_DATA.strip())
    parts.append(_parser(project, arguments))
    parts.append(_main(project, devices, variables, blobs))
    start = _expression(stack, {}, {}, project.values) if stack else "asyncio.run(main(arguments))"
    if stack and project.target.guest:
        start = f"{start[:-1]}, guest=guest)"
    start = "\n".join(_wrap(f"        {start}"))
    parts.append(_RUN.strip().replace("{NAME}", project.name).replace("{START}", start))
    return "\n\n\n".join(part for part in parts if part) + "\n"


_DATA = '''
def data(name: str) -> bytes:
    """A file that was built into this program."""
    return __loader__.get_data(os.path.join(os.path.dirname(__file__), "data", name))
'''

_RUN = '''
def run() -> None:
    """Run the program; it ends when its jobs are done, or soon after it is asked to stop."""
    arguments = parse_arguments()
    try:
{START}
    except asyncio.CancelledError:
        print("{NAME}: stopped", flush=True)
'''


def names(devices: Iterable[Made[Any]]) -> dict[int, str]:
    """A variable for each device, by identity: its own name, with the type or a number where that is taken.

    A network is no variable: it is what everything runs on.
    """
    devices = [node for node in devices if node.typ is not NETWORK]
    taken = _TAKEN | set(keyword.kwlist) | set(dir(builtins))
    for node in devices:
        for line in node.device.imports:
            taken |= set(re.findall(r"\w+", re.sub(r".*\bimport\b", "", line)))
        taken |= set(re.findall(r"^(?:class|(?:async )?def) (\w+)", node.device.definition, re.MULTILINE))
    reserved = frozenset(taken)
    found: dict[int, str] = {}
    for node in devices:
        base = node.device.name
        if base in reserved:
            base = f"{base}_{node.typ.name.lower()}"
        name, number = base, 2
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        found[id(node)] = name
    return found


def data_names(devices: Iterable[Made[Any]]) -> dict[int, str]:
    """The file in ``data/`` of each device that needs one built, by identity of the device."""
    devices = list(devices)
    variables = names(devices)
    return {id(node): f"{variables[id(node)]}.crunch" for node in devices if node.device.build is not None}


def _docstring(title: str, body: str) -> str:
    wrapped = textwrap.fill(body, _WIDTH)
    return f'"""{_plain(title)}\n\n{wrapped}\n"""'


def _plain(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"""', "'''")


def _imports(devices: Iterable[Made[Any]], arguments: Iterable[BootArgument[Any]], blobs: bool, more: Set[str]) -> str:
    lines = {"import argparse", "import asyncio", "import signal"} | more
    lines |= {"import os"} if blobs else set()
    if any(one.kind is PATH for one in arguments):
        lines.add("from pathlib import Path")
    values: list[Parameter] = []
    for node in devices:
        lines |= set(node.device.imports)
        values.extend(node.device.parameters.values())
    if any(isinstance(value, PurePath) or (isinstance(value, Key) and value.kind is PATH) for value in values):
        lines.add("from pathlib import Path")
    standard = {line for line in lines if _top(line) in _stdlib()}
    groups = [sorted(standard, key=_order), sorted(lines - standard, key=_order)]
    return "\n\n".join("\n".join(group) for group in groups if group)


def _stdlib() -> frozenset[str]:
    return sys.stdlib_module_names


def _top(line: str) -> str:
    return line.split()[1].partition(".")[0]


def _order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line


def _parser(project: Project, arguments: Iterable[BootArgument[Any]]) -> str:
    doc = project.configuration.doc
    description = f", description={_literal(doc)}" if doc else ""
    lines = [
        "def parse_arguments() -> argparse.Namespace:",
        '    """The boot arguments, from the command line."""',
        f"    parser = argparse.ArgumentParser(prog={_literal(project.name)}{description})",
    ]
    for one in arguments:
        # On a stack of its own a program has nobody to hide from: it listens at every address.
        default = "" if project.stack and one is HOST else one.default
        lines.extend(_add_argument(one, default))
    return "\n".join([*lines, "    return parser.parse_args()"])


def _add_argument(one: BootArgument[Any], default: object) -> Iterator[str]:
    if one.kind is BOOL:
        how = ["action=argparse.BooleanOptionalAction"]
    elif one.kind.choices:
        how = [f"choices={_literal(list(one.kind.choices))}"]
    else:
        how = {INT: ["type=int"], FLOAT: ["type=float"], PATH: ["type=Path"]}.get(one.kind, [])
    shown = "" if one.kind is BOOL else " (default: %(default)s)"
    pieces = [
        _literal(f"--{one.name}"),
        *how,
        f"default={_literal(default)}",
        f"help={_literal(one.doc.replace('%', '%%') + shown)}",
    ]
    line = f"    parser.add_argument({', '.join(pieces)})"
    if len(line) <= _WIDTH:
        yield line
        return
    yield "    parser.add_argument("
    yield from (f"        {piece}," for piece in pieces)
    yield "    )"


def _main(
    project: Project, devices: Iterable[Made[Any]], variables: Mapping[int, str], blobs: Mapping[int, str]
) -> str:
    jobs = {id(job) for job in project.graph.jobs}
    lines = [
        "async def main(arguments: argparse.Namespace) -> None:",
        '    """Make the devices and do the work, until it is done or this task is cancelled."""',
        "    loop, this = asyncio.get_running_loop(), asyncio.current_task()",
        "    for number in (signal.SIGINT, signal.SIGTERM):",
        "        loop.add_signal_handler(number, this.cancel)",
        "",
    ]
    work = []
    for node in devices:
        expression = _expression(node, variables, blobs, project.values)
        if id(node) in jobs:
            work.append(expression)
        else:
            lines.append(f"    {variables[id(node)]} = {expression}")
    if len(work) == 1:
        lines.append(f"    await {work[0]}")
    else:
        lines.append("    async with asyncio.TaskGroup() as jobs:")
        lines.extend(f"        jobs.create_task({expression})" for expression in work)
    return "\n".join(wrapped for line in lines for wrapped in _wrap(line))


def _expression(
    node: Made[Any], variables: Mapping[int, str], blobs: Mapping[int, str], values: Mapping[str, Any]
) -> str:
    fields = {name: _parameter(value, values) for name, value in node.device.parameters.items()}
    if id(node) in blobs:
        fields["data"] = f"data({_literal(blobs[id(node)])})"
    return node.device.make.format(*(variables[id(arg)] for arg in node.args), **fields)


def _parameter(value: Parameter, values: Mapping[str, Any]) -> str:
    if isinstance(value, BootArgument):
        return f"arguments.{value.attribute}"
    return _literal(values[value.name] if isinstance(value, Key) else value)


def _literal(value: object) -> str:
    if isinstance(value, PurePath):
        return f"Path({_literal(str(value))})"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    text = repr(value)
    if text[0] == "'" and not set(text[1:-1]) & set("'\""):  # repr prefers single quotes, this project double ones
        return f'"{text[1:-1]}"'
    return text


def _wrap(line: str) -> Iterator[str]:
    """A call that is too long, over several lines, as the formatter would have it."""
    if len(line) <= _WIDTH:
        yield line
        return
    head, bracket, rest = line.partition("(")
    indent = " " * (len(line) - len(line.lstrip()))
    inner, close = rest[:-1], rest[-1:]
    yield head + bracket
    if len(indent) + 4 + len(inner) <= _WIDTH:
        yield f"{indent}    {inner}"
    else:
        yield from (f"{indent}    {piece}," for piece in _split(inner))
    yield indent + close


def _split(text: str) -> Iterator[str]:
    depth, start, quote = 0, 0, ""
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote and text[position - 1] != "\\" else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character in "([{") - (character in ")]}")
            if character == "," and depth == 0:
                yield text[start:position].strip()
                start = position + 1
    yield text[start:].strip()
