"""Ethernet devices: a TAP interface of the host, and the `/dev/net0` of a unikernel, by one code path.

Both are files from which one `read` takes a frame and to which one `write` gives one, behind the 12-octet header of
virtio-net that carries the offloads. `TapNetwork` and `DeviceNetwork` fit `mirage.types.OffloadNetwork`; they differ
only in how they are opened, and so does `SocketNetwork`, which has another program at its other end.
`mirage.net.testing` has networks for tests, with and without a kernel.
"""

from ._device import DeviceNetwork
from ._socket import SocketNetwork
from ._tap import TapNetwork
from ._wire import HEADER_SIZE, build_header, build_offload_request, parse_header, parse_offload_request
from .errors import BadOffload, MalformedHeader, NetworkUnavailable

__all__ = [
    "HEADER_SIZE",
    "BadOffload",
    "DeviceNetwork",
    "MalformedHeader",
    "NetworkUnavailable",
    "SocketNetwork",
    "TapNetwork",
    "build_header",
    "build_offload_request",
    "parse_header",
    "parse_offload_request",
]
