"""A stack on a TAP with the kernel at its other end, driven by `select` for as long as a test wants."""

from __future__ import annotations

import ipaddress
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from mirage.net import TapNetwork
from mirage.tcpip import Settings
from mirage.tcpip.stack import Stack
from mirage.types import Offload
from mirage.types.testing import SeededRandom

KERNEL4, OURS4 = "10.9.0.1", "10.9.0.2"
KERNEL6, OURS6 = "fd00::1", "fd00::2"
PATIENCE = 20.0


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def sysctl(path: str, value: str) -> None:
    Path("/proc/sys/net", path).write_text(value)


class TapHost:
    """A stack, its TAP, and the kernel as its neighbour."""

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        offload: Offload = Offload.NONE,
        addresses: tuple[str, ...] = (f"{OURS4}/24", f"{OURS6}/64"),
        mtu: int = 1500,
    ) -> None:
        self.tap = TapNetwork("ours%d")
        name = self.name = self.tap.name
        sysctl(f"ipv6/conf/{name}/accept_dad", "0")
        sysctl(f"ipv6/conf/{name}/router_solicitations", "0")
        ip("link", "set", name, "mtu", str(mtu))
        ip("address", "add", f"{KERNEL4}/24", "dev", name)
        ip("-6", "address", "add", f"{KERNEL6}/64", "dev", name, "nodad")
        ip("link", "set", name, "up")
        agreed = self.tap.enable_offload(offload)
        self.stack = Stack(random=SeededRandom(1, predictable=True), now=self.now, settings=settings)
        self.interface = self.stack.add_interface(
            "tap", self.tap.mac, mtu, offload=agreed, max_frame=self.tap.max_frame if agreed else None
        )
        for address in addresses:
            host, _, length = address.partition("/")
            self.stack.ip.add_address(self.interface, ipaddress.ip_address(host), int(length))

    @property
    def now(self) -> float:
        return time.monotonic()

    def turn(self, wait: float) -> None:
        """Wait for frames or a deadline, and give the stack its turn."""
        wait = max(0.0, min(wait, self.stack.next_deadline() - self.now))
        select.select([self.tap], [], [], wait)
        while frames := self.tap.receive_many():
            self.stack.input(self.interface, frames, self.now)
            self.flush()
        self.flush()

    def flush(self) -> None:
        self.stack.poll(self.now)
        for meta, parts in self.interface.take_output(self.now):
            self.tap.send_many([(meta, parts)])

    def until(self, done: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Go on until something is so; an error when it is not in time."""
        end = self.now + patience
        self.flush()
        while not done():
            assert self.now < end, f"it did not come to that in {patience} s; {dict(self.stack.counters)}"
            self.turn(0.05)

    def run(self, *words: str, patience: float = PATIENCE) -> tuple[int, str]:
        """Let a program of the kernel's side talk to the stack; its exit status and all that it said."""
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as program:
            try:
                self.until(lambda: program.poll() is not None, patience)
            finally:
                if program.poll() is None:
                    program.kill()
            assert program.stdout is not None
            return program.returncode, program.stdout.read()

    def __enter__(self) -> TapHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.tap.close()
