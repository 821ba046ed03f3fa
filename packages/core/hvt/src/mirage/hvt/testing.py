"""CPython's own test suite inside a guest: which modules run, which tests of them are left out and why.

The list is a TOML file: `[run]` maps modules of the `test` package to how many tests ran and how many of them were
skipped when it was last recorded; `[left_out.MODULE]` maps tests to the reason. `python -m mirage.hvt.testing LIST`
runs them all and records the counts; `--page FILE` writes the table into a Markdown page, between two comments.
"""

from __future__ import annotations

import argparse
import json
import pkgutil
import re
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mirage.hvt._collect import STDLIB
from mirage.hvt._modules import Finder
from mirage.hvt.errors import GuestFault, HvtError
from mirage.hvt.image import Image, build
from mirage.hvt.tender import Tender

__all__ = ["Suite", "build_suite", "page_table", "run_module"]

MARKS = ("<!-- cpython tests: begin -->", "<!-- cpython tests: end -->")
_NOT_IN_A_GUEST = {"tkinter", "idlelib", "turtledemo", "turtle", "antigravity", "this", "lib2to3", "ensurepip", "venv"}
_MEMORY = 1 << 30


@dataclass
class Suite:
    """The list of modules."""

    run: dict[str, tuple[int, int]]
    """Tests run and tests skipped, by module."""
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Suite:
        """Read the list."""
        words = tomllib.loads(file.read_text())
        return cls({name: (ran, skipped) for name, (ran, skipped) in words["run"].items()}, words.get("left_out", {}))

    def write(self, file: Path) -> None:
        """Write the list, sorted."""
        lines = ["# Written by `python -m mirage.hvt.testing`; only the reasons are kept by hand.", "[run]"]
        lines += [f'"{name}" = [{ran}, {skipped}]' for name, (ran, skipped) in sorted(self.run.items())]
        for name, tests in sorted(self.left_out.items()):
            lines += ["", f'[left_out."{name}"]']
            lines += [f'"{test}" = {json.dumps(reason)}' for test, reason in sorted(tests.items())]
        file.write_text("\n".join(lines) + "\n")


def build_suite(output: Path) -> Image:
    """An image with the whole standard library and the `test` package. Raises `HvtError` without the latter."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    if not (stdlib / "test" / "test_int.py").exists():
        raise HvtError("this interpreter comes without CPython's test suite: apt-get install libpython3.11-testsuite")
    finder = Finder([str(stdlib), str(stdlib / "lib-dynload")])
    names = [n for n in sorted(sys.stdlib_module_names - _NOT_IN_A_GUEST) if finder.spec(n)]
    for name in names:  # grows meanwhile
        spec = finder.spec(name)
        if spec and spec.submodule_search_locations and name != "test":
            submodules = [m.name for m in pkgutil.iter_modules(list(spec.submodule_search_locations))]
            names += [f"{name}.{m}" for m in submodules if not m.startswith("__") and m not in {"mbcs", "oem"}]
    runner = Path(__file__).with_name("_suite_runner.py")
    with tempfile.TemporaryDirectory() as etc:  # the one user, whom the tests look up
        Path(etc, "passwd").write_text("root:x:0:0:root:/tmp:/bin/sh\n")
        Path(etc, "group").write_text("root:x:0:\n")
        data = {f"{STDLIB}/test": stdlib / "test", "/etc": Path(etc)}
        return build(output, runner, modules=names, data=data, memory=_MEMORY)


def run_module(image: Path, name: str, left_out: Iterable[str] = ()) -> tuple[int, int, list[str]]:
    """Run one module in a guest: tests run, tests skipped, names of those that failed."""
    said: list[bytes] = []
    try:
        with Tender(image, [name, *left_out], console=said.append) as tender:
            tender.run()
    except GuestFault as fault:
        said.append(str(fault).encode())
    text = b"".join(said).decode(errors="replace")
    found = re.search(r"^RESULT (.*)$", text, re.MULTILINE)
    if found is None:
        return 0, 0, [f"no result: {text[-1000:]}"]
    result = json.loads(found[1])
    return result["run"], result["skipped"], result["failed"]


def page_table(suite: Suite) -> str:
    """The table for the guide."""
    ran, skipped = (sum(counts[i] for counts in suite.run.values()) for i in (0, 1))
    out = sum(len(tests) for tests in suite.left_out.values())
    lines = [
        f"{len(suite.run)} modules: {ran} tests run, of which {skipped} are skipped; none fails; {out} are left out.",
        "",
    ]
    lines += ["| module | run | skipped | left out |", "|---|---|---|---|"]
    for name, (count, skips) in sorted(suite.run.items()):
        lines.append(f"| `{name}` | {count} | {skips} | {len(suite.left_out.get(name, {})) or ''} |")
    lines += ["", "Left out:", ""]
    for name, tests in sorted(suite.left_out.items()):
        lines += [f"- `{name}` `{test}`: {reason}" for test, reason in sorted(tests.items())]
    return "\n".join(lines)


def write_page(page: Path, suite: Suite) -> None:
    """Put the table between the two comments of a page."""
    before, rest = page.read_text().split(MARKS[0])
    page.write_text(f"{before}{MARKS[0]}\n\n{page_table(suite)}\n\n{MARKS[1]}{rest.split(MARKS[1])[1]}")


def main() -> int:
    """Run every module of the list, record the counts; returns how many modules have failures."""
    parser = argparse.ArgumentParser(prog="python -m mirage.hvt.testing", description=main.__doc__)
    parser.add_argument("list", type=Path)
    parser.add_argument("--image", type=Path, default=Path("suite.hvt"), help="where the image is built")
    parser.add_argument("--page", type=Path, help="write the table into this page")
    chosen = parser.parse_args()
    suite = Suite.read(chosen.list)
    build_suite(chosen.image)
    broken = 0
    for name in sorted(suite.run):
        ran, skipped, failed = run_module(chosen.image, name, suite.left_out.get(name, {}))
        print(name, ran, skipped, *failed, flush=True)
        broken += bool(failed)
        if not failed:
            suite.run[name] = (ran, skipped)
    suite.write(chosen.list)
    if chosen.page:
        write_page(chosen.page, suite)
    return min(broken, 125)


if __name__ == "__main__":
    sys.exit(main())
