"""`mirage build`: from a configured application to its artifact, in stages, each reported with its time.

The stages are pure in their inputs, and a stamp beside the artifact holds a hash of all of them: when nothing changed,
nothing is done. Everything that costs (wheels, rendered trees) is cached by content besides, so a changed line of the
application does not render the site again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mirage.functoria import ConfigError

from . import __version__
from .application import check_imports, collect, modules_of
from .archive import NATIVE, bootstrap, compiled, pack
from .bom import as_text, bill_of_materials, files_hash
from .devices import BuildTree
from .distributions import Distribution, Files, closure, files_of, fingerprint, hash_tree, is_native
from .errors import BuildError
from .image import is_image, sources, write_image
from .program import data_names, generate
from .project import HEADER, Project
from .trees import blob, tree_key

__all__ = ["Built", "Report", "Stage", "build", "configure", "plan"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage done: its name, seconds, what came of it, and lines for those who want to know more."""

    name: str
    seconds: float
    result: str
    details: tuple[str, ...] = ()


Report = Callable[[Stage], None]


@dataclass(frozen=True, slots=True)
class Built:
    """The artifact: where it is, the SHA-256 of its octets, and whether it was made anew."""

    path: Path
    sha256: str
    fresh: bool


@dataclass(slots=True)
class Plan:
    """All inputs of a build, with the hash of each."""

    distributions: list[Distribution]
    fingerprints: list[str]
    own: Files
    trees: dict[str, tuple[BuildTree, str]] = field(default_factory=dict)
    builder: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """A hash of every input."""
        parts = [hash_tree(Path(__file__).parent), sys.version, files_hash(self.own), *self.builder]
        parts += [f"{one.name} {key}" for one, key in zip(self.distributions, self.fingerprints, strict=True)]
        parts += [f"{name} {key}" for name, (_, key) in self.trees.items()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def configure(project: Project) -> list[Path]:
    """Write the generated program and the saved choices; the paths written.

    Raises `BuildError`, and `ConfigError` for a device that uses what the target lacks.
    """
    for node in project.graph.devices:
        for thing in node.device.uses:
            if thing in project.target.lacks:
                trouble = f"{node.title} {project.target.lacks[thing]} (target {project.target.name})"
                raise ConfigError(trouble, node.location)
    return [
        write(project.build_dir / "main.py", generate(project).encode()),
        write(project.build_dir / "context.json", project.context().encode()),
    ]


def write(path: Path, content: bytes) -> Path:
    """Write a generated file, unless something that the command did not write is in its place."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if not is_generated(path):
                raise BuildError(f"{path} was not written by mirage: move it away, or name another place with -o")
            if path.read_bytes() == content:
                return path
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise BuildError(f"cannot write {path}: {error.strerror or error}") from None
    return path


_MARK = re.compile(rb'^(?:# |\s*"header": "|.*"value": ")?' + HEADER.encode() + rb" \d+\.\d+", re.MULTILINE)


def is_generated(path: Path) -> bool:
    """Whether a file can be read and bears, in its place, the header that all files written by the command bear.

    An image of a virtual machine has a header of its own.
    """
    try:
        with path.open("rb") as file:
            start = file.read(2048)
            return bool(_MARK.search(start)) or is_image(start)
    except OSError:
        return False


def plan(project: Project) -> Plan:
    """Gather and hash the inputs. Raises `BuildError`, `ConfigError`."""
    asked = [
        (package, f"{node.title}" + (f" ({node.location})" if node.location else ""))
        for node in project.graph.devices
        for package in node.device.packages
    ]
    if project.stack and project.target.guest:
        asked.append((project.target.guest, f"the target {project.target.name}"))
    distributions = closure(asked)
    own = collect(project.folder, modules_of(project.graph.devices, project.folder))
    own["main.py"] = generate(project).encode()
    names = data_names(project.graph.devices)
    trees = {}
    for node in project.graph.devices:
        if isinstance(node.device.build, BuildTree):
            tree = node.device.build
            trees[names[id(node)]] = (tree, tree_key(tree, project.folder, node.location))
    builder = [hash_tree(folder) for folder in sources()] if project.target.name == "hvt" else []
    return Plan(distributions, [fingerprint(one) for one in distributions], own, trees, builder)


def build(project: Project, *, output: Path | None = None, report: Report = lambda stage: None) -> Built:
    """Make the artifact. Raises `BuildError`, `ConfigError`."""
    artifact = output or project.artifact
    stamp = project.build_dir / "stamp.json"
    with _stage("configure", report) as done:
        configure(project)
        inputs = plan(project)
        done(f"target {project.target.name}, {len(project.graph.devices)} devices")
    if sha256 := _unchanged(stamp, inputs.key, artifact):
        report(Stage("build", 0.0, f"{_shown(artifact)} is up to date"))
        return Built(artifact, sha256, fresh=False)

    own = dict(inputs.own)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # other programs do the work: uv, the renderer
        trees = {
            name: pool.submit(_timed_blob, tree, project.folder, key) for name, (tree, key) in inputs.trees.items()
        }
        with _stage("packages", report) as done:
            contents = list(pool.map(files_of, inputs.distributions, inputs.fingerprints))
            packages = list(zip(inputs.distributions, contents, strict=True))
            check_imports(inputs.own, (name for files in contents for name in files), project.folder)
            details = (f"{one.name} {one.version}, {len(files)} files" for one, files in packages)
            done(f"{len(packages)} distributions, {sum(map(len, contents))} files", *details)
        for name, tree in trees.items():
            content, anew, seconds = tree.result()
            own[f"data/{name}"] = content
            report(Stage("data", seconds, f"{name}, {_size(len(content))}{'' if anew else ' (cached)'}"))

    with _stage("pack", report) as done:
        document = as_text(bill_of_materials(project.name, project.target.name, own, packages, _python()))
        if project.target.name == "hvt":
            if artifact.exists() and not is_generated(artifact):
                raise BuildError(f"{artifact} was not written by mirage: move it away, or name another place with -o")
            own["bom.json"] = document.encode()
            needed = {"net0": "net"} if project.stack else {}
            size, sha256 = write_image(artifact, own, packages, needed)
        else:
            content = _pack(project, own, packages, document)
            size, sha256 = len(content), hashlib.sha256(content).hexdigest()
            write(artifact, content)
            artifact.chmod(0o755)
        write(artifact.with_suffix(".bom.json"), document.encode())
        saved = {"header": f"{HEADER} {__version__}", "key": inputs.key, "artifact": str(artifact), "sha256": sha256}
        write(stamp, (json.dumps(saved, indent=2) + "\n").encode())
        done(f"{_shown(artifact)}, {_size(size)}, sha256 {sha256[:16]}")
    return Built(artifact, sha256, fresh=True)


def _timed_blob(tree: BuildTree, folder: Path, key: str) -> tuple[bytes, bool, float]:
    start = time.perf_counter()
    return *blob(tree, folder, key), time.perf_counter() - start


@contextmanager
def _stage(name: str, report: Report) -> Iterator[Callable[..., None]]:
    """Time a stage; what it yields is called with the result, and with details."""
    results: list[str] = []
    start = time.perf_counter()
    yield lambda *texts: results.extend(texts)
    report(Stage(name, time.perf_counter() - start, "".join(results[:1]), tuple(results[1:])))


def _unchanged(stamp: Path, key: str, artifact: Path) -> str | None:
    """The artifact's hash if the stamp says that it was made from inputs of this key, and it still is what was made."""
    try:
        saved = json.loads(stamp.read_text(encoding="utf-8"))
        if saved["key"] != key or saved["artifact"] != str(artifact):
            return None
        with artifact.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return sha256 if sha256 == saved["sha256"] else None


def _pack(project: Project, own: Files, packages: list[tuple[Distribution, Files]], document: str) -> bytes:
    header = f"{HEADER} {__version__}: {project.name} for the target {project.target.name}"
    files = dict(own)
    native: Files = {}
    for distribution, content in packages:
        for name in content:
            if name in files or name in native:
                raise BuildError(f"{distribution.name} holds {name}, which another part of the application holds too")
        if is_native(content):
            native.update(content)
        else:
            files.update(content)
    files.update(compiled(files))
    files.update({NATIVE + name: data for name, data in native.items()})
    files["bom.json"] = document.encode()
    files["__main__.py"] = bootstrap(project.name, header, files_hash(native) if native else "").encode()
    return pack(files, header)


def _python() -> str:
    return f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"


def _size(octets: int) -> str:
    return f"{octets / 1e6:.1f} MB" if octets >= 1e6 else f"{octets / 1e3:.0f} kB"


def _shown(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
