"""Other people's clients against the server, over a TAP in a network namespace of the test's own.

The clients only talk: their scripts write down what they got and configure nothing.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from mirage.dhcp import Limits, MessageType, Network, Option, Server, Standing, options
from mirage.dhcp.testing import DatagramLink
from mirage.net import TapNetwork

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.tool("ip"), pytest.mark.usefixtures("namespace")]

PATIENCE = 30.0
SERVER = IPv4Address("10.9.0.1")
FIRST = IPv4Address("10.9.0.50")
NETWORK = Network(
    network=IPv4Network("10.9.0.0/24"),
    server=SERVER,
    ranges=((FIRST, IPv4Address("10.9.0.60")),),
    options={
        Option.ROUTERS: SERVER.packed,
        Option.DNS_SERVERS: SERVER.packed + bytes([10, 9, 0, 2]),
        Option.DOMAIN_NAME: b"example.org",
        Option.DOMAIN_SEARCH: options.build_domains(["a.example", "b.a.example"]),
        Option.MTU: (1400).to_bytes(2, "big"),
    },
    lease_time=600,
    least_lease_time=2,
)


class Wire:
    """The server on a TAP; the kernel's end is for the client. Its clock is the world's, and can be moved on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tap = TapNetwork("test%d")
        subprocess.run(["ip", "link", "set", self.tap.name, "up"], check=True)
        self.link = DatagramLink(self.tap, SERVER)
        self.server = Server([NETWORK], limits=Limits())
        self.programs: list[subprocess.Popen[bytes]] = []
        self.seen: list[tuple[str, str]] = []

    def run(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            self.programs.append(subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        return self.programs[-1]

    def until(self, reached: Callable[[], bool]) -> None:
        """Serve until it is so."""
        patience = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < patience, (self.server.counters, (self.folder / "log").read_text())
            select.select([self.tap], [], [], 0.02)
            for received in self.link.receive():
                if received.destination_port == 67:
                    self.server.input(received.payload, time.monotonic())
            for datagram in self.server.poll(time.monotonic()):
                self.link.send(datagram)

    def sent(self, kind: MessageType) -> int:
        return self.server.counters[f"sent.{kind.name.lower()}"]

    def script(self, *names: str) -> tuple[Path, Path]:
        """A client's script that appends variables of its environment to a file; and that file."""
        script, output = self.folder / "script", self.folder / "output"
        lines = "".join(f'echo "{name}=${name}" >> {output}\n' for name in names)
        script.write_text(f'#!/bin/sh\necho "event=$1$reason" >> {output}\n{lines}')
        script.chmod(0o755)
        output.touch()
        return script, output

    def standing(self) -> Standing | None:
        binding = self.server.pools[0].get(FIRST)
        return binding and binding.standing


@pytest.fixture
def wire(namespace: None, tmp_path: Path) -> Iterator[Wire]:
    made = Wire(tmp_path)
    yield made
    for program in made.programs:
        program.kill()
        program.wait()
    made.tap.close()


@pytest.mark.tool("udhcpc")
def test_udhcpc(wire: Wire) -> None:
    """Busybox's client: a lease with its options, a renewal when it is told to, a release at the end."""
    script, output = wire.script("ip", "mask", "router", "dns", "domain", "search", "mtu", "lease", "serverid")
    client = wire.run(
        "udhcpc", "-f", "-i", wire.tap.name, "-s", str(script), "-t", "5", "-T", "1", "-R", "-x", "hostname:udhcpc",
        "-O", "search", "-O", "mtu",
    )  # fmt: skip
    wire.until(lambda: "event=bound" in output.read_text() and "serverid=" in output.read_text().rpartition("bound")[2])
    text = output.read_text()
    for line in (
        "ip=10.9.0.50", "mask=24", "router=10.9.0.1", "dns=10.9.0.1 10.9.0.2", "domain=example.org", "lease=600",
        "search=a.example b.a.example", "mtu=1400", "serverid=10.9.0.1",
    ):  # fmt: skip
        assert line in text.splitlines()
    subprocess.run(["ip", "address", "add", f"{FIRST}/24", "dev", wire.tap.name], check=True)
    client.send_signal(signal.SIGUSR1)
    wire.until(lambda: "event=renew" in output.read_text())
    assert wire.sent(MessageType.ACK) >= 2
    client.send_signal(signal.SIGTERM)
    wire.until(lambda: wire.standing() is Standing.FREED)


@pytest.mark.tool("dhclient")
def test_dhclient(wire: Wire) -> None:
    """ISC's client: a lease, the same address in another life (INIT-REBOOT), a release."""
    script, output = wire.script("new_ip_address", "new_subnet_mask", "new_routers", "new_domain_name_servers")
    files = ["-lf", str(wire.folder / "leases"), "-pf", str(wire.folder / "pid"), "-cf", "/dev/null"]
    for life in (1, 2):
        client = wire.run("dhclient", "-1", "-d", "-sf", str(script), *files, wire.tap.name)
        wire.until(lambda expected=life: wire.sent(MessageType.ACK) >= expected)
        wire.until(lambda: output.read_text().count("new_domain_name_servers=10.9.0.1 10.9.0.2") >= 1)
        assert "new_ip_address=10.9.0.50" in output.read_text()
        assert "new_subnet_mask=255.255.255.0" in output.read_text()
        wire.until(lambda: "lease" in (wire.folder / "leases").read_text())
        client.kill()
        client.wait()
        (wire.folder / "pid").unlink(missing_ok=True)
    assert wire.sent(MessageType.OFFER) == 1
    subprocess.run(["ip", "address", "add", f"{FIRST}/24", "dev", wire.tap.name], check=True)
    client = wire.run("dhclient", "-r", "-d", "-sf", str(script), *files, wire.tap.name)
    wire.until(lambda: wire.standing() is Standing.FREED)


@pytest.mark.tool("udhcpc")
def test_an_address_that_is_refused(wire: Wire) -> None:
    """A client that wants what it cannot have is offered another address."""
    script, output = wire.script("ip", "serverid")
    wire.run("udhcpc", "-f", "-q", "-i", wire.tap.name, "-s", str(script), "-t", "5", "-T", "1", "-r", "10.7.7.7")
    wire.until(lambda: "ip=10.9.0.50" in output.read_text())


@pytest.mark.tool("dhcpcd")
def test_dhcpcd(wire: Wire) -> None:
    """Roy Marples' client, which identifies itself as RFC 4361 says; it sees a /run and a resolv.conf of its own."""
    script, output = wire.script("new_ip_address", "new_domain_search", "new_interface_mtu")
    (wire.folder / "resolv.conf").touch()
    mounts = f"mount -t tmpfs run /run && mount --bind {wire.folder}/resolv.conf /etc/resolv.conf"
    words = f"exec dhcpcd -B -4 -D -f /dev/null -c {script} --noipv4ll --noarp {wire.tap.name}"
    # A namespace of processes too: dhcpcd's helpers end with it.
    client = wire.run(
        "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c",
        f"{mounts} && mount -t tmpfs db /var/lib/dhcpcd; {words}",
    )  # fmt: skip
    wire.until(lambda: "event=BOUND" in output.read_text())
    assert "new_ip_address=10.9.0.50" in output.read_text()
    binding = wire.server.pools[0].get(FIRST)
    assert binding is not None
    assert binding.client[0] == 255
    (child,) = Path(f"/proc/{client.pid}/task/{client.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGALRM)  # release, and end
    wire.until(lambda: wire.standing() is Standing.FREED or client.poll() is not None)
    # Now and then, on a busy machine, it ends without a word to the server; what it says it does must arrive.
    if "releasing lease" in (wire.folder / "log").read_text():
        wire.until(lambda: wire.standing() is Standing.FREED)
