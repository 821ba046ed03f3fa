"""Guests that join a network which another process makes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.gateway import HostUnavailable
from mirage.gateway.__main__ import main
from mirage.gateway._bind import bind_file
from mirage.gateway._join import build_welcome, join, parse_welcome
from networks import eventually, network, run

PROGRAM = Path(__file__).with_name("neighbours.py")
GATEWAY = [sys.executable, "-m", "mirage.gateway"]


@given(mac=st.binary(min_size=6, max_size=6), mtu=st.integers(0, 65535), other=st.binary(max_size=40))
def test_what_a_guest_is_told(mac: bytes, mtu: int, other: bytes) -> None:
    """Built and parsed it is the same; it is too short for a frame; anything else is none."""
    assert parse_welcome(build_welcome(mac, mtu)) == (mac, mtu)
    assert len(build_welcome(mac, mtu)) < 12 + 14
    if not other.startswith(b"WELCOME"):
        assert parse_welcome(other) is None


def test_who_leaves_makes_room() -> None:
    """Guests are numbered as they join, and the next one takes the place of one that is gone."""

    async def test() -> None:
        async with network() as (gateway, _):
            (second, mac), (third, _) = gateway.socket_pair(), gateway.socket_pair()
            assert [port.number for port in gateway.ports] == [0, 1, 2]
            second.close()
            await eventually(lambda: len(gateway.ports) == 2)
            again, its = gateway.socket_pair()
            assert its == mac
            for sock in (third, again):
                sock.close()

    run(test)


def test_nobody_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said how a network is made; so it is where something else listens."""
    assert main(["join", str(tmp_path / "none"), "--", "true"]) == 125
    assert f"mirage-gateway listen {tmp_path / 'none'}" in capsys.readouterr().err
    path = tmp_path / "other"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            with listener.accept()[0] as sock:
                sock.send(b"220 mail")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(HostUnavailable, match="no mirage-gateway"):
            join(path)
        thread.join()


@contextlib.contextmanager
def listening(path: Path, *options: str) -> Iterator[int]:
    """A network at `path`, with port 80 of the first guest published; the port of the host."""
    words = [*GATEWAY, "listen", "--publish", "0:80", *options, str(path)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as gateway:
        assert gateway.stderr is not None
        try:
            said = [gateway.stderr.readline() for _ in range(3)]
            assert said[2] == f"guests join at {path}\n"
            found = re.match(r"127\.0\.0\.1:(\d+) is port 80", said[0])
            assert found is not None
            yield int(found[1])
        finally:
            gateway.send_signal(signal.SIGINT)
            gateway.wait(30)


@pytest.mark.slow
@pytest.mark.tool("curl", "tcpdump")
def test_two_programs_on_one_network(tmp_path: Path) -> None:
    """Each joins by a command; one asks the other by both versions of IP, and the host asks the first."""
    path, pcap = tmp_path / "network", tmp_path / "all.pcapng"
    with listening(path, "--pcap", str(pcap)) as port:
        member = [*GATEWAY, "join", str(path), "--", sys.executable, str(PROGRAM), "{net}"]
        with subprocess.Popen([*member, "serve"], stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                own = server.stdout.readline().split()
                assert own[0] == "10.0.2.15"
                asking = subprocess.run([*member, "ask", *own], capture_output=True, text=True, timeout=60)
                assert asking.stdout.split() == ["10.0.2.16", "10.0.2.15", own[1]], asking.stderr
                answer = subprocess.run(["curl", "-sSf", "-m", "20", f"http://127.0.0.1:{port}/"], capture_output=True)
                assert answer.stdout == b"10.0.2.15"
                with pytest.raises(HostUnavailable, match="take another"):
                    bind_file(str(path), socket.SOCK_SEQPACKET)
            finally:
                server.terminate()
                server.wait(30)
    assert not os.path.exists(path)
    told = subprocess.run(["tcpdump", "-nr", str(pcap)], capture_output=True, text=True, check=True).stdout
    assert re.search(r"10\.0\.2\.16\.\d+ > 10\.0\.2\.15\.80: Flags \[S", told)
    assert re.search(r"IP6 fd00::[0-9a-f:]+\.\d+ > fd00::[0-9a-f:]+\.80: Flags \[S", told)
