"""Ports that lead into a guest, as text."""

from __future__ import annotations

import errno
import ipaddress
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.gateway import BadOption, HostUnavailable, Publication, bind, parse_publication

GUEST = ipaddress.ip_address("10.0.2.16")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("8080:80", Publication("localhost", 8080, 80)),
        ("0:80/tcp", Publication("localhost", 0, 80)),
        ("5353:53/udp", Publication("localhost", 5353, 53, udp=True)),
        ("127.0.0.1:8080:80", Publication("127.0.0.1", 8080, 80)),
        ("[::1]:8080:80", Publication("::1", 8080, 80)),
        ("*:8080:80", Publication("*", 8080, 80)),
        ("8080:10.0.2.16:80", Publication("localhost", 8080, 80, GUEST)),
        ("127.0.0.1:8080:10.0.2.16:80", Publication("127.0.0.1", 8080, 80, GUEST)),
        ("unix:/run/a:b:80", Publication("unix:/run/a:b", 0, 80)),
        ("8080:[fd00::9]:80", Publication("localhost", 8080, 80, ipaddress.ip_address("fd00::9"))),
    ],
)
def test_forms(text: str, meaning: Publication) -> None:
    """Every form that the help names."""
    assert parse_publication(text) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "",
        "80",
        "80:",
        ":80",
        "80:80/sctp",
        "70000:80",
        "80:0",
        "x:80:80",
        "80:x:80",
        "1:2:3:4",
        "1.2.3.4:80",
        "unix:80",
        "unix::80",
        "unix:x:0",
        "unix:x:y",
    ],
)
def test_what_publishes_nothing_is_refused(text: str) -> None:
    """With words on how to write it."""
    with pytest.raises(BadOption):
        parse_publication(text)


@given(st.text(alphabet="0123456789:./[]udptcp*x", max_size=30))
def test_any_text_is_a_publication_or_refused(text: str) -> None:
    """Nothing else is raised."""
    try:
        found = parse_publication(text)
    except BadOption:
        return
    assert 0 <= found.port <= 65535
    assert 1 <= found.guest_port <= 65535


def test_a_port_that_is_taken_is_named() -> None:
    """Before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(HostUnavailable, match=f"TCP port {port} of 127.0.0.1 cannot be had"):
            bind(Publication("127.0.0.1", port, 80))


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """A socket that is left over gives way, anything else does not; the new one is its owner's only."""
    path = tmp_path / "in"
    path.write_text("precious")
    with pytest.raises(HostUnavailable, match="a socket cannot be made"):
        bind(Publication(f"unix:{path}", 0, 80))
    path.unlink()
    for _ in range(2):
        [sock] = bind(Publication(f"unix:{path}", 0, 80))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        sock.close()


def test_localhost_is_both_versions() -> None:
    """At the same port."""
    sockets = bind(Publication("localhost", 0, 80))
    assert [sock.family for sock in sockets] == [socket.AF_INET, socket.AF_INET6]
    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    for sock in sockets:
        sock.close()


def test_a_port_that_is_taken_in_one_version_is_taken() -> None:
    """Whoever asked for localhost is not left with half of it, where the other half is somebody else's."""
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(HostUnavailable, match=f"TCP port {port} of ::1 cannot be had"):
            bind(Publication("localhost", port, 80))


def test_a_host_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the other version, and that is all."""
    real = socket.socket.bind

    def refused(self: socket.socket, address: tuple[str, int]) -> None:
        if self.family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        real(self, address)

    monkeypatch.setattr(socket.socket, "bind", refused)
    [sock] = bind(Publication("localhost", 0, 80))
    assert sock.family == socket.AF_INET
    sock.close()
