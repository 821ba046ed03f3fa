"""The targets: what `mirage build -t TARGET` makes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from mirage.functoria import nearest

from .errors import UsageError

__all__ = ["DEFAULT", "TARGETS", "Target", "find_target"]


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of artifact. One that is not `built` is known by name only.

    `stack`: it has no network but that of a TCP/IP stack of its own. `guest`: the package with what a program does when
    it is saved. `lacks` says of each thing of the host that devices use, and that this target does not have, why.
    """

    name: str
    doc: str
    built: bool = False
    suffix: str = ""
    stack: bool = False
    guest: str = ""
    lacks: Mapping[str, str] = field(default_factory=dict)


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("unix", "one self-contained .pyz, run by the host's Python", built=True, suffix=".pyz"),
        Target(
            "hvt",
            "an image for a virtual machine under /dev/kvm",
            built=True,
            suffix=".hvt",
            stack=True,
            guest="mirage-hvt>=0.1,<0.2",
            lacks={
                "files": "opens files of the host, which a virtual machine does not see; crunch(...) builds them in",
            },
        ),
        Target("virtio", "an image for QEMU and clouds"),
        Target("aarch64", "the hvt image for 64-bit Arm"),
        Target("browser", "a page that runs the unikernel in a browser"),
    )
}

DEFAULT = "unix"


def find_target(name: str | None, *, environment: Mapping[str, str] = os.environ) -> Target:
    """The target of that name; without one, that of MIRAGE_TARGET or the default. Raises `UsageError`."""
    name = name or environment.get("MIRAGE_TARGET") or DEFAULT
    if name not in TARGETS:
        listed = ", ".join(one if target.built else f"{one} (not built yet)" for one, target in TARGETS.items())
        raise UsageError(f"there is no target {name!r}.{nearest(name, TARGETS)} The targets: {listed}")
    if not TARGETS[name].built:
        ready = ", ".join(one for one, target in TARGETS.items() if target.built)
        raise UsageError(f"the target {name!r} ({TARGETS[name].doc}) is not built yet; what can be built: {ready}")
    return TARGETS[name]
