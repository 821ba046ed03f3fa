"""The stateless client of DHCPv6: in virtual time, and against dnsmasq."""

from __future__ import annotations

import itertools
import math
import os
import socket
import subprocess
import time
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.dhcp import BadConfiguration, Client6, InvalidMessage, Option6, Settings6, duid, options
from mirage.dhcp.client6 import ALL_SERVERS, INFORMATION_REQUEST, REPLY, build6, parse6
from mirage.types.testing import SeededRandom

DUID = duid(bytes.fromhex("02000000000a"))
SERVER = duid(bytes.fromhex("02000000000b"))
DNS = IPv6Address("2001:db8::53")


def make(seed: int = 1) -> Client6:
    return Client6(Settings6(duid=DUID), SeededRandom(seed, predictable=True))


def reply(request: bytes, *more: tuple[int, bytes], kind: int = REPLY, client: bytes = DUID) -> bytes:
    _, xid, _ = parse6(request)
    return build6(kind, xid, [(Option6.CLIENT_ID, client), (Option6.SERVER_ID, SERVER), *more])


def ask(client: Client6) -> tuple[float, bytes]:
    now = client.next_deadline()
    assert now is not None
    (datagram,) = client.poll(now)
    assert (datagram.destination, datagram.destination_port) == (ALL_SERVERS, 547)
    return now, datagram.payload


def test_asked_and_told() -> None:
    """RFC 8415 18.2.6: one question, one answer, and again when it is a day old."""
    client = make()
    client.start(10.0)
    now, request = ask(client)
    assert 10.0 <= now < 11.0
    kind, _, asked = parse6(request)
    assert kind == INFORMATION_REQUEST
    assert asked[Option6.CLIENT_ID] == [DUID]
    assert asked[Option6.ELAPSED_TIME] == [b"\0\0"]
    codes = [int.from_bytes(asked[Option6.ORO][0][i : i + 2], "big") for i in range(0, len(asked[Option6.ORO][0]), 2)]
    assert codes == [23, 24, 31, 56, 32, 83]
    client.input(
        reply(
            request,
            (Option6.DNS_SERVERS, options.build_addresses([DNS])),
            (Option6.DOMAIN_LIST, options.build_domains(["example.org", "b.example"])),
            (Option6.NTP_SERVER, b"\0\1\0\x10" + DNS.packed + b"\0\3\0\2xx"),
        ),
        now,
    )
    (event,) = client.take_events()
    assert event.information is client.information
    assert event.information.dns_servers == event.information.ntp_servers == (DNS,)
    assert event.information.search == ("example.org", "b.example")
    assert client.next_deadline() == now + 86_400
    _, again = ask(client)
    assert again[1:4] != request[1:4]
    client.input(reply(again, (Option6.DNS_SERVERS, DNS.packed)), now + 86_401)
    assert len(client.take_events()) == 1  # it has changed


def test_what_is_told_again_is_no_news() -> None:
    """An event only for what is new."""
    client = make()
    client.start(0.0)
    for expected in (1, 0):
        now, request = ask(client)
        client.input(reply(request, (Option6.REFRESH_TIME, (5).to_bytes(4, "big"))), now)
        assert len(client.take_events()) == expected
        assert client.next_deadline() == now + 600  # RFC 8415 21.23: IRT_MINIMUM


def test_for_ever() -> None:
    """RFC 8415 21.23: all ones is infinity."""
    client = make()
    client.start(0.0)
    now, request = ask(client)
    client.input(reply(request, (Option6.REFRESH_TIME, b"\xff" * 4)), now)
    assert client.next_deadline() is None
    assert client.information is not None
    assert client.information.refresh_at == math.inf


def test_asked_again_after_a_growing_random_time() -> None:
    """RFC 8415 15: 1, 2, 4 ... up to 3600 seconds, each within a tenth; the transaction stays."""
    client = make()
    client.start(0.0)
    times, requests = zip(*(ask(client) for _ in range(20)), strict=True)
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert 0.9 <= waits[0] <= 1.1
    assert all(1.85 <= later / earlier <= 2.15 for earlier, later in itertools.pairwise(waits[:11]))
    assert all(3240 <= wait <= 3960 for wait in waits[-3:])
    assert len({request[1:4] for request in requests}) == 1
    elapsed = [int.from_bytes(parse6(request)[2][Option6.ELAPSED_TIME][0], "big") for request in requests]
    assert elapsed[1] == int(waits[0] * 100)
    assert elapsed[-1] == 0xFFFF


