"""How losses are found and mended, as tables: RFC 6298, 5681, 6582, 2018, 2883, 6675, 8985, 3042, 3522, 9937."""

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
SACK = [
    "listen",
    "< S 0:0(0) win 32792 <mss 1000,sackOK>",
    "> S. 0:0(0) ack 1",
    "+.1 < . 1:1(0) ack 1 win 32792",
    "accept",
]


def burst(count: int, first: int = 0) -> list[str]:
    """So many full segments go out, the last with PSH."""
    lines = []
    for n in range(first, first + count):
        flags = "P." if n == first + count - 1 else "."
        lines.append(f"> {flags} {n * 1000 + 1}:{n * 1000 + 1001}(1000) ack 1")
    return lines


def beyond(n: int) -> list[str]:
    """The n-th of several segments with gaps between them comes in; the last four are told."""
    told = " ".join(f"{2 * m}001:{2 * m + 1}001" for m in range(n, max(n - 4, 0), -1))
    return [f"< . {2 * n}001:{2 * n + 1}001(1000) ack 1 win 32792", f"> . 1:1(0) ack 1 <sack {told}>"]


def at(n: int) -> int:
    """Where the n-th full segment of the peer begins."""
    return n * 1460 + 1


def full(n: int) -> list[str]:
    """The n-th full segment comes in, and is acknowledged at once."""
    return [f"< . {at(n)}:{at(n + 1)}(1460) ack 1 win 32792", f"> . 1:1(0) ack {at(n + 1)}"]


