"""The driver in a guest on /dev/kvm: the contract of every block device, run inside it, on disks of the host."""

from __future__ import annotations

from pathlib import Path

import mirage.block
import mirage.types.testing
import pytest
from mirage.block import FileBlock
from mirage.hvt import Disk, Tender, build

pytestmark = [pytest.mark.kvm, pytest.mark.tool("gcc"), pytest.mark.slow]

CONTRACT = """
import os
from mirage.block import BlockUnavailable, FileBlock
from mirage.types.testing import BlockContract

class Contract(BlockContract):
    def make_block(self, sectors, *, writable=True):
        path = f"/dev/blk{sectors}"
        disk = os.open(path, os.O_RDWR)
        if sectors:
            os.pwrite(disk, bytes(512 * sectors), 0)
        os.close(disk)
        return FileBlock(path, writable=writable)

for name in sorted(dir(Contract)):
    if name.startswith("test_"):
        getattr(Contract(), name)()
        print(name)

try:
    FileBlock("/dev/shared", writable=True)
except BlockUnavailable as error:
    print(error)
with FileBlock("/dev/shared") as shared:
    print(shared.sectors, shared.read(2047)[:5])
with FileBlock("/dev/large", writable=True, sector_size=4096) as large:
    for n in range(0, large.sectors, 1000):
        large.write(n, n.to_bytes(4, "big") * 1024 * 3)
    large.flush()
    print(large.sectors, len(large.read(0, 9000)))
"""
SIZES = (0, 1, 2, 3, 4, 5, 7, 9)


def test_the_contract_holds_in_a_unikernel(tmp_path: Path) -> None:
    """Each promise, on disks of every size it asks for; read-only ones are that; long transfers arrive whole."""
    (tmp_path / "main.py").write_text(CONTRACT)
    folders = sorted({str(Path(str(module.__file__)).parents[2]) for module in (mirage.block, mirage.types)})
    disks = {f"blk{n}": Disk(tmp_path / f"disk{n}") for n in SIZES}
    disks |= {"shared": Disk(tmp_path / "shared", read_only=True), "large": Disk(tmp_path / "large")}
    for n in SIZES:
        (tmp_path / f"disk{n}").write_bytes(b"\xff" * 512 * n)
    (tmp_path / "shared").write_bytes(bytes(512 * 2047) + b"last!".ljust(512, b"\0"))
    mirage.block.create(tmp_path / "large", 10_000, sector_size=4096).close()
    said: list[bytes] = []
    image = build(
        tmp_path / "image.hvt",
        tmp_path / "main.py",
        modules=("mirage.types.testing",),
        path=folders,
        devices=dict.fromkeys(disks, "block"),
    )
    with FileBlock(tmp_path / "shared"), Tender(image.path, console=said.append, devices=disks) as tender:
        status = tender.run()
    output = b"".join(said).decode()
    assert status == 0, output
    promises = [name for name in sorted(dir(mirage.types.testing.BlockContract)) if name.startswith("test_")]
    assert output.splitlines() == [
        *promises,
        "/dev/shared cannot be opened: Read-only file system",
        "2048 b'last!'",
        f"10000 {9000 * 4096}",
    ]
    with FileBlock(tmp_path / "large", sector_size=4096) as large:
        for n in range(0, 10_000, 1000):
            assert large.read(n, 4) == n.to_bytes(4, "big") * 1024 * 3 + bytes(4096)
