"""What goes into an image: the interpreter, the libraries it and its modules want, modules, the application's files."""

from __future__ import annotations

import importlib.util
import marshal
import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from mirage.hvt._cache import cached
from mirage.hvt._distributions import Distribution
from mirage.hvt._elf import Elf
from mirage.hvt._layout import LAID_OUT, PAGE, READ_EXECUTE, S_IFDIR, S_IFLNK, S_IFREG, Node, lay_out, pages
from mirage.hvt._modules import BASE, Finder, Module, closure, imports, mentioned
from mirage.hvt._rewrite import Rewritten, allowed, rewrite
from mirage.hvt.errors import BuildError
from mirage.libos import closures

STDLIB = f"/usr/{sys.platlibdir}/python{sys.version_info.major}.{sys.version_info.minor}"
PROGRAM = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
LIBRARIES = "/usr/lib/mirage"
SITE = "/usr/lib/mirage/site"
APPLICATION = "/app"
LIBFFI_CODE = (bytes.fromhex("f30f1efa4c8d15f5ffffffff25070000"), bytes.fromhex("4c8d15f9ffffffff2503000000"))
"""How the code begins that libffi 3.3 and 3.4 write into a closure: its address in r10, jmp through octets 24 to 31."""


def _library_folders() -> list[str]:
    """Where the dynamic linker of this machine looks, the folders of /etc/ld.so.conf included."""
    folders = [f for f in os.environ.get("LD_LIBRARY_PATH", "").split(":") if f]
    configured = [Path("/etc/ld.so.conf"), *sorted(Path("/etc/ld.so.conf.d").glob("*.conf"))]
    for file in configured:
        if file.is_file():
            lines = [line.strip() for line in file.read_text().splitlines()]
            folders += [line for line in lines if line.startswith("/")]
    return [*folders, "/lib64", "/usr/lib64", "/lib", "/usr/lib"]


def kept_link(link: Path, folder: Path) -> str | None:
    """Where a symbolic link leads, if it stays one in the guest: if that is in the folder, and the link is relative.

    One that leads to a file outside is replaced by the file. Raises `BuildError` for every other.
    """
    target, real = os.readlink(link), link.resolve()
    if not os.path.isabs(target) and real.is_relative_to(folder.resolve()) and real.exists():
        return target
    if real.is_file():
        return None
    raise BuildError(f"{link} leads to {target}, which is neither in {folder} nor a file; leave the link out")


def _compiled(path: str, source: bytes) -> bytes:
    """A source's compiled form; nothing for what is no Python: it fails when it is imported, as it would anywhere."""
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return b""  # a test's or a template's
    flags = (1).to_bytes(4, "little")
    # Later formats record what is shared, and that depends on what else this process has done.
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + marshal.dumps(code, 2)


def _rewritten(node: Node, entry: int) -> Rewritten:
    """An ELF file whose system calls are jumps to `entry`."""
    elf, data = node.elf, node.data or b""
    assert elf is not None
    return Rewritten.unpack(cached("calls", (hex(entry),), elf.data, lambda: rewrite(elf, data, entry).pack()))


