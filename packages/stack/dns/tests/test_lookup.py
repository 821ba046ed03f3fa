"""The cache, aliases, negative answers, search lists and hosts, without any I/O."""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv6Address

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.dns import Answer, BadName, Cache, Hosts, NameServer, Question, ServersFailed, Settings
from mirage.dns.lookup import candidates, lookup
from mirage.dns.message import parse_name

A, CNAME, MX = dns.rdatatype.A, dns.rdatatype.CNAME, dns.rdatatype.MX
SOA = "example.org. 300 IN SOA ns.example.org. admin.example.org. 1 3600 600 86400 120"


class World:
    """Answers by question, as a recursive server would give them."""

    def __init__(self, *, cache: int = 100, **settings: object) -> None:
        self.settings = Settings(**settings)  # type: ignore[arg-type]
        self.cache = Cache(cache)
        self.answers: dict[tuple[str, int], str] = {}
        self.asked: list[str] = []

    def ask(self, name: str, rdtype: int = A, now: float = 0.0) -> Answer:
        steps = lookup(Question(parse_name(name), rdtype), self.cache, self.settings, now)
        try:
            question = next(steps)
            while True:
                self.asked.append(question.name.to_text())
                text = self.answers.get((question.name.to_text(), question.rdtype), "rcode SERVFAIL")
                head = f"id 1\nopcode QUERY\nflags QR RD RA\n{text}"
                question = steps.send((dns.message.from_text(head), now))
        except StopIteration as end:
            answer: Answer = end.value
        return answer


def test_an_answer_is_kept_for_its_time() -> None:
    """A TTL counts down; at its end the servers are asked again."""
    world = World()
    world.answers["a.example.org.", A] = ";ANSWER\na.example.org. 60 IN A 192.0.2.1"
    assert world.ask("a.example.org").rrset is not None
    answer = world.ask("A.Example.ORG.", now=40.5)
    assert answer.rrset is not None
    assert answer.rrset.ttl == 19
    assert world.asked == ["a.example.org."]
    world.ask("a.example.org", now=60.0)
    assert len(world.asked) == 2


def test_a_ttl_of_nothing_is_used_and_not_kept() -> None:
    """RFC 1035 3.2.1."""
    world = World()
    world.answers["a.example.org.", A] = (
        ";ANSWER\na.example.org. 0 IN CNAME b.example.org.\nb.example.org. 0 IN A 192.0.2.1"
    )
    for _ in range(2):
        answer = world.ask("a.example.org")
        assert answer.rrset is not None
        assert answer.name.to_text() == "b.example.org."
        assert len(answer.chain) == 1
    assert len(world.asked) == 2
    assert len(world.cache) == 0


def test_no_such_name_holds_for_every_type() -> None:
    """RFC 2308 5: for the lesser of the SOA's TTL and its last field."""
    world = World()
    world.answers["no.example.org.", A] = f"rcode NXDOMAIN\n;AUTHORITY\n{SOA}"
    assert world.ask("no.example.org").rcode == dns.rcode.NXDOMAIN
    answer = world.ask("no.example.org", MX, now=119.0)
    assert (answer.rcode, answer.rrset) == (dns.rcode.NXDOMAIN, None)
    assert answer.soa is not None
    assert answer.soa.ttl == 1
    assert len(world.asked) == 1
    world.ask("no.example.org", now=120.0)
    assert len(world.asked) == 2


def test_no_data_holds_for_its_type() -> None:
    """RFC 2308 2.2: other types are asked for."""
    world = World()
    world.answers["a.example.org.", MX] = f";AUTHORITY\n{SOA}"
    world.answers["a.example.org.", A] = ";ANSWER\na.example.org. 60 IN A 192.0.2.1"
    assert world.ask("a.example.org", MX).rrset is None
    assert world.ask("a.example.org", MX).rcode == dns.rcode.NOERROR
    assert world.ask("a.example.org").rrset is not None
    assert len(world.asked) == 2


def test_negative_without_a_soa_is_not_kept() -> None:
    """RFC 2308 5: such an answer says nothing of how long it holds; nor does the SOA of a zone beside it."""
    world = World()
    for soa in ("", f";AUTHORITY\n{SOA.replace('example.org. 300', 'elsewhere. 300')}"):
        world.answers["no.example.org.", A] = f"rcode NXDOMAIN\n{soa}"
        world.ask("no.example.org")
        assert len(world.cache) == 0


def test_negative_answers_are_capped() -> None:
    """No zone can have us disbelieve a name for longer than `max_negative_ttl`."""
    world = World(max_negative_ttl=30)
    world.answers["no.example.org.", A] = f"rcode NXDOMAIN\n;AUTHORITY\n{SOA}"
    world.ask("no.example.org")
    world.ask("no.example.org", now=30.0)
    assert len(world.asked) == 2


def test_an_alias_is_followed_where_the_server_stops() -> None:
    """A chain over several answers; what was learned on the way serves other questions."""
    world = World()
    world.answers["a.example.org.", A] = ";ANSWER\na.example.org. 60 IN CNAME b.example.org."
    world.answers["b.example.org.", A] = (
        ";ANSWER\nb.example.org. 60 IN CNAME c.example.org.\nc.example.org. 60 IN A 192.0.2.3"
    )
    answer = world.ask("a.example.org")
    assert [r.name.to_text() for r in answer.chain] == ["a.example.org.", "b.example.org."]
    assert answer.name.to_text() == "c.example.org."
    again = world.ask("a.example.org", now=1.0)
    assert [r.name.to_text() for r in again.chain] == ["a.example.org.", "b.example.org."]
    assert world.asked == ["a.example.org.", "b.example.org."]
    alias = world.ask("a.example.org", CNAME, now=1.0)
    assert alias.rrset is not None
    assert alias.chain == ()
    assert len(world.asked) == 2


