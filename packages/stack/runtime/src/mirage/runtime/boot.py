"""What a generated main.py imports: `run`, with the network's boot arguments as they were typed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from mirage.net import NetworkUnavailable

from ._configure import Configuration, Guest, open_device
from ._configure import run as run_configured
from .errors import NoAddress, RuntimeMisuse

__all__ = ["run"]

_T = TypeVar("_T")


def run(
    main: Coroutine[Any, Any, _T],
    device: str,
    *,
    ipv4: str,
    ipv6: str,
    gateway: str,
    dns: str,
    inspect: str = "",
    guest: Guest | None = None,
) -> _T:
    """`mirage.runtime.run`, for whoever reads a console: a network that cannot be had is one line that says why.

    Raises what `main` raises, and `SystemExit` with that line.
    """
    try:
        configuration = Configuration.parse(ipv4=ipv4, ipv6=ipv6, gateway=gateway, dns=dns)
        network = open_device(device)
    except (NetworkUnavailable, RuntimeMisuse) as error:
        main.close()
        raise SystemExit(f"network: {error}") from None
    try:
        return run_configured(main, network, configuration=configuration, inspect=inspect, guest=guest)
    except (NoAddress, RuntimeMisuse) as error:
        raise SystemExit(f"network: {error}") from None
