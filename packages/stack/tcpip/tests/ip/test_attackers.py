"""THC's IPv6 attack toolkit against the stack: each malformed packet gets the answer that it deserves, and it lives on.

What the toolkit calls FAILED is that a strange packet was not answered, which is often right.
"""

from __future__ import annotations

import pytest
from mirage.tcpip.settings import Settings
from taphost import OURS6, TapHost

pytestmark = [
    pytest.mark.root,
    pytest.mark.tool("ip", "ping", "atk6-implementation6"),
    pytest.mark.usefixtures("namespace"),
    pytest.mark.slow,
]

PROBLEM = "error reply [4:{}]".format
"""ICMPv6 Parameter Problem (RFC 4443 3.4): 0 for a wrong field, 1 for a wrong header, 2 for a wrong option."""
SILENCE, ANSWER = "no reply", "we got a reply"
CASES = {
    "rfc8200_4_1_a_second_hop_by_hop_header": (3, PROBLEM(1)),
    "rfc8200_4_1_a_second_destination_header": (7, ANSWER),
    "rfc8200_4_5_fragments": (11, ANSWER),
    "rfc6946_a_packet_in_one_fragment": (12, ANSWER),
    "rfc5722_fragments_that_overlap": (16, SILENCE),
    "rfc5095_a_source_route_that_is_over": (18, ANSWER),
    "rfc5095_a_source_route": (19, PROBLEM(0)),
    "rfc4620_who_are_you": (28, SILENCE),
    "rfc4291_2_7_from_a_group": (36, SILENCE),
    "rfc4861_7_1_1_a_solicitation_from_afar": (42, SILENCE),
    "rfc8200_4_2_an_unknown_option_that_matters": (49, PROBLEM(2)),
    "rfc8200_8_1_a_wrong_checksum": (54, SILENCE),
}


@pytest.mark.parametrize("case", CASES)
def test_implementation(case: str) -> None:
    """The clause is in the name."""
    number, expected = CASES[case]
    with TapHost() as host:
        host.run("ping", "-c1", "-W9", OURS6)  # so that the two know each other
        _, output = host.run("atk6-implementation6", "-p", host.name, OURS6, str(number), patience=60)
        assert expected in output, (output, dict(host.stack.counters))


FUZZED = {
    "echo requests": "-1",
    "solicitations": "-2",
    "advertisements": "-3",
    "router advertisements": "-4",
    "group queries": "-7",
    "group queries, version 2": "-9",
    "node queries": "-0",
    "headers": "-IFSDHJ",
    "SYNs": "-s80",
}


@pytest.mark.parametrize("kind", FUZZED)
def test_fuzz(kind: str) -> None:
    """All values of each octet that says what kind or how long: the stack answers the kernel afterwards."""
    # Whose address is still being checked believes who says that it is his (RFC 4862 5.4.3).
    with TapHost(settings=Settings(duplicate_address_probes=0)) as host:
        host.stack.listen(80, version=6)
        # Not with the toolkit's own question whether it lives: what some of these say of the kernel's Ethernet address
        # is believed for the ten seconds until nobody is found there (RFC 4861 7.2.3, 7.3.3).
        host.run("atk6-fuzz_ip6", "-a", "-x", FUZZED[kind], host.name, OURS6, patience=120)
        counters = host.stack.counters
        assert counters["ip.malformed"] + counters["tcp.malformed"] + counters["ping.unasked"] > 0, dict(counters)
        status, output = host.run("ping", "-c1", "-w30", OURS6, patience=60)
        assert status == 0, output
