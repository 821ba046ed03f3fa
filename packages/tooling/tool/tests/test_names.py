"""`mirage serve dns`: zone files, and no code."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

pytestmark = pytest.mark.slow

ZONE = "@ 60 IN SOA ns a 1 2 3 4 5\n@ 60 IN NS ns\nns 60 IN A 192.0.2.53\nweb 60 IN A 192.0.2.80\n"
COMMAND = [sys.executable, "-m", "mirage.tool.cli", "serve", "dns", "-q", "-p", "0"]


def test_serve_zone_files(tmp_path: Path) -> None:
    """Over UDP and TCP, for each zone, until it is stopped; a later start reads the files anew."""
    (tmp_path / "one.zone").write_text("$ORIGIN example.org.\n" + ZONE)
    for last, address in ((7, "192.0.2.7"), (8, "192.0.2.8")):
        (tmp_path / "two.zone").write_text(f"$ORIGIN example.net.\n{ZONE}new 60 IN A 192.0.2.{last}\n")
        command = [*COMMAND, str(tmp_path / "one.zone"), str(tmp_path / "two.zone")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                found = re.fullmatch(r"names: answering for example.org., example.net. on 127.0.0.1 port (\d+)\n", line)
                assert found
                for ask in (dns.query.udp, dns.query.tcp):
                    for name, expected in (("web.example.org", "192.0.2.80"), ("new.example.net", address)):
                        query = dns.message.make_query(name, "A")
                        answer = ask(query, "127.0.0.1", port=int(found[1]), timeout=10)
                        assert [record.address for record in answer.answer[0]] == [expected]
                query = dns.message.make_query("nothing.example.org", "A")
                answer = dns.query.udp(query, "127.0.0.1", port=int(found[1]), timeout=10)
                assert answer.rcode() == dns.rcode.NXDOMAIN
                process.send_signal(signal.SIGTERM)
                assert process.wait(10) == 0
            finally:
                process.kill()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.zone", "two.zone"]


def test_origin(tmp_path: Path) -> None:
    """The name of the zone of a file that does not say it; a bad file is told in one line, with its number."""
    file = tmp_path / "zone"
    file.write_text(ZONE)
    with subprocess.Popen(
        [*COMMAND, "--origin", "example.com", str(file)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("names: answering for example.com. on ")
        finally:
            process.terminate()
            process.communicate(timeout=10)
    for text, hint in ((ZONE, "begin the file with $ORIGIN"), ("$ORIGIN a.\n\nx 60 IN A nonsense\n", "zone:4: ")):
        file.write_text(text)
        result = subprocess.run([*COMMAND, str(file)], capture_output=True, text=True, check=False)
        assert result.returncode == 1
        assert hint in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["nowhere"], "nowhere cannot be read"),
        ([], "ZONEFILE"),
        (["--prot", "1", "config.py"], "Did you mean '--port'?"),
        (["--origin", "a", "a.zone", "b.zone"], "--origin names the zone of one file"),
        (["a.zone", "sub/a.zone"], "two zone files are named a.zone"),
    ],
)
def test_mistakes(words: list[str], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirage) -> None:
    """Each is told with what to do."""
    (tmp_path / "sub").mkdir()
    for file in ("a.zone", "b.zone", "sub/a.zone", "config.py"):
        (tmp_path / file).write_text("")
    monkeypatch.chdir(tmp_path)
    code, _, errors = mirage("serve", "dns", *words)
    assert code == 2
    assert hint in errors


def test_help(mirage) -> None:
    """It has its own."""
    assert "ZONEFILE" in mirage("serve", "dns", "--help")[1]
    assert "ZONEFILE" in mirage("help", "serve", "dns")[1]
    assert "DIR" in mirage("help", "serve")[1]
