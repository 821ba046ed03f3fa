"""A network for guests and processes, made by an ordinary program: no root, no interface of the host, no rule of its
firewall.

`Gateway` is the network: a switch that guests plug into by sockets of frames, with DHCP, router advertisements and
names; ways out, to whom a `Rule` permits; and ways in, from ports that are published. All of TCP and IP on it is
`mirage.tcpip`; the other half of each connection is an ordinary socket.

    gateway = Gateway(rules=[parse_rule("127.0.0.1:5432", resolve)], publish=[parse_publication("8080:80")])
    sock, mac = gateway.socket_pair()

`mirage-gateway run -- COMMAND` does it for a command.
"""

from .errors import BadOption, GatewayError, HostUnavailable
from .plan import Plan
from .policy import Policy, Rule, parse_rule
from .publish import Publication, parse_publication

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._bind import bind
    from .gateway import Gateway

__all__ = [
    "BadOption",
    "Gateway",
    "GatewayError",
    "HostUnavailable",
    "Plan",
    "Policy",
    "Publication",
    "Rule",
    "bind",
    "parse_publication",
    "parse_rule",
]


def __getattr__(name: str) -> object:
    """The stack is loaded when it is used: `mirage-gateway run` starts its command first."""
    if name == "Gateway":
        from .gateway import Gateway

        return Gateway
    if name == "bind":
        from ._bind import bind

        return bind
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
