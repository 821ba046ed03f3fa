"""On which network an application runs, and the command that starts it there."""

from __future__ import annotations

import importlib.util
import subprocess

import pytest
from mirage.tool.errors import UsageError
from mirage.tool.launch import check_network

SERVER = """
from mirage.tool.devices import *
register("files", http_server(static_site(crunch("pages"))))
"""
gateway = pytest.mark.skipif(
    importlib.util.find_spec("mirage.gateway") is None, reason="mirage-gateway is not installed in this environment"
)


def command(mirage, *words: str) -> list[str]:
    """What `mirage run` would execute, without the interpreter."""
    code, text, errors = mirage("run", "--dry-run", *words)
    assert code == 0, errors
    return text.split()[1:]


def test_the_host_lends_its_sockets(application, mirage) -> None:
    """By default a program for the host's Python uses the host's network, and nothing of the stack is linked."""
    application(SERVER)
    assert mirage("configure")[0] == 0
    assert "mirage-runtime" not in mirage("query", "packages")[1]
    assert "asyncio.run(main(arguments))" in mirage("query", "main")[1]
    assert command(mirage, "--", "--port", "80")[-2:] == ["--port", "80"]


@pytest.mark.parametrize("words", [("-t", "hvt"), ("--network", "stack")])
def test_a_stack_of_its_own(application, mirage, words: tuple[str, ...]) -> None:
    """In a virtual machine, or where the key says so, the program runs on its own stack and listens everywhere."""
    application(SERVER)
    assert mirage("configure", *words)[0] == 0
    program = mirage("query", "main")[1]
    assert "from mirage.runtime.boot import run as run_on_stack" in program
    assert "arguments.device" in program
    assert '"--host", default=""' in program
    assert "mirage-runtime" in mirage("query", "packages")[1]
    assert "a TCP/IP stack of its own" in mirage("describe")[1]


@gateway
def test_the_gateway_is_the_default(application, mirage) -> None:
    """Without a word the gateway publishes the port that the program serves on; the program gets its socket."""
    application(SERVER)
    words = command(mirage, "-t", "hvt")
    assert words[:6] == ["-m", "mirage.gateway", "run", "--publish", "8080:8080", "--"]
    assert "net0={net}" in " ".join(words).replace("'", "")
    words = command(mirage, "-t", "hvt", "--publish", "8000:80", "--", "--port", "80")
    assert words[3:5] == ["--publish", "8000:80"]
    words = command(mirage, "--net", "gateway", "--", "--port=99")
    assert words[3:5] == ["--publish", "99:99"]
    assert "--device" in words
    words = command(mirage, "-t", "hvt", "--allow", "127.0.0.1:5432", "--allow", "example.org")
    assert words[3:10] == ["--publish", "8080:8080", "--allow", "127.0.0.1:5432", "--allow", "example.org", "--"]


@gateway
def test_both_ports_of_https_are_published(application, mirage) -> None:
    """A port that the program would pick itself is picked for it, since the gateway has to know it."""
    application(SERVER.replace("http_server", "https_server"))
    words = command(mirage, "-t", "hvt", "--", "--port", "80", "--https-port=443", "--redirect")
    assert words[3:8] == ["--publish", "80:80", "--publish", "443:443", "--"]
    words = command(mirage, "-t", "hvt", "--", "--https-port", "0", "--redirect")
    assert words[-2] == "--redirect"
    option, _, port = words[-1].partition("=")
    assert option == "--https-port"
    assert words[3:8] == ["--publish", "8080:8080", "--publish", f"{port}:{port}", "--"]
    assert int(port) > 0
    words = command(mirage, "-t", "hvt", "--publish", "8000:8080")
    assert words[3:6] == ["--publish", "8000:8080", "--"]


@pytest.mark.parametrize("given", [("--certificate", "my.pem"), ("--certificate=my.pem",)])
def test_a_virtual_machine_gets_the_text_of_a_certificate(application, mirage, given: tuple[str, ...]) -> None:
    """It sees no files, so the tender reads this one; a process reads it itself, on either network."""
    application(SERVER.replace("http_server", "https_server"))
    words = command(mirage, "-t", "hvt", "--net", "tap:tap7", "--", "--port", "80", *given, "--redirect")
    assert words[5:7] == ["--arg-file", "certificate=my.pem"]
    assert words[-3:] == ["--port", "80", "--redirect"]
    for network in ((), ("--net", "tap:tap7")):
        words = command(mirage, *network, "--", *given)
        assert tuple(words[-len(given) :]) == given
        assert "--arg-file" not in words


