"""A running program answers about its stack at a Unix socket, or at a port of the stack, if it is asked to."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.net import SocketNetwork
from mirage.runtime import RuntimeMisuse, StackEventLoop, run
from mirage.runtime._addresses import default_routes
from mirage.runtime._inspect import Conversation
from mirage.runtime._inspector import inspected, port_of
from mirage.runtime.testing import SimLoop
from mirage.tcpip.stack import Stack
from mirage.types.testing import SeededRandom


def packets(capture: bytes) -> list[tuple[bytes, bytes]]:
    """The frames of a pcapng file, each with the options that follow it; the file must end with a whole block."""
    found, at = [], 0
    while at < len(capture):
        kind, size = struct.unpack_from("<II", capture, at)
        if kind == 6:
            kept = int.from_bytes(capture[at + 20 : at + 24], "little")
            found.append((capture[at + 28 : at + 28 + kept], capture[at + 28 + kept : at + size - 4]))
        at += size
    assert at == len(capture)
    return found


@given(st.binary(max_size=3000), st.integers(1, 64))
def test_whatever_is_asked(data: bytes, step: int) -> None:
    """Any octets, however cut, are answered with lines of JSON or not at all, and nothing waits without bound."""
    conversation = Conversation(Stack(random=SeededRandom(1, predictable=True)))
    answers = b""
    for start in range(0, len(data), step):
        if conversation.over or conversation.capture is not None:
            break
        answers += conversation.receive(data[start : start + step], 0.0)
    for line in answers.splitlines():
        assert isinstance(json.loads(line), dict)
    assert len(conversation._line) <= 1024


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("[]", "ask as"), ("{", "ask as"), ("[" * 1000, "ask as"), ('{"ask": "secrets"}', "ask as"),
        ('{"ask": "show", "limit": 1000000}', "limit"), ('{"ask": "capture", "interface": "eth7"}', "there are lo"),
        ("x" * 2000, "at most"),
    ],
)  # fmt: skip
def test_what_makes_no_sense(question: str, part: str) -> None:
    """An error that says what would."""
    conversation = Conversation(Stack(random=SeededRandom(1, predictable=True)))
    assert part in json.loads(conversation.receive(question.encode() + b"\n", 0.0))["error"]


def test_ports_are_told_from_files() -> None:
    """A number is a port, and anything else a file."""
    assert port_of("9") == 9
    assert port_of("./9") is None
    assert port_of("") is None
    with pytest.raises(RuntimeMisuse, match="TCP port"):
        port_of("70000")


class TestPort:
    """At a port of the stack, in virtual time."""

    @staticmethod
    async def question(host: str, **question: Any) -> Any:
        reader, writer = await asyncio.open_connection(host, 9)
        writer.write(json.dumps(question).encode() + b"\n")
        try:
            return json.loads(await reader.readline())
        finally:
            writer.close()

    def test_a_router_asks(self) -> None:
        """The router is answered, and sees what else goes on; what carries the capture is not captured."""
        with SimLoop(seed=3) as loop:
            network = loop.network(delay=0.001)
            guest = loop.host("guest", network, "10.0.0.2/24")
            router = loop.host("router", network, "10.0.0.1/24")
            other = loop.host("other", network, "10.0.0.3/24")
            end = asyncio.Event()

            async def serve() -> None:
                stack = loop.stack
                stack.ip.add_route(default_routes(4), bytes([10, 0, 0, 1]), next(iter(stack.interfaces.values())))

                async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                    writer.write(b"hello")
                    writer.close()

                await asyncio.start_server(greet, None, 80)
                async with inspected(loop, "9"):
                    await end.wait()

            async def visit() -> None:
                reader, writer = await asyncio.open_connection("10.0.0.2", 80)
                assert await reader.read() == b"hello"
                writer.close()

            async def look() -> bytes:
                told = (await self.question("10.0.0.2", ask="connections"))["connections"]
                assert [one["local"] for one in told["listeners"]] == ["*:80", "[*]:80", "*:9", "[*]:9"]
                assert "10.0.0.1" in told["tcp"][0]["remote"]
                assert (await self.question("10.0.0.2", ask="counters"))["counters"] is not None
                shown = (await self.question("10.0.0.2", ask="show"))["show"]
                assert [one["name"] for one in shown["interfaces"]] == ["lo", "eth0"]
                assert shown["interfaces"][1]["out"]["dropped"] == 0
                reader, writer = await asyncio.open_connection("10.0.0.2", 9)
                writer.write(b'{"ask": "capture"}\n')
                assert json.loads(await reader.readline()) == {"capture": ["eth0"]}
                await other.spawn(visit())
                await asyncio.sleep(1)
                end.set()
                captured = await reader.read()
                writer.close()
                return captured

            async def refused() -> None:
                with pytest.raises((ConnectionResetError, json.JSONDecodeError)):
                    await self.question("10.0.0.2", ask="show")

            serving = guest.spawn(serve())
            loop.run_until_complete(other.spawn(refused()))
            captured = loop.run_until_complete(router.spawn(look()))
            loop.run_until_complete(serving)
            frames = [frame for frame, _ in packets(captured)]
            assert any(b"hello" in frame for frame in frames)
            assert not any((9).to_bytes(2, "big") in (frame[34:36], frame[36:38]) for frame in frames)
            assert next(iter(guest.stack.interfaces.values())).tap is None or not guest.stack.tcp.listeners

    def test_an_asker_that_is_slow(self) -> None:
        """Frames it has no room for are left out, and how many is said; memory stays bounded."""
        from mirage.runtime._inspect import Capture
        from mirage.types import FrameMeta

        stack = Stack(random=SeededRandom(1, predictable=True))
        interface = stack.add_interface("eth0", bytes(6), 1500)
        seen: list[str] = []
        interface.tap = lambda direction, *_: seen.append(direction)
        written: list[bytes] = []
        room = True
        capture = Capture([interface], written.append, clock=lambda: 1.5, room=lambda: room)
        for number in range(10):
            room = number not in range(3, 8)
            interface.tap("in", FrameMeta(), [bytes([number]), bytes(59)], 0.0)
        capture.close()
        interface.tap("out", FrameMeta(), [bytes(60)], 0.0)
        assert seen == ["in"] * 10 + ["out"]  # the tap that was there hears all
        found = packets(b"".join(written))
        assert [frame[0] for frame, _ in found] == [0, 1, 2, 8, 9]
        assert b"5 frames before this one are missing" in found[3][1]


def test_at_a_file(tmp_path: Path) -> None:
    """A program of `run` answers at a socket that is its owner's only, and takes it away at its end."""
    path = tmp_path / "ask"
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    async def main() -> Any:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b'{"ask": "show"}\n{"ask": "connections"}\n')
        told = [json.loads(await reader.readline()) for _ in range(2)]
        writer.close()
        return told

    with ours:
        device = SocketNetwork(theirs, mac=bytes.fromhex("020000000001"))
        [shown, told] = run(main(), device, ipv4="10.0.0.2/24", inspect=str(path))
    assert "10.0.0.2/24" in [own["address"] for own in shown["show"]["interfaces"][1]["addresses"]]
    assert told["connections"]["total"]["tcp"] == 0
    assert not path.exists()


def test_a_file_that_cannot_be(tmp_path: Path) -> None:
    """What is there and no socket is left alone."""
    path = tmp_path / "ask"
    path.write_text("precious")
    loop = StackEventLoop()

    async def main() -> None:
        with pytest.raises(RuntimeMisuse, match="cannot be listened at"):
            async with inspected(loop, str(path)):
                pass

    loop.run_until_complete(main())
    loop.close()
    assert path.read_text() == "precious"
