"""Networks for tests. Nothing here belongs in a program that runs for real.

* `VirtualNetwork`: a hub or switch with any number of ports, in virtual time, that loses, doubles, delays, reorders and
  damages frames as a seed says; a `Bottleneck` makes it slow, with a queue that overflows.
* `device_link`: two `DeviceNetwork`s joined back to back, offloads and all, without a kernel's network stack or root.
* `relay`: the same in real time, between two devices, TAPs of two namespaces for example, in a process of its own.
* `network_namespace`: a network namespace of the kernel for the current thread, for tests on a TAP; needs root.
  `namespace_or` skips a test where there can be none.
"""

from ._link import device_link
from ._namespace import namespace_or, network_namespace
from ._relay import Relay, relay
from ._virtual import Bottleneck, VirtualNetwork, VirtualPort

__all__ = [
    "Bottleneck",
    "Relay",
    "VirtualNetwork",
    "VirtualPort",
    "device_link",
    "namespace_or",
    "network_namespace",
    "relay",
]
