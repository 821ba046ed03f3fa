"""The first file system of the emulated machine: busybox, the modules of KVM, CPython, the packages, an image.

CPython is the one that runs this, at its own place, with the modules that the tender and `inside` can import, compiled;
its shared libraries are those that the dynamic linker of this machine finds.
"""

from __future__ import annotations

import importlib.util
import lzma
import marshal
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import mirage.hvt
import mirage.libos
import mirage.types
from mirage.hvt._modules import BASE, Finder, closure

from . import cpio

MODULES = ("irqbypass", "kvm")
"""What must be loaded, in this order, before `kvm-amd` or `kvm-intel`."""
INSIDE = ("inside", "rings", "machine_code")
"""The modules of this folder that run there."""
PACKAGES = "/image/packages"
INIT = """\
#!/bin/busybox sh
export PATH=/bin HOME=/ PYTHONPATH={packages} PYTHONHOME={home} PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
echo "@@@ init $(cat /proc/uptime)"
for word in $(cat /proc/cmdline); do
  case $word in kvm_{vendor}.*) options="$options ${{word#kvm_{vendor}.}}";; MIRAGE_*) export "$word";; esac
done
insmod /modules/irqbypass.ko; insmod /modules/kvm.ko; insmod /modules/kvm-{vendor}.ko $options
echo "@@@ nested tables $(cat /sys/module/kvm_{vendor}/parameters/{nested})"
{program} -S -P -m integration.hvt.inside
echo "@@@ end $(cat /proc/uptime) status $?"
poweroff -f
"""
_NESTED = {"amd": "npt", "intel": "ept"}
"""The parameter of each vendor's module that says whether it has page tables of its own below the guest's."""
_APPLETS = ("sh", "mount", "insmod", "cat", "poweroff")
_NO_TREE = re.compile(r"=> (/\S+)|^\s*(/\S+) \(", re.MULTILINE)


def kernel(vendor: str = "amd") -> Path | None:
    """The newest of Debian's kernels under /boot whose modules of KVM for a vendor, amd or intel, are there too."""
    found = sorted(Path("/boot").glob("vmlinuz-*-amd64"), key=lambda p: [int(n) for n in re.findall(r"\d+", p.name)])
    return next((p for p in reversed(found) if _module(p, f"kvm-{vendor}") is not None), None)


def _module(kernel: Path, name: str) -> Path | None:
    folder = Path("/lib/modules", kernel.name.removeprefix("vmlinuz-"))
    return next((p for suffix in ("ko", "ko.xz") for p in folder.rglob(f"{name}.{suffix}")), None)


def _modules(kernel: Path, vendor: str) -> dict[str, cpio.Entry]:
    entries = {}
    for name in (*MODULES, f"kvm-{vendor}"):
        path = _module(kernel, name)
        if path is None:
            raise FileNotFoundError(f"{kernel.name} has no module {name}")
        data = path.read_bytes()
        entries[f"modules/{name}.ko"] = cpio.file(lzma.decompress(data) if path.suffix == ".xz" else data)
    return entries


def _libraries(file: Path) -> set[str]:
    """The shared libraries, ld.so among them, that a program or module is linked with."""
    said = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=True).stdout
    return {a or b for a, b in _NO_TREE.findall(said)}


def _compiled(source: Path, name: str) -> bytes:
    """A module's bytecode, as CPython loads it where there is no source."""
    code = compile(source.read_bytes(), name, "exec", dont_inherit=True, optimize=0)
    return importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code)


def _package_folders() -> list[Path]:
    return [Path(str(package.__file__)).parent for package in (mirage.hvt, mirage.libos, mirage.types)]


def _python() -> dict[str, cpio.Entry]:
    stdlib = Path(sysconfig.get_path("stdlib"))
    program = Path(os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable))
    own = sorted({str(folder.parents[1]) for folder in _package_folders()})
    finder = Finder([*own, str(stdlib), str(stdlib / "lib-dynload")])
    sources = [Path(__file__).with_name(f"{name}.py") for name in INSIDE]
    # What the standard library and the codecs import in functions.
    names = [*BASE, "_ctypes", "ctypes", "select", "resource", "mirage.hvt.__main__", "mirage.hvt._run"]
    entries, linked = {str(program)[1:]: cpio.file(program.read_bytes(), 0o755)}, _libraries(program)
    for module in closure(finder, names, sources, [str(stdlib), str(stdlib / "lib-dynload")]):
        if str(module.root) in own:
            continue
        if module.is_source:
            where = str(module.file.with_suffix(".pyc"))
            entries[where[1:]] = cpio.file(_compiled(module.file, str(module.file)))
        else:
            entries[str(module.file)[1:]] = cpio.file(module.file.read_bytes(), 0o755)
            linked |= _libraries(module.file)
    for library in linked:
        entries[library[1:]] = cpio.file(Path(library).read_bytes(), 0o755)
    return entries


def _packages() -> dict[str, cpio.Entry]:
    entries = {}
    for folder in _package_folders():
        for path in sorted(folder.rglob("*")):
            where = f"{PACKAGES}/mirage/{folder.name}/{path.relative_to(folder)}"[1:]
            if path.suffix == ".py":
                entries[where + "c"] = cpio.file(_compiled(path, str(path)))
            elif path.is_file() and "__pycache__" not in path.parts:
                entries[where] = cpio.file(path.read_bytes())
    return entries


def _own() -> dict[str, cpio.Entry]:
    """The modules of this folder that run there, where they are imported by the names that they have here."""
    folder = Path(__file__).parent
    files = {folder.parent / "__init__.py", *(folder / f"{name}.py" for name in ("__init__", *INSIDE))}
    root = folder.parents[1]
    return {
        f"{PACKAGES}/{file.relative_to(root).with_suffix('.pyc')}"[1:]: cpio.file(_compiled(file, str(file)))
        for file in sorted(files)
    }


def make(kernel: Path, image: Path, trapping: Path, vendor: str = "amd") -> bytes:
    """The archive for a kernel on a processor of amd or intel, with the two images of `conftest`."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise FileNotFoundError("busybox is not installed: apt-get install busybox-static")
    program = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    init = INIT.format(packages=PACKAGES, home=sys.base_prefix, program=program, vendor=vendor, nested=_NESTED[vendor])
    return cpio.archive(
        {
            **dict.fromkeys(("dev", "proc", "sys", "tmp"), cpio.DIRECTORY),
            "dev/console": cpio.character_device(5, 1),
            "dev/null": cpio.character_device(1, 3),
            "bin/busybox": cpio.file(Path(busybox).read_bytes(), 0o755),
            **{f"bin/{name}": cpio.link("busybox") for name in _APPLETS},
            **_modules(kernel, vendor),
            **_python(),
            **_packages(),
            **_own(),
            "image/image.hvt": cpio.file(image.read_bytes()),
            "image/trapping.hvt": cpio.file(trapping.read_bytes()),
            "init": cpio.file(init.encode(), 0o755),
        }
    )
