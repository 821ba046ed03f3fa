"""What can go wrong: local misuse, a name that is not there, and servers that fail are different classes."""

from mirage.types import MirageError

__all__ = [
    "BadName",
    "BadZone",
    "DnsError",
    "InvalidMessage",
    "LocalMisuse",
    "NameNotFound",
    "NoData",
    "NoServers",
    "ResolutionFailed",
    "ServersFailed",
    "TimedOut",
    "TooManyQueries",
]


class DnsError(MirageError):
    """Root of this package's errors."""


class LocalMisuse(DnsError):
    """The caller asked for what cannot be done; the message says what to do instead."""


class BadName(LocalMisuse, ValueError):
    """The text is no domain name: a label has 1 to 63 octets, a name at most 255."""


class BadZone(LocalMisuse, ValueError):
    """A zone file cannot be read, or is no whole zone; the message names the line."""


class NoServers(LocalMisuse):
    """A name has to be asked for, and no name server is known."""


class TooManyQueries(LocalMisuse):
    """More questions are under way than the settings permit."""


class ResolutionFailed(DnsError):
    """Root of what a lookup can end with."""


class NameNotFound(ResolutionFailed):
    """There is no such name (NXDOMAIN)."""


class NoData(ResolutionFailed):
    """The name exists and has no record of this type."""


class TimedOut(ResolutionFailed):
    """No server answered in time."""


class ServersFailed(ResolutionFailed):
    """The servers answered that they cannot (SERVFAIL, REFUSED and the like), or what they answered made no sense."""


class InvalidMessage(DnsError, ValueError):
    """Octets from outside are no message of DNS. A parser raises it; servers and resolvers count and drop."""
