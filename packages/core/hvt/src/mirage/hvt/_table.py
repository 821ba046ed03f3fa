"""The table of devices in the shared page: what an image needs, and what its tender has for it (hostdev.h)."""

from __future__ import annotations

import struct

from mirage.hvt.errors import BuildError, ImageError
from mirage.libos import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

L = layout()
_ENTRY = struct.Struct("<16s5Q8s")
PLACE = L["SHARED_ADDRESS"] - L["IMAGE_BASE"] + L["SHARED_DEVICES"]
"""Where the table lies in an image, in octets."""
SIZE = L["DEVICES"] * L["DEVICE_SIZE"]
KINDS = {"net": L["DEVICE_NET"], "block": L["DEVICE_BLOCK"]}
_KIND_NAMES = {kind: name for name, kind in KINDS.items()}
_TAKEN = {
    *("null", "zero", "full", "random", "urandom", "console", "tty", "snapshot"),
    *("fd", "stdin", "stdout", "stderr", "shm", "ptmx", "pts", "mem"),
}
"""What is below /dev already, or is something else on every Linux."""
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


class Entry:
    """One device: its name, its kind ("net" or "block"), and what the tender tells of it."""

    __slots__ = ("flags", "kind", "mac", "name", "offload", "rings", "size")

    def __init__(
        self, name: str, kind: str, size: int = 0, flags: int = 0, rings: int = 0, offload: int = 0, mac: bytes = b""
    ) -> None:
        self.name = name
        self.kind = kind
        self.size = size
        self.flags = flags
        self.rings = rings
        self.offload = offload
        self.mac = mac

    def pack(self) -> bytes:
        """The entry as `struct device` of hostdev.h."""
        words = self.size, self.flags, self.rings, self.offload
        return _ENTRY.pack(self.name.encode(), KINDS[self.kind], *words, self.mac)


def why_not(name: str) -> str:
    """Why this cannot be a device's name; nothing when it can."""
    if not name or name[0] not in _LETTERS or not name[0].isalpha() or not _LETTERS.issuperset(name):
        return f"{name!r} is no name of a device: small letters, digits, - and _, a letter first, as in net0"
    if len(name) >= L["DEVICE_NAME"]:
        return f"{name!r} is no name of a device: it has more than {L['DEVICE_NAME'] - 1} letters"
    if name in _TAKEN:
        return f"{name!r} is no name for this device: /dev/{name} is something else"
    return ""


def needed(devices: Mapping[str, str]) -> bytes:
    """The table of an image that needs these devices, kinds by name. Raises `BuildError`."""
    for name, kind in devices.items():
        if reason := why_not(name):
            raise BuildError(reason)
        if kind not in KINDS:
            raise BuildError(f"the device {name} is {kind!r}, and there are only {' and '.join(KINDS)}")
    if len(devices) > L["DEVICES"]:
        raise BuildError(f"{len(devices)} devices, and an image has {L['DEVICES']} at most")
    return b"".join(Entry(name, kind).pack() for name, kind in sorted(devices.items()))


def read(data: bytes) -> list[Entry]:
    """The entries of a table. Raises `ImageError`."""
    found: list[Entry] = []
    for at in range(0, SIZE, L["DEVICE_SIZE"]):
        raw, kind, size, flags, rings, offload, mac = _ENTRY.unpack_from(data, at)
        if not kind:
            break
        name = raw.rstrip(b"\0").decode("latin-1")
        if kind not in _KIND_NAMES or why_not(name) or name in {entry.name for entry in found}:
            raise ImageError("the image's table of devices is damaged; build it again")
        found.append(Entry(name, _KIND_NAMES[kind], size, flags, rings, offload, mac[:6]))
    return found
