"""Deterministic devices and contract suites for tests. Nothing here belongs in a program that runs for real.

* `VirtualClock`, `VirtualLoop`, `run_virtual`: time that passes only when the test says so, or when every asyncio task
  waits for it. No test needs to sleep.
* `memory_link`: the two ends of an Ethernet cable, with seeded loss, duplication, delay and reordering.
* `MemoryBlock`, `MemoryConsole`, `SeededRandom`: the other devices, in memory.
* `KeyValueROContract`, `KeyValueRWContract`, `BlockContract`, `NetworkContract`: what every such device promises, as
  tests that a device's own tests inherit.
* `cost`: what a call takes, counted rather than timed, for tests of what reads octets from outside.
"""

from ._block import BlockContract
from ._cost import Cost, cost
from ._devices import MemoryBlock, MemoryConsole, SeededRandom
from ._ethernet import NetworkContract
from ._keyvalue import SAMPLE_TREE, KeyValueROContract, KeyValueRWContract
from ._network import MemoryNetwork, memory_link
from ._time import Deadlock, VirtualClock, VirtualLoop, run_virtual

__all__ = [
    "SAMPLE_TREE",
    "BlockContract",
    "Cost",
    "Deadlock",
    "KeyValueROContract",
    "KeyValueRWContract",
    "MemoryBlock",
    "MemoryConsole",
    "MemoryNetwork",
    "NetworkContract",
    "SeededRandom",
    "VirtualClock",
    "VirtualLoop",
    "cost",
    "memory_link",
    "run_virtual",
]
