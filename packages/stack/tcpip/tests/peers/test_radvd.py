"""Stateless autoconfiguration with radvd as the router, and a router of ours with Linux and rdisc6 as hosts."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from mirage.tcpip.errors import NoRoute
from mirage.tcpip.ip.advertise import Advertiser
from mirage.tcpip.stack import packed
from mirage.tcpip.wire.router import Advertisement, Prefix
from tapdriver import Driver, ip, sysctl

pytestmark = [pytest.mark.root, pytest.mark.tool("ip"), pytest.mark.slow, pytest.mark.usefixtures("namespace")]

CONFIGURATION = """
interface NAME {
    AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; MinDelayBetweenRAs 3;
    AdvDefaultLifetime LIFETIME; AdvLinkMTU 1400; AdvCurHopLimit 33;
    prefix PREFIX { AdvOnLink on; AdvAutonomous on; AdvValidLifetime VALID; AdvPreferredLifetime PREFERRED; };
    RDNSS fd00:9::53 { AdvRDNSSLifetime 600; };
    DNSSL example.org { AdvDNSSLLifetime 600; };
};
"""


@pytest.fixture
def driver(namespace: None) -> Iterator[Driver]:
    """A stack on a TAP that has no address but its link-local one."""
    driver = Driver(addresses=False)
    yield driver
    driver.close()


@pytest.fixture
def radvd(driver: Driver, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Starts radvd, or has it read another configuration."""
    file = tmp_path / "radvd.conf"
    running: list[subprocess.Popen[bytes]] = []

    def configure(prefix: str, *, lifetime: int = 600, valid: int = 7200, preferred: int = 3600, old: str = "") -> None:
        text = CONFIGURATION
        if old:
            text = text.replace("RDNSS", "prefix OLD { AdvValidLifetime 60; AdvPreferredLifetime 0; };\n    RDNSS", 1)
            text = text.replace("OLD", old)
        for word, value in (("NAME", driver.tap.name), ("LIFETIME", lifetime), ("PREFIX", prefix), ("VALID", valid),
                            ("PREFERRED", preferred)):  # fmt: skip
            text = text.replace(word, str(value))
        file.write_text(text)
        if running:
            running[0].send_signal(signal.SIGHUP)
        else:
            sysctl("ipv6/conf/all/forwarding", 1)
            words = ["radvd", "-n", "-m", "stderr", "-C", str(file), "-p", str(tmp_path / "radvd.pid")]
            running.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    yield configure
    for program in running:
        program.terminate()
        program.wait(10)


def made(driver: Driver, prefix: str) -> list[bytes]:
    """The addresses of a prefix that may be used."""
    start = packed(prefix)[:8]
    return [a for a, o in driver.interface.addresses.items() if a[:8] == start and not o.tentative]


@pytest.mark.tool("radvd")
def test_radvd_gives_addresses_and_takes_them(driver: Driver, radvd: Callable[..., None]) -> None:
    """Addresses, MTU, hop limit, name servers; the kernel answers what goes out from them; another prefix deprecates
    the first; a lifetime of 0 ends the router."""
    radvd("2001:db8:1::/64")
    driver.stack.autoconfigure(driver.interface)
    driver.until(lambda: len(made(driver, "2001:db8:1::")) == 2)
    learned = driver.interface.learned
    assert learned is not None
    assert (list(learned.dns), list(learned.search)) == ([packed("fd00:9::53")], ["example.org"])
    ip("-6", "address", "add", "fd00:77::1/128", "dev", driver.tap.name, "nodad")
    ip("-6", "route", "add", "2001:db8:1::/64", "dev", driver.tap.name)
    path = driver.stack.ip.path(packed("fd00:77::1"), time.monotonic())
    path.refresh(time.monotonic())
    assert driver.interface.addresses[path.local].temporary
    assert path.mtu == 1400
    ping, answers = driver.stack.ping(6), []
    ping.owner = lambda: answers.append(ping.read())
    ping.send(packed("fd00:77::1"), bytes(3000), now=time.monotonic())
    driver.until(lambda: bool(answers))
    assert answers[0] is not None
    assert answers[0].error is None
    assert path.header[21] == 33
    first = made(driver, "2001:db8:1::")

    radvd("2001:db8:2::/64", old="2001:db8:1::/64")
    driver.until(lambda: len(made(driver, "2001:db8:2::")) == 2)
    driver.until(lambda: all(driver.interface.addresses[a].preferred_until <= time.monotonic() for a in first))
    source = driver.stack.ip.path(packed("fd00:77::1"), time.monotonic()).local
    assert source in made(driver, "2001:db8:2::")
    assert set(first) <= set(driver.interface.addresses)  # RFC 4862 5.5.3: still valid, for two hours at most

    radvd("2001:db8:2::/64", lifetime=0)

    def gone() -> bool:
        try:
            driver.stack.ip.path(packed("fd00:88::1"), time.monotonic())
        except NoRoute:
            return True
        return False

    driver.until(gone)


