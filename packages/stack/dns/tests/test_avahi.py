"""Avahi on the other end of a link: it finds our services, and we find its.

Avahi runs in namespaces of its own, for the network and for what it writes below /run, with a bus of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from mirage.dns.mdns import GROUP4, PORT, Event, Factory, Found, Gone, Mdns, Named, Service, Settings
from mirage.types.testing import SeededRandom

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.tool("ip"),
    pytest.mark.tool("avahi-daemon"),
    pytest.mark.tool("avahi-browse"),
    pytest.mark.tool("dbus-daemon"),
    pytest.mark.usefixtures("namespace"),
]

OURS, THEIRS = IPv4Address("10.9.0.1"), IPv4Address("10.9.0.2")
BUS = """<busconfig><type>custom</type><listen>unix:path={folder}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/>
<allow user="*"/></policy></busconfig>"""
CONFIG = """[server]
host-name=avahi
use-ipv4=yes
use-ipv6=no
allow-interfaces=peer
ratelimit-burst=0
[wide-area]
enable-wide-area=no
[publish]
publish-workstation=no
publish-hinfo=no
publish-aaaa-on-ipv4=no
"""
SERVICE = """<service-group><name>Avahi's files</name><service><type>_http._tcp</type><port>8081</port>
<txt-record>path=/avahi</txt-record></service></service-group>"""
START = """
while ! ip link show dev peer >/dev/null 2>&1; do :; done
ip address add {theirs}/24 dev peer && ip link set peer up && ip link set lo up
ip route add 224.0.0.0/4 dev peer
mkdir -p /run/avahi-daemon && mount -t tmpfs tmpfs /run/avahi-daemon
mount --bind {folder}/services /etc/avahi/services
dbus-daemon --config-file={folder}/bus.conf --nofork --nopidfile --print-address=3 3>{folder}/listening &
while ! test -s {folder}/listening; do sleep 0.01; done
exec avahi-daemon --file={folder}/avahi.conf --no-drop-root --no-chroot --no-rlimits
"""


class Peer:
    """Avahi, and a link to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder}/bus"}
        (folder / "services").mkdir()
        for name, text in (
            ("bus.conf", BUS),
            ("avahi.conf", CONFIG),
            ("start", START),
            ("services/a.service", SERVICE),
        ):
            (folder / name).write_text(text.format(folder=folder, theirs=THEIRS))
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--net", "--mount", "sh", str(folder / "start")],
                env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def join(self) -> None:
        """Make the link, and wait for the daemon."""
        self.wait(lambda: os.readlink(f"/proc/{self.process.pid}/ns/net") != os.readlink("/proc/thread-self/ns/net"))
        ip("link", "add", "ours", "type", "veth", "peer", "name", "peer", "netns", str(self.process.pid))
        ip("address", "add", f"{OURS}/24", "dev", "ours")
        ip("link", "set", "ours", "up")
        ip("route", "add", "224.0.0.0/4", "dev", "ours")
        self.wait(lambda: b"Server startup complete" in (self.folder / "log").read_bytes())

    def wait(self, reached: Callable[[], bool]) -> None:
        patience = time.monotonic() + 20
        while not reached():
            assert time.monotonic() < patience, (self.folder / "log").read_text()
            assert self.process.poll() is None, (self.folder / "log").read_text()

    async def program(self, *words: str) -> str:
        """Run one of avahi's programs beside it; its output."""
        process = await asyncio.create_subprocess_exec(
            "nsenter", "--target", str(self.process.pid), "--net", "--mount", *words,
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        return output.decode()

    def stop(self) -> None:
        # The session that was started: the daemon, its helper, and the bus.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def peer(namespace: None, tmp_path: Path) -> Iterator[Peer]:
    made = Peer(tmp_path)
    try:
        made.join()
        yield made
    finally:
        made.stop()


def member() -> Factory:
    """An endpoint that is a member of the group, on the kernel's sockets."""
    endpoint = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    endpoint.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    endpoint.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4s", GROUP4.packed, OURS.packed))
    endpoint.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, OURS.packed)
    endpoint.bind(("", PORT))

    def make(
        protocol: Callable[[], asyncio.DatagramProtocol],
    ) -> Awaitable[tuple[asyncio.BaseTransport, asyncio.BaseProtocol]]:
        return asyncio.get_running_loop().create_datagram_endpoint(protocol, sock=endpoint)

    return make


async def event(shell: Mdns, wanted: Callable[[Event], bool]) -> Event:
    async def search() -> Event:
        async for found in shell.events():
            if wanted(found):
                return found
        raise AssertionError

    return await asyncio.wait_for(search(), 20)


async def begin(host: str) -> Mdns:
    shell = Mdns(Settings(host=host, addresses=(OURS,)), SeededRandom(os.getpid(), predictable=True))
    await shell.add(member())
    shell.start()
    return shell


def test_each_finds_the_other(peer: Peer) -> None:
    """Services both ways, names both ways, and the goodbye."""

    async def main() -> None:
        shell = await begin("unikernel")
        service = Service("Our files; with a semicolon", "_http._tcp", 8080, {"path": "/ours"})
        shell.publish(service)
        shell.browse("_http._tcp")
        await event(shell, lambda e: isinstance(e, Named) and e.service is service and e.established)

        text = await peer.program("avahi-browse", "--resolve", "--parsable", "--terminate", "_http._tcp")
        (line,) = [line for line in text.splitlines() if line.startswith("=") and "Our" in line]
        assert line.split(";")[5:] == ["local", "unikernel.local", str(OURS), "8080", '"path=/ours"']
        assert str(OURS) in await peer.program("avahi-resolve", "-4", "-n", "unikernel.local")

        found = await event(shell, lambda e: isinstance(e, Found) and "Avahi" in e.service.name)
        assert isinstance(found, Found)
        assert found.service == Service(
            "Avahi's files", "_http._tcp", 8081, {"path": b"/avahi"}, "avahi.local", (THEIRS,)
        )

        shell.withdraw(service)
        patience = time.monotonic() + 20
        while "Our" in await peer.program("avahi-browse", "--parsable", "--terminate", "_http._tcp"):
            assert time.monotonic() < patience

        (peer.folder / "services" / "a.service").unlink()
        os.kill(peer.process.pid, signal.SIGHUP)
        await event(shell, lambda e: isinstance(e, Gone) and "Avahi" in e.service.name)
        shell.close()

    asyncio.run(main())


def test_a_name_that_avahi_has(peer: Peer) -> None:
    """We take the next one, and avahi keeps its own."""

    async def main() -> None:
        shell = await begin("avahi")
        named = await event(shell, lambda e: isinstance(e, Named) and e.established)
        assert isinstance(named, Named)
        assert named.name == "avahi-2.local"
        assert str(OURS) in await peer.program("avahi-resolve", "-4", "-n", "avahi-2.local")
        assert str(THEIRS) in await peer.program("avahi-resolve", "-4", "-n", "avahi.local")
        shell.close()

    asyncio.run(main())


def test_avahi_wants_a_name_that_we_have(peer: Peer) -> None:
    """It is told in time."""

    async def main() -> None:
        shell = await begin("taken")
        await event(shell, lambda e: isinstance(e, Named) and e.established)
        await peer.program("avahi-set-host-name", "taken")
        patience = time.monotonic() + 20
        while str(THEIRS) not in await peer.program("avahi-resolve", "-4", "-n", "taken-2.local"):
            assert time.monotonic() < patience
        assert str(OURS) in await peer.program("avahi-resolve", "-4", "-n", "taken.local")
        shell.close()

    asyncio.run(main())
