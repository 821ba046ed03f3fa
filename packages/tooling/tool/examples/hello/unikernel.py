"""A unikernel that greets."""

from mirage.types import Console

GREETINGS = {"english": "Hello", "welsh": "Shwmae"}


async def main(console: Console, language: str, who: str, count: int) -> None:
    """Write the greeting `count` times."""
    for _ in range(count):
        console.write(f"{GREETINGS[language]}, {who}!\n".encode())