@gateway
def test_a_capture(application, mirage) -> None:
    """`--pcap FILE` is the gateway's."""
    application(SERVER)
    words = command(mirage, "-t", "hvt", "--pcap", "all.pcapng")
    assert words[3:8] == ["--publish", "8080:8080", "--pcap", "all.pcapng", "--"]


@gateway
@pytest.mark.parametrize("target", ["hvt", "unix"])
def test_a_network_with_others(application, mirage, target: str) -> None:
    """`--net unix:PATH` joins what `mirage-gateway listen PATH` has made."""
    application(SERVER)
    words = command(mirage, "-t", target, "--net", "unix:./net", "--", "--port", "80")
    assert words[:5] == ["-m", "mirage.gateway", "join", "./net", "--"]
    assert "{net}" in " ".join(words)
    assert words[-2:] == ["--port", "80"]


def test_a_tap_interface_that_is_missing(application, mirage, monkeypatch) -> None:
    """What makes it is said before anything is built, for whoever is not root with sudo, and with his own number."""
    application(SERVER)
    monkeypatch.setattr("os.getuid", lambda: 1000)
    for target in ("hvt", "unix"):
        code, said, errors = mirage("run", "-t", target, "--net", "tap:nope7")
        assert code == 2
        assert "build" not in said
        lines = errors.splitlines()
        assert lines[0].startswith("mirage: there is no interface nope7; these make one")
        assert lines[1] == "  sudo ip tuntap add dev nope7 mode tap user 1000"
        assert lines[4] == "  sudo ip link set nope7 up"
    for name in ("sixteen-letters!", "a/b", ".."):
        assert "is no interface name" in mirage("run", "--net", f"tap:{name}")[2]


@pytest.mark.root
@pytest.mark.tool("ip")
def test_the_commands_that_are_printed_make_the_interface(application, mirage) -> None:
    """Followed to the letter, nothing is missing any more; and one that is down is said to be."""
    testing = pytest.importorskip("mirage.net.testing", reason="mirage-net is not installed in this environment")
    with testing.network_namespace():
        application(SERVER)
        with pytest.raises(UsageError, match="there is no interface made0") as caught:
            check_network("tap:made0")
        for line in str(caught.value).splitlines()[1:-1]:
            subprocess.run(line.split(), check=True)
        check_network("tap:made0")
        subprocess.run(["ip", "link", "set", "made0", "down"], check=True)
        with pytest.raises(UsageError, match="is down:  ip link set made0 up"):
            check_network("tap:made0")


def test_a_tap_interface(application, mirage) -> None:
    """`--net tap:NAME` goes to the tender, or to the program itself."""
    application(SERVER)
    assert "net0=tap:tap7" in command(mirage, "-t", "hvt", "--net", "tap:tap7")
    words = command(mirage, "--net", "tap:tap7")
    assert words[words.index("--device") + 1] == "tap:tap7"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--net", "bridge"), "--net takes gateway, unix:PATH or tap:NAME"),
        (("--net", "tap:"), "--net takes gateway, unix:PATH or tap:NAME"),
        (("--net", "unix:"), "--net takes gateway, unix:PATH or tap:NAME"),
        (("--publish", "80:80"), "the program uses the host's own network"),
        (("--allow", "example.org"), "the program uses the host's own network"),
        (("--net", "tap:tap0", "--publish", "80:80"), "has an address of its own"),
        (("--net", "tap:tap0", "--allow", "*"), "has an address of its own"),
        (("--net", "tap:tap0", "--pcap", "x"), "has an address of its own"),
        (("--pcap", "x"), "the program uses the host's own network"),
        (("--net", "unix:net", "--publish", "80:80"), "say them to  mirage-gateway listen"),
        (("-t", "hvt", "--net", "unix:net", "--inspect", "./ask"), "shared with other guests"),
    ],
)
def test_what_does_not_fit_is_refused(application, mirage, words: tuple[str, ...], message: str) -> None:
    """Each message says what to do instead."""
    application(SERVER)
    code, _, errors = mirage("run", "--dry-run", *words)
    assert code == 2
    assert message in errors


def test_a_program_without_sockets_has_no_network(application, mirage) -> None:
    """--net is refused where nothing would use it."""
    application()
    code, _, errors = mirage("run", "--dry-run", "--net", "gateway")
    assert code == 2
    assert "no TCP/IP stack of its own" in errors