class Collection:
    """The files of an image by their paths in the guest."""

    def __init__(self) -> None:
        self._with_calls: list[Node] = []
        """Files whose system calls may be rewritten."""
        self.system_calls: dict[str, Rewritten] = {}
        """What became of the system calls of those files."""
        self.nodes: dict[str, Node] = {}
        self.modules: dict[str, str] = {}
        """Names of the modules taken, each with its path in the guest."""
        self._folders = _library_folders()
        self._libraries: dict[str, str] = {}
        self._own: set[Path] = set()
        """Files of the host that distributions bring themselves."""
        self.distributions: list[Distribution] = []
        self.interpreter = ""
        """Path of ld.so in the guest."""

    def add(self, path: str, data: bytes, executable: bool = False, flags: int = 0) -> Node:
        """Put a file into the tree."""
        node = Node(path, data, S_IFREG | (0o555 if executable else 0o444), flags)
        self.nodes[path] = node
        return node

    def add_elf(self, path: str, file: Path) -> Elf:
        """Put a program or shared library into the tree, laid out, and every library that it wants."""
        elf = Elf(str(file), file.read_bytes())
        data, runs = lay_out(elf)
        node = self.add(path, data, executable=True, flags=LAID_OUT)
        node.runs, node.elf = runs, elf
        if allowed(elf):
            self._with_calls.append(node)
        for name in elf.needed:
            self._want(name, elf, file)
        return elf

    def _want(self, name: str, wanted_by: Elf, file: Path) -> None:
        """A library that an ELF file needs, from where the dynamic linker would take it."""
        if name.startswith(("libc.musl", "ld-musl")) or name == "libc.so":
            raise BuildError(f"{file} is built for musl, and this interpreter is not; take the glibc (manylinux) wheel")
        if name in self._libraries or (self.interpreter and name == os.path.basename(self.interpreter)):
            return
        own = [
            p.replace("$ORIGIN", str(file.parent)).replace("${ORIGIN}", str(file.parent)) for p in wanted_by.search_path
        ]
        for folder in [*own, *self._folders]:
            found = Path(folder) / name
            if found.is_file():
                try:
                    Elf(str(found), found.read_bytes()[:4096])
                except BuildError:
                    continue  # another architecture's, as the dynamic linker would pass over it
                break
        else:
            raise BuildError(f"{file} wants {name}, and no folder of the dynamic linker has it")
        if found.resolve() in self._own:
            return  # beside its distribution's modules, where the guest's dynamic linker looks for it too
        self._libraries[name] = str(found)
        self.add_elf(f"{LIBRARIES}/{name}", found.resolve())

    def add_interpreter(self) -> Elf:
        """The running interpreter, its dynamic linker and its libraries."""
        file = Path(os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable))
        elf = Elf(str(file), file.read_bytes())
        if elf.interpreter is None:
            raise BuildError(f"{file} is a static program; the guest needs one that uses the dynamic linker")
        if "musl" in elf.interpreter:
            raise BuildError(f"{file} is built for musl; the guest needs an interpreter built for glibc")
        self.interpreter = elf.interpreter
        self.add_elf(self.interpreter, Path(os.path.realpath(elf.interpreter)))
        return self.add_elf(PROGRAM, file)

    def rewrite_system_calls(self, entry: int) -> None:
        """Make jumps to `entry`, where the library OS is entered, of the system calls of the C library and ld.so."""
        for node in self._with_calls:
            done = _rewritten(node, entry)
            self.system_calls[node.path] = done
            first = len(node.data or b"") // PAGE
            node.data, node.runs = done.data, [*node.runs, (first, pages(len(done.data)) - first, READ_EXECUTE)]

    def add_closures(self) -> dict[str, str]:
        """Where libffi is in the image: the library whose closures need no code written; what the environment says."""
        # Those that bring libffi, under whatever name: what stands in place of one's functions does so for all.
        elves = (node.elf for node in self.nodes.values() if node.elf is not None)
        callers = [elf for elf in elves if b"\0ffi_prep_closure_loc\0" in elf.data]
        known = [elf for elf in callers if any(name == "ffi_prep_closure_loc" for *_, name in elf.functions())]
        if not known or not all(any(code in elf.data for code in LIBFFI_CODE) for elf in known):
            return {}
        path = f"{LIBRARIES}/libmirage-closures.so"
        self.add_elf(path, closures())
        return {"LD_PRELOAD": path}

    def add_modules(self, names: Iterable[str], sources: Iterable[Path], path: Iterable[str]) -> None:
        """The closure of what the names and sources import, found on `path` and in the standard library."""
        stdlib = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
        dynamic = [os.path.join(p, "lib-dynload") for p in stdlib]
        own = [os.path.abspath(p) for p in path]
        finder = Finder([*own, *stdlib, *dynamic])
        wanted = list(names)
        for name in wanted:
            if finder.spec(name) is None and name not in sys.builtin_module_names:
                raise BuildError(f"there is no module {name} on the search path")
        wanted += self._imported_by_distributions()
        for module in closure(finder, [*BASE, *wanted], sources, stdlib):
            where = str(module.root)
            if where in dynamic:
                folder = f"{STDLIB}/lib-dynload"
            elif where in stdlib:
                folder = STDLIB
            else:
                folder = SITE
            self._add_module(module, folder)
        # The interpreter knows its folders by these two.
        self.nodes.setdefault(f"{STDLIB}/lib-dynload", Node(f"{STDLIB}/lib-dynload", None, S_IFDIR | 0o555))

    def add_distributions(self, distributions: Iterable[Distribution]) -> None:
        """Whole distributions: modules, libraries, data and metadata, below the folder of `site-packages`."""
        self.distributions += distributions
        self._own |= {file.resolve() for one in self.distributions for file in one.files.values()}
        for one in self.distributions:
            for name, file in one.files.items():
                path = f"{SITE}/{name}"
                if path in self.nodes:
                    raise BuildError(f"{one.name} holds {name}, which another distribution holds too")
                try:
                    self._add_packaged(path, file)
                except BuildError as error:
                    raise BuildError(f"{one.name} {one.version}: {error}") from None

    def _add_packaged(self, path: str, file: Path) -> None:
        if file.suffix == ".py":
            self.add_source(path, file.read_bytes())
        elif file.suffix == ".so" or ".so." in file.name:
            self.add_elf(path, file)
        else:
            self.add(path, file.read_bytes())

    def _imported_by_distributions(self) -> list[str]:
        """What the modules of the distributions import, as far as sources and the text of compiled modules say."""
        names: set[str] = set()
        for one in self.distributions:
            for path, file in one.files.items():
                data = self.nodes[f"{SITE}/{path}"].data or b""
                if file.suffix == ".py":
                    try:
                        names.update(imports(data, os.path.dirname(path).replace("/", "."), path))
                    except (SyntaxError, ValueError):
                        continue  # a template
                elif data[:4] == b"\x7fELF":
                    names.update(mentioned(data))
        return sorted(names)

    def _add_module(self, module: Module, folder: str) -> None:
        path = f"{folder}/{module.file.relative_to(module.root)}"
        self.modules[module.name] = path
        if module.is_source:
            self.add_source(path, module.file.read_bytes())
        else:
            self.add_elf(path, module.file)

    def add_source(self, path: str, source: bytes) -> None:
        """A Python file and its compiled form, which the guest uses without looking at the source (PEP 552)."""
        self.add(path, source)
        compiled = cached("pyc", (path,), source, lambda: _compiled(path, source))
        if not compiled:
            return
        folder, _, name = path.rpartition("/")
        stem = name.removesuffix(".py")
        self.add(f"{folder}/__pycache__/{stem}.{sys.implementation.cache_tag}.pyc", compiled)

    def add_tree(self, where: str, folder: Path) -> None:
        """Every file below a folder of the host. See `kept_link` for symbolic links."""
        for file in sorted(folder.rglob("*")):
            path = f"{where}/{file.relative_to(folder).as_posix()}"
            if "__pycache__" in file.parts:
                continue
            if file.is_symlink() and (target := kept_link(file, folder)):
                self.nodes[path] = Node(path, target.encode(), S_IFLNK | 0o777)
            elif file.is_file():
                if file.suffix == ".py":
                    self.add_source(path, file.read_bytes())
                else:
                    self.add(path, file.read_bytes(), executable=os.access(file, os.X_OK))

    def sorted(self) -> list[Node]:
        """The tree with every directory, in the order in which the guest searches it."""
        for path in [*self.nodes, "/tmp/x", "/dev/x", "/proc/x"]:  # noqa: S108 - the guest's own
            while path != "/":
                path = path.rpartition("/")[0] or "/"
                self.nodes.setdefault(path, Node(path, None, S_IFDIR | 0o555))
        for special in ("/tmp/x", "/dev/x", "/proc/x"):  # noqa: S108
            self.nodes.pop(special, None)
        return sorted(self.nodes.values(), key=lambda node: node.path.encode())