@pytest.mark.tool("radvd", "ping")
def test_the_kernel_pings_an_automatic_address(driver: Driver, radvd: Callable[..., None]) -> None:
    radvd("2001:db8:1::/64")
    ip("-6", "address", "add", "2001:db8:1::1/64", "dev", driver.tap.name, "nodad")
    driver.stack.autoconfigure(driver.interface)
    driver.until(lambda: len(made(driver, "2001:db8:1::")) == 2)
    for address in made(driver, "2001:db8:1::"):
        text = str(ip_address(address))
        assert "3 received" in driver.run("ping", "-6", "-c", "3", "-w", "20", "-i", "0.05", "-s", "3000", text)


def test_the_kernel_finds_our_duplicate(driver: Driver) -> None:
    """An address that the kernel has is not taken, in either version; and the other way round."""
    theirs4, theirs6 = packed("10.9.0.1"), packed("fd00:9::1")
    for address, prefix in ((theirs4, 24), (theirs6, 64)):
        driver.stack.ip.add_address(driver.interface, address, prefix, check=True, now=time.monotonic())
    driver.until(lambda: theirs4 not in driver.interface.addresses and theirs6 not in driver.interface.addresses)
    own = driver.stack.ip.add_address(driver.interface, packed("fd00:9::7"), 64, check=True, now=time.monotonic())
    driver.until(lambda: not own.tentative)
    sysctl(f"ipv6/conf/{driver.tap.name}/accept_dad", 1)
    ip("-6", "address", "add", "fd00:9::7/64", "dev", driver.tap.name)
    driver.until(lambda: b"dadfailed" in _addresses(driver))


def _addresses(driver: Driver) -> bytes:
    words = ["ip", "-6", "address", "show", "dev", driver.tap.name]
    return subprocess.run(words, check=True, capture_output=True).stdout


@pytest.fixture
def advertiser(driver: Driver) -> Advertiser:
    """A router of ours."""
    own = packed("2001:db8:5::1")
    driver.stack.ip.add_address(driver.interface, own, 64)
    said = Advertisement(
        prefixes=(Prefix(packed("2001:db8:5::"), 64, 3600, 1800),),
        dns=((own, 600),),
        search=(("example.org", 600),),
        mtu=1400,
        lifetime=1200,
    )
    return Advertiser(driver.stack.ip, driver.interface, said, time.monotonic(), delay=0)


@pytest.mark.tool("rdisc6")
def test_rdisc6_reads_what_we_advertise(driver: Driver, advertiser: Advertiser) -> None:
    driver.wait(0.2)
    output = driver.run("rdisc6", "-1", driver.tap.name)
    for part in ("2001:db8:5::/64", "1400 bytes", "2001:db8:5::1", "example.org", driver.tap.mac.hex(":").upper()):
        assert part in output, output


@pytest.mark.tool("ping")
def test_linux_configures_itself_from_us(namespace: None) -> None:
    """It makes an address, takes our MTU and default route, and pings us from there; and forgets us when we go."""
    driver = Driver(addresses=False)
    try:
        name = driver.tap.name
        ip("link", "set", name, "down")
        sysctl(f"ipv6/conf/{name}/accept_ra", 2)
        sysctl(f"ipv6/conf/{name}/router_solicitation_delay", 0)
        own = packed("2001:db8:5::1")
        driver.stack.ip.add_address(driver.interface, own, 64)
        said = Advertisement(prefixes=(Prefix(packed("2001:db8:5::"), 64, 3600, 1800),), mtu=1400)
        advertiser = Advertiser(driver.stack.ip, driver.interface, said, time.monotonic(), delay=0)
        ip("link", "set", name, "up")
        driver.until(lambda: b"2001:db8:5:" in _addresses(driver) and b"tentative" not in _addresses(driver))

        def routes() -> str:
            words = ["ip", "-6", "route", "show", "default"]
            return subprocess.run(words, check=True, capture_output=True, text=True).stdout

        assert driver.link_local in routes()
        assert "3 received" in driver.run("ping", "-c", "3", "-w", "20", "-i", "0.05", "-s", "3000", "2001:db8:5::1")
        advertiser.stop()
        driver.until(lambda: not routes())
    finally:
        driver.close()
