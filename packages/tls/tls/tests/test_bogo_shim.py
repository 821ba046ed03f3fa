"""The shim for BoringSSL's runner, with this implementation in the runner's place."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mirage.tls import ApplicationData, ClientConfig, Connection, ServerConfig, TicketKeys, client, server
from mirage.tls.testing import accept_anyone

pytestmark = pytest.mark.slow
SHIM = Path(__file__).parent / "bogo_shim.py"


def runner(make: Any, *flags: str, connections: int = 1) -> tuple[int, str, list[Any]]:
    """The shim's status, what it said, and what each connection agreed on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        port = str(listener.getsockname()[1])
        command = [sys.executable, str(SHIM), "-port", port, "-shim-id", "1234", *flags]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as shim:
            infos = []
            for _ in range(connections):
                sock, _ = listener.accept()
                with sock:
                    sock.settimeout(20)
                    assert sock.recv(8, socket.MSG_WAITALL) == (1234).to_bytes(8, "little")
                    try:
                        infos.append(talk(sock, make()))
                    except OSError:  # the shim gave up
                        infos.append(None)
            return shim.wait(20), shim.stderr.read() if shim.stderr else "", infos


def talk(sock: socket.socket, connection: Connection) -> Any:
    """Ask for an echo and close."""
    sock.sendall(connection.handle(b"", time.time()).output)
    received, asked = b"", False
    while len(received) < 4:
        data = sock.recv(1 << 16)
        if not data:
            return None
        step = connection.handle(data, time.time())
        sock.sendall(step.output)
        received += b"".join(bytes(event.data) for event in step.events if isinstance(event, ApplicationData))
        if connection.done and not asked:
            asked = True
            sock.sendall(connection.send(b"ping"))
    assert received == bytes(octet ^ 0xFF for octet in b"ping")
    sock.sendall(connection.close())
    return connection.info


def test_a_client(pki: Any) -> None:
    """Two connections, the second resumed, of the version that the flags say."""
    config = ServerConfig(identities=(pki.identity(),), tickets=TicketKeys(bytes(32)), alpn=("foo",))
    flags = ("-resume-count", "1", "-max-version", "771", "-expect-version", "771", "-advertise-alpn", "\x03foo")
    status, said, infos = runner(
        lambda: server(config, time.time(), secrets.token_bytes), *flags, "-expect-alpn", "foo", connections=2
    )
    assert status == 0, said
    assert [(info.version, info.resumed) for info in infos] == [("TLSv1.2", False), ("TLSv1.2", True)]


def test_a_server(pki: Any) -> None:
    """It answers, and says what it does not expect."""
    config = ClientConfig(authenticator=accept_anyone)
    flags = ("-server", "-cert-file", str(pki.file()), "-key-file", str(pki.file()))
    status, said, [info] = runner(lambda: client(config, "example.org", time.time(), secrets.token_bytes), *flags)
    assert status == 0, said
    assert info.version == "TLSv1.3"
    status, said, _ = runner(
        lambda: client(config, "example.org", time.time(), secrets.token_bytes), *flags, "-expect-curve-id", "29"
    )
    assert status == 1
    assert "expect-curve-id: 4588, not 29" in said


def test_what_it_does_not_do() -> None:
    """Status 89, before anything is connected; and it has no handshaker."""
    for flags in (["-dtls"], ["-max-version", "769"], ["-no-such-flag"]):
        assert subprocess.run([sys.executable, str(SHIM), *flags], capture_output=True, check=False).returncode == 89
    command = [sys.executable, str(SHIM), "-is-handshaker-supported"]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == "No\n"


def test_what_is_left_out_has_its_reason() -> None:
    """`bogo.json` is what the runner takes as -shim-config: patterns of tests, and why they are not for us."""
    left_out = json.loads((SHIM.parent / "bogo.json").read_text())["DisabledTests"]
    assert len(left_out) > 100
    assert all(pattern and pattern != "*" and len(reason) > 10 for pattern, reason in left_out.items())
