"""STAND-IN: replaced by the real one."""
from __future__ import annotations
import ipaddress
from collections.abc import Callable
from typing import Any
from mirage.types import FrameMeta, Offload
from mirage.types.devices import Buffer

class Interface:
    def __init__(self, name, index, mac, mtu, offload=Offload.NONE, max_frame=None):
        self.name, self.index, self.mac, self.mtu, self.offload = name, index, mac, mtu, offload
        self.max_frame = max_frame or mtu + 14
        self.output: list[tuple[FrameMeta, list[Buffer]]] = []
        self.tap: Callable[..., None] | None = None
        self.addresses: dict[bytes, int] = {}
        self.transparent = False
    def take_output(self):
        out = self.output
        if out: self.output = []
        return out
