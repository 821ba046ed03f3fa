"""How connections end, as tables: RFC 9293 3.6 and 3.10.7.4, RFC 1337, RFC 6191, RFC 2525."""

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
TIME_WAIT = [
    *OPEN,
    "close",
    "> F. 1:1(0) ack 1",
    "+.1 < F. 1:1(0) ack 2 win 32792",
    "> . 2:2(0) ack 2",
    "state TIME-WAIT",
]

SCRIPTS: dict[str, list[str]] = {
    "rfc9293_3_6_figure_12_this_side_first": [
        *OPEN,
        "close",
        "> F. 1:1(0) ack 1",
        "state FIN-WAIT-1",
        "+.1 < . 1:1(0) ack 2 win 32792",
        "state FIN-WAIT-2",
        "+.1 < F. 1:1(0) ack 2 win 32792",
        "> . 2:2(0) ack 2",
        "state TIME-WAIT",
    ],
    "rfc9293_3_6_figure_12_the_peer_first": [
        *OPEN,
        "+.1 < F. 1:1(0) ack 1 win 32792",
        "> . 1:1(0) ack 2",
        "state CLOSE-WAIT",
        "eof",
        "close",
        "> F. 1:1(0) ack 2",
        "state LAST-ACK",
        "+.1 < . 2:2(0) ack 2 win 32792",
        "state CLOSED",
        "error none",
    ],
    "rfc9293_3_6_figure_13_both_at_once": [
        *OPEN,
        "close",
        "> F. 1:1(0) ack 1",
        "+.05 < F. 1:1(0) ack 1 win 32792",
        "> . 2:2(0) ack 2",
        "state CLOSING",
        "+.1 < . 2:2(0) ack 2 win 32792",
        "state TIME-WAIT",
    ],
    "rfc9293_3_6_fin_and_ack_of_ours_in_one": TIME_WAIT,
    "rfc9293_3_10_7_4_time_wait_answers_a_fin_again": [
        *TIME_WAIT,
        "+1 < F. 1:1(0) ack 2 win 32792",
        "> . 2:2(0) ack 2",
    ],
    "rfc9293_3_4_2_time_wait_ends": [*TIME_WAIT, "+60.1 < F. 1:1(0) ack 2 win 32792", "> R 2:2(0)"],
    "rfc9293_3_10_7_4_a_fin_again_prolongs_it": [
        *TIME_WAIT,
        "+50 < F. 1:1(0) ack 2 win 32792",
        "> . 2:2(0) ack 2",
        "+50 < F. 1:1(0) ack 2 win 32792",
        "> . 2:2(0) ack 2",
    ],
    "rfc1337_3_a_rst_does_not_end_time_wait": [
        *TIME_WAIT,
        "+1 < R 2:2(0) win 0",
        "+1 < F. 1:1(0) ack 2 win 32792",
        "> . 2:2(0) ack 2",
    ],
    "rfc9293_3_10_7_4_a_newer_syn_takes_time_wait_over": [
        *TIME_WAIT,
        "+1 < S 100000:100000(0) win 32792 <mss 1000>",
        "> S. 300000:300000(0) ack 100001",
    ],
    "rfc9293_3_6_half_close_receives": [
        *OPEN,
        "shutdown",
        "> F. 1:1(0) ack 1",
        "+.1 < . 1:1(0) ack 2 win 32792",
        "+.1 < P. 1:501(500) ack 2 win 32792",
        "read 500",
        "+.04 > . 2:2(0) ack 501",
        "+.1 < F. 501:501(0) ack 2 win 32792",
        "> . 2:2(0) ack 502",
        "state TIME-WAIT",
    ],
    "rfc9293_3_6_half_close_sends": [
        *OPEN,
        "+.1 < F. 1:1(0) ack 1 win 32792",
        "> . 1:1(0) ack 2",
        "write 500",
        "> P. 1:501(500) ack 2",
        "+.1 < . 2:2(0) ack 501 win 32792",
        "shutdown",
        "> F. 501:501(0) ack 2",
    ],
    "rfc9293_3_10_4_what_was_written_is_sent_first": [
        *OPEN,
        "write 500",
        "> P. 1:501(500) ack 1",
        "write 100",
        "close",
        "> FP. 501:601(100) ack 1",
    ],
    "rfc6298_5_a_fin_is_sent_again": [
        *OPEN,
        "close",
        "> F. 1:1(0) ack 1",
        "+.3 > F. 1:1(0) ack 1",
        "+.6 > F. 1:1(0) ack 1",
        "+.1 < . 1:1(0) ack 2 win 32792",
        "state FIN-WAIT-2",
    ],
    "rfc9293_3_10_5_abort": [*OPEN, "abort", "> R. 1:1(0) ack 1", "state CLOSED", "error ConnectionAborted"],
    "rfc2525_2_17_closed_with_data_unread": [
        *OPEN,
        "+.1 < P. 1:501(500) ack 1 win 32792",
        "close",
        "> R. 1:1(0) ack 501",
        "state CLOSED",
    ],
    "rfc9293_3_6_1_data_after_the_close": [
        *OPEN,
        "close",
        "> F. 1:1(0) ack 1",
        "+.1 < . 1:1(0) ack 2 win 32792",
        "+.1 < P. 1:501(500) ack 2 win 32792",
        "> R. 2:2(0) ack 1",
        "state CLOSED",
    ],
    "rfc9293_3_10_7_4_reset": [
        *OPEN,
        "+.1 < R. 1:1(0) ack 1 win 0",
        "state CLOSED",
        "error ConnectionReset",
        "+5 quiet",
    ],
    "rfc9293_3_10_7_4_data_before_a_fin_that_came_first": [
        *OPEN,
        "+.1 < F. 501:501(0) ack 1 win 32792",
        "> . 1:1(0) ack 1",
        "no-eof",
        "+.1 < P. 1:501(500) ack 1 win 32792",
        "> . 1:1(0) ack 502",
        "eof",
        "read 500",
    ],
    "rfc9293_3_10_7_4_a_fin_with_data": [
        *OPEN,
        "+.1 < FP. 1:501(500) ack 1 win 32792",
        "> . 1:1(0) ack 502",
        "read 500",
        "eof",
        "state CLOSE-WAIT",
    ],
    "rfc9293_3_8_3_fin_wait_2_of_a_closed_connection_ends": [
        *OPEN,
        "close",
        "> F. 1:1(0) ack 1",
        "+.1 < . 1:1(0) ack 2 win 32792",
        "state FIN-WAIT-2",
        "+60.1 quiet",
        "state CLOSED",
    ],
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", SCRIPTS)
def test_closing(name: str, version: int) -> None:
    """The clause is in the name."""
    Script(SCRIPTS[name], version=version).run()


def test_rfc9293_3_8_3_user_timeout() -> None:
    """What stays unacknowledged for too long ends the connection, with a RST."""
    settings = Settings(user_timeout=2.0, duplicate_address_probes=0)
    lines = [
        *OPEN,
        "write 100",
        "> P. 1:101(100) ack 1",
        "+.3 > P. 1:101(100) ack 1",
        "+.6 > P. 1:101(100) ack 1",
        "+1.2 > R. 101:101(0) ack 1",
        "error ConnectionTimedOut",
    ]
    Script(lines, settings=settings).run()
