"""`run` on a TAP: an address by hand or from dnsmasq, names from it, and the loopback, in a network namespace."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnsmasq import dnsmasq
from mirage.net import NetworkUnavailable, TapNetwork
from mirage.runtime import Configuration, NoAddress, RuntimeMisuse, boot, open_device, run

root = [pytest.mark.root, pytest.mark.tool("ip"), pytest.mark.slow]


def test_arguments() -> None:
    """Boot arguments become a configuration; without any there is DHCP."""
    assert Configuration.parse(ipv4="10.0.0.2/24", ipv6="fd00::2/64", gateway="10.0.0.1,fd00::1", dns="10.0.0.1") == (
        Configuration(
            ipv4=ipaddress.IPv4Interface("10.0.0.2/24"),
            gateway=ipaddress.IPv4Address("10.0.0.1"),
            ipv6=ipaddress.IPv6Interface("fd00::2/64"),
            gateway6=ipaddress.IPv6Address("fd00::1"),
            dns=(ipaddress.IPv4Address("10.0.0.1"),),
        )
    )
    assert Configuration.parse() == Configuration(dhcp=True)
    assert Configuration.parse(ipv4="none") == Configuration()


@pytest.mark.parametrize("given", [{"ipv4": "10.0.0.2"}, {"ipv6": "10.0.0.2/24"}, {"gateway": "x"}, {"dns": "1.1"}])
def test_bad_arguments(given: dict[str, str]) -> None:
    """What makes no sense is named."""
    with pytest.raises(RuntimeMisuse, match=next(iter(given))):
        Configuration.parse(**given)


def test_no_device() -> None:
    """What is no network says so."""
    mac = "mac=02:00:00:00:00:01"
    for text in ("tun:x", "tap:", "tap:sixteen-letters!", "fd:3", f"fd:x,{mac}", f"fd:3,{mac},more"):
        with pytest.raises(RuntimeMisuse):
            open_device(text)
    with pytest.raises(NetworkUnavailable):
        open_device("/nowhere")


ON_A_SILENT_NETWORK = {"ipv4": "dhcp", "ipv6": "auto", "gateway": "", "dns": ""}


async def nothing() -> None:
    """A program that would have run."""
    raise AssertionError


@pytest.fixture
def silent() -> Iterator[str]:
    """A network on which nobody answers."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        yield f"fd:{theirs.detach()},mac=02:00:00:00:00:01"


def test_no_address(silent: str) -> None:
    """Where no server gives a lease, the error says what to do; it is a `TimeoutError` too."""
    configuration = Configuration(dhcp=True, patience=0.01)
    with pytest.raises(NoAddress, match=r"no DHCP server gave an address within 0.01 s: .*--ipv4 10") as caught:
        run(nothing(), silent, configuration=configuration)
    assert isinstance(caught.value, TimeoutError)


def test_a_generated_program_says_what_is_wrong_in_one_line(silent: str) -> None:
    """A device that is none, and arguments that make no sense: no traceback on the console."""
    for device, given, words in (
        ("tun:x", {}, "network: 'tun:x' names no network"),
        ("/nowhere", {}, "network: .*nowhere"),
        (silent, {"ipv4": "10.0.0.2"}, "network: ipv4: .* has no length of a prefix"),
        (silent, {"inspect": "70000"}, "network: inspect: 70000 is no TCP port"),
    ):
        with pytest.raises(SystemExit, match=words):
            boot.run(nothing(), device, **{**ON_A_SILENT_NETWORK, **given})


def test_a_generated_program_without_an_address(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where there is no lease to be had."""
    monkeypatch.setattr(Configuration, "parse", lambda **_: Configuration(dhcp=True, patience=0.01))
    with pytest.raises(SystemExit, match="network: no DHCP server"):
        boot.run(nothing(), silent, **ON_A_SILENT_NETWORK)


@pytest.fixture
def tap(namespace: None) -> Iterator[TapNetwork]:
    """A TAP that is up, the kernel's end with an address."""
    tap = TapNetwork("run%d")
    subprocess.run(["ip", "address", "add", "10.9.0.1/24", "dev", tap.name], check=True)
    subprocess.run(["ip", "link", "set", tap.name, "up"], check=True)
    yield tap
    tap.close()


class TestTap:
    """With root."""

    pytestmark = root

    def test_by_hand(self, tap: TapNetwork) -> None:
        """The address, and 127.0.0.1, ::1 and localhost within the stack."""

        async def main() -> list[bytes]:
            async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(str(writer.get_extra_info("sockname")[0]).encode())
                writer.close()

            await asyncio.start_server(hello, None, 7)
            answers = []
            for host in ("127.0.0.1", "::1", "10.9.0.2"):
                reader, writer = await asyncio.open_connection(host, 7)
                answers.append(await reader.read())
                writer.close()
            assert isinstance(socket.socket(), socket.socket)
            assert "StackSocket" in repr(socket.socket())
            return answers

        assert run(main(), tap, ipv4="10.9.0.2/24") == [b"127.0.0.1", b"::1", b"10.9.0.2"]
        assert "StackSocket" not in repr(socket.socket)

    @pytest.mark.tool("dnsmasq")
    def test_dhcp_and_names(self, tap: TapNetwork, tmp_path: Path) -> None:
        """dnsmasq gives a lease, and answers for the names that it knows."""
        hosts = "10.9.0.1 kernel.example.test kernel\n"
        words = ["--dhcp-range=10.9.0.50,10.9.0.60,2m", "--expand-hosts", "--dhcp-authoritative", "--no-ping"]

        async def main() -> tuple[str, list[str]]:
            loop = asyncio.get_running_loop()
            infos = await loop.getaddrinfo("kernel.example.test", 80, type=socket.SOCK_STREAM)
            short = await loop.getaddrinfo("kernel", 80, type=socket.SOCK_STREAM)
            assert infos == short
            with pytest.raises(socket.gaierror):
                await loop.getaddrinfo("nobody.example.test", 80)
            assert await loop.getnameinfo(("10.9.0.1", 80)) == ("kernel.example.test", "http")
            transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, None, ("10.9.0.1", 9))
            return transport.get_extra_info("sockname")[0], [info[4][0] for info in infos]

        with dnsmasq(tap, tmp_path, hosts, *words):
            own, found = run(main(), tap)
        assert found == ["10.9.0.1"]
        assert 50 <= int(own.rsplit(".")[-1]) <= 60