SCRIPTS: dict[str, list[str]] = {
    "rfc6298_5_4_the_timer_expires_and_doubles": [
        *OPEN,
        "write 1000",
        *burst(1),
        # SRTT 0.1 s; four times RTTVAR, 0.05 s, is the floor of 0.2 s
        "+.3 > P. 1:1001(1000) ack 1",
        "+.6 > P. 1:1001(1000) ack 1",
        "+1.2 > P. 1:1001(1000) ack 1",
        "+2.4 > P. 1:1001(1000) ack 1",
        "+.1 < . 1:1(0) ack 1001 win 32792",
        "unacknowledged 0",
        "+90 quiet",
    ],
    "rfc6298_5_3_an_acknowledgment_restarts_the_timer": [
        *OPEN,
        "write 2000",
        *burst(2),
        "+.2 < . 1:1(0) ack 1001 win 32792",
        # a sample of 0.2 s: SRTT 0.1125, RTTVAR 0.0625
        "+.3625 > P. 1001:2001(1000) ack 1",
    ],
    "rfc6298_karn_no_sample_of_what_was_sent_twice": [
        *OPEN,
        "write 1000",
        *burst(1),
        "+.3 > P. 1:1001(1000) ack 1",
        "+.5 < . 1:1(0) ack 1001 win 32792",
        "write 1000",
        "> P. 1001:2001(1000) ack 1",
        "+.3 > P. 1001:2001(1000) ack 1",
    ],
    "rfc5681_3_1_one_segment_after_a_timeout": [
        *OPEN,
        "write 4000",
        *burst(4),
        "+.3 > . 1:1001(1000) ack 1",
        "cwnd 1000",
        "+.1 < . 1:1(0) ack 1001 win 32792",
        "> . 1001:2001(1000) ack 1",
        "> . 2001:3001(1000) ack 1",
        "cwnd 2000",
    ],
    "rfc6928_2_ten_segments_at_first": [
        *OPEN,
        "write 20000",
        *burst(10)[:-1],
        "> . 9001:10001(1000) ack 1",
        "+.1 < . 1:1(0) ack 2001 win 32792",
        "> . 10001:11001(1000) ack 1",
        "> . 11001:12001(1000) ack 1",
        "> . 12001:13001(1000) ack 1",
        "> . 13001:14001(1000) ack 1",
        "cwnd 12000",
    ],
    "rfc5681_3_2_three_duplicates": [
        *OPEN,
        "write 6000",
        *burst(6),
        "+.1 < . 1:1(0) ack 1 win 32792",
        "< . 1:1(0) ack 1 win 32792",
        "< . 1:1(0) ack 1 win 32792",
        "> . 1:1001(1000) ack 1",
        "+.1 < . 1:1(0) ack 6001 win 32792",
        "unacknowledged 0",
    ],
    "rfc5681_2_what_is_no_duplicate": [
        *OPEN,
        "write 2000",
        *burst(2),
        # with data, or with another window, it says something else than "again"
        "+.1 < . 1:1(0) ack 1 win 32000",
        "< . 1:1(0) ack 1 win 32001",
        "< . 1:1(0) ack 1 win 32002",
        "< . 1:1(0) ack 1 win 32003",
        "+.1 quiet",
    ],
    "rfc6582_3_2_a_partial_acknowledgment": [
        *OPEN,
        "write 6000",
        *burst(6),
        "+.1 < . 1:1(0) ack 1 win 32792",
        "< . 1:1(0) ack 1 win 32792",
        "< . 1:1(0) ack 1 win 32792",
        "> . 1:1001(1000) ack 1",
        "+.1 < . 1:1(0) ack 3001 win 32792",
        "> . 3001:4001(1000) ack 1",
        "+.1 < . 1:1(0) ack 6001 win 32792",
    ],
    "rfc2018_4_blocks_tell_what_came_beyond_a_gap": [
        *SACK,
        "+.1 < . 1001:2001(1000) ack 1 win 32792",
        "> . 1:1(0) ack 1 <nop,nop,sack 1001:2001>",
        "< . 3001:4001(1000) ack 1 win 32792",
        "> . 1:1(0) ack 1 <nop,nop,sack 3001:4001 1001:2001>",
        "< . 1:1001(1000) ack 1 win 32792",
        "> . 1:1(0) ack 2001 <nop,nop,sack 3001:4001>",
        "< . 2001:3001(1000) ack 1 win 32792",
        "> . 1:1(0) ack 4001 <>",
        "read 4000",
    ],
    "rfc2018_4_at_most_four_blocks_the_latest_first": [
        *SACK,
        *[line for n in range(1, 6) for line in beyond(n)],
    ],
    "rfc2883_4_1_a_duplicate_is_told": [
        *SACK,
        "+.1 < . 1:1001(1000) ack 1 win 32792",
        "+.04 > . 1:1(0) ack 1001",
        "< . 1:1001(1000) ack 1 win 32792",
        "> . 1:1(0) ack 1001 <nop,nop,sack 1:1001>",
        "+1 quiet",
    ],
    "rfc8985_6_2_three_segments_beyond_and_it_is_lost": [
        *SACK,
        "write 6000",
        *burst(6),
        "+.1 < . 1:1(0) ack 1 win 32792 <sack 1001:2001>",
        "< . 1:1(0) ack 1 win 32792 <sack 1001:3001>",
        "< . 1:1(0) ack 1 win 32792 <sack 1001:4001>",
        "> . 1:1001(1000) ack 1",
        "+.1 < . 1:1(0) ack 6001 win 32792",
        "unacknowledged 0",
    ],
    "rfc8985_6_2_a_quarter_of_the_round_trip_later_it_is_lost": [
        *SACK,
        "write 6000",
        *burst(6),
        "+.1 < . 1:1(0) ack 1 win 32792 <sack 1001:2001>",
        # RACK's window of reordering, a quarter of 0.1 s
        "+.025 > . 1:1001(1000) ack 1",
    ],
    "rfc8985_6_2_reordering_that_is_shorter_is_no_loss": [
        *SACK,
        "write 6000",
        *burst(6),
        "+.1 < . 1:1(0) ack 1 win 32792 <sack 1001:2001>",
        "+.01 < . 1:1(0) ack 2001 win 32792",
        "+.05 quiet",
        "< . 1:1(0) ack 6001 win 32792",
    ],
    "rfc8985_6_2_only_the_holes_are_sent_again": [
        *SACK,
        "write 8000",
        *burst(8),
        "+.1 < . 1:1(0) ack 1001 win 32792 <sack 2001:4001 5001:8001>",
        "> . 1001:2001(1000) ack 1",
        "> . 4001:5001(1000) ack 1",
        "+.1 < . 1:1(0) ack 8001 win 32792",
    ],
    "rfc8985_6_2_a_retransmission_that_is_lost_too": [
        *SACK,
        "write 6000",
        *burst(6),
        "+.1 < . 1:1(0) ack 1 win 32792 <sack 1001:4001>",
        "> . 1:1001(1000) ack 1",
        "write 1000",
        "> P. 6001:7001(1000) ack 1",
        # What was sent after the retransmission has come: it has not.
        "+.1 < . 1:1(0) ack 1 win 32792 <sack 1001:7001>",
        "> . 1:1001(1000) ack 1",
    ],
    "rfc3042_2_new_data_for_the_first_duplicates": [
        *SACK,
        "write 12000",
        *burst(10)[:-1],
        "> . 9001:10001(1000) ack 1",
        "+.1 < . 1:1(0) ack 1 win 32792 <sack 1001:2001>",
        "> . 10001:11001(1000) ack 1",
        "< . 1:1(0) ack 1 win 32792 <sack 1001:3001>",
        "> P. 11001:12001(1000) ack 1",
    ],
    "rfc9293_3_8_6_3_each_segment_is_acknowledged_after_a_gap": [
        *SACK,
        # of a beginning, sixteen at once; then two by two, or after 40 ms
        *[line for n in range(16) for line in full(n)],
        f"< . {at(16)}:{at(17)}(1460) ack 1 win 32792",
        f"+.04 > . 1:1(0) ack {at(17)}",
        f"< . {at(18)}:{at(19)}(1460) ack 1 win 32792",
        f"> . 1:1(0) ack {at(17)} <sack {at(18)}:{at(19)}>",
        f"< . {at(17)}:{at(18)}(1460) ack 1 win 32792",
        f"> . 1:1(0) ack {at(19)}",
        *[line for n in range(19, 35) for line in full(n)],
        f"< . {at(35)}:{at(36)}(1460) ack 1 win 32792",
        f"+.04 > . 1:1(0) ack {at(36)}",
        # What came twice says that an acknowledgment was lost.
        f"< . {at(35)}:{at(36)}(1460) ack 1 win 32792",
        f"> . 1:1(0) ack {at(36)} <sack {at(35)}:{at(36)}>",
        *full(36),
    ],
    "rfc8985_7_3_a_tail_loss_probe": [
        *SACK,
        "write 3000",
        *burst(3),
        # twice the round trip, which is less than the timeout
        "+.2 > P. 2001:3001(1000) ack 1",
        "+.1 < . 1:1(0) ack 1 win 32792 <sack 2001:3001>",
        "> . 1:1001(1000) ack 1",
        "+.1 < . 1:1(0) ack 1001 win 32792 <sack 2001:3001>",
        "> . 1001:2001(1000) ack 1",
    ],
    "rfc8985_7_3_one_segment_waits_for_a_delayed_acknowledgment": [
        *SACK,
        "write 1000",
        *burst(1),
        # 0.2 s more than twice the round trip is later than the timeout
        "+.3 > P. 1:1001(1000) ack 1",
    ],
    "rfc9937_6_as_much_goes_out_as_arrives": [
        *SACK,
        "write 20000",
        *burst(10)[:-1],
        "> . 9001:10001(1000) ack 1",
        "+.1 < . 1:1(0) ack 1 win 32792 <sack 1001:4001>",
        # the hole; with it as much is on its way as is to be in the end, seven tenths of 10000
        "> . 1:1001(1000) ack 1",
        "+.01 < . 1:1(0) ack 1 win 32792 <sack 1001:5001>",
        "> . 10001:11001(1000) ack 1",
        "+.01 < . 1:1(0) ack 1 win 32792 <sack 1001:7001>",
        "> . 11001:12001(1000) ack 1",
        "> . 12001:13001(1000) ack 1",
        "+.01 < . 1:1(0) ack 10001 win 32792",
        "> . 13001:14001(1000) ack 1",
        "> . 14001:15001(1000) ack 1",
        "> . 15001:16001(1000) ack 1",
        "> . 16001:17001(1000) ack 1",
        "cwnd 7000",
    ],
    "rfc3522_3_2_a_timeout_for_nothing_is_taken_back": [
        "listen",
        "< S 0:0(0) win 32792 <mss 1012,sackOK,TS val 1 ecr 0>",
        "> S. 0:0(0) ack 1",
        "+.1 < . 1:1(0) ack 1 win 32792 <TS val 2 ecr 100>",
        "accept",
        "write 1000",
        "> P. 1:1001(1000) ack 1",
        # RFC 8985 7.2: where a timeout would be due, a probe goes out first.
        "+.3 > P. 1:1001(1000) ack 1 <TS val 500 ecr 2>",
        "cwnd 10000",
        "+.3 > P. 1:1001(1000) ack 1 <TS val 800 ecr 2>",
        "cwnd 1000",
        # It echoes the first transmission, which came before the second went out.
        "+.05 < . 1:1(0) ack 1001 win 32792 <TS val 3 ecr 200>",
        "cwnd 10000",
    ],
    "rfc6298_3_what_came_twice_tells_no_round_trip": [
        "listen",
        "< S 0:0(0) win 32792 <mss 1012,sackOK,TS val 1 ecr 0>",
        "> S. 0:0(0) ack 1",
        "+.1 < . 1:1(0) ack 1 win 32792 <TS val 2 ecr 100>",
        "accept",
        "write 1000",
        "> P. 1:1001(1000) ack 1",
        "+.3 > P. 1:1001(1000) ack 1",
        "+.3 > P. 1:1001(1000) ack 1",
        "+.6 > P. 1:1001(1000) ack 1",
        # The peer had it from the beginning, and its acknowledgments were lost; it echoes the first transmission.
        "+.1 < . 1:1(0) ack 1001 win 32792 <TS val 3 ecr 200,sack 1:1001>",
        "write 1000",
        "> P. 1001:2001(1000) ack 1",
        "+.3 > P. 1001:2001(1000) ack 1",
    ],
    "rfc6298_3_what_waited_for_another_acknowledgment_tells_no_round_trip": [
        *SACK,
        "write 3000",
        *burst(3),
        "+.2 > P. 2001:3001(1000) ack 1",
        "+.3 > . 1:1001(1000) ack 1",
        # The second arrived long ago, and its acknowledgment was lost: 0.6 s are no round trip, and the timeout stays.
        "+.1 < . 1:1(0) ack 1 win 32792 <sack 1001:2001>",
        "> P. 2001:3001(1000) ack 1",
        "+.6 > . 1:1001(1000) ack 1",
    ],
    "rfc6298_3_the_newest_that_arrived_tells_the_round_trip": [
        *SACK,
        "write 1000",
        *burst(1),
        "+.1 write 2000",
        "> . 1001:2001(1000) ack 1",
        "> P. 2001:3001(1000) ack 1",
        # The acknowledgment of the first was lost; 0.1 s after the third this one comes.
        "+.1 < . 1:1(0) ack 1001 win 32792 <sack 2001:3001>",
        "+.025 > . 1001:2001(1000) ack 1",
        "+.3 > . 1001:2001(1000) ack 1",
    ],
    "rfc5681_4_1_after_a_pause_the_window_is_small_again": [
        *OPEN,
        "write 10000",
        *burst(10),
        "+.1 < . 1:1(0) ack 10001 win 32792",
        "cwnd 20000",
        "+60 write 12000",
        *[line.replace("P.", ".") for line in burst(10, 10)],
    ],
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", SCRIPTS)
def test_loss(name: str, version: int) -> None:
    """The clause is in the name."""
    settings = Settings(plpmtud=False, duplicate_address_probes=0)
    Script(SCRIPTS[name], version=version, settings=settings).run()
