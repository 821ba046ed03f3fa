"""What can go wrong: local misuse and remote misbehaviour are different classes."""

from mirage.types import MirageError

__all__ = ["BadConfiguration", "DhcpError", "InvalidMessage", "MessageTooLong"]


class DhcpError(MirageError):
    """Root of this package's errors."""


class BadConfiguration(DhcpError, ValueError):
    """Local misuse: the settings contradict themselves; the message says where."""


class MessageTooLong(DhcpError, ValueError):
    """Local misuse: the options do not fit into a message of the size that is allowed."""


class InvalidMessage(DhcpError, ValueError):
    """Remote misbehaviour: the octets are no message, or an option is not what its code says.

    A parser raises it; `Client.input` and `Server.input` never do: they count and drop.
    """
