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
from .gateway import Gateway, bind
from .plan import Plan
from .policy import Policy, Rule, parse_rule
from .publish import Publication, parse_publication

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
