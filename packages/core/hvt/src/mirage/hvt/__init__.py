"""Builds a Python application into one image, and boots it as a virtual machine on /dev/kvm with no other kernel in it.

`build` (in `mirage.hvt.image`) makes the image: library OS, CPython, modules, files, with their page permissions and
page tables. `Tender` (in `mirage.hvt.tender`) runs one. On the command line: `mirage-hvt build` and `mirage-hvt run`.
"""

from __future__ import annotations

from mirage.hvt.errors import BuildError, GuestFault, HostError, HvtError, ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mirage.hvt.devices import Disk, FrameSocket, Tap
    from mirage.hvt.image import Image, build
    from mirage.hvt.tender import Tender

__all__ = [
    "BuildError",
    "Disk",
    "FrameSocket",
    "GuestFault",
    "HostError",
    "HvtError",
    "Image",
    "ImageError",
    "Tap",
    "Tender",
    "build",
]


def __getattr__(name: str) -> object:
    """The builder and the tender are imported when they are used: booting must not wait for the builder."""
    if name in {"Image", "build"}:
        from mirage.hvt import image

        return getattr(image, name)
    if name in {"Disk", "FrameSocket", "Tap"}:
        from mirage.hvt import devices

        return getattr(devices, name)
    if name == "Tender":
        from mirage.hvt.tender import Tender

        return Tender
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
