"""For tests of what runs over the stack: hosts and networks in virtual time, and a scripted peer.

* `Simulation`: hosts with stacks of their own on seeded networks; a failure names its seed and leaves a capture.
* `Exchange`, `serve`: an application at either end of a connection, whose streams are hashed.
* `mirage.tcpip.testing.script`: a scripted peer, in packetdrill's notation.
* `mirage.tcpip.testing.packetdrill`: packetdrill itself against the stack, in virtual time.
* `mirage.tcpip.testing.netsim`: smoltcp's published benchmark of loss and buffers.
"""

from .exchange import Exchange, serve
from .simulation import CAPTURES, Host, Simulation

__all__ = ["CAPTURES", "Exchange", "Host", "Simulation", "serve"]
