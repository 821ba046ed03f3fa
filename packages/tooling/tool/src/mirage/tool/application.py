"""The application's own modules: which of the files beside config.py the program needs.

Starting from the modules named in `foreign(...)`, imports are followed statically. A package of the application goes in
whole; an import that nothing provides is an error with its line, found when building and not when running.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mirage.functoria import ConfigError, Location, Made

from .distributions import Files

__all__ = ["check_imports", "collect", "modules_of"]


def modules_of(devices: Iterable[Made[object]], folder: Path) -> dict[str, Location | None]:
    """The top-level modules of the application that devices import, with the line that asks for each."""
    wanted: dict[str, Location | None] = {}
    for node in devices:
        for line in node.device.imports:
            top = line.split()[1].partition(".")[0]
            if _locate(folder, top):
                wanted.setdefault(top, node.location)
    return wanted


def _locate(folder: Path, name: str) -> Path | None:
    """The package or module `name` beside config.py. A folder counts when it holds Python."""
    if (folder / name).is_dir() and any((folder / name).glob("*.py")):
        return folder / name
    if (folder / f"{name}.py").is_file():
        return folder / f"{name}.py"
    return None


def collect(folder: Path, wanted: Iterable[str]) -> Files:
    """The files of the application's modules, those that they import included."""
    files: Files = {}
    waiting, seen = list(wanted), set()
    while waiting:
        name = waiting.pop()
        if name in seen or name in {"config", "main", "__main__"}:
            if name in {"main", "__main__"}:
                raise ConfigError(f"{folder / name}.py has the name of the generated program: give the module another")
            continue
        seen.add(name)
        place = _locate(folder, name)
        if place is None:
            continue
        added = _files_below(place, folder)
        files.update(added)
        waiting.extend(
            module.partition(".")[0] for path, content in added.items() for module, _ in _imports(path, content)
        )
    return files


def _files_below(place: Path, folder: Path) -> Files:
    if place.is_file():
        return {place.name: place.read_bytes()}
    found = {}
    for path in sorted(place.rglob("*")):
        relative = path.relative_to(folder)
        if (
            path.is_file()
            and "__pycache__" not in relative.parts
            and not any(p.startswith(".") for p in relative.parts)
        ):
            found[relative.as_posix()] = path.read_bytes()
    return found


def check_imports(files: Files, provided: Iterable[str], folder: Path) -> None:
    """Raise `ConfigError` when an application's file imports what neither it, nor Python, nor a package provides.

    `provided` names the files of the packages. Imports under ``try`` or ``if`` may fail by design, and are not checked;
    of other people's packages only the top is, for a package may make modules of its own when it runs.
    """
    known = _modules(files) | _modules(provided)
    for path, content in files.items():
        for module, line in _imports(path, content):
            wanted = module if module.startswith("mirage.") else module.partition(".")[0]
            if wanted in known or wanted.partition(".")[0] in sys.stdlib_module_names:
                continue
            needed = "-".join(wanted.split(".")[:2]).replace("_", "-")
            if ".".join(wanted.split(".")[:2]) in known:
                message = f"imports {module}, which the installed {needed} does not have"
            else:
                lacks = f"imports {wanted}, which none of the application's packages provides: "
                # The generated main.py imports what foreign(...) names; most often that is the application's own file.
                write = f"write {wanted}.py beside config.py, or " if path == "main.py" else ""
                message = (
                    f"{lacks}{write}add it to the packages of foreign(...) in config.py, as in packages=[{needed!r}]"
                )
            raise ConfigError(
                message, Location(str(folder / path) if path != "main.py" else "the generated main.py", line)
            )


def _modules(files: Iterable[str]) -> set[str]:
    """The modules and packages, namespaces included, that are among files."""
    found = set()
    for name in files:
        parts = name.split("/")
        if parts[-1].endswith((".py", ".so", ".pyd")):
            parts[-1] = parts[-1].partition(".")[0]
        else:
            parts.pop()
        found |= {".".join(parts[: depth + 1]) for depth in range(len(parts))}
    return found


def _imports(path: str, content: bytes) -> Iterator[tuple[str, int]]:
    """The modules that a file imports when it is loaded or called, outside of try and if."""
    if not path.endswith(".py"):
        return
    try:
        body: list[ast.AST] = list(ast.parse(content).body)
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"not valid Python: {error}", Location(path, getattr(error, "lineno", 1) or 1)) from None
    while body:
        node = body.pop(0)
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module == "mirage":
                yield from ((f"mirage.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module, node.lineno
        elif not isinstance(node, ast.Try | ast.If | ast.expr):
            body.extend(ast.iter_child_nodes(node))
