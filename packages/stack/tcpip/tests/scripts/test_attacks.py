"""Segments from somebody else, and old ones, as tables: RFC 5961, RFC 7323 5 (PAWS), RFC 5927."""

from __future__ import annotations

import pytest
from mirage.tcpip.testing.script import Script

OPEN = [
    "listen",
    "< S 0:0(0) win 32792 <mss 1000>",
    "> S. 0:0(0) ack 1",
    "+.1 < . 1:1(0) ack 1 win 32792",
    "accept",
]
STAMPED = [
    "listen",
    "< S 0:0(0) win 32792 <mss 1012,TS val 1000 ecr 0>",
    "> S. 0:0(0) ack 1",
    "+.1 < . 1:1(0) ack 1 win 32792 <TS val 1100 ecr 100>",
    "accept",
]

SCRIPTS: dict[str, list[str]] = {
    "rfc6247_a_syn_with_a_fin_opens_nothing": [
        "listen",
        "< SF 0:0(0) win 32792 <mss 1000>",
        "+3 quiet",
        "nothing-to-accept",
        "counter tcp.syn-with-fin 1",
    ],
    "rfc5961_3_2_a_rst_in_the_window_is_challenged": [
        *OPEN,
        "+.1 < R 100:100(0) win 0",
        "> . 1:1(0) ack 1",
        "state ESTABLISHED",
    ],
    "rfc5961_3_2_a_rst_outside_is_nothing": [*OPEN, "+.1 < R 90000:90000(0) win 0", "+1 quiet", "state ESTABLISHED"],
    "rfc5961_3_2_a_rst_with_the_right_number_counts": [
        *OPEN,
        "+.1 < R 1:1(0) win 0",
        "state CLOSED",
        "error ConnectionReset",
    ],
    "rfc5961_4_2_a_syn_is_challenged": [
        *OPEN,
        "+.1 < S 100:100(0) win 32792",
        "> . 1:1(0) ack 1",
        "state ESTABLISHED",
    ],
    "rfc5961_4_2_a_syn_outside_the_window_too": [
        *OPEN,
        "+.1 < S 90000:90000(0) win 32792",
        "> . 1:1(0) ack 1",
        "state ESTABLISHED",
    ],
    "rfc5961_4_2_a_peer_that_has_forgotten_us_resets": [
        *OPEN,
        "+.1 < S 90000:90000(0) win 32792",
        "> . 1:1(0) ack 1",
        "+.1 < R 1:1(0) win 0",
        "state CLOSED",
    ],
    "rfc5961_5_2_an_ack_of_what_was_never_sent": [
        *OPEN,
        "+.1 < P. 1:101(100) ack 5000 win 32792",
        "> . 1:1(0) ack 1",
        "read 0",
    ],
    "rfc5961_5_2_an_ack_that_is_too_old": [
        *OPEN,
        "+.1 < P. 1:101(100) ack 4294900000 win 32792",
        "> . 1:1(0) ack 1",
        "read 0",
    ],
    "rfc7323_5_3_an_old_timestamp_is_refused": [
        *STAMPED,
        "+.1 < P. 1:101(100) ack 1 win 32792 <TS val 900 ecr 100>",
        "> . 1:1(0) ack 1 <TS val 300 ecr 1100>",
        "read 0",
        "counter tcp.paws 1",
    ],
    "rfc7323_5_3_an_equal_one_is_not": [
        *STAMPED,
        "+.1 < P. 1:101(100) ack 1 win 32792 <TS val 1100 ecr 100>",
        "+.04 > . 1:1(0) ack 101",
        "read 100",
    ],
    "rfc7323_5_3_a_rst_is_not_tested": [*STAMPED, "+.1 < R 1:1(0) win 0", "state CLOSED"],
    "rfc7323_3_2_without_a_timestamp_it_is_dropped": [
        *STAMPED,
        "+.1 < P. 1:101(100) ack 1 win 32792",
        "+1 quiet",
        "read 0",
        "counter tcp.no-timestamp 1",
    ],
    "rfc7323_4_3_the_echo_is_that_of_the_segment_that_was_due": [
        *STAMPED,
        # beyond a gap: not echoed
        "+.1 < P. 101:201(100) ack 1 win 32792 <TS val 1300 ecr 100>",
        "> . 1:1(0) ack 1 <TS val 300 ecr 1100>",
        "+.1 < P. 1:101(100) ack 1 win 32792 <TS val 1200 ecr 100>",
        "> . 1:1(0) ack 201 <TS val 400 ecr 1200>",
        "read 200",
    ],
    "rfc7323_5_3_timestamps_wrap": [
        "listen",
        "< S 0:0(0) win 32792 <mss 1012,TS val 4294967290 ecr 0>",
        "> S. 0:0(0) ack 1",
        "+.1 < . 1:1(0) ack 1 win 32792 <TS val 4294967295 ecr 100>",
        "accept",
        "+.1 < P. 1:101(100) ack 1 win 32792 <TS val 5 ecr 100>",
        "+.04 > . 1:1(0) ack 101 <TS val 340 ecr 5>",
        "read 100",
    ],
    "rfc6191_2_a_newer_timestamp_takes_time_wait_over": [
        *STAMPED,
        "close",
        "> F. 1:1(0) ack 1",
        "+.1 < F. 1:1(0) ack 2 win 32792 <TS val 1300 ecr 200>",
        "> . 2:2(0) ack 2",
        # a lower sequence number, but a newer time
        "+1 < S 0:0(0) win 32792 <mss 1000,TS val 2300 ecr 0>",
        "> S. 300000:300000(0) ack 1",
    ],
    "rfc6191_2_an_older_one_does_not": [
        *STAMPED,
        "close",
        "> F. 1:1(0) ack 1",
        "+.1 < F. 1:1(0) ack 2 win 32792 <TS val 1300 ecr 200>",
        "> . 2:2(0) ack 2",
        "+1 < S 100000:100000(0) win 32792 <mss 1000,TS val 900 ecr 0>",
        "> . 2:2(0) ack 2",
    ],
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", SCRIPTS)
def test_attacks(name: str, version: int) -> None:
    """The clause is in the name."""
    Script(SCRIPTS[name], version=version).run()


@pytest.mark.parametrize(
    "forged", ["R 100:100(0) win 0", "S 100:100(0) win 0", ". 90000:90000(0) ack 1 win 100", ". 1:1(0) ack 9000 win 9"]
)
def test_rfc5961_7_answers_are_few(forged: str) -> None:
    """Of a flood of forged segments ten are answered in five seconds; real data always is."""
    script = Script([*OPEN, *[f"< {forged}", "> . 1:1(0) ack 1"] * 10, *[f"< {forged}"] * 200, "+1 quiet"])
    script.run()
    again = ["+4 < . 90000:90000(0) ack 1 win 100", "> . 1:1(0) ack 1", "< P. 1:1001(1000) ack 1 win 100", "read 1000"]
    Script([*OPEN, *[f"< {forged}", "> . 1:1(0) ack 1"] * 10, "+1 quiet", *again, "+.04 > . 1:1(0) ack 1001"]).run()
