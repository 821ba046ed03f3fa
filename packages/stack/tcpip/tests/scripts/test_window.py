"""Windows, acknowledgments, small segments and liveness, as tables: RFC 9293 3.8, RFC 5681 4.2, RFC 1122 4.2.3."""

from __future__ import annotations

import pytest
from mirage.tcpip.settings import Settings
from mirage.tcpip.testing.script import Script

OPEN = [
    "listen",
    "< S 0:0(0) win 32792 <mss 1000>",
    "> S. 0:0(0) ack 1",
    "+.1 < . 1:1(0) ack 1 win 32792",
    "accept",
]


def opened(window: int) -> list[str]:
    """Established, with this window of the peer."""
    return [line.replace("32792", str(window)) for line in OPEN]


SCRIPTS: dict[str, list[str]] = {
    "rfc9293_3_8_6_no_more_than_the_window": [
        *opened(3000),
        "write 5000",
        "> . 1:1001(1000) ack 1",
        "> . 1001:2001(1000) ack 1",
        "> . 2001:3001(1000) ack 1",
        "+.1 < . 1:1(0) ack 3001 win 2000",
        "> . 3001:4001(1000) ack 1",
        "> P. 4001:5001(1000) ack 1",
    ],
    "rfc9293_3_8_6_1_a_closed_window_is_probed": [
        *opened(1000),
        "write 2000",
        "> . 1:1001(1000) ack 1",
        "+.1 < . 1:1(0) ack 1001 win 0",
        "+.3 > . 1000:1000(0) ack 1",
        "+.6 > . 1000:1000(0) ack 1",
        "+.1 < . 1:1(0) ack 1001 win 0",
        "+1.1 > . 1000:1000(0) ack 1",
        "+.1 < . 1:1(0) ack 1001 win 1000",
        "> P. 1001:2001(1000) ack 1",
    ],
    "rfc9293_3_8_6_1_answered_probes_go_on": [
        *opened(1000),
        "write 2000",
        "> . 1:1001(1000) ack 1",
        "+.1 < . 1:1(0) ack 1001 win 0",
        "+.3 > . 1000:1000(0) ack 1",
        "+.05 < . 1:1(0) ack 1001 win 0",
        "+.55 > . 1000:1000(0) ack 1",
        "+.05 < . 1:1(0) ack 1001 win 0",
        "+1.15 > . 1000:1000(0) ack 1",
        "state ESTABLISHED",
    ],
    "rfc9293_3_8_6_2_1_no_crumbs_into_a_crumb_of_a_window": [
        *opened(4000),
        "write 4000",
        "> . 1:1001(1000) ack 1",
        "> . 1001:2001(1000) ack 1",
        "> . 2001:3001(1000) ack 1",
        "> P. 3001:4001(1000) ack 1",
        "write 2000",
        "+.1 < . 1:1(0) ack 1001 win 3100",
        "+.01 quiet",
        "< . 1:1(0) ack 2001 win 3000",
        "> . 4001:5001(1000) ack 1",
    ],
    "rfc9293_3_8_6_a_window_that_shrinks": [
        *opened(4000),
        "write 6000",
        "> . 1:1001(1000) ack 1",
        "> . 1001:2001(1000) ack 1",
        "> . 2001:3001(1000) ack 1",
        "> . 3001:4001(1000) ack 1",
        "+.1 < . 1:1(0) ack 1001 win 1000",
        "+.05 quiet",
        "+.05 < . 1:1(0) ack 4001 win 2000",
        "> . 4001:5001(1000) ack 1",
        "> P. 5001:6001(1000) ack 1",
    ],
    "rfc9293_3_7_4_nagle": [
        *OPEN,
        "write 100",
        "> P. 1:101(100) ack 1",
        "write 100",
        "+.05 quiet",
        "write 100",
        "+.05 < . 1:1(0) ack 101 win 32792",
        "> P. 101:301(200) ack 1",
    ],
    "rfc9293_3_7_4_nagle_lets_full_segments_go": [
        *OPEN,
        "write 100",
        "> P. 1:101(100) ack 1",
        "write 1000",
        "> P. 101:1101(1000) ack 1",
    ],
    "rfc9293_3_7_4_nagle_may_be_turned_off": [
        *OPEN,
        "set nodelay true",
        "write 100",
        "> P. 1:101(100) ack 1",
        "write 100",
        "> P. 101:201(100) ack 1",
    ],
    "corked_full_segments_go_and_the_rest_waits": [
        *OPEN,
        "set nodelay true",
        "set corked true",
        "write 2500",
        "> . 1:1001(1000) ack 1",
        "> . 1001:2001(1000) ack 1",
        "write 100",
        "+.05 < . 1:1(0) ack 2001 win 32792",
        "+.05 quiet",
        "set corked false",
        "> P. 2001:2601(600) ack 1",
    ],
    "corked_what_waits_goes_after_a_timeout": [
        *OPEN,
        "set corked true",
        "write 40",
        "+.29 quiet",
        "+.01 > P. 1:41(40) ack 1",
        "+.1 < . 1:1(0) ack 41 win 32792",
        "write 1000",
        "> P. 41:1041(1000) ack 1",
    ],
    "corked_the_end_takes_all_with_it": [
        *OPEN,
        "set corked true",
        "write 40",
        "+.01 shutdown",
        "> FP. 1:41(40) ack 1",
    ],
    "more_an_acknowledgment_lets_it_go": [
        *OPEN,
        "set nodelay true",
        "write 1000",
        "> P. 1:1001(1000) ack 1",
        "more 50",
        "more 30",
        "+.05 < . 1:1(0) ack 1001 win 32792",
        "> P. 1001:1081(80) ack 1",
    ],
    "more_and_then_no_more": [
        *OPEN,
        "set nodelay true",
        "more 50",
        "+.05 quiet",
        "write 30",
        "> P. 1:81(80) ack 1",
    ],
    "more_than_a_segment": [
        *OPEN,
        "more 1100",
        "> . 1:1001(1000) ack 1",
        "+.1 < . 1:1(0) ack 1001 win 32792",
        "> P. 1001:1101(100) ack 1",
    ],
    "rfc9293_3_8_6_3_an_acknowledgment_waits_a_little": [
        *OPEN,
        "+.1 < P. 1:101(100) ack 1 win 32792",
        "+.04 > . 1:1(0) ack 101",
    ],
    "rfc9293_3_8_6_3_and_rides_on_data": [
        *OPEN,
        "+.1 < P. 1:101(100) ack 1 win 32792",
        "read 100",
        "+.01 write 50",
        "> P. 1:51(50) ack 101",
        "+.1 < . 101:101(0) ack 51 win 32792",
        "+1 quiet",
    ],
    "rfc5681_4_2_at_once_when_something_is_missing": [
        *OPEN,
        "+.1 < . 1001:2001(1000) ack 1 win 32792",
        "> . 1:1(0) ack 1",
        "< . 2001:3001(1000) ack 1 win 32792",
        "> . 1:1(0) ack 1",
        "< . 1:1001(1000) ack 1 win 32792",
        "> . 1:1(0) ack 3001",
        "read 3000",
    ],
    "rfc9293_3_10_7_4_what_was_had_is_acknowledged_again": [
        *OPEN,
        "+.1 < P. 1:101(100) ack 1 win 32792",
        "+.04 > . 1:1(0) ack 101",
        "+.1 < P. 1:101(100) ack 1 win 32792",
        "> . 1:1(0) ack 101",
        "read 100",
    ],
    "rfc9293_3_10_7_4_the_new_part_of_an_overlap_counts": [
        *OPEN,
        "+.1 < P. 1:101(100) ack 1 win 32792",
        "+.04 > . 1:1(0) ack 101",
        "+.1 < P. 51:201(150) ack 1 win 32792",
        "+.04 > . 1:1(0) ack 201",
        "read 200",
    ],
    "rfc9293_3_10_7_4_beyond_the_window_is_refused": [
        *OPEN,
        "+.1 < . 70000:70100(100) ack 1 win 32792",
        "> . 1:1(0) ack 1",
        "read 0",
    ],
    "rfc9293_3_8_4_keep_alive": [
        *OPEN,
        "set keepalive_idle 10",
        "set keepalive_interval 2",
        "set keepalive_limit 2",
        "set keepalive true",
        "+10 > . 0:0(0) ack 1",
        "+.1 < . 1:1(0) ack 1 win 32792",
        "+10 > . 0:0(0) ack 1",
        "+2 > . 0:0(0) ack 1",
        "+2 > R. 1:1(0) ack 1",
        "error ConnectionTimedOut",
    ],
    "rfc9293_3_8_4_a_probe_of_the_peer_is_answered": [
        *OPEN,
        "+.1 < . 0:0(0) ack 1 win 32792",
        "> . 1:1(0) ack 1",
    ],
    "rfc9293_3_8_5_urgent_data_is_data": [
        *OPEN,
        "+.1 < P. 1:101(100) ack 1 win 32792",
        "+.04 > . 1:1(0) ack 101",
        "read 100",
    ],
    "rfc9293_3_10_7_4_data_without_ack_is_dropped": [
        *OPEN,
        "+.1 < P 1:101(100) win 32792",
        "+1 quiet",
        "read 0",
    ],
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", SCRIPTS)
def test_window(name: str, version: int) -> None:
    """The clause is in the name."""
    Script(SCRIPTS[name], version=version).run()


@pytest.mark.parametrize("version", [4, 6])
def test_rfc9293_3_8_6_the_window_closes_with_what_is_not_read(version: int) -> None:
    """And is opened by reading, once by a good step (3.8.6.2.2)."""
    lines = [
        "listen",
        "< S 0:0(0) win 32792 <mss 1000>",
        "> S. 0:0(0) ack 1 win 3000",
        "+.1 < . 1:1(0) ack 1 win 32792",
        "accept",
        "< . 1:1001(1000) ack 1 win 32792",
        "< . 1001:2001(1000) ack 1 win 32792",
        "< P. 2001:3001(1000) ack 1 win 32792",
    ]
    script = Script(lines, version=version, settings=Settings(receive_buffer=3000, duplicate_address_probes=0))
    with pytest.raises(AssertionError, match="not expected"):
        script.run()
    seen = [(sent.ack, sent.window) for sent in script.sent]
    assert seen[-1] == (3001, 0)
    script.go_on(["< . 3001:4001(1000) ack 1 win 32792", "> . 1:1(0) ack 3001 win 0", "read 3000"])
    assert (script.sent[-1].ack, script.sent[-1].window) == (3001, 3000)
