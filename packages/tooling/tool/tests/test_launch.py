"""On which network an application runs, and the command that starts it there."""

from __future__ import annotations

import importlib.util

import pytest

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


def test_a_tap_interface(application, mirage) -> None:
    """`--net tap:NAME` goes to the tender, or to the program itself."""
    application(SERVER)
    assert "net0=tap:tap7" in command(mirage, "-t", "hvt", "--net", "tap:tap7")
    words = command(mirage, "--net", "tap:tap7")
    assert words[words.index("--device") + 1] == "tap:tap7"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--net", "bridge"), "--net takes gateway or tap:NAME"),
        (("--net", "tap:"), "--net takes gateway or tap:NAME"),
        (("--publish", "80:80"), "the program uses the host's own network"),
        (("--allow", "example.org"), "the program uses the host's own network"),
        (("--net", "tap:tap0", "--publish", "80:80"), "has an address of its own"),
        (("--net", "tap:tap0", "--allow", "*"), "has an address of its own"),
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
