"""What can go wrong with entropy. All of it is the machine's doing; nothing here comes from a peer."""

from mirage.types import DeviceError, MirageError

__all__ = ["EntropyError", "EntropyUnavailable", "SourceUnavailable", "Unhealthy"]


class EntropyError(MirageError):
    """Root of this package's errors."""


class SourceUnavailable(EntropyError, DeviceError):
    """This machine does not have the source, or does not let us use it; the message says which and why."""


class Unhealthy(EntropyError, DeviceError):
    """The source failed a health test (SP 800-90B section 4.4): nothing of it may be used."""


class EntropyUnavailable(EntropyError, DeviceError):
    """Too few sources work to seed a generator: no key may be made on this machine."""
