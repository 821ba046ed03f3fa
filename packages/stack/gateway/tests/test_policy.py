"""Whom guests may reach: the table, and what no wide rule covers."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.gateway import BadOption, Plan, Policy, parse_rule
from mirage.gateway.policy import Address, parse_host_port


def resolve(name: str) -> list[Address]:
    assert name == "example.org"
    return [ipaddress.ip_address("192.0.2.7"), ipaddress.ip_address("2001:db8::7")]


def target(policy: Policy, address: str, port: int = 80) -> str | None:
    found = policy.target(ipaddress.ip_address(address).packed, port)
    return None if found is None else str(found[0])


def policy(*texts: str, everything: bool = False) -> Policy:
    return Policy(Plan(), [parse_rule(text, resolve) for text in texts], everything=everything)


HOSTS_OWN = [
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.9.9.9",
    "169.254.169.254",
    "224.0.0.251",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:192.0.2.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
    "fe80::1",
    "ff02::1",
    # The plan's own: guests reach these by themselves, and the host has no such addresses.
    "10.0.2.2",
    "10.0.2.15",
    "10.0.2.255",
    "fd00::2",
    "fd00::1234",
]


def test_nobody_may_be_reached_unless_a_rule_says_so() -> None:
    """Off by default."""
    nobody = policy()
    assert nobody.nothing
    assert all(target(nobody, address) is None for address in [*HOSTS_OWN, "192.0.2.1", "2001:db8::1"])


@pytest.mark.parametrize("address", HOSTS_OWN)
@pytest.mark.parametrize("rule", ["*", "0.0.0.0/0", "::/0", "128.0.0.0/1"])
def test_everything_leaves_out_the_hosts_own(address: str, rule: str) -> None:
    """Loopback, link-local, groups, and addresses that only stand for others need a rule that names them."""
    assert target(policy(rule, everything=True), address) is None


def test_everything_is_everything_else() -> None:
    """Both versions."""
    everything = policy(everything=True)
    for address in ("192.0.2.1", "10.0.3.1", "172.16.0.1", "2001:db8::1", "fd01::1"):
        assert target(everything, address) == address
    assert target(everything, "192.0.2.1", 0) is None


def test_the_gateway_stands_for_the_loopback() -> None:
    """`--allow 127.0.0.1:5432` is reached at the gateway's address, and at no other."""
    loopback = policy("127.0.0.1:5432", "[::1]:5432")
    assert target(loopback, "10.0.2.2", 5432) == "127.0.0.1"
    assert target(loopback, "fd00::2", 5432) == "::1"
    assert target(loopback, "10.0.2.2", 5433) is None
    assert target(loopback, "127.0.0.1", 5432) is None
    assert target(loopback, "::1", 5432) is None
    assert target(policy("127.0.0.0/8"), "10.0.2.2") == "127.0.0.1"


def test_rules_name_ports() -> None:
    """One, some, or all."""
    some = policy("192.0.2.0/24:8000-8010", "example.org:443", "[2001:db8::1]:22")
    assert target(some, "192.0.2.9", 8010) == "192.0.2.9"
    assert target(some, "192.0.2.9", 8011) is None
    assert target(some, "192.0.2.7", 443) == "192.0.2.7"
    assert target(some, "2001:db8::7", 443) == "2001:db8::7"
    assert target(some, "2001:db8::1", 22) == "2001:db8::1"
    assert target(some, "2001:db8::1", 23) is None
    assert target(policy("2001:db8::9"), "2001:db8::9", 1) == "2001:db8::9"
    assert target(policy("169.254.169.254:80"), "169.254.169.254") == "169.254.169.254"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        "1.2.3.4:0",
        "1.2.3.4:65536",
        "1.2.3.4:9-8",
        "1.2.3.4:x",
        "1.2.3.4/24x",
        "[::1",
        "[::1]80",
        "1.2.3.0/9",
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    """With words on how to write one."""
    with pytest.raises(BadOption):
        parse_rule(text, lambda _: [])


@given(st.text(max_size=30))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    """Nothing else is raised; what stands before a port is a host."""
    try:
        parse_rule(text, lambda _: [])
        parse_host_port(text)
    except BadOption:
        pass


@given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16), st.integers(0, 65535))
def test_no_address_leads_to_the_loopback_without_a_rule_for_it(destination: bytes, port: int) -> None:
    """Whatever a guest writes into a packet."""
    found = policy(everything=True).target(destination, port)
    assert found is None or not (found[0].is_loopback or found[0].is_link_local or found[0].is_multicast)


def test_plans_are_checked() -> None:
    """Networks too small for guests, prefixes that make no addresses, MTUs that IPv6 cannot live with."""
    assert str(Plan.of("192.168.77.0/27").guest4()) == "192.168.77.15"
    for words in (
        ("10.0.2.0/30",),
        ("10.0.2.1/24",),
        ("x",),
        ("10.0.2.0/24", "fd00::/48"),
        ("10.0.2.0/24", "fd00::/64", 68),
    ):
        with pytest.raises(BadOption):
            Plan.of(*words)  # type: ignore[arg-type]
    plan = Plan()
    macs = {plan.mac(), *(plan.mac(number) for number in range(plan.guests))}
    assert len(macs) == plan.guests + 1
    assert not any(mac[0] & 1 for mac in macs)
