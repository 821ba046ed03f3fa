"""How connections are opened, as tables: RFC 9293 3.5 and 3.10.7, RFC 7323, RFC 2018, RFC 3168, RFC 6298 5.7."""

from __future__ import annotations

import pytest
from mirage.tcpip.settings import Settings
from mirage.tcpip.testing.script import Script

MSS = {4: 1460, 6: 1440}

PASSIVE = ["listen", "< S 0:0(0) win 32792 <mss 1000>", "> S. 0:0(0) ack 1 win 65535 <mss {mss}>"]

SCRIPTS: dict[str, list[str]] = {
    "rfc9293_3_5_passive": [
        *PASSIVE,
        "nothing-to-accept",
        "+.1 < . 1:1(0) ack 1 win 1000",
        "accept",
        "state ESTABLISHED",
    ],
    "rfc9293_3_5_active": [
        "connect",
        "> SEW 0:0(0) win 65535 <mss {mss},sackOK,TS val 100 ecr 0,wscale 7>",
        "state SYN-SENT",
        "+.1 < S. 0:0(0) ack 1 win 5000 <mss 1000>",
        "> . 1:1(0) ack 1 <>",
        "state ESTABLISHED",
    ],
    "rfc9293_3_5_data_with_the_last_ack": [
        *PASSIVE,
        "+.1 < P. 1:201(200) ack 1 win 1000",
        "accept",
        "read 200",
        "+.04 > . 1:1(0) ack 201",
    ],
    "rfc9293_3_5_figure_7_both_open_at_once": [
        "connect",
        "> SEW 0:0(0) <mss {mss},sackOK,TS val 100 ecr 0,wscale 7>",
        "+.1 < S 0:0(0) win 5000 <mss 1000>",
        "> S. 0:0(0) ack 1 <mss {mss}>",
        "state SYN-RECEIVED",
        "+.1 < S. 0:0(0) ack 1 win 5000 <mss 1000>",
        "state ESTABLISHED",
    ],
    "rfc9293_3_10_7_3_refused": [
        "connect",
        "> SEW 0:0(0)",
        "+.1 < R. 0:0(0) ack 1 win 0",
        "state CLOSED",
        "error ConnectionRefused",
    ],
    "rfc9293_3_10_7_3_a_rst_with_a_wrong_ack_is_nothing": [
        "connect",
        "> SEW 0:0(0)",
        "+.1 < R. 0:0(0) ack 77 win 0",
        "state SYN-SENT",
    ],
    "rfc9293_3_10_7_3_a_rst_without_ack_is_nothing": [
        "connect",
        "> SEW 0:0(0)",
        "+.1 < R 0:0(0) win 0",
        "state SYN-SENT",
    ],
    "rfc9293_3_10_7_3_a_wrong_ack_is_answered_by_rst": [
        "connect",
        "> SEW 0:0(0)",
        "+.1 < . 50:50(0) ack 77 win 1000",
        "> R 77:77(0)",
        "state SYN-SENT",
    ],
    "rfc9293_3_10_7_1_nobody_listens": ["< S 0:0(0) win 1000", "> R. 0:0(0) ack 1"],
    "rfc9293_3_10_7_1_an_ack_for_nothing": ["< . 5:5(0) ack 99 win 1000", "> R 99:99(0)"],
    "rfc9293_3_10_7_1_a_rst_is_never_answered": ["< R 5:5(0) win 0", "+5 quiet"],
    "rfc9293_3_10_7_2_an_ack_to_a_listener": ["listen", "< . 5:5(0) ack 99 win 1000", "> R 99:99(0)"],
    "rfc9293_3_10_7_2_a_rst_to_a_listener": ["listen", "< R 5:5(0) win 0", "+5 quiet"],
    "rfc9293_3_10_7_4_a_rst_ends_what_is_half_open": [
        *PASSIVE,
        "+.1 < R 1:1(0) win 0",
        "+5 quiet",
        "nothing-to-accept",
    ],
    "rfc9293_3_10_7_4_a_wrong_ack_in_syn_received": [
        *PASSIVE,
        "+.1 < . 1:1(0) ack 5000 win 1000",
        "> R 5000:5000(0)",
        "nothing-to-accept",
    ],
    "rfc6298_5_a_syn_is_sent_again": [
        "connect",
        "> SEW 0:0(0)",
        # RFC 3168 6.1.1.1: something on the path may drop a SYN with ECN.
        "+1 > S 0:0(0)",
        "+2 > S 0:0(0)",
        "+4 > S 0:0(0)",
        "+8 > S 0:0(0)",
    ],
    "rfc6298_5_a_syn_ack_is_sent_again": [
        *PASSIVE,
        "+1 > S. 0:0(0) ack 1",
        "+2 > S. 0:0(0) ack 1",
        "+.1 < . 1:1(0) ack 1 win 1000",
        "accept",
    ],
    "rfc9293_3_10_7_4_a_syn_that_comes_twice": [
        *PASSIVE,
        "+.5 < S 0:0(0) win 32792 <mss 1000>",
        "> S. 0:0(0) ack 1",
        "+.1 < . 1:1(0) ack 1 win 1000",
        "accept",
    ],
    "rfc6298_5_7_after_a_lost_syn_data_time_out_after_three_seconds": [
        "connect",
        "> SEW 0:0(0)",
        "+1 > S 0:0(0)",
        "+.1 < S. 0:0(0) ack 1 win 5000 <mss 1000>",
        "> . 1:1(0) ack 1",
        "write 100",
        "> P. 1:101(100) ack 1",
        "+3 > P. 1:101(100) ack 1",
    ],
    "rfc7323_2_2_the_window_of_a_syn_is_not_scaled": [
        "listen",
        "< S 0:0(0) win 2000 <mss 1000,nop,wscale 4>",
        "> S. 0:0(0) ack 1 win 65535 <mss {mss},nop,wscale 7>",
        "+.1 < . 1:1(0) ack 1 win 125",
        "accept",
        "write 4000",
        "> . 1:1001(1000) ack 1 win 2048",
        "> . 1001:2001(1000) ack 1",
    ],
    "rfc7323_1_3_what_was_not_offered_is_not_answered": [
        "listen",
        "< S 0:0(0) win 2000 <mss 1000,sackOK>",
        "> S. 0:0(0) ack 1 <mss {mss},sackOK>",
    ],
    "rfc7323_3_2_timestamps": [
        "listen",
        "< S 0:0(0) win 2000 <mss 1000,sackOK,TS val 700 ecr 0>",
        "> S. 0:0(0) ack 1 <mss {mss},sackOK,TS val 100 ecr 700>",
        "+.1 < . 1:1(0) ack 1 win 2000 <nop,nop,TS val 800 ecr 100>",
        "accept",
        "+.1 write 100",
        "> P. 1:101(100) ack 1 <nop,nop,TS val 300 ecr 800>",
    ],
    "rfc9293_3_7_1_without_an_mss_it_is_536": [
        "listen",
        "< S 0:0(0) win 32792",
        "> S. 0:0(0) ack 1",
        "+.1 < . 1:1(0) ack 1 win 32792",
        "accept",
        "write 1000",
        "> . 1:537(536) ack 1",
        "> P. 537:1001(464) ack 1",
    ],
    "rfc6691_2_timestamps_come_out_of_the_segment": [
        "listen",
        "< S 0:0(0) win 32792 <mss 1000,TS val 7 ecr 0>",
        "> S. 0:0(0) ack 1",
        "+.1 < . 1:1(0) ack 1 win 32792 <TS val 7 ecr 100>",
        "accept",
        "write 988",
        "> P. 1:989(988) ack 1 <TS val 200 ecr 7>",
    ],
    "rfc9293_3_10_7_3_closed_before_it_was_opened": [
        "connect",
        "> SEW 0:0(0)",
        "close",
        "state CLOSED",
        "+10 quiet",
    ],
    "rfc3168_6_1_1_ecn_is_agreed_on": [
        "listen",
        "< SEW 0:0(0) win 32792 <mss 1000>",
        "> SE. 0:0(0) ack 1 [noecn]",
        "+.1 < . 1:1(0) ack 1 win 32792",
        "accept",
        "write 100",
        "> P. 1:101(100) ack 1 [ect0]",
    ],
    "rfc3168_6_1_1_without_it_no_packet_is_marked": [
        *PASSIVE,
        "+.1 < . 1:1(0) ack 1 win 32792",
        "accept",
        "write 100",
        "> P. 1:101(100) ack 1 [noecn]",
    ],
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", SCRIPTS)
def test_opening(name: str, version: int) -> None:
    """The clause is in the name."""
    Script([line.replace("{mss}", str(MSS[version])) for line in SCRIPTS[name]], version=version).run()


def test_rfc9293_3_8_3_a_syn_is_given_up() -> None:
    """After as many retries as the settings say."""
    settings = Settings(syn_retries=2, duplicate_address_probes=0)
    lines = ["connect", "> SEW 0:0(0)", "+1 > S 0:0(0)", "+2 > S 0:0(0)", "+4.01 quiet", "error ConnectionTimedOut"]
    Script(lines, settings=settings).run()
