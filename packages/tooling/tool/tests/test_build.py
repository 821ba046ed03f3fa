"""The artifact: reproducible, whole, holding exactly what is needed, and seeing nothing else of the machine."""

from __future__ import annotations

import base64
import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from mirage.tool.archive import compiled, pack
from mirage.tool.bom import files_hash

TYPES = importlib.metadata.version("mirage-types")

pytestmark = pytest.mark.slow


def run(artifact: Path | str, *arguments: str, options: tuple[str, ...] = (), **more: str) -> tuple[int, str, str]:
    """Run an artifact in an environment of its own; exit code, output and error output."""
    environment = {name: os.environ[name] for name in ("HOME", "XDG_CACHE_HOME") if name in os.environ}
    command = [sys.executable, *options, str(artifact), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**environment, **more})
    return result.returncode, result.stdout, result.stderr


def build(mirage, *arguments: str) -> bytes:
    """Build the current application; the artifact's octets."""
    code, _, err = mirage("build", *arguments)
    assert code == 0, err
    return Path("_build/app.pyz").read_bytes()


def test_the_same_bytes_anywhere(application, mirage) -> None:
    """Another folder, other times, another hash seed, another order of files: the same artifact."""
    application()
    first = build(mirage)
    other = application(name="elsewhere/deeper")
    os.utime(other / "app.py", (1, 1))
    command = [sys.executable, "-c", "import sys; from mirage.tool.cli import main; sys.exit(main(['build', '-q']))"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"})
    assert Path("_build/app.pyz").read_bytes() == first
    assert b"/work" not in first
    assert str(other).encode() not in first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_an_unchanged_build_does_nothing_and_a_changed_one_everything_needed(application, mirage) -> None:
    """Every input counts: the application, its configuration, the artifact itself."""
    folder = application()
    first = build(mirage)
    assert "is up to date" in mirage("build")[2]
    (folder / "_build/app.pyz").write_bytes(first + b" ")
    assert "pack" in mirage("build")[2]
    (folder / "app.py").write_text((folder / "app.py").read_text().replace("done", "over"))
    assert build(mirage) != first
    assert run("_build/app.pyz") == (0, "over\n", "")
    assert mirage("build", "-q") == (0, "", "")


SPY = """
import json
import sys

async def main(console):
    import mirage.types
    files = [getattr(module, "__file__", None) for module in sys.modules.values()]
    names = {"path": sys.path, "files": sorted({str(file) for file in files if file}), "namespace": [*mirage.__path__]}
    for name in ("pytest", "packaging", "mirage.tool", "mirage.kv"):
        try:
            __import__(name)
        except ModuleNotFoundError:
            continue
        names.setdefault("found", []).append(name)
    console.write(json.dumps(names).encode())
"""


@pytest.mark.parametrize("options", [(), ("-I",), ("-I", "-S"), ("-X", "importtime")])
def test_nothing_outside_itself_and_the_standard_library(options: tuple[str, ...], application, mirage) -> None:
    """What is installed beside, on PYTHONPATH or in the namespace's other parts cannot be imported."""
    folder = application(app=SPY)
    build(mirage)
    (folder / "extra").mkdir()
    shutil.copytree(Path(importlib.util.find_spec("mirage.kv").origin).parent, folder / "extra/mirage/kv")  # type: ignore[union-attr,arg-type]
    artifact = folder / "_build/app.pyz"
    code, out, err = run(artifact, options=options, PYTHONPATH=str(folder / "extra"))
    assert code == 0, err
    found = json.loads(out)
    library = os.path.dirname(os.__file__)
    assert "found" not in found
    assert found["namespace"] == [f"{artifact}/mirage"]
    assert found["path"][0] == str(artifact)
    for file in found["files"]:
        inside = file.startswith((f"{artifact}/", library)) and "site-packages" not in file
        # `site` has run before the artifact could say anything; with -S it has not
        assert inside or (options != ("-I", "-S") and "site-packages" in file), file


def test_exactly_the_closure(application, mirage) -> None:
    """The packages asked for and those that they need; of their metadata what a program may ask for."""
    application()
    with zipfile.ZipFile(io.BytesIO(build(mirage))) as archive:
        tops = {
            "/".join(name.split("/")[:2])
            for name in archive.namelist()
            if name.startswith("mirage/") and name != "mirage/"
        }
        assert tops == {"mirage/types"}
        metadata = [name for name in archive.namelist() if ".dist-info/" in name and not name.endswith("/")]
        assert metadata == [f"mirage_types-{TYPES}.dist-info/METADATA"]


def test_the_bill_of_materials_is_that_of_the_artifact(application, mirage) -> None:
    """The same text inside and beside it, and hashes that can be checked on what is inside."""
    folder = application()
    with zipfile.ZipFile(io.BytesIO(build(mirage))) as archive:
        text = archive.read("bom.json")
        packed = {name: archive.read(name) for name in archive.namelist() if not name.endswith(("/", ".pyc"))}
    assert (folder / "_build/app.bom.json").read_bytes() == text
    document = json.loads(text)
    (component,) = document["components"]
    theirs = {name: data for name, data in packed.items() if name.startswith(("mirage/types/", "mirage_types-"))}
    assert component["hashes"] == [{"alg": "SHA-256", "content": files_hash(theirs)}]
    assert (component["name"], component["version"], component["licenses"]) == (
        "mirage-types",
        TYPES,
        [{"expression": "ISC"}],
    )
    own = {name: packed[name] for name in ("app.py", "main.py")}
    assert document["metadata"]["component"]["hashes"][0]["content"] == files_hash(own)
    facts = json.loads(mirage("query", "bom", "--json")[1])
    assert facts == [{"name": "mirage-types", "version": TYPES, "sha256": files_hash(theirs), "licence": "ISC"}]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_cleanly(number: int, application, mirage) -> None:
    """A request to stop cancels the job, whose own last words are heard, and the exit code is 0."""
    application(
        app="""
        import asyncio

        async def main(console):
            console.write(b"ready\\n")
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                console.write(b"drained\\n")
        """
    )
    build(mirage)
    with subprocess.Popen([sys.executable, "_build/app.pyz"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == "drained\napp: stopped\n"
        assert process.wait(10) == 0


def test_a_failing_job_stops_the_others_and_is_told(application, mirage) -> None:
    """The exit code says so too."""
    application(
        """
        from mirage.tool.devices import *
        good, bad = foreign("app:good", gives=JOB), foreign("app:bad", gives=JOB)
        register("app", good(), bad())
        """,
        app="""
        import asyncio

        async def good():
            try:
                await asyncio.Event().wait()
            finally:
                print("let go")

        async def bad():
            raise RuntimeError("lost")
        """,
    )
    build(mirage)
    code, out, err = run("_build/app.pyz")
    assert (code, out) == (1, "let go\n")
    assert "RuntimeError: lost" in err
    assert "app.py" in err


ERRORS = {
    "not installed": (
        'packages=["no-such-thing>=1"]',
        "",
        "app:main (config.py:3) needs no-such-thing>=1, which is not installed in this environment: "
        "install it with  uv pip install 'no-such-thing>=1'",
    ),
    "version": (
        'packages=["mirage-types>=7"]',
        "",
        f"app:main (config.py:3) needs mirage-types>=7, but {TYPES} is installed: "
        "install one that fits with  uv pip install 'mirage-types>=7'",
    ),
    "no requirement": ('packages=["a b"]', "", "app:main (config.py:3) has a requirement that is none, 'a b': "),
    "undeclared package": (
        "packages=[]",
        "import asyncio\nfrom mirage.types import Console",
        "app.py:2: imports mirage.types, which none of the application's packages provides: "
        "add it to the packages of foreign(...) in config.py, as in packages=['mirage-types']",
    ),
    "module of a package": (
        'packages=["mirage-types"]',
        "from mirage.types.nowhere import x",
        "app.py:1: imports mirage.types.nowhere, which the installed mirage-types does not have",
    ),
    "undeclared module": (
        "packages=[]",
        "def f():\n    import pytest.raises",
        "app.py:2: imports pytest, which none of the application's packages provides",
    ),
    "syntax": ("packages=[]", "def", "app.py:1: not valid Python: "),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error(case: str, application, mirage) -> None:
    """What cannot be built is told before it is run, with the line that asks for it."""
    packages, app, message = ERRORS[case]
    folder = application(
        "from mirage.tool.devices import *\n"
        f"app = foreign('app:main', gives=JOB, {packages})\n"
        "register('app', app())\n",
        app=app,
    )
    code, _, err = mirage("build", "-q")
    assert (code, err.replace(f"{folder}/", "").startswith(f"mirage: {message}")) == (1, True), err


def test_imports_that_may_fail_are_not_checked(application, mirage) -> None:
    """Those under try, and those for type checkers only; local modules are followed."""
    application(
        app="""
        from typing import TYPE_CHECKING

        import helper

        try:
            import nowhere
        except ImportError:
            nowhere = None
        if TYPE_CHECKING:
            import pytest

        async def main(console):
            console.write(helper.TEXT)
        """,
        helper="from shared.words import TEXT",
        shared____init__="",
        shared__words='TEXT = b"helped"',
    )
    build(mirage)
    assert run("_build/app.pyz") == (0, "helped", "")


def test_boot_arguments_are_listed_by_the_artifact(application, mirage) -> None:
    """With doc strings and defaults; a wrong one is refused."""
    application(
        """
        from mirage.tool.devices import *
        count = boot_argument("how-often", INT, default=2, doc="How many times (at most 100%).")
        register("app", foreign("app:main", gives=JOB, arguments={"count": count})())
        """,
        app="async def main(count): print(count)",
    )
    build(mirage)
    assert "How many times (at most 100%). (default: 2)" in " ".join(run("_build/app.pyz", "--help")[1].split())
    assert run("_build/app.pyz", "--how-often", "7") == (0, "7\n", "")
    assert run("_build/app.pyz", "--how-often", "x")[0] == 2


# -- distributions made here ------------------------------------------------------------------------------------------


def install(site: Path, name: str, files: dict[str, bytes], requires: str = "") -> None:
    """An installed distribution, as an installer would leave it."""
    info = f"{name}-1.0.dist-info"
    files = {**files, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}\n".encode()}
    record = ""
    for path, data in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(data)}\n"
    (site / info / "RECORD").write_text(f"{record}{info}/RECORD,,\n../../bin/{name},sha256=x,1\n")


NEEDS = """
from mirage.tool.devices import *
register("app", foreign("app:main", gives=JOB, packages=["thing"])())
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place where distributions are installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_an_installed_distribution_is_taken_by_its_record(site: Path, application, mirage) -> None:
    """Its files and those of what it needs, by marker and extra; scripts and caches stay out."""
    requires = (
        "Requires-Dist: other[more]\nRequires-Dist: never; python_version < '3'\nRequires-Dist: test; extra == 't'"
    )
    install(site, "thing", {"thing/__init__.py": b"import other", "thing/__pycache__/x.pyc": b""}, requires)
    install(
        site, "other", {"other.py": b"import most\nX = 1"}, "Requires-Dist: most; extra == 'more'\nProvides-Extra: more"
    )
    install(site, "most", {"most.py": b""})
    application(NEEDS, app="import thing\nasync def main(): print(thing.other.X)")
    with zipfile.ZipFile(io.BytesIO(build(mirage))) as archive:
        names = {name for name in archive.namelist() if name.endswith(".py")}
    assert names == {"__main__.py", "app.py", "main.py", "most.py", "other.py", "thing/__init__.py"}
    assert run("_build/app.pyz") == (0, "1\n", "")


def test_the_same_bytes_from_a_wheel_as_from_sources(site: Path, application, mirage, cache: Path) -> None:
    """How a package of ours was installed does not show."""
    application()
    first = build(mirage)
    wheels = sorted((cache / "mirage/wheels").glob("mirage-types-*/*.whl"))
    if not wheels:
        pytest.skip("mirage-types is installed from its wheel already")
    with zipfile.ZipFile(wheels[-1]) as wheel:
        wheel.extractall(site)
    assert "up to date" not in mirage("build")[2]
    assert Path("_build/app.pyz").read_bytes() == first


def test_a_file_changed_since_it_was_installed_is_refused(site: Path, application, mirage) -> None:
    """The artifact holds what was published, or is not made."""
    install(site, "thing", {"thing.py": b"X = 1"})
    (site / "thing.py").write_bytes(b"X = 2")
    application(NEEDS, app="import thing\nasync def main(): pass")
    assert mirage("build", "-q")[2] == (
        "mirage: thing.py was changed since thing was installed (its hash is not RECORD's): install it again\n"
    )
    (site / "thing.py").unlink()
    assert mirage("build", "-q")[2].startswith("mirage: thing is not whole: ")


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("License-Expression: mit or Apache-2.0", [{"expression": "MIT OR Apache-2.0"}]),
        ("License: our own, ask us", [{"license": {"name": "our own, ask us"}}]),
        ("Classifier: License :: OSI Approved :: MIT License", [{"license": {"name": "MIT License"}}]),
        ("Classifier: Topic :: Internet", None),
    ],
)
def test_licences(metadata: str, expected: object, site: Path, application, mirage) -> None:
    """An expression is one only where the package says one that is valid (SPDX)."""
    install(site, "thing", {"thing.py": b""}, metadata)
    application(NEEDS, app="import thing\nasync def main(): pass")
    build(mirage)
    (component,) = json.loads(Path("_build/app.bom.json").read_text())["components"]
    assert component.get("licenses") == expected


def test_two_parts_cannot_hold_one_file(site: Path, application, mirage) -> None:
    """Which of the two would win is not left to chance."""
    install(site, "thing", {"app.py": b"X = 1"})
    application(NEEDS, app="async def main(): pass")
    assert "thing holds app.py, which another part of the application holds too" in mirage("build", "-q")[2]


def test_compiled_modules_are_unpacked_once(site: Path, application, mirage, cache: Path) -> None:
    """Into a private folder named by their hash; a second start finds them there."""
    extension = importlib.util.find_spec("_bisect")
    if extension is None or not extension.origin or extension.origin == "built-in":
        pytest.skip("this Python has its extension modules built in")
    name = f"thing/_bisect{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    install(site, "thing", {"thing/__init__.py": b"", name: Path(extension.origin).read_bytes()})
    application(NEEDS, app="from thing import _bisect\nasync def main(): print(_bisect.__file__)")
    build(mirage)
    code, out, err = run("_build/app.pyz")
    assert code == 0, err
    place = Path(out.strip())
    assert place.is_relative_to(cache / "mirage/native")
    assert place.parents[1].stat().st_mode & 0o777 == 0o700
    before = place.stat().st_ino
    assert run("_build/app.pyz")[:2] == (0, out)
    assert place.stat().st_ino == before
    assert [entry.name for entry in (cache / "mirage/native").iterdir()] == [place.parents[1].name]
    (cache / "file").write_text("")
    code, _, err = run("_build/app.pyz", XDG_CACHE_HOME=str(cache / "file"))
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("app: cannot unpack compiled modules: ")


# -- the parts --------------------------------------------------------------------------------------------------------


def test_compiled_forms_are_what_python_reads(tmp_path: Path) -> None:
    """A module is imported from its compiled form, its source notwithstanding."""
    files = {"one.py": b"X = {'a', 'b'}\nY = 'text'", "bad.py": b"def"}
    forms = compiled(files)
    assert list(forms) == ["one.pyc"]
    (tmp_path / "a.zip").write_bytes(pack({"one.py": b"raise SystemExit('read the source')", **forms}, "h"))
    code = "import sys; sys.path.insert(0, 'a.zip'); import one; print(sorted(one.X), one.Y)"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("['a', 'b'] text\n", "")


def test_compiled_forms_do_not_depend_on_the_process() -> None:
    """Not on the hash seed, and not on what was interned or compiled before."""
    source = "def f(x, y='word'): return x in {'a', 'bc', 'word', 1, None} or (x, 'word', y)\nclass A:\n    word = f\n"
    code = (
        "import sys, hashlib; from mirage.tool.archive import compiled\n"
        "for extra in sys.argv[2:]: exec(extra)\n"
        "print(hashlib.sha256(compiled({'m.py': sys.argv[1].encode()})['m.pyc']).hexdigest())"
    )
    outputs = set()
    for seed, extra in (
        ("1", []),
        ("2", []),
        ("3", ["import json, email", "kept = compile(sys.argv[1], 'm.py', 'exec')"]),
    ):
        result = subprocess.run(
            [sys.executable, "-c", code, source, *extra],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.add(result.stdout)
    assert len(outputs) == 1
