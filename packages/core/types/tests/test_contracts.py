"""The memory devices keep the contracts that every device is held to."""

from mirage.types import Block, Network
from mirage.types.testing import BlockContract, MemoryBlock, NetworkContract, memory_link


class TestMemoryBlock(BlockContract):
    def make_block(self, sectors: int, *, writable: bool = True) -> Block:
        return MemoryBlock(sectors, writable=writable)


class TestMemoryNetwork(NetworkContract):
    def make_link(self, mtu: int) -> tuple[Network, Network]:
        return memory_link(mtu=mtu)
