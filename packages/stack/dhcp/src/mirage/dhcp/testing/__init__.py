"""For tests: UDP over IPv4 on a network device, just enough to talk DHCP with real peers without a stack."""

from ._link import DatagramLink, Received

__all__ = ["DatagramLink", "Received"]
