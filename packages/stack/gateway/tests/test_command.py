"""`mirage-gateway` as people use it: a process and a virtual machine on its network, with curl outside."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirage.gateway import Publication, bind
from mirage.gateway.__main__ import main
from mirage.gateway.publish import LOCALHOST
from mirage.gateway.testing import Guest
from networks import run

PROGRAM = Path(__file__).with_name("program.py")
GATEWAY = [sys.executable, "-m", "mirage.gateway"]
LINKED = ("runtime", "tcpip", "dhcp", "dns", "net", "types")


class Running:
    """A gateway with its command, and what both have said."""

    def __init__(self, options: list[str], command: list[str]) -> None:
        words = [*GATEWAY, "run", *options, "--", *command]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said: list[str] = []

    def until(self, start: str) -> list[str]:
        """Read what is said up to a line that begins so; its other words."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith(start):
                return line.split()[1:]
        raise AssertionError("".join(self.said))

    def ports(self, count: int) -> list[int]:
        """The numbers of so many published ports, IPv4's of each."""
        found = []
        while len(found) < count:
            assert self.process.stdout is not None
            line = self.process.stdout.readline()
            self.said.append(line)
            assert line, "".join(self.said)
            if line.startswith("127.0.0.1:"):
                found.append(int(line.split()[0].rpartition(":")[2]))
        return found


@contextlib.contextmanager
def running(options: list[str], command: list[str]) -> Iterator[Running]:
    gateway = Running(options, command)
    try:
        yield gateway
    finally:
        gateway.process.terminate()
        rest, _ = gateway.process.communicate(timeout=30)
        gateway.said.append(rest)


def curl(url: str) -> bytes:
    return subprocess.run(["curl", "-sSf", "-m", "20", url], check=True, capture_output=True).stdout


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """Says again what a client says, at one port of both loopbacks; the port."""
    sockets = bind(Publication(LOCALHOST, 0, 1))
    for listener in sockets:
        listener.listen()
    ended, ending = os.pipe()

    def serve() -> None:
        while True:
            ready, _, _ = select.select([ended, *sockets], [], [])
            if ended in ready:
                return
            for listener in ready:
                with contextlib.suppress(OSError), listener.accept()[0] as client:
                    while data := client.recv(65536):
                        client.sendall(b"echo of " + data)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield sockets[0].getsockname()[1]
    finally:
        os.close(ending)
        thread.join()
        os.close(ended)
        for listener in sockets:
            listener.close()


def served(command: list[str]) -> None:
    """What every kind of guest must do: reach and be reached with both versions of IP, and carry octets intact."""
    options = ["--publish", "0:80", "--publish", "0:7", "--publish", "0:9", "--stats"]
    with echo_server() as port:
        options += ["--allow", f"127.0.0.1:{port}", "--allow", f"[::1]:{port}"]
        with running(options, [*command, f"--ask={port}"]) as gateway:
            web, sink, peer = gateway.ports(3)
            (offload,) = gateway.until("offload")
            assert int(offload) & 7 == 7, "super-frames were not agreed on"
            assert gateway.until("heard") == ["echo", "of", "by", "IPv4"]
            assert gateway.until("heard") == ["echo", "of", "by", "IPv6"]
            gateway.until("ready")
            assert curl(f"http://127.0.0.1:{web}/") == b"hello\n"
            assert curl(f"http://[::1]:{web}/") == b"hello\n"
            assert len(curl(f"http://127.0.0.1:{web}/3000000")) == 3_000_000
            for host, seen in (("127.0.0.1", "10.0.2.2"), ("::1", "fd00::2")):
                with socket.create_connection((host, peer), timeout=20) as client:
                    assert client.recv(100).decode() == seen
            content = bytes(range(256)) * 20_000
            with socket.create_connection(("127.0.0.1", sink), timeout=20) as client:
                client.sendall(content)
                client.shutdown(socket.SHUT_WR)
                assert client.recv(100).decode() == hashlib.sha256(content).hexdigest()
        assert "tcp.in 6, tcp.out 2" in "".join(gateway.said)


