"""Everything between Ethernet and the transports: ARP and NDP, IPv4 and IPv6, ICMP, fragments, paths, groups."""
