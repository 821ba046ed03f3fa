"""TLS 1.3 and 1.2, client and server, as a pure state machine.

Pure functions from bytes to values and back; nothing here does I/O.
"""

from ._wire import MAX_LENGTH, build, parse
from .errors import InvalidMessage, MessageTooLong, TlsError

__all__ = ["MAX_LENGTH", "InvalidMessage", "MessageTooLong", "TlsError", "build", "parse"]
