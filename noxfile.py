"""Every task of the project is a session of this file. `./noxw --list` shows them.

Sessions use uv, keep their virtualenvs between runs, and take third-party versions from `ci.lock.txt`, so that a
release somewhere else cannot turn a green tree red. What they are made of is in `tasks/`.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import inspect
import itertools
import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from tasks import bench as bench_task
from tasks import compiled as compiled_task
from tasks import machine, scaffold, tree
from tasks import wheels as wheels_task
from tasks.pins import apply as pins_task
from tasks.pins import command as pin_command
from tasks.pins.model import PinError, Pins

nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "always"
nox.options.sessions = ["lint", "types", "tests", "lowest", "wheels", "integration"]

LOCK = ROOT / "ci.lock.txt"
SITE = ROOT / "site"
PYTHON_SOURCES = ["noxfile.py", "conftest.py", "tasks", "tests", "packages", "integration", "release", "site", "bots"]


def options(session: nox.Session, usage: str = "") -> argparse.ArgumentParser:
    """A parser for what follows ``--``; its help is the session's docstring."""
    return argparse.ArgumentParser(
        prog=f"./noxw -s {session.name} --",
        usage=f"%(prog)s {usage}".strip(),
        description=inspect.getdoc(globals()[session.name]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def pytest_words(session: nox.Session, usage: str = "[PYTEST OPTION ...]") -> list[str]:
    """What follows ``--`` of a session that passes it to pytest; asked for help, it gives its own and ends."""
    if {"-h", "--help"} & set(session.posargs):
        options(session, usage).print_help()
        print("\npytest's own options: .nox/tests/bin/pytest --help, once ./noxw -s tests has run")
        session.skip("only help was asked for")
    return session.posargs


def pinned(session: nox.Session) -> Pins:
    """The pins in force, said in the session's first lines; those that the base has by now are taken out."""
    try:
        packages = tree.packages()
        said = pins_task.settle(ROOT, {p.name for p in packages})
        pins = pins_task.current(ROOT)
        for line in [*said, *pins_task.lines(pins, packages)]:
            session.log(line)
    except PinError as error:
        session.error(str(error))
    session.env["MIRAGE_PINNED"] = " ".join(sorted(pins.sources))  # `mirage build` passes over the same bounds
    return pins


def install(session: nox.Session, *requirements: str, locked: bool = True) -> None:
    """Install into the session's environment, unless just this was installed before.

    The key is the text of everything that decides the outcome, so a warm run starts at once. Pins are honoured.
    """
    pins = pinned(session)
    inputs = [*requirements, str(locked), *(p.read_text() for p in sorted(ROOT.glob("packages/*/*/pyproject.toml")))]
    others = (LOCK, *(ROOT / folder / "pyproject.toml" for folder in (".", "site", "integration", "bots")))
    inputs += [path.read_text() for path in others if path.exists()]
    inputs += [pins_task.state(pins)] if pins else []
    key = hashlib.sha256("\0".join(inputs).encode()).hexdigest()
    stamp = Path(session.virtualenv.location) / "installed.txt"
    if stamp.exists() and stamp.read_text() == key:
        return
    stamp.unlink(missing_ok=True)
    # An argument: in UV_CONSTRAINT a space in the tree's own path would part two names.
    constraint = ["--constraint", str(lock_file(pins))] if locked and LOCK.exists() else []
    try:
        taken = pins_task.fetched(tree.packages(), pins, ROOT)
    except PinError as error:
        session.error(str(error))
    session.install(*requirements, *constraint, *pins_task.constraint_files(taken, ROOT / "_build" / "pins"))
    stamp.write_text(key)


def lock_file(pins: Pins) -> Path:
    """The lock, or with pins what is left of it, and their holds, in a file of its own."""
    if not pins or not LOCK.exists():
        return LOCK
    path = ROOT / "_build" / "pins" / "lock.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    held = "".join(f"{name}{hold.spec}\n" for name, hold in sorted(pins.hold.items()))
    path.write_text(pins_task.lock_without(LOCK.read_text(), pins) + held)
    return path


def select(session: nox.Session, names: list[str]) -> list[tree.Package]:
    """The packages named, all for no name; a name that is none ends the session."""
    try:
        return tree.select(names) if names else tree.packages()
    except LookupError as error:
        session.error(str(error))


def editables(packages: list[tree.Package]) -> list[str]:
    """The arguments that install packages from the tree, or from where they are pinned to."""
    try:
        return pins_task.arguments(packages, pins_task.fetched(packages, pins_task.current(ROOT), ROOT))
    except PinError as error:
        raise SystemExit(f"noxw: {error}") from error


def groups(packages: list[tree.Package], name: str) -> list[str]:
    """The arguments that install a dependency group of the packages that have it."""
    files = [p.path / "pyproject.toml" for p in packages if p.group(name)]
    return [argument for file in files for argument in ("--group", f"{file}:{name}")]


def shared(*names: str) -> list[str]:
    """The arguments that install dependency groups from outside `packages/`: ``test``, or ``site:test`` in a folder."""
    found = [name.rpartition(":") for name in names]
    return [
        argument
        for folder, _, group in found
        for argument in ("--group", f"{ROOT / folder / 'pyproject.toml'}:{group}")
    ]


def everything(session: nox.Session) -> None:
    """Install every package with its test requirements, and what the site is rendered and tested with."""
    packages = tree.packages()
    beside = shared("test", "release", "site:render", "site:test", "bots:test")
    install(session, *editables(packages), *groups(packages, "test"), *beside)


@nox.session
def website(session: nox.Session) -> None:
    """The main job: build the website unikernel and serve it until Ctrl-C; `-- --check` builds, boots and checks it.

    Examples: `./noxw -s website`, `./noxw -s website -- --port 8000`, `./noxw -s website -- --check`.
    """
    packages = tree.packages()
    install(session, *editables(packages), *shared("site:render", "integration:check"))
    session.run("python", "-m", "integration.website", *session.posargs, env={"PYTHONPATH": str(ROOT)})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and form of all Python code with ruff; `-- --fix` mends what can be mended."""
    parser = options(session, "[--fix]")
    parser.add_argument("--fix", action="store_true", help="format, and mend what can be mended")
    fix = parser.parse_args(session.posargs).fix
    install(session, *shared("lint"))
    session.run("ruff", "format", *([] if fix else ["--check"]), *PYTHON_SOURCES)
    session.run("ruff", "check", *(["--fix"] if fix else []), *PYTHON_SOURCES)


@nox.session
def types(session: nox.Session) -> None:
    """Type-check every package with mypy --strict, and the public interface of `core` with pyright too."""
    options(session).parse_args(session.posargs)
    packages = tree.packages()
    sources = [str(p.path / "src") for p in packages]
    beside = shared("types", "release", "site:render", "site:types", "bots:run")
    install(session, *editables(packages), *groups(packages, "types"), *beside)
    session.run("mypy", *sources, env={"MYPYPATH": ":".join(sources)})
    site = [str(SITE / name) for name in ("render", "website", "config.py")]
    session.run("mypy", *site, env={"MYPYPATH": ":".join([str(SITE), *sources])})
    bots = [str(path) for part in ("", "testing/", "benchmarks/") for path in sorted(ROOT.glob(f"bots/*/{part}*.py"))]
    tools = ["tasks", "release", "noxfile.py", *bots]
    session.run("mypy", "--exclude", "/tests/", *tools, env={"MYPYPATH": ":".join([str(ROOT), *sources])})
    session.run("pyright", "--warnings", *(str(p.path / "src") for p in packages if p.family == "core"))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests of every package, or of those named: `-- tcpip dns -k NAME`; other words go to pytest.

    Without a package's name the guards of the tree (`tests/`), the site's own tests and the bots' run too.
    """
    words = pytest_words(session, "[NAME ...] [PYTEST OPTION ...]")
    leading = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
    names = [word for word in leading if not (ROOT / word.partition("::")[0]).exists()]
    places = [str(p.path) for p in select(session, names)] if names else []
    if not leading:
        places = ["packages", "tests", "release", "site", "bots"]
    everything(session)
    session.run("pytest", *places, *(word for word in words if word not in names))


@nox.session
def affected(session: nox.Session) -> None:
    """Test the packages changed since a revision (default: main) and all that depend on them: `-- REVISION`.

    The guards of the tree and the tests of train, site and bots, which read all of it, run whatever has changed. A
    change of what all packages share (the lock, `conftest.py`, ...) affects all. `-- --list` only names the packages.
    """
    parser = options(session, "[--list] [REVISION]")
    parser.add_argument("revision", nargs="?", default="main", metavar="REVISION", help="default: main")
    parser.add_argument("--list", action="store_true", help="name the packages, one a line, and run nothing")
    chosen = parser.parse_args(session.posargs)
    try:
        files = tree.changed_since(chosen.revision)
    except LookupError as error:
        session.error(str(error))
    reached = tree.affected_by(files)
    if chosen.list:
        print("\n".join(p.short for p in reached))
        return
    if not files:
        session.log(f"nothing differs from {chosen.revision}")
        return
    everything(session)
    session.run("pytest", *(str(p.path) for p in reached), "tests", "release", "site", "bots")


@nox.session
def integration(session: nox.Session) -> None:
    """Build the website unikernel, boot it and drive it from outside with real clients; words go to pytest.

    `-- hvt` runs the proofs of the hvt target alone (`integration/hvt`), `-- hvt --all` in their long forms, and
    `-- hvt --vmx` the one on Intel's virtualisation, which Bochs emulates in some minutes. `-- net` runs the tests of
    the network packages, real peers included, and then the website on every network that a stack of its own can have;
    `-- net --all` has a million connections, ten seconds of a SYN flood and a million simulated seconds among them.
    `-- tls` runs our TLS against that of others, in both roles, and prints a table of peers and features.
    """
    words = pytest_words(session, "[net [--all] | tls | hvt [--all | --vmx]] [PYTEST OPTION ...]")
    packages = tree.packages()
    stack = [package for package in packages if package.family in {"drivers", "stack"}]
    install(session, *editables(packages), *shared("site:render", "integration:test"), *groups(stack, "test"))
    env = {"PYTHONPATH": str(ROOT)}
    place = "integration"
    if words[:1] == ["net"]:
        words = words[1:]
        whole = {}
        if "--all" in words:
            words = [word for word in words if word != "--all"]
            whole = {"MIRAGE_ENDURANCE": "all", "MIRAGE_SIMULATED_SECONDS": "1000000"}
        session.run("pytest", *(str(package.path) for package in stack), *words, env=whole)
        env["MIRAGE_TARGETS"] = "unix-gateway hvt hvt-tap"
        words += ["--ignore=integration/hvt", "--ignore=integration/tls"]  # which have sessions of their own
    elif words[:1] == ["tls"]:
        place, words = "integration/tls", words[1:]
    elif words[:1] == ["hvt"]:
        place, words = "integration/hvt", words[1:]
        if "--vmx" in words:
            words = [word for word in words if word != "--vmx"]
            env["MIRAGE_HVT_VMX"] = "1"
            place = "integration/hvt/test_ordinary_kvm.py"
        if "--all" in words:
            words = [word for word in words if word != "--all"]
            env["MIRAGE_HVT_TESTS"] = "all"
    session.run("pytest", place, *words, env=env)


@nox.session
def soak(session: nox.Session) -> None:
    """Let a guest of the hvt target work for an hour, or `-- MINUTES`, and fail when memory or descriptors grow."""
    parser = options(session, "[MINUTES]")
    parser.add_argument("minutes", type=float, nargs="?", default=60, metavar="MINUTES", help="default: 60")
    minutes = parser.parse_args(session.posargs).minutes
    install(session, *editables(tree.packages()))
    session.run("python", "-m", "integration.hvt.soak", str(minutes), env={"PYTHONPATH": str(ROOT)})


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz what reads octets from outside, guided by coverage: `-- tls`, `-- tls "1.3: server inside"`, ...

    `-- PACKAGE TARGET [LIBFUZZER OPTION ...]`; without a target its name is asked for, with all that there are. It goes
    on until something is found, or as long as `-max_total_time=SECONDS` says.
    """
    packages = tree.packages()
    install(session, *editables(packages), *groups(packages, "fuzz"))
    session.run("python", "-m", "tasks.fuzz", *session.posargs, env={"PYTHONPATH": str(ROOT)})


@nox.session
def lowest(session: nox.Session) -> None:
    """Prove the declared floors: every package's tests with the oldest releases that its requirements admit."""
    words = pytest_words(session)
    packages = tree.packages()
    install(session, "--resolution", "lowest-direct", *editables(packages), locked=False)
    test = [*groups(packages, "test"), *shared("test", "site:render", "site:test")]
    session.install(*test, *(["--constraint", str(LOCK)] if LOCK.exists() else []), silent=True)
    session.run("pytest", "packages", *words)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build each package's sdist and wheel twice, compare the bytes, and test each wheel with the source tree absent.

    `-- NAME...` takes just these packages; the files are left in `dist/`. A pinned package is built and tested as it
    is where it is pinned to.
    """
    parser = options(session, "[NAME ...]")
    parser.add_argument("names", nargs="*", metavar="NAME")
    chosen = parser.parse_args(session.posargs).names
    packages = select(session, chosen)
    pins = pinned(session)
    try:
        sources = pins_task.sources(tree.packages(), pins, ROOT)
        packages = [package for package in sources if package.short in {p.short for p in packages}]
        wheels_task.build_twice(packages, ROOT / "dist")
        names = [package.name for package in sources if package.name in pins.sources]
        wheels_task.test_alone(packages, ROOT / "dist", lock_file(pins), pinned=names, sources=sources)
    except (wheels_task.Failed, PinError) as failure:
        session.error(str(failure))


@nox.session
def compiled(session: nox.Session) -> None:
    """Compile the hot modules of packages into wheels of this Python and machine, and run their tests with these.

    `-- NAME...` takes just these packages; the wheels are left in `_build/compiled`. Needs a C compiler.
    """
    parser = options(session, "[NAME ...]")
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args(session.posargs).names
    try:
        packages = compile_wheels(session, names)
        wheels_task.test_alone(packages, ROOT / "_build" / "compiled", LOCK, sources=tree.packages(), pinned=())
    except wheels_task.Failed as failure:
        session.error(str(failure))


def compile_wheels(session: nox.Session, names: list[str]) -> list[tree.Package]:
    """Make the compiled wheels of the packages that have modules for it. Raises `wheels_task.Failed`."""
    chosen = [package for package in select(session, names) if compiled_task.modules(package)]
    install(session, *shared("compile"), locked=False)
    for package in chosen:
        session.log(f"compiling {len(compiled_task.modules(package))} modules of {package.name}, unless that is done")
        python = Path(session.virtualenv.location) / "bin" / "python"
        compiled_task.build_once(package, ROOT / "_build" / "compiled", python)
    return chosen


@nox.session(venv_backend="none")
def lock(session: nox.Session) -> None:
    """Choose the newest third-party releases that the declared ranges admit and write them to the two lock files.

    `constraints.txt` is for people with pip, `ci.lock.txt` (with hashes) for the sessions. Neither names a registry.
    """
    options(session).parse_args(session.posargs)
    wanted = ROOT / "_build" / "requirements.in"
    wanted.parent.mkdir(exist_ok=True)
    wanted.write_text("\n".join(tree.third_party(["test", "bench", "types"])) + "\n")
    form = [
        "--universal",
        "--python-version",
        "3.11",
        "--no-header",
        "--annotation-style",
        "line",
        "--upgrade",
        "--quiet",
    ]
    compile_ = ["uv", "pip", "compile", str(wanted), *form, "--no-emit-index-url", "--no-annotate"]
    session.run(*compile_, "-o", "constraints.txt", external=True, silent=True)
    session.run(*compile_, "--generate-hashes", "-o", "ci.lock.txt", external=True, silent=True)
    session.log(f"{sum('==' in line for line in (ROOT / 'constraints.txt').read_text().splitlines())} releases locked")


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks of every package, or of those named: `-- cohttp`; then one table of ratios against peers.

    `-- net` takes the drivers' and all of the stack's packages, `-- tls` all of TLS, `-- release` the train, the index
    and the making of a pin's environment, `-- pins` the last alone, `-- is_broken` the nightly bot. What a package
    names in `compiled.benchmarks` is measured once more with compiled wheels, and shown side by side, where
    `--compiled` asks for it, and of `net` where there is a C compiler.
    The figures are left as JSON in `_build/bench`. A missed target is said, and fails nothing: machines differ.
    """
    parser = options(session, "[NAME ...]")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--compiled", action="store_true", help="measure compiled wheels too, side by side")
    arguments = parser.parse_args(session.posargs)
    every = tree.packages()
    names = [*arguments.names, *(["index", "pins"] if "release" in arguments.names else [])]
    topics = {
        "pins": "tasks/pins/bench_pins.py",
        "release": "release/benchmarks/bench_release.py",
        "is_broken": "bots/is_broken/benchmarks/bench_probes.py",
    }
    beside = [ROOT / script for topic, script in topics.items() if topic in names or not names]
    names = [name for name in names if name not in topics]
    for topic, family in (("net", "stack"), ("tls", "tls")):
        if topic in names:
            names += [package.short for package in every if package.family == family]
    packages = select(session, names) if names or not arguments.names else []
    scripts = [*bench_task.scripts(packages), *beside]
    files = measure(session, scripts, ROOT / "_build" / "bench", [])
    compiled: list[Path] = []
    if arguments.compiled or ("net" in arguments.names and shutil.which("gcc")):
        try:
            wheels = compile_wheels(session, [])
        except wheels_task.Failed as failure:
            session.error(str(failure))
        again = [script for package in packages for script in compiled_task.benchmarks(package)]
        compiled = measure(session, again, ROOT / "_build" / "bench" / "compiled", wheels)
    elif "net" in arguments.names:
        session.warn("compiled wheels are not measured: they take a C compiler (apt-get install gcc)")
    print(bench_task.summary(files, compiled))


def measure(session: nox.Session, scripts: list[Path], folder: Path, wheels: list[tree.Package]) -> list[Path]:
    """Run benchmarks with `wheels` compiled and all else from the tree; the files of their figures, in `folder`."""
    every = tree.packages()
    sources = [package for package in every if package not in wheels]
    requirements = [compiled_task.requirement(package, ROOT / "_build" / "compiled") for package in wheels]
    groups_beside = shared("release", "site:render", "bots:run")
    install(session, *editables(sources), *requirements, *groups(every, "bench"), *groups_beside)
    files = []
    for script in scripts:
        session.log(str(script.relative_to(ROOT)))
        files.append(bench_task.results(script, folder))
        session.run("python", str(script), "--json", str(files[-1]), env={"PYTHONPATH": str(ROOT)})
    return files


@nox.session
def is_broken(session: nox.Session) -> None:
    """Run a night of the bot that names the upstream release which broke us, or a part of one: `-- --help`."""
    install(session, *shared("bots:run"))
    session.run("python", "-m", "bots.is_broken.command", *session.posargs, env={"PYTHONPATH": str(ROOT)})


@nox.session
def docs(session: nox.Session) -> None:
    """Run every example of the guide and of the READMEs, and render the site's pages into `_build/site`."""
    words = pytest_words(session)
    everything(session)
    session.run("pytest", "tests/test_examples.py", *words)
    session.run("python", "-m", "render", "--out", str(ROOT / "_build" / "site"), env={"PYTHONPATH": str(SITE)})


@nox.session(venv_backend="none")
def pin(session: nox.Session) -> None:
    """Take packages from a branch or a folder, or hold versions back: `-- add|read|list|show|update|remove|try|export`.

    `-- add tcpip URL#BRANCH`, `-- add URL#BRANCH` (all that the branch changed), `-- add URL#pull/12`, `-- add ../net`,
    `-- add cryptography '<47'`. Every session honours what `pins.toml` says.
    """
    parser = options(session, "COMMAND ...")
    pin_command.add_options(parser)
    chosen = parser.parse_args(session.posargs)
    try:
        print(pin_command.run(ROOT, tree.packages(), chosen, datetime.date.today()))
    except PinError as error:
        session.error(str(error))


@nox.session
def release(session: nox.Session) -> None:
    """The release train: `-- plan|build|stage|verify|publish|announce|run|status|rehearse|yank|abandon`.

    `-- --help` has examples, `release/README.md` is the runbook. Each stage takes `--dry-run`, and goes on where it is.
    """
    install(session, *editables([p for p in tree.packages() if p.short in {"index", "types"}]), *shared("release"))
    session.run("python", "-m", "release", *session.posargs, env={"PYTHONPATH": str(ROOT)})


@nox.session(venv_backend="none")
def new(session: nox.Session) -> None:
    """Make a package that passes every gate: `-- FAMILY NAME [--summary TEXT]`. It says what to do next."""
    parser = options(session, "FAMILY NAME [--summary TEXT]")
    parser.add_argument(
        "family", choices=sorted(tree.MAY_IMPORT), metavar="FAMILY", help=", ".join(sorted(tree.MAY_IMPORT))
    )
    parser.add_argument("name", metavar="NAME", help="lower-case letters, digits and dashes; without mirage-")
    parser.add_argument("--summary", default="", metavar="TEXT", help="one line on what the package is")
    chosen = parser.parse_args(session.posargs)
    try:
        print(scaffold.create(ROOT, chosen.family, chosen.name, chosen.summary))
    except scaffold.Refused as refusal:
        session.error(str(refusal))


@nox.session(venv_backend="none")
def doctor(session: nox.Session) -> None:
    """Say what this machine lacks of what the project can use, and the exact command that provides it."""
    options(session).parse_args(session.posargs)
    print(machine.report(machine.examine()))


@nox.session(venv_backend="none")
def clean(session: nox.Session) -> None:
    """Delete what builds leave behind: `_build`, `dist`, caches. Virtualenvs stay."""
    options(session).parse_args(session.posargs)
    for name in ("_build", "dist", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"):
        shutil.rmtree(ROOT / name, ignore_errors=True)
