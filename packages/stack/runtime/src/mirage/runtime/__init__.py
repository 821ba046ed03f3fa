"""An asyncio event loop whose transports are our own TCP/IP stack.

`StackEventLoop` is `asyncio.SelectorEventLoop` with the stack (`mirage.tcpip`) in the place of the kernel's sockets:
`create_server`, `create_connection`, `create_datagram_endpoint`, `getaddrinfo`, `sock_*` and `start_tls` work as they
do anywhere, over whatever network devices are attached: a TAP, the gateway, or a unikernel's `/dev/net0`.
`mirage.runtime.testing` has the loop in virtual time.
"""

from ._configure import Configuration, configured, open_device, run
from ._install import install, installed, uninstall
from ._loop import StackEventLoop
from ._resolver import NameServer, Resolver
from ._socket import StackSocket
from .errors import NoAddress, RuntimeMisuse

__all__ = [
    "Configuration",
    "NameServer",
    "NoAddress",
    "Resolver",
    "RuntimeMisuse",
    "StackEventLoop",
    "StackSocket",
    "configured",
    "install",
    "installed",
    "open_device",
    "run",
    "uninstall",
]
