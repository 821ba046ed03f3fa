"""Every number of the stack that a user may choose, with its default: one frozen value, given once to `Stack`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]

_KIB = 1024
_MIB = 1024 * _KIB


@dataclass(frozen=True, slots=True)
class Settings:
    """Times are in seconds, sizes in octets."""

    # IP
    hop_limit: int = 64
    accept_redirects: bool = False
    """Whether ICMP redirects change routes (RFC 1122 3.2.2.2, RFC 4861 8.3). Off: mostly they are an attack."""
    max_fragments_octets: int = 4 * _MIB
    """Octets that wait for reassembly, over all packets of both versions."""
    max_fragmented_packets: int = 256
    reassembly_timeout: float = 30.0
    """RFC 8200 4.5 asks for 60; most stacks take 30, as RFC 791 suggests 15 and up."""
    max_neighbours: int = 1024
    max_paths: int = 4096
    max_routes: int = 1024
    path_mtu_lifetime: float = 600.0
    """RFC 1191 6.3, RFC 8201 5.3: after this a larger packet is tried again."""
    icmp_errors_per_second: float = 100.0
    icmp_error_burst: int = 50
    duplicate_address_probes: int = 1
    """RFC 4862 5.1 DupAddrDetectTransmits; 0 turns duplicate address detection off, for IPv4 (RFC 5227) too."""
    optimistic_addresses: bool = True
    """Whether an address is used while it is being checked for duplicates (RFC 4429), so that a boot does not wait."""
    autoconfigure: bool = True
    """Whether what routers advertise makes IPv6 addresses, routes and parameters (RFC 4861 6.3, RFC 4862 5.5)."""
    router_solicitations: int = 3
    """How often routers are asked for when an interface is added (RFC 4861 10); 0: only those are heard that speak."""
    temporary_addresses: bool = True
    """Whether SLAAC makes temporary addresses (RFC 8981), and IPv6 connections go out from them."""
    address_secret: bytes = b""
    """The key that stable IPv6 addresses are made with (RFC 7217 5), 16 octets or more that nobody else knows; empty:
    drawn at start, so that a host has other addresses after each."""

    # UDP
    max_udp_endpoints: int = 4096
    udp_receive_buffer: int = 256 * _KIB

    # TCP
    max_connections: int = 65536
    max_half_open: int = 1024
    """Above this, or above a listener's backlog, SYNs are answered with cookies (RFC 4987 3.6)."""
    max_time_wait: int = 16384
    receive_buffer: int = 4 * _MIB
    """The largest window that is offered to a peer; it starts smaller and grows with use."""
    send_buffer: int = 4 * _MIB
    """Octets that `Connection.write` takes before it says that it wants no more; nothing is refused."""
    congestion_control: str = "cubic"
    """``cubic`` (RFC 9438 with HyStart++, RFC 9406), ``reno`` (RFC 5681), or ``westwood``, for links that lose packets
    without being congested."""
    initial_window: int = 10
    """Segments (RFC 6928)."""
    rto_min: float = 0.2
    """RFC 6298 2.4 says 1 s and lets a shorter one be chosen with care; Linux takes 0.2 s."""
    rto_initial: float = 1.0
    rto_max: float = 60.0
    delayed_ack: float = 0.04
    """At most 0.5 s (RFC 9293 3.8.6.3)."""
    syn_retries: int = 6
    user_timeout: float = 900.0
    """How long data may stay unacknowledged before the connection is given up (RFC 9293 3.8.3, RFC 5482)."""
    time_wait: float = 60.0
    """Twice the maximum segment lifetime (RFC 9293 3.4.2), as Linux has it."""
    fin_wait_2: float = 60.0
    """How long a connection that the application has closed waits for the peer's FIN."""
    keepalive_idle: float = 7200.0
    keepalive_interval: float = 75.0
    keepalive_probes: int = 9
    ecn: bool = True
    """Whether ECN is offered and accepted (RFC 3168)."""
    timestamps: bool = True
    sack: bool = True
    plpmtud: bool = True
    """Whether a connection probes for the path's MTU when ICMP says nothing (RFC 4821, RFC 8899)."""