@pytest.mark.slow
@pytest.mark.tool("curl")
def test_a_process_on_its_own_stack() -> None:
    """`mirage-gateway run` gives a process a network: by DHCP, in and out, with super-frames."""
    served([sys.executable, str(PROGRAM), "--device={net}"])


@pytest.mark.slow
@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.tool("curl")
def test_a_virtual_machine(tmp_path: Path) -> None:
    """The same program in a guest on /dev/kvm, with its tender confined."""
    from mirage.hvt import build

    modules = [importlib.import_module(f"mirage.{name}") for name in LINKED]
    folders = sorted({str(Path(str(module.__file__)).parents[2]) for module in modules})
    image = build(
        tmp_path / "image.hvt", PROGRAM, path=folders, distributions=["dnspython"], devices={"net0": "net"},
        memory=128 << 20,
    ).path  # fmt: skip
    served([sys.executable, "-m", "mirage.hvt", "run", "--net", "net0={net}", str(image)])


@pytest.mark.slow
def test_the_status_is_the_commands() -> None:
    """Of a command that ends, that is killed, and that cannot be started."""
    for command, status in ((["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137), (["/no/such"], 125)):
        assert subprocess.run([*GATEWAY, "run", "--", *command], stderr=subprocess.DEVNULL).returncode == status


@pytest.mark.slow
def test_a_request_to_stop_reaches_the_command() -> None:
    """SIGTERM is passed on; how the command ends is what counts."""
    with subprocess.Popen(
        [*GATEWAY, "run", "--", "sh", "-c", "trap 'exit 9' TERM; echo on; while :; do sleep 0.01; done"],
        stdout=subprocess.PIPE,
        text=True,
    ) as gateway:
        assert gateway.stdout is not None
        assert gateway.stdout.readline() == "on\n"
        gateway.terminate()
        assert gateway.wait(30) == 9


@pytest.mark.slow
def test_guests_join_at_a_socket(tmp_path: Path) -> None:
    """`mirage-gateway listen`: two programs connect, and reach each other; at the end the socket is gone."""
    path = tmp_path / "network"

    async def talk() -> None:
        guests = []
        for number in range(2):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sock.connect(str(path))
            guests.append(Guest(sock, bytes([2, 0, 0, 0, 0, number]), number=number))
        got = asyncio.get_running_loop().create_future()

        async def handle(stream: object) -> None:
            got.set_result(await stream.read_all())  # type: ignore[attr-defined]
            stream.close()  # type: ignore[attr-defined]

        guests[0].serve(7, handle)
        stream = await guests[1].connect(str(guests[0].ipv4), 7)
        await stream.write(b"hello")
        stream.close()
        assert await got == b"hello"
        for guest in guests:
            guest.close()

    with subprocess.Popen([*GATEWAY, "listen", str(path)], stderr=subprocess.PIPE, text=True) as gateway:
        assert gateway.stderr is not None
        try:
            assert gateway.stderr.readline() == f"guests join at {path}\n"
            assert os.stat(path).st_mode & 0o777 == 0o600
            run(talk)
        finally:
            gateway.send_signal(signal.SIGINT)
            gateway.wait(30)
        assert gateway.returncode == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--publish", "80"], "publishes nothing"),
        (["--allow", "1.2.3.4:x"], "is no port"),
        (["--ipv4", "10.0.2.0/31"], "no network for guests"),
        (["--mtu", "60000000"], "an MTU is"),
        (["--allow", "no-such-name.invalid"], "are not known"),
    ],
)
def test_what_makes_no_sense_is_said_at_once(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Before the command is started."""
    assert main(["run", *words, "--", "touch", str(tmp_path / "started")]) == 125
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "started").exists()
