"""Build an application for a target, boot what came out, and hold on to it while it runs.

The tests use this interface and nothing below it. A target is one of `TARGETS`: what `mirage build -t` makes, and the
network that it runs on.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mirage.net.testing import network_namespace

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "site"


_TENDER = ("-m", "mirage.hvt", "run", "--net")
_TAP = "mirage-site"
_ADDRESSES = ("--ipv4", "10.9.0.2/24", "--ipv6", "fd09::2/64")


@dataclass(frozen=True)
class Target:
    """How an application is built, and what starts it."""

    name: str
    configure: tuple[str, ...]
    """What `mirage configure` is told."""
    program: tuple[str, ...]
    """The words before the artifact's path, after the interpreter."""
    network: tuple[str, ...] = ()
    """The words behind the path; empty where the program uses the host's sockets."""
    needs: str = ""
    """A file of the host without which it cannot run."""
    tap: bool = False
    """Whether it runs on a TAP interface, in a network namespace that is made for it; needs root."""

    @property
    def gateway(self) -> bool:
        """Whether the program is on a network of its own, that a gateway joins to the host's."""
        return self.own_stack and not self.tap

    @property
    def own_stack(self) -> bool:
        """Whether it has a TCP/IP stack of its own."""
        return self.name != "unix"


TARGETS = {
    target.name: target
    for target in (
        Target("unix", ("-t", "unix", "--network", "host"), ("-I",)),
        Target("unix-gateway", ("-t", "unix", "--network", "stack"), ("-I",), ("--device", "{net}")),
        Target("hvt", ("-t", "hvt"), (*_TENDER, "net0={net}"), needs="/dev/kvm"),
        Target("hvt-tap", ("-t", "hvt"), (*_TENDER, f"net0=tap:{_TAP}"), needs="/dev/kvm", tap=True),
    )
}
"""The targets that can be built and booted: a process on the host's sockets, one on a stack of its own behind the
gateway, a virtual machine behind the gateway, and one on a TAP interface."""

BOOT_SECONDS = 30.0
STOP_SECONDS = 20.0

_ADDRESS = re.compile(r"http://[\w.\[\]:-]+:\d+/?")
_SECURE = re.compile(r"serving on https://[\w.\[\]:-]+:(\d+)/?(?: with the development key (sha256//\S+))?\s")


class Failed(Exception):
    """A build or a boot went wrong; the message holds what was printed."""


@dataclass(frozen=True)
class Artifact:
    """What a build left behind."""

    target: str
    path: Path
    log: str
    """What the build printed."""


