"""A guest for tests: a stack at the other end of a gateway's socket, with streams and datagrams to await."""

from ._guest import Guest, GuestStream

__all__ = ["Guest", "GuestStream"]
