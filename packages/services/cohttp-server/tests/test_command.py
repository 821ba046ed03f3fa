"""What the command refuses, without starting anything."""

import socket
from pathlib import Path

import pytest
from mirage.cohttp_server import main


@pytest.fixture
def docroot(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("option", [["-c", "cert.pem"], ["-k", "key.pem"], ["--tls", "cert.pem,key.pem"]])
def test_tls_is_refused(docroot: Path, option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Asking for TLS is an error that says so; nothing is served."""
    with pytest.raises(SystemExit, match="2"):
        main(["-p", "0", *option, str(docroot)])
    captured = capsys.readouterr()
    assert "cannot serve HTTPS" in captured.err
    assert option[0] in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("port", ["-1", "65536", "http", "٣"])
def test_ports_that_are_none(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A port is a number from 0 to 65535."""
    with pytest.raises(SystemExit, match="2"):
        main([f"--port={port}"])
    assert "is no port" in capsys.readouterr().err


def test_what_cannot_be_served(docroot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing directory, a file, a bad index, a port in use: one line, status 1."""
    assert main(["-p", "0", str(docroot / "missing")]) == 1
    assert "there is no directory" in capsys.readouterr().err
    assert main(["-p", "0", str(docroot / "index.html")]) == 1
    assert "is not a directory" in capsys.readouterr().err
    assert main(["-p", "0", "-i", "../secret", str(docroot)]) == 1
    assert "is not a key" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["-p", str(taken.getsockname()[1]), str(docroot)]) == 1
    assert "cannot listen on 127.0.0.1" in capsys.readouterr().err
