"""A bridge of Linux that snoops on reports of multicast groups, and asks for them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirage.tcpip.stack import packed
from tapdriver import Driver, ip

pytestmark = [
    pytest.mark.root,
    pytest.mark.tool("ip", "bridge"),
    pytest.mark.slow,
    pytest.mark.usefixtures("namespace"),
]

GROUP4, GROUP6 = "239.1.2.3", "ff05::123"


@pytest.fixture
def driver(namespace: None) -> Iterator[Driver]:
    """A stack whose TAP is a port of a bridge with a querier of both versions."""
    driver = Driver()
    quick = ["mcast_query_interval", "200", "mcast_query_response_interval", "50", "mcast_startup_query_interval", "50"]
    ip("link", "add", "switch", "type", "bridge", "mcast_snooping", "1", "mcast_querier", "1",
       "mcast_igmp_version", "3", "mcast_mld_version", "2", *quick)  # fmt: skip
    Path("/proc/sys/net/ipv6/conf/switch/accept_dad").write_text("0")
    ip("link", "set", driver.tap.name, "master", "switch")
    ip("address", "add", "10.9.0.9/24", "dev", "switch")
    ip("link", "set", "switch", "up")
    yield driver
    driver.close()


def members(driver: Driver) -> set[str]:
    """The groups that the bridge would send out of our port."""
    output = subprocess.run(["bridge", "mdb", "show"], check=True, capture_output=True, text=True).stdout
    lines = [line.split() for line in output.splitlines() if f"port {driver.tap.name}" in line]
    return {words[words.index("grp") + 1] for words in lines}


def test_a_switch_learns_of_our_groups(driver: Driver) -> None:
    """On joining, on being asked, and on leaving."""
    four, six = driver.stack.bind(7000, version=4), driver.stack.bind(7000, version=6)
    four.join(packed(GROUP4))
    six.join(packed(GROUP6))
    driver.until(lambda: {GROUP4, GROUP6} <= members(driver))
    sent = driver.stack.counters["igmp.reports"], driver.stack.counters["mld.reports"]
    driver.until(
        lambda: (
            driver.stack.counters["igmp.reports"] > sent[0] + 2 and driver.stack.counters["mld.reports"] > sent[1] + 2
        )
    )
    assert {GROUP4, GROUP6} <= members(driver)
    four.close()
    six.close()
    driver.until(lambda: not {GROUP4, GROUP6} & members(driver))