def test_an_alias_to_nothing() -> None:
    """RFC 6604, RFC 2308 2.1: the code and the SOA are those of the end of the chain."""
    world = World()
    world.answers["a.example.org.", A] = (
        f"rcode NXDOMAIN\n;ANSWER\na.example.org. 60 IN CNAME no.example.org.\n;AUTHORITY\n{SOA}"
    )
    for now in (0.0, 1.0):
        answer = world.ask("a.example.org", now=now)
        assert answer.rcode == dns.rcode.NXDOMAIN
        assert len(answer.chain) == 1
    assert world.asked == ["a.example.org."]


@pytest.mark.parametrize("ttl", [0, 60])
def test_a_circle_of_aliases_ends(ttl: int) -> None:
    """Bounded work, and an error."""
    world = World(max_chain=5)
    for one, other in ("ab", "ba"):
        world.answers[f"{one}.example.org.", A] = f";ANSWER\n{one}.example.org. {ttl} IN CNAME {other}.example.org."
    with pytest.raises(ServersFailed, match="alias"):
        world.ask("a.example.org")
    assert len(world.asked) <= 6


def test_a_long_chain_in_one_message_ends() -> None:
    """A message can hold thousands of aliases."""
    world = World()
    records = "\n".join(f"n{i}.example.org. 60 IN CNAME n{i + 1}.example.org." for i in range(60))
    world.answers["n0.example.org.", A] = f";ANSWER\n{records}"
    with pytest.raises(ServersFailed, match="alias"):
        world.ask("n0.example.org")


def test_what_was_not_asked_for_is_not_believed() -> None:
    """Records beside the chain are not kept, wherever they stand in the message."""
    world = World()
    world.answers["a.example.org.", A] = (
        ";ANSWER\na.example.org. 60 IN A 192.0.2.1\nbank.example. 60 IN A 192.0.2.66\n"
        ";AUTHORITY\nexample.org. 60 IN NS evil.example.\n;ADDITIONAL\nevil.example. 60 IN A 192.0.2.66"
    )
    world.ask("a.example.org")
    assert len(world.cache) == 1


def test_the_cache_is_bounded() -> None:
    """The one that was not used for the longest time goes."""
    world = World(cache=3)
    for i in range(4):
        world.answers[f"{i}.example.org.", A] = f";ANSWER\n{i}.example.org. 60 IN A 192.0.2.{i}"
    for i in (0, 1, 2, 0, 3):
        world.ask(f"{i}.example.org")
    assert len(world.cache) == 3
    world.asked.clear()
    for i in (0, 2, 3, 1):
        world.ask(f"{i}.example.org")
    assert world.asked == ["1.example.org."]


def names(text: str, **settings: object) -> list[str]:
    chosen = Settings(search=(parse_name("one.test"), parse_name("test")), **settings)  # type: ignore[arg-type]
    return [name.to_text() for name in candidates(text, parse_name(text), chosen)]


def test_search_list_and_ndots() -> None:
    """resolver(5): few dots, the list first; many, the name first; a dot at the end, nothing else."""
    assert names("host") == ["host.one.test.", "host.test.", "host."]
    assert names("host.sub") == ["host.sub.", "host.sub.one.test.", "host.sub.test."]
    assert names("host.sub", ndots=2) == ["host.sub.one.test.", "host.sub.test.", "host.sub."]
    assert names("host.") == ["host."]
    long = ".".join(["x" * 61] * 4)
    assert names(long) == [long + ".", long + ".test."]


def test_resolv_conf() -> None:
    """resolv.conf(5), with what it may not make sense of."""
    text = (
        "# comment\nnameserver 192.0.2.1\nnameserver fe80::1%eth0 ; x\nnameserver nonsense\nsearch a.test b.test\n"
        "options ndots:3 rotate timeout:1 attempts:x attempts:99 edns0 trust-ad\nsortlist 1\n"
    )
    settings = Settings.from_resolv_conf(text, max_chain=3)
    assert settings.servers == (NameServer.of("192.0.2.1"), NameServer.of("fe80::1%eth0"))
    assert [name.to_text() for name in settings.search] == ["a.test.", "b.test."]
    assert (settings.ndots, settings.rotate, settings.timeout, settings.attempts) == (3, True, 1, 15)
    assert settings.max_chain == 3


def test_hosts() -> None:
    """hosts(5), and the names that RFC 6761 reserves."""
    hosts = Hosts.parse("192.0.2.7 seven.test seven # comment\n2001:db8::7\tseven.test\nnonsense x\n1.2.3.4 a..b\n")
    assert hosts.addresses(parse_name("SEVEN.test")) == (IPv4Address("192.0.2.7"), IPv6Address("2001:db8::7"))
    assert [name.to_text() for name in hosts.names(IPv4Address("192.0.2.7"))] == ["seven.test.", "seven."]
    assert hosts.addresses(parse_name("eight.test")) is None
    assert hosts.addresses(parse_name("x.localhost")) == (IPv6Address("::1"), IPv4Address("127.0.0.1"))
    assert hosts.addresses(parse_name("x.invalid")) == ()
    assert [name.to_text() for name in hosts.names(IPv6Address("::1"))] == ["localhost."]


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_a_declared_error(text: str) -> None:
    """Names come from users."""
    with contextlib.suppress(BadName):
        assert parse_name(text).is_absolute()
    Hosts.parse(text)


@given(st.text(alphabet=" nameserchoptidul.:0123456789\n#;", max_size=80))
def test_any_resolv_conf(text: str) -> None:
    """A file of the host's is passed over where it makes no sense."""
    assert len(Settings.from_resolv_conf(text).servers) <= 3
