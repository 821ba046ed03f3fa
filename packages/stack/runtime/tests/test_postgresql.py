"""asyncpg, unmodified, on the stack, with a real PostgreSQL on the kernel's side of a TAP."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirage.net import TapNetwork
from mirage.runtime import StackEventLoop, installed

pytestmark = [
    pytest.mark.root,
    pytest.mark.tool("ip"),
    pytest.mark.tool("pg_lsclusters"),
    pytest.mark.slow,
    pytest.mark.usefixtures("namespace"),
]

KERNEL, OURS = "10.9.0.1", "10.9.0.2"
USER = "postgres"
"""The Debian package makes it; the server refuses to be root."""


@pytest.fixture
def loop(namespace: None) -> Iterator[StackEventLoop]:
    """A loop on a TAP that is up."""
    loop, tap = StackEventLoop(), TapNetwork("test%d")
    subprocess.run(["ip", "address", "add", f"{KERNEL}/24", "dev", tap.name], check=True)
    subprocess.run(["ip", "link", "set", tap.name, "up"], check=True)
    loop.stack.ip.add_address(loop.attach(tap), ipaddress.ip_address(OURS).packed, 24)
    yield loop
    loop.close()
    tap.close()


@pytest.fixture
def server(loop: StackEventLoop) -> Iterator[None]:
    """A server with a database of its own, in a folder that its user may reach."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    folder = Path(tempfile.mkdtemp(prefix="mirage-postgresql-"))
    try:
        shutil.chown(folder, USER, USER)
        words = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "tester", "--auth=trust", "--no-sync"]
        subprocess.run(words, user=USER, group=USER, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with (folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {OURS}/32 trust\n")
        words = [str(programs / "postgres"), "-D", str(folder / "data"), "-h", KERNEL, "-k", str(folder), "-F"]
        with subprocess.Popen(
            words,
            user=USER,
            group=USER,
            cwd=folder,
        ) as process:
            try:
                yield
            finally:
                process.send_signal(signal.SIGINT)  # without waiting for clients
                process.wait(20)
    finally:
        shutil.rmtree(folder)


def test_asyncpg(loop: StackEventLoop, server: None) -> None:
    """Queries, a transaction that is rolled back, bulk by COPY both ways, notices to a listener, and a pool."""
    import asyncpg

    async def connected() -> asyncpg.Connection:
        for _ in range(200):
            with contextlib.suppress(OSError, asyncpg.CannotConnectNowError):
                return await asyncpg.connect(host=KERNEL, user="tester", database="postgres", ssl=False)
            await asyncio.sleep(0.05)
        raise AssertionError("the server did not start")

    async def main() -> None:
        connection = await connected()
        assert await connection.fetchval("SELECT 6 * $1::int", 7) == 42
        assert str(await connection.fetchval("SELECT inet_client_addr()")) == OURS
        await connection.execute("CREATE TABLE words (number int PRIMARY KEY, word text)")
        rows = [(number, "word" * (number % 50)) for number in range(20_000)]
        await connection.copy_records_to_table("words", records=rows)
        assert [tuple(row) for row in await connection.fetch("SELECT * FROM words ORDER BY number")] == rows

        async def in_vain() -> None:
            async with connection.transaction():
                await connection.execute("DELETE FROM words WHERE number = 1")
                await connection.execute("INSERT INTO words VALUES (2, 'twice')")

        with pytest.raises(asyncpg.UniqueViolationError):
            await in_vain()
        assert await connection.fetchval("SELECT count(*) FROM words") == len(rows)

        heard: asyncio.Future[str] = loop.create_future()
        await connection.add_listener("news", lambda *words: heard.set_result(words[-1]))
        async with asyncpg.create_pool(
            host=KERNEL, user="tester", database="postgres", ssl=False, min_size=1, max_size=5
        ) as pool:
            numbers = await asyncio.gather(*(pool.fetchval("SELECT $1::int", number) for number in range(200)))
            assert numbers == list(range(200))
            await pool.execute("NOTIFY news, 'extra'")
            assert await heard == "extra"
        await connection.close()

    with installed(loop):
        loop.run_until_complete(asyncio.wait_for(main(), 60))
