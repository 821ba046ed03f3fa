"""An upstream on loopback, for tests, benchmarks and the demonstration."""

from .upstream import Upstream

__all__ = ["Upstream"]
