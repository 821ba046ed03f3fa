"""A stack on a TAP that runs while a program runs, or until something has come about."""

from __future__ import annotations

import ipaddress
import os
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path

from mirage.net import TapNetwork
from mirage.tcpip.settings import Settings
from mirage.tcpip.stack import Stack
from mirage.types import Offload
from mirage.types.testing import SeededRandom

KERNEL4, OURS4, KERNEL6, OURS6 = "10.9.0.1", "10.9.0.2", "fd00:9::1", "fd00:9::2"
_PATIENCE = 60.0


def ip(*words: str) -> None:
    """The program of that name."""
    subprocess.run(["ip", *words], check=True)


def sysctl(name: str, value: object) -> None:
    """Set a variable of the kernel's network."""
    Path("/proc/sys/net", name).write_text(str(value))


class Driver:
    """The kernel has one end of the TAP, with an address of each version; the stack has the other."""

    def __init__(self, *, settings: Settings | None = None, offload: bool = False, addresses: bool = True) -> None:
        """`addresses`: the stack has one of each version too."""
        self.tap = TapNetwork("peer%d")
        name = self.tap.name
        sysctl(f"ipv6/conf/{name}/accept_dad", 0)
        ip("address", "add", f"{KERNEL4}/24", "dev", name)
        ip("-6", "address", "add", f"{KERNEL6}/64", "dev", name, "nodad")
        ip("link", "set", name, "up")
        wanted = Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6 | Offload.ECN if offload else Offload.NONE
        agreed = self.tap.enable_offload(wanted)
        self.stack = Stack(random=SeededRandom(7, predictable=True), now=time.monotonic(), settings=settings)
        self.interface = self.stack.add_interface("eth0", self.tap.mac, self.tap.mtu, offload=agreed)
        if addresses:
            self.stack.ip.add_address(self.interface, ipaddress.ip_address(OURS4).packed, 24)
            self.stack.ip.add_address(self.interface, ipaddress.ip_address(OURS6).packed, 64)

    @property
    def link_local(self) -> str:
        """The stack's."""
        return next(str(ipaddress.ip_address(a)) for a in self.interface.addresses if a[:2] == b"\xfe\x80")

    def close(self) -> None:
        """Give the TAP back."""
        self.tap.close()

    def turn(self, others: Sequence[int] = (), longest: float = 0.1) -> list[int]:
        """Wait for frames, for a deadline, or for one of the `others`, and give the stack its turn."""
        now = time.monotonic()
        due = self.stack.next_deadline()
        wait = min(longest, max(due - now, 0.0)) if due < inf else longest
        ready, _, _ = select.select([self.tap.fileno(), *others], [], [], wait)
        now = time.monotonic()
        frames = self.tap.receive_many()
        if frames:
            self.stack.input(self.interface, frames, now)
        for endpoint in self.stack.take_news():
            if endpoint.owner is not None:
                endpoint.owner()
        self.stack.poll(now)
        output = self.interface.take_output(now)
        while output:
            sent = self.tap.send_many(output)
            output = output[max(sent, 1) :]
        return [fd for fd in ready if fd != self.tap.fileno()]

    def until(self, done: Callable[[], bool], patience: float = _PATIENCE) -> None:
        """Run the stack until `done`."""
        end = time.monotonic() + patience
        while not done():
            assert time.monotonic() < end, f"it did not come to that within {patience} s; {dict(self.stack.counters)}"
            self.turn()

    def wait(self, seconds: float) -> None:
        """Run the stack for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.turn(longest=0.05)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a program whose output is read by `finish`, or by `line`."""
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def finish(self, program: subprocess.Popen[bytes], patience: float = _PATIENCE) -> str:
        """Run the stack until a program has ended; what it wrote."""
        assert program.stdout is not None
        fd = program.stdout.fileno()
        end, output = time.monotonic() + patience, b""
        while time.monotonic() < end:
            if fd in self.turn([fd]):
                part = os.read(fd, 65536)
                if not part:
                    program.wait(10)
                    program.stdout.close()
                    return output.decode(errors="replace")
                output += part
        program.kill()
        program.wait(10)
        program.stdout.close()
        raise AssertionError(f"{program.args!r} did not end within {patience} s; so far: {output.decode()}")

    def run(self, *words: str, code: int | None = 0) -> str:
        """Run the stack while a program runs, and check how that ends; what it wrote."""
        program = self.start(*words)
        output = self.finish(program)
        assert code is None or program.returncode == code, f"{words} ended with {program.returncode}: {output}"
        return output