@pytest.mark.parametrize(
    "change",
    [
        lambda request: reply(request, kind=2),
        lambda request: reply(request, client=SERVER),
        lambda request: reply(request)[:1] + b"xyz" + reply(request)[4:],
        lambda request: build6(REPLY, request[1:4], [(Option6.CLIENT_ID, DUID)]),
        lambda request: reply(request, (Option6.STATUS_CODE, b"\0\1no")),
        lambda request: reply(request)[:-1],
        lambda request: b"",
    ],
)
def test_a_reply_that_is_none(change) -> None:  # type: ignore[no-untyped-def]
    """RFC 8415 16.10: dropped and counted."""
    client = make()
    client.start(0.0)
    now, request = ask(client)
    client.input(change(request), now)
    assert client.information is None
    assert sum(count for name, count in client.counters.items() if name.startswith("dropped.")) == 1
    client.input(reply(request), now)
    assert client.information is not None
    client.input(reply(request), now)  # once is enough
    assert client.counters["dropped.not-ours"] >= 1
    client.stop()
    assert client.next_deadline() is None


@given(st.binary(max_size=100))
def test_any_octets(octets: bytes) -> None:
    """Untrusted octets raise nothing; options that make no sense are as if they were absent."""
    client = make()
    client.start(0.0)
    now, request = ask(client)
    client.input(octets, now)
    client.input(reply(request) + octets, now)
    client.input(reply(request, *[(code, octets) for code in (23, 24, 31, 32, 56, 83)]), now)
    assert client.information is not None
    try:
        kind, xid, found = parse6(octets)
    except InvalidMessage:
        return
    assert len(build6(kind, xid, [(c, v) for c, values in found.items() for v in values])) == len(octets)


def test_a_duid_that_is_none() -> None:
    """Local misuse says what is wrong."""
    with pytest.raises(BadConfiguration, match="DUID"):
        Client6(Settings6(duid=b""), SeededRandom(1, predictable=True))


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.tool("ip")
@pytest.mark.tool("dnsmasq")
def test_dnsmasq_tells(namespace: None, tmp_path: Path) -> None:
    """Over a pair of interfaces, by the kernel's sockets."""
    subprocess.run(["ip", "link", "add", "ours", "type", "veth", "peer", "name", "theirs"], check=True)
    for name in ("ours", "theirs"):
        Path(f"/proc/sys/net/ipv6/conf/{name}/accept_dad").write_text("0")
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    subprocess.run(["ip", "address", "add", "2001:db8::1/64", "dev", "theirs", "nodad"], check=True)
    words = [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--interface=theirs",
        "--bind-interfaces", "--log-facility=-", "--dhcp-range=2001:db8::,ra-stateless", "--log-dhcp",
        "--dhcp-option=option6:dns-server,[2001:db8::53],[2001:db8::54]", f"--dhcp-leasefile={tmp_path}/leases",
        "--dhcp-option=option6:domain-search,example.org,b.example", f"--pid-file={tmp_path}/pid",
        "--dhcp-option=option6:information-refresh-time,1200", "--dhcp-option=option6:ntp-server,[2001:db8::123]",
    ]  # fmt: skip
    client = Client6(Settings6(duid=duid(os.urandom(6))), SeededRandom(os.getpid(), predictable=True))
    client.start(0.0)
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(words, stderr=log) as server,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as endpoint,
    ):
        try:
            index = socket.if_nametoindex("ours")
            endpoint.settimeout(0.5)
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"ours")
            endpoint.bind(("::", 546))
            patience = time.monotonic() + 20
            now = 0.0
            while client.information is None:
                assert time.monotonic() < patience, (tmp_path / "log").read_text()
                now = client.next_deadline() or 0.0
                for datagram in client.poll(now):
                    endpoint.sendto(datagram.payload, (str(datagram.destination), 547, 0, index))
                try:
                    client.input(endpoint.recv(2000), now)
                except TimeoutError:
                    continue
            assert client.information.dns_servers == (IPv6Address("2001:db8::53"), IPv6Address("2001:db8::54"))
            assert client.information.search == ("example.org", "b.example")
            assert client.information.ntp_servers == (IPv6Address("2001:db8::123"),)
            assert client.next_deadline() == now + 1200
        finally:
            server.kill()
