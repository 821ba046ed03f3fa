"""What can go wrong while an image is built or a guest runs."""

from __future__ import annotations

from mirage.types.errors import MirageError  # not through the package, whose names are looked up one by one

__all__ = ["BuildError", "GuestFault", "HostError", "HvtError", "ImageError"]


class HvtError(MirageError):
    """Root of this package's errors."""


class BuildError(HvtError):
    """The image cannot be built from what was given."""


class ImageError(HvtError):
    """The file is no image, or one of another version, or damaged."""


class HostError(HvtError):
    """This machine cannot run a guest; the message says what to do."""


class GuestFault(HvtError):
    """The guest did something that ends it; the message is the report, `registers` are the processor's by name.

    `signal` is the one by which Linux would end a process for it.
    """

    def __init__(self, report: str, registers: dict[str, int] | None = None) -> None:
        super().__init__(report)
        self.registers = registers
        self.signal = 6
