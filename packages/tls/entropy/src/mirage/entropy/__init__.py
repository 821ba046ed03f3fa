"""Entropy for random generators, of a process and of a guest.

`Harvester` takes samples from sources (`GetRandom`, `Rdrand`, `TimerJitter`, or any `Source`), tests them for health
after SP 800-90B, feeds a generator with them, and does so anew when a virtual machine goes on from a snapshot.
`mirage.entropy.health` has the tests; `mirage.crypto.random.Fortuna` is such a generator.
"""

from .errors import EntropyError, EntropyUnavailable, SourceUnavailable, Unhealthy
from .harvest import Guest, Harvester, Sink, system_sources
from .health import HealthTests
from .sources import GetRandom, Rdrand, Source, TimerJitter

__all__ = [
    "EntropyError",
    "EntropyUnavailable",
    "GetRandom",
    "Guest",
    "Harvester",
    "HealthTests",
    "Rdrand",
    "Sink",
    "Source",
    "SourceUnavailable",
    "TimerJitter",
    "Unhealthy",
    "system_sources",
]
