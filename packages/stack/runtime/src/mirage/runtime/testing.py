"""Real asyncio programs on several hosts, in one process and in virtual time.

A `SimLoop` is a `StackEventLoop` whose clock moves to the next thing that happens, so a test that waits for an hour
ends at once. Its hosts have a stack each, and are joined by seeded networks that lose, delay and damage frames. What a
task opens belongs to the host that it was spawned on; tasks that it makes are on the same host.

    with SimLoop(seed=7) as loop:
        network = loop.network(delay=0.05, loss=0.01)
        server = loop.host("server", network, "10.0.0.1/24", "fd00::1/64")
        client = loop.host("client", network, "10.0.0.2/24", "fd00::2/64")
        server.spawn(serve())
        loop.run_until_complete(client.spawn(ask("server")))

Invariants: equal seeds give equal histories, as long as the program draws no chance of its own and uses no threads,
signals or descriptors of the operating system; a program that waits for what will never happen ends with `Deadlock`.
What leaves the `with` block as an exception gets a note with the seed, and with the file that has the last frames.
"""

from __future__ import annotations

import asyncio
import contextvars
import ipaddress
import math
import selectors
from collections.abc import Callable, Coroutine, Mapping
from random import Random as Chance
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from mirage.net.testing import VirtualNetwork, VirtualPort
from mirage.tcpip import Settings
from mirage.tcpip.stack import Stack
from mirage.tcpip.testing.simulation import Simulation
from mirage.types.testing import Deadlock, SeededRandom, VirtualClock

from ._loop import StackEventLoop

if TYPE_CHECKING:
    from mirage.tcpip.ip.interface import Interface

__all__ = ["SimHost", "SimLoop"]

_T = TypeVar("_T")
_current: contextvars.ContextVar[SimHost] = contextvars.ContextVar("mirage.runtime.testing.host")


class SimHost:
    """A host of a `SimLoop`. Made by `SimLoop.host`."""

    def __init__(self, loop: SimLoop, name: str, stack: Stack) -> None:
        self.name = name
        self.stack = stack
        self.ports: list[VirtualPort] = []
        """Its ports, in the order of `attach`: to put a `bottleneck` before them, or to close them."""
        self._loop = loop

    def attach(self, network: VirtualNetwork, *addresses: str, mtu: int = 1500) -> Interface:
        """Plug into a network, with addresses like ``10.0.0.1/24``."""
        return self._loop.plug(self, network, addresses, mtu)

    def spawn(self, program: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Run a program on this host."""
        context = contextvars.copy_context()
        context.run(_current.set, self)
        return self._loop.create_task(program, context=context)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class SimLoop(StackEventLoop):
    """An event loop in virtual time with any number of hosts."""

    def __init__(self, seed: int = 0, *, capture: int | None = 4 << 20) -> None:
        """`capture`: how many octets of the last frames are kept for a failure; None keeps none, and is faster."""
        self._simulation = Simulation(seed, capture=capture)
        self.chance: Chance = self._simulation.chance
        """The source of all chance: draw from it what a program needs of its own."""
        clock = self._simulation.clock
        super().__init__(random=SeededRandom(seed, predictable=True), selector=_VirtualSelector(clock))
        self._clock_resolution = 1e-9
        self.turn.stacks.clear()
        self.hosts: list[SimHost] = []

    def time(self) -> float:
        """Virtual seconds."""
        return self._simulation.clock.elapsed_ns() / 1e9

    @property
    def stack(self) -> Stack:
        """The stack of the host that the running task was spawned on."""
        try:
            return _current.get().stack
        except LookupError:
            raise RuntimeError("this task is on no host: spawn it with SimHost.spawn()") from None

    def run_in_executor(self, executor: object, func: Callable[..., _T], *args: Any) -> asyncio.Future[_T]:  # type: ignore[override]
        """Call `func` now, on this thread, so that no thread brings chance into the order of things."""
        future: asyncio.Future[_T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def network(self, **properties: Any) -> VirtualNetwork:
        """A switch; the properties are those of `mirage.tcpip.testing.simulation.Simulation.network`."""
        return self._simulation.network(**properties)

    def host(
        self, name: str, network: VirtualNetwork | None = None, *addresses: str, settings: Settings | None = None,
        mtu: int = 1500,
    ) -> SimHost:  # fmt: skip
        """A host, attached to `network` if there is one; the others know its addresses by its name."""
        stack = Stack(
            random=SeededRandom(self.chance.getrandbits(32), predictable=True), now=self.time(), settings=settings
        )
        host = SimHost(self, name, stack)
        self.hosts.append(host)
        self.turn.stacks.append(stack)
        if network is not None:
            host.attach(network, *addresses, mtu=mtu)
        return host

    def plug(self, host: SimHost, network: VirtualNetwork, addresses: tuple[str, ...], mtu: int) -> Interface:
        """What `SimHost.attach` does."""
        port = network.port(mac=self._simulation.next_mac(), mtu=mtu, capacity=1 << 20)
        name = f"eth{len(host.ports)}"
        interface = self.attach(port, name, stack=host.stack)
        self._simulation.name_port(port, f"{host.name}.{name}")
        host.ports.append(port)
        texts = []
        for address in addresses:
            parsed = ipaddress.ip_interface(address)
            host.stack.ip.add_address(interface, parsed.ip.packed, parsed.network.prefixlen)
            texts.append(str(parsed.ip))
        known = [str(ipaddress.ip_address(octets)) for octets in self.resolver.hosts.get(host.name.lower(), [])]
        self.resolver.add_host(host.name, known + texts)
        return interface

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                error.add_note(self._simulation.explain())
            tasks = asyncio.all_tasks(self)
            for task in tasks:
                task.cancel()
            if tasks:
                self.run_until_complete(asyncio.wait(tasks))
        finally:
            self.close()


class _VirtualSelector(selectors.BaseSelector):
    """Waits by moving the clock to the next thing that happens on a network. Knows files, but never finds one ready."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._files: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, number, events, data)
        self._files[number] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._files.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        clock = self._clock
        now = clock.elapsed_ns()
        due = clock.next_timer()
        if timeout is None and due is None:
            raise Deadlock(f"at {now / 1e9:.6f} s everybody waits for what will not happen")
        until = math.inf if timeout is None else now + math.ceil(max(timeout, 0) * 1e9)
        if due is not None and due < until:
            until = max(due, now)
        clock.advance_ns(int(until) - now)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._files
