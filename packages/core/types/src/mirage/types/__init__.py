"""What every package shares: the device Protocols, the error root, the definition of a key.

A library takes its devices as arguments, typed by the Protocols of `mirage.types.devices`; it raises subclasses of
`MirageError`. `mirage.types.testing` holds a virtual clock and memory devices for tests. Nothing here does I/O.

Each name is imported when it is first used: a program that wants the error root alone, as the tender of a guest does
when it boots, does not wait for `dataclasses` and `hashlib`.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .devices import (
        Block,
        Buffer,
        Console,
        Info,
        KeyValueRO,
        KeyValueRW,
        Kind,
        MonotonicClock,
        Network,
        NetworkStats,
        Random,
        WallClock,
    )
    from .digests import DIGEST_SIZE, value_digest
    from .errors import (
        DeviceClosed,
        DeviceError,
        DirectoryExpected,
        InvalidKey,
        KeyValueError,
        MirageError,
        NoSpace,
        NotFound,
        OutOfRange,
        ValueExpected,
    )
    from .keys import check_key, split_key
    from .offload import Checksum, FrameMeta, Offload, OffloadNetwork, Segmentation
    from .walk import walk

__all__ = [
    "DIGEST_SIZE",
    "Block",
    "Buffer",
    "Checksum",
    "Console",
    "DeviceClosed",
    "DeviceError",
    "DirectoryExpected",
    "FrameMeta",
    "Info",
    "InvalidKey",
    "KeyValueError",
    "KeyValueRO",
    "KeyValueRW",
    "Kind",
    "MirageError",
    "MonotonicClock",
    "Network",
    "NetworkStats",
    "NoSpace",
    "NotFound",
    "Offload",
    "OffloadNetwork",
    "OutOfRange",
    "Random",
    "Segmentation",
    "ValueExpected",
    "WallClock",
    "check_key",
    "split_key",
    "value_digest",
    "walk",
]

_HOMES = {
    "devices": (
        *("Block", "Buffer", "Console", "Info", "KeyValueRO", "KeyValueRW", "Kind", "MonotonicClock", "Network"),
        *("NetworkStats", "Random", "WallClock"),
    ),
    "digests": ("DIGEST_SIZE", "value_digest"),
    "errors": (
        *("DeviceClosed", "DeviceError", "DirectoryExpected", "InvalidKey", "KeyValueError", "MirageError", "NoSpace"),
        *("NotFound", "OutOfRange", "ValueExpected"),
    ),
    "keys": ("check_key", "split_key"),
    "offload": ("Checksum", "FrameMeta", "Offload", "OffloadNetwork", "Segmentation"),
    "walk": ("walk",),
}


def __getattr__(name: str) -> object:
    """Import a public name from the module that holds it (PEP 562)."""
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            value: object = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
