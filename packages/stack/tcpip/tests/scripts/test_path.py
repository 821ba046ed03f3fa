"""What the path does to a connection, as tables: RFC 1191, 8201, 4821, 8899, 5927, 3168."""

from __future__ import annotations

import pytest
from mirage.tcpip.testing.script import Script

V4 = [
    "listen",
    "< S 0:0(0) win 65535 <mss 1460>",
    "> S. 0:0(0) ack 1 <mss 1460>",
    "+.1 < . 1:1(0) ack 1 win 65535",
    "accept",
]
V6 = [line.replace("1460", "1440") for line in V4]
ECN = [
    "listen",
    "< SEW 0:0(0) win 32792 <mss 1000>",
    "> SE. 0:0(0) ack 1 [noecn]",
    "+.1 < . 1:1(0) ack 1 win 32792",
    "accept",
]

FOUR: dict[str, list[str]] = {
    "rfc1191_6_4_too_big_is_sent_again_smaller": [
        *V4,
        "write 1460",
        "> P. 1:1461(1460) ack 1",
        "+.05 too-big 1040",
        "> . 1:1001(1000) ack 1",
        "> P. 1001:1461(460) ack 1",
        "+.1 < . 1:1(0) ack 1461 win 32792",
        "write 1460",
        "> . 1461:2461(1000) ack 1",
        "+.1 < . 1:1(0) ack 2461 win 32792",
        "> P. 2461:2921(460) ack 1",
    ],
    "rfc1191_3_never_below_576": [
        *V4,
        "write 1072",
        "> P. 1:1073(1072) ack 1",
        "+.05 too-big 100",
        "> . 1:537(536) ack 1",
        "> P. 537:1073(536) ack 1",
    ],
    "rfc5927_4_1_about_what_is_not_under_way_it_is_ignored": [
        *V4,
        "write 1460",
        "> P. 1:1461(1460) ack 1",
        "+.1 < . 1:1(0) ack 1461 win 32792",
        "too-big 600",
        "write 1460",
        "> P. 1461:2921(1460) ack 1",
        "counter tcp.icmp-ignored 1",
    ],
    "rfc8899_4_3_a_black_hole_that_says_nothing": [
        *V4,
        "write 1460",
        "> P. 1:1461(1460) ack 1",
        "+.3 > P. 1:1461(1460) ack 1",
        "+.6 > . 1:985(984) ack 1",
        "+.1 < . 1:1(0) ack 985 win 32792",
        "> P. 985:1461(476) ack 1",
        "+.1 < . 1:1(0) ack 1461 win 32792",
        "unacknowledged 0",
    ],
}
SIX: dict[str, list[str]] = {
    "rfc8201_4_too_big_is_sent_again_smaller": [
        *V6,
        "write 1440",
        "> P. 1:1441(1440) ack 1",
        "+.05 too-big 1300",
        "> . 1:1241(1240) ack 1",
        "> P. 1241:1441(200) ack 1",
    ],
    "rfc8201_4_never_below_1280": [
        *V6,
        "write 1440",
        "> P. 1:1441(1440) ack 1",
        "+.05 too-big 600",
        "> . 1:1221(1220) ack 1",
        "> P. 1221:1441(220) ack 1",
    ],
    "rfc8899_4_3_a_black_hole_that_says_nothing": [
        *V6,
        "write 1440",
        "> P. 1:1441(1440) ack 1",
        "+.3 > P. 1:1441(1440) ack 1",
        "+.6 > . 1:1221(1220) ack 1",
        "+.1 < . 1:1(0) ack 1221 win 32792",
        "> P. 1221:1441(220) ack 1",
    ],
}
BOTH: dict[str, list[str]] = {
    "rfc5927_4_an_icmp_error_ends_an_opening": [
        "connect",
        "> SEW 0:0(0)",
        "+.1 unreachable",
        "state CLOSED",
        "error ConnectionRefused",
    ],
    "rfc5927_4_but_no_established_connection": [
        *V4[:1],
        "< S 0:0(0) win 32792 <mss 1000>",
        "> S. 0:0(0) ack 1",
        "+.1 < . 1:1(0) ack 1 win 32792",
        "accept",
        "write 1000",
        "> P. 1:1001(1000) ack 1",
        "+.05 unreachable",
        "state ESTABLISHED",
        "+.05 < . 1:1(0) ack 1001 win 32792",
        "unacknowledged 0",
    ],
    "rfc3168_6_1_3_a_mark_is_echoed_until_it_is_heeded": [
        *ECN,
        "+.1 < . 1:1001(1000) ack 1 win 32792 [ce]",
        "> E. 1:1(0) ack 1001 [noecn]",
        "< . 1001:2001(1000) ack 1 win 32792 [ect0]",
        "> E. 1:1(0) ack 2001",
        "< W. 2001:3001(1000) ack 1 win 32792 [ect0]",
        "> . 1:1(0) ack 3001",
        "read 3000",
    ],
    "rfc3168_6_1_2_an_echo_shrinks_the_window_once": [
        *ECN,
        "write 10000",
        *[f"> . {n}001:{n + 1}001(1000) ack 1 [ect0]" if n else "> . 1:1001(1000) ack 1 [ect0]" for n in range(9)],
        "> P. 9001:10001(1000) ack 1 [ect0]",
        "+.1 < E. 1:1(0) ack 1001 win 32792",
        "+.01 < E. 1:1(0) ack 2001 win 32792",
        "+.01 < . 1:1(0) ack 10001 win 32792",
        # RFC 8511: CUBIC's factor for a mark is 0.85
        "cwnd 8500",
        "write 1000",
        "> PW. 10001:11001(1000) ack 1 [ect0]",
    ],
    "rfc3168_6_1_5_what_is_sent_again_is_not_marked": [
        *ECN,
        "write 1000",
        "> P. 1:1001(1000) ack 1 [ect0]",
        "+.3 > P. 1:1001(1000) ack 1 [noecn]",
    ],
}


@pytest.mark.parametrize("name", FOUR)
def test_path_4(name: str) -> None:
    """The clause is in the name."""
    Script(FOUR[name], version=4).run()


@pytest.mark.parametrize("name", SIX)
def test_path_6(name: str) -> None:
    """The clause is in the name."""
    Script(SIX[name], version=6).run()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", BOTH)
def test_path(name: str, version: int) -> None:
    """The clause is in the name."""
    Script(BOTH[name], version=version).run()