class Running:
    """A booted application. `url` has no slash at its end.

    `said` is the address that it said on its console, `url6` that over IPv6, where there is one; `secure` is where it
    is over HTTPS, and `pin` the key that it has there, unless it has a certificate of one's own.
    """

    def __init__(
        self,
        process: subprocess.Popen[str],
        echo: Callable[[str], object] | None = None,
        hosts: tuple[str, str] | None = None,
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        """`hosts` are its IPv4 and IPv6 addresses where it says others; `ended` is called at the end."""
        self._process = process
        self._ended = ended
        self._echo = echo
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.said = self.url = self._await_address()
            self.url6: str | None = None
            self._hosts = hosts
            if hosts is not None:
                port = self.said.rpartition(":")[2]
                self.url, self.url6 = (f"http://{host}:{port}" for host in hosts)
        except BaseException:
            process.kill()
            process.wait()
            ended()
            raise

    @property
    def secure(self) -> str:
        """Its address over HTTPS, without a slash at the end. Raises `Failed` where it has none."""
        port = self._over_https()[1]
        return f"https://{self._hosts[0] if self._hosts else '127.0.0.1'}:{port}"

    @property
    def pin(self) -> str:
        """The fingerprint of its key for development, as curl wants it. Raises `Failed` where it has none."""
        pin: str | None = self._over_https()[2]
        if pin is None:
            raise Failed(f"it says no key for development:\n{self.console}")
        return pin

    def _over_https(self) -> re.Match[str]:
        self.wait_for("serving on https://")
        found = _SECURE.search(self.console)
        if found is None:
            raise Failed(f"it says no address over HTTPS:\n{self.console}")
        return found

    @property
    def pid(self) -> int:
        """The process that stands for the application on this machine."""
        return self._process.pid

    @property
    def console(self) -> str:
        """Everything that it has said so far."""
        with self._news:
            return "".join(self._lines)

    @property
    def resident(self) -> int:
        """Octets of memory that it occupies now, the gateway's and the tender's included."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in _family(self.pid))
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def cpu_seconds(self) -> float:
        """Processor time that it has used so far, with the same."""
        ticks = 0
        for pid in _family(self.pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def wait_for(self, text: str, seconds: float = 10.0) -> None:
        """Return when the console has said `text`. Raises `Failed`."""
        with self._news:
            if not self._news.wait_for(lambda: text in "".join(self._lines), seconds):
                raise Failed(f"the console did not say {text!r} within {seconds} s:\n{''.join(self._lines)}")

    def send_signal(self, number: int) -> None:
        """Send a signal: `SIGTERM` asks for a clean stop. `SIGINT` goes to all of its processes, as from a terminal."""
        if number == signal.SIGINT:
            os.killpg(self.pid, number)
        else:
            self._process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """The exit status, once it has ended by itself. Raises `subprocess.TimeoutExpired`."""
        status = self._process.wait(seconds)
        self._reader.join()
        self._ended()
        return status

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Ask for a clean stop; the exit status and the seconds that it took. One that hangs is killed and said so."""
        if self._process.poll() is None:
            self.send_signal(number)
        started = time.monotonic()
        try:
            status = self.wait()
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait()
            raise Failed(f"it did not stop within {STOP_SECONDS} s of the signal:\n{self.console}") from None
        return status, time.monotonic() - started

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        for line in stream:
            if self._echo is not None:  # first, so that nobody who waits for the line speaks before it is shown
                self._echo(line)
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        stream.close()
        with self._news:
            self._lines.append("")
            self._news.notify_all()

    def _await_address(self) -> str:
        deadline = time.monotonic() + BOOT_SECONDS
        with self._news:
            while True:
                if found := _ADDRESS.search("".join(self._lines)):
                    return found[0].rstrip("/")
                ended = self._process.poll() is not None and not self._reader.is_alive()
                left = deadline - time.monotonic()
                if ended or left <= 0:
                    break
                self._news.wait(min(left, 0.2))
        why = f"ended with status {self._process.returncode}" if ended else f"gave no address within {BOOT_SECONDS} s"
        raise Failed(f"the application {why}. Its console:\n{''.join(self._lines)}")


def _family(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            yield from _family(int(child))


def mirage(*arguments: str, echo: Callable[[str], object] | None = None) -> str:
    """Run the `mirage` command and return what it printed. Raises `Failed` with the output when it fails."""
    words = [str(Path(sys.executable).with_name("mirage")), *arguments]
    printed = []
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            printed.append(line)
            if echo is not None:
                echo(line)
    output = "".join(printed)
    if process.returncode:
        shown = "" if echo is not None else f":\n{output}"
        raise Failed(f"mirage {' '.join(arguments)} ended with status {process.returncode}{shown}")
    return output


def build(target: str, application: Path = SITE, echo: Callable[[str], object] | None = None) -> Artifact:
    """Configure and build the application in a folder for a target. Raises `Failed`."""
    if target not in TARGETS:
        raise Failed(f"there is no target {target!r}; the targets are: {', '.join(TARGETS)}")
    config = str(application / "config.py")
    log = mirage("configure", "-f", config, *TARGETS[target].configure, echo=echo)
    log += mirage("build", "-f", config, echo=echo)
    path = Path(mirage("query", "-f", config, "artifact").strip())
    return Artifact(target, path, log)


def command(
    artifact: Artifact, publish: str | None = None, snapshot: Path | None = None, texts: Sequence[str] = ()
) -> list[str]:
    """The words that start an artifact, to which its boot arguments are added.

    `publish` is for the gateway, with a space between several ports; `snapshot` is the file that a virtual machine is
    saved to once it serves; `texts` are files that it is given the text of, each as NAME=FILE.
    """
    target = TARGETS[artifact.target]
    options = [] if snapshot is None else ["--snapshot", str(snapshot)]
    options += [word for each in texts for word in ("--arg-file", each)]
    program = [sys.executable, *target.program, *options, str(artifact.path), *target.network]
    if not target.gateway:
        return program
    published = [word for each in (publish or "").split() for word in ("--publish", each)]
    return [sys.executable, "-m", "mirage.gateway", "run", *published, "--", *program]


def files_in(artifact: Artifact) -> list[str]:
    """The application's and its packages' files in an artifact, by their names on Python's path."""
    if artifact.path.suffix == ".pyz":
        return zipfile.ZipFile(artifact.path).namelist()
    show = [sys.executable, "-m", "mirage.hvt", "show", "--json", str(artifact.path)]
    manifest = json.loads(subprocess.run(show, capture_output=True, text=True, check=True).stdout)
    marker = next(name for name in manifest["files"] if name.endswith("/mirage/types/__init__.py"))
    site = marker.removesuffix("mirage/types/__init__.py")
    return [name.removeprefix(site) for name in manifest["files"] if name.startswith(site)]


def free_port() -> int:
    """A TCP port that nobody uses on the host's loopback."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def resume(artifact: Artifact, snapshot: Path, port: int) -> Iterator[str]:
    """Let a saved virtual machine, which serves at `port`, go on behind a gateway; its address. For a `with` block."""
    outside = free_port()
    tender = ["-m", "mirage.hvt", "resume", "--net", "net0={net}", "--image", str(artifact.path), str(snapshot)]
    gateway = ["-m", "mirage.gateway", "run", "--publish", f"{outside}:{port}", "--", sys.executable]
    process = subprocess.Popen([sys.executable, *gateway, *tender], stdin=subprocess.DEVNULL, process_group=0)
    try:
        yield f"http://127.0.0.1:{outside}"
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def boot(
    artifact: Artifact,
    arguments: Sequence[str] = ("--port", "0"),
    echo: Callable[[str], object] | None = None,
    snapshot: Path | None = None,
) -> Running:
    """Start what was built and return once it has said its address. Raises `Failed`.

    `--certificate FILE` among the arguments is right for every target, as it is for `mirage run`.

    Behind the gateway port 0 cannot be left to the program, because the gateway has to know: a free one is chosen here,
    and is the same on both sides.
    """
    target = TARGETS[artifact.target]
    arguments, texts, publish = list(arguments), [], None
    hosts: tuple[str, str] | None = None
    network = ExitStack()
    if target.own_stack:
        place = arguments.index("--port") + 1
        arguments[place] = str(free_port()) if arguments[place] == "0" else arguments[place]
        publish, hosts = f"{arguments[place]}:{arguments[place]}", ("127.0.0.1", "[::1]")
        if "--https-port" in arguments:
            place = arguments.index("--https-port") + 1
            arguments[place] = str(free_port()) if arguments[place] == "0" else arguments[place]
            publish += f" {arguments[place]}:{arguments[place]}"
    if target.needs and "--certificate" in arguments:  # a virtual machine sees no files
        place = arguments.index("--certificate")
        texts = [f"certificate={arguments[place + 1]}"]
        del arguments[place : place + 2]
    if target.tap:
        hosts = _make_tap(network)
        arguments += _ADDRESSES
    process = subprocess.Popen(
        [*command(artifact, publish, snapshot, texts), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        # Ctrl-C at the terminal is for whoever booted it; the application gets one signal, from `stop`.
        process_group=0,
    )
    return Running(process, echo, hosts, network.close)


def run(artifact: Artifact, *arguments: str, publish: str | None = None) -> subprocess.CompletedProcess[str]:
    """Start what was built and wait for its end; what it said is both kinds of output."""
    with ExitStack() as network:
        if TARGETS[artifact.target].tap:
            _make_tap(network)
        return subprocess.run(
            [*command(artifact, publish), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=30,
        )


def _make_tap(network: ExitStack) -> tuple[str, str]:
    """Enter a network namespace with a TAP interface in it; the addresses that the application will have there."""
    network.enter_context(network_namespace())
    for words in (
        ("tuntap", "add", "dev", _TAP, "mode", "tap"),
        ("address", "add", "10.9.0.1/24", "dev", _TAP),
        ("address", "add", "fd09::1/64", "dev", _TAP, "nodad"),
        ("link", "set", _TAP, "up"),
    ):
        subprocess.run(["ip", *words], check=True)
    return "10.9.0.2", "[fd09::2]"


@contextmanager
def booted(artifact: Artifact, arguments: Sequence[str] = ("--port", "0")) -> Iterator[Running]:
    """`boot`, and a stop at the end whatever happens."""
    running = boot(artifact, arguments)
    try:
        yield running
    finally:
        running.stop()
