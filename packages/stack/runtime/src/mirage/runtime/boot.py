"""What a generated main.py imports: `run`, with the network's boot arguments as they were typed."""

from ._configure import run

__all__ = ["run"]
