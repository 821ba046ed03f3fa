"""An almanac: the date, and a saying for the day of the week."""

import datetime

from mirage.types import Console, KeyValueRO, WallClock


async def main(console: Console, clock: WallClock, sayings: KeyValueRO, who: str) -> None:
    """Write one line."""
    today = datetime.datetime.fromtimestamp(clock.now_ns() / 1e9, datetime.UTC)
    saying = sayings.get(f"{today:%A}.txt".lower())
    console.write(f"{today:%Y-%m-%d}, {who}: {saying.decode().strip()}\n".encode())
