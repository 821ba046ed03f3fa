"""The authoritative server, octets in and out."""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv4Network

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.dns import Authority, BadZone, Zone
from mirage.dns.message import parse_name

ZONE = """
$ORIGIN example.org.
$TTL 3600
@       IN SOA ns1 admin ( 2024010101 3600 600 86400 300 )
        IN NS ns1
        IN NS ns.elsewhere.net.
        IN MX 10 mail
        IN A 192.0.2.1
        IN TXT "v=spf1 -all"
ns1     IN A 192.0.2.53
ns1     IN AAAA 2001:db8::53
mail    IN A 192.0.2.25
www     IN CNAME web
web     IN A 192.0.2.80
out     IN CNAME www.example.net.
chain1  IN CNAME chain2
chain2  IN CNAME web
loop1   IN CNAME loop2
loop2   IN CNAME loop1
lost    IN CNAME nothing
other   IN CNAME www.example.com.
deep.er.ent IN A 192.0.2.9
*.wild  IN A 192.0.2.99
*.wild  IN TXT "star"
host.wild IN TXT "explicit"
*.cwild IN CNAME web
sub     IN NS ns.sub
sub     IN NS ns1
sub     IN DS 12345 8 2 0000000000000000000000000000000000000000000000000000000000000000
ns.sub  IN A 192.0.2.54
_http._tcp IN SRV 0 5 80 web
"""
OTHER = (
    "$ORIGIN example.com.\n@ 60 IN SOA ns a 1 2 3 4 5\n@ 60 IN NS ns\nns 60 IN A 192.0.2.2\nwww 60 IN A 192.0.2.88\n"
)
SOURCE = IPv4Address("198.51.100.7")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority([Zone.parse(ZONE), Zone.parse(OTHER)], transfer_to=[IPv4Network("198.51.100.0/24")])


def ask(
    authority: Authority, name: str, rdtype: str = "A", *, tcp: bool = False, **options: object
) -> dns.message.Message:
    query = dns.message.make_query(name, rdtype, **options)  # type: ignore[arg-type]
    (octets,) = authority.handle(query.to_wire(), SOURCE, tcp=tcp)
    response = dns.message.from_wire(octets)
    assert query.is_response(response)
    assert not response.flags & dns.flags.RA
    return response


def texts(section: list[dns.rrset.RRset]) -> list[str]:
    return [line for rrset in section for line in rrset.to_text().splitlines()]


def test_an_answer_is_authoritative(authority: Authority) -> None:
    """RFC 1034 4.3.2 step 3a."""
    response = ask(authority, "web.example.org")
    assert response.flags & dns.flags.AA
    assert texts(response.answer) == ["web.example.org. 3600 IN A 192.0.2.80"]
    assert response.edns == -1


def test_names_have_no_case(authority: Authority) -> None:
    """RFC 4343: found in any case; the question comes back as it was asked."""
    response = ask(authority, "WeB.eXample.ORG")
    assert response.question[0].name.to_text() == "WeB.eXample.ORG."
    assert texts(response.answer)


def test_mx_and_srv_bring_addresses(authority: Authority) -> None:
    """RFC 1035 3.3.9: what the asker needs next."""
    assert texts(ask(authority, "example.org", "MX").additional) == ["mail.example.org. 3600 IN A 192.0.2.25"]
    assert texts(ask(authority, "_http._tcp.example.org", "SRV").additional) == [
        "web.example.org. 3600 IN A 192.0.2.80"
    ]
    assert len(texts(ask(authority, "example.org", "NS").additional)) == 2


def test_aliases(authority: Authority) -> None:
    """Followed within the zone and into other zones of ours, and no further."""
    assert [r.name.to_text() for r in ask(authority, "chain1.example.org").answer] == [
        "chain1.example.org.", "chain2.example.org.", "web.example.org.",
    ]  # fmt: skip
    assert texts(ask(authority, "www.example.org", "CNAME").answer) == [
        "www.example.org. 3600 IN CNAME web.example.org."
    ]
    out = ask(authority, "out.example.org")
    assert (len(out.answer), out.rcode(), out.authority) == (1, dns.rcode.NOERROR, [])
    assert texts(ask(authority, "other.example.org").answer)[1] == "www.example.com. 60 IN A 192.0.2.88"
    assert len(ask(authority, "loop1.example.org").answer) == 2


def test_an_alias_to_nothing_is_nxdomain(authority: Authority) -> None:
    """RFC 6604: the code is that of the last name."""
    response = ask(authority, "lost.example.org")
    assert response.rcode() == dns.rcode.NXDOMAIN
    assert len(response.answer) == 1
    assert response.authority[0].rdtype == dns.rdatatype.SOA


def test_no_such_name_and_no_such_data(authority: Authority) -> None:
    """RFC 2308 2 and 3: with the SOA, whose TTL is the lesser of its own and its last field."""
    for name, rdtype, rcode in (
        ("nothing.example.org", "A", dns.rcode.NXDOMAIN),
        ("x.web.example.org", "A", dns.rcode.NXDOMAIN),
        ("web.example.org", "AAAA", dns.rcode.NOERROR),
        ("er.ent.example.org", "A", dns.rcode.NOERROR),  # RFC 4592 2.2.2: a name between
        ("ent.example.org", "A", dns.rcode.NOERROR),
    ):
        response = ask(authority, name, rdtype)
        assert response.rcode() == rcode, name
        assert response.flags & dns.flags.AA
        assert response.answer == []
        assert (response.authority[0].rdtype, response.authority[0].ttl) == (dns.rdatatype.SOA, 300)


def test_wildcards(authority: Authority) -> None:
    """RFC 4592: for names that do not exist, below the closest one that does."""
    assert texts(ask(authority, "a.b.wild.example.org").answer) == ["a.b.wild.example.org. 3600 IN A 192.0.2.99"]
    assert ask(authority, "host.wild.example.org").answer == []  # it exists: the wildcard is not for it
    assert ask(authority, "x.host.wild.example.org").rcode() == dns.rcode.NXDOMAIN
    assert ask(authority, "a.wild.example.org", "AAAA").rcode() == dns.rcode.NOERROR
    assert ask(authority, "wild.example.org").answer == []
    assert texts(ask(authority, "any.cwild.example.org").answer)[0].startswith("any.cwild.example.org. 3600 IN CNAME")
    assert len(ask(authority, "any.cwild.example.org").answer) == 2


def test_a_delegation(authority: Authority) -> None:
    """RFC 1034 4.2.1: NS and glue, without AA; the DS is ours."""
    for name in ("sub.example.org", "a.b.sub.example.org", "ns.sub.example.org"):
        response = ask(authority, name)
        assert not response.flags & dns.flags.AA
        assert (response.rcode(), response.answer) == (dns.rcode.NOERROR, [])
        assert response.authority[0].rdtype == dns.rdatatype.NS
        assert "ns.sub.example.org. 3600 IN A 192.0.2.54" in texts(response.additional)
    ds = ask(authority, "sub.example.org", "DS")
    assert ds.flags & dns.flags.AA
    assert len(ds.answer) == 1


def test_the_deepest_zone_answers() -> None:
    """A zone and its child on one server."""
    child = OTHER.replace("example.com", "sub.example.org")
    authority = Authority([Zone.parse(ZONE), Zone.parse(child)])
    assert ask(authority, "www.sub.example.org").flags & dns.flags.AA
    assert len(ask(authority, "sub.example.org", "DS").answer) == 1  # the parent's
    assert ask(authority, "sub.example.org", "SOA").answer[0].name.to_text() == "sub.example.org."


def test_other_names_are_refused(authority: Authority) -> None:
    """We are nobody's recursive server."""
    response = ask(authority, "www.example.net")
    assert response.rcode() == dns.rcode.REFUSED
    assert not response.flags & dns.flags.AA


def test_any_is_minimal(authority: Authority) -> None:
    """RFC 8482 4.2."""
    response = ask(authority, "example.org", "ANY")
    assert texts(response.answer) == ['example.org. 3600 IN HINFO "RFC8482" ""']
    assert ask(authority, "nothing.example.org", "ANY").rcode() == dns.rcode.NXDOMAIN
    assert ask(authority, "a.sub.example.org", "ANY").authority[0].rdtype == dns.rdatatype.NS


def test_transfer() -> None:
    """RFC 5936 over TCP, to whom it is allowed: every record once, the SOA first and last, in many messages."""
    many = ZONE + "".join(f'n{i} IN TXT "{"x" * 200}"\n' for i in range(300))
    authority = Authority([Zone.parse(many)], transfer_to=[IPv4Network("198.51.100.0/24")])
    query = dns.message.make_query("example.org", "AXFR").to_wire()
    messages = [dns.message.from_wire(m, xfr=True) for m in authority.handle(query, SOURCE, tcp=True)]
    assert len(messages) > 3
    lines = [line for m in messages for line in texts(m.answer)]
    assert lines[0].split()[3] == lines[-1].split()[3] == "SOA"
    assert len(lines) == len(set(lines)) + 1
    zone = dns.zone.from_text(many, relativize=False)
    assert len(lines) - 1 == sum(len(rdataset) for node in zone.values() for rdataset in node)


def test_transfers_are_refused(authority: Authority) -> None:
    """By default, over UDP, and of what is no zone of ours."""
    query = dns.message.make_query("example.org", "AXFR").to_wire()
    for server, source, name, tcp, rcode in (
        (Authority([Zone.parse(ZONE)]), SOURCE, "example.org", True, dns.rcode.REFUSED),
        (authority, IPv4Address("192.0.2.200"), "example.org", True, dns.rcode.REFUSED),
        (authority, SOURCE, "example.org", False, dns.rcode.REFUSED),
        (authority, SOURCE, "web.example.org", True, dns.rcode.NOTAUTH),
    ):
        query = dns.message.make_query(name, "AXFR").to_wire()
        (octets,) = server.handle(query, source, tcp=tcp)
        response = dns.message.from_wire(octets)
        assert (response.rcode(), response.answer) == (rcode, [])


def test_edns(authority: Authority) -> None:
    """RFC 6891: answered in kind, other versions refused."""
    response = ask(authority, "web.example.org", use_edns=0, payload=4096)
    assert (response.edns, response.payload) == (0, 1232)
    bad = ask(authority, "web.example.org", use_edns=1)
    assert (bad.rcode(), bad.edns, bad.answer) == (dns.rcode.BADVERS, 0, [])


def test_what_does_not_fit_is_cut_and_said_so() -> None:
    """RFC 2181 9: the size is 512 octets, what EDNS offers, or our own limit, and over TCP everything."""
    zone = ZONE + "".join(f"big IN A 192.0.3.{i}\n" for i in range(200))
    authority = Authority([Zone.parse(zone)])
    for options, most in (({}, 512), ({"use_edns": 0, "payload": 700}, 700), ({"use_edns": 0, "payload": 60000}, 1232)):
        query = dns.message.make_query("big.example.org", "A", **options)  # type: ignore[arg-type]
        (octets,) = authority.handle(query.to_wire(), SOURCE, tcp=False)
        assert len(octets) <= most
        assert dns.message.from_wire(octets).flags & dns.flags.TC
    response = ask(authority, "big.example.org", tcp=True)
    assert not response.flags & dns.flags.TC
    assert len(response.answer[0]) == 200


def test_bad_queries(authority: Authority) -> None:
    """Each has its error; what is a response has none."""
    notify = dns.message.make_query("example.org", "SOA")
    notify.set_opcode(dns.opcode.NOTIFY)
    two = dns.message.make_query("example.org", "SOA")
    two.question *= 2
    chaos = dns.message.make_query("version.bind", "TXT", "CH")
    for query, rcode in ((notify, dns.rcode.NOTIMP), (two, dns.rcode.FORMERR), (chaos, dns.rcode.REFUSED)):
        (octets,) = authority.handle(query.to_wire(), SOURCE, tcp=False)
        assert dns.message.from_wire(octets).rcode() == rcode
    (octets,) = authority.handle(dns.message.make_query("example.org", "A").to_wire()[:-3], SOURCE, tcp=False)
    assert dns.message.from_wire(octets).rcode() == dns.rcode.FORMERR
    response = dns.message.make_response(dns.message.make_query("example.org", "A"))
    assert list(authority.handle(response.to_wire(), SOURCE, tcp=False)) == []
    assert list(authority.handle(b"short", SOURCE, tcp=False)) == []


@given(st.binary(max_size=100), st.booleans())
def test_any_octets(authority: Authority, octets: bytes, tcp: bool) -> None:
    """Whatever comes, there is at most one response, it is one, and it is no longer than it may be."""
    head = b"\1\2\0\0\0\1\0\0\0\0\0\0"
    for data in (octets, head + octets, head + b"\3sub\7example\3org\0" + octets):
        for response in authority.handle(data, SOURCE, tcp=tcp):
            assert response[:2] == data[:2]
            assert response[2] & 0x80
            assert tcp or len(response) <= 1232


names = st.lists(st.sampled_from([b"a", b"b", b"*", b"www", b"sub"]), max_size=4)


@given(st.lists(st.tuples(names, st.sampled_from(["A", "NS", "CNAME", "TXT"])), max_size=12), names)
def test_zones_agree_with_their_definition(records: list[tuple[list[bytes], str]], asked: list[bytes]) -> None:
    """For any zone and name: NXDOMAIN exactly when no name, no wildcard and no delegation covers it."""
    content = {"A": "192.0.2.1", "NS": "ns.elsewhere.", "CNAME": "out.elsewhere.", "TXT": '"x"'}
    lines, used = [], set()
    for labels, rdtype in records:
        owner = ".".join([label.decode() for label in labels] + ["z."])
        if (rdtype in {"CNAME", "NS"} and not labels) or any(o == owner for o, _ in used):
            continue  # one type for each name keeps CNAMEs lawful
        used.add((owner, rdtype))
        lines.append(f"{owner} 60 IN {rdtype} {content[rdtype]}")
    zone = Zone.parse("z. 60 IN SOA ns.z. a.z. 1 2 3 4 5\nz. 60 IN NS ns.elsewhere.\n" + "\n".join(lines), "z")
    name = ".".join([label.decode() for label in asked] + ["z."])
    response = ask(Authority([zone]), name)

    owners = {owner for owner, _ in used} | {"z."}

    def exists(text: str) -> bool:
        return any(owner == text or owner.endswith("." + text) for owner in owners)

    above = [name]
    while above[-1] != "z.":
        above.append(above[-1].partition(".")[2])
    cut = any((text, "NS") in used for text in above)
    closest = next(text for text in above if exists(text))
    covered = exists(name) or exists(f"*.{closest}") or cut
    assert (response.rcode() == dns.rcode.NXDOMAIN) == (not covered)


@pytest.mark.parametrize(
    ("text", "origin", "hint"),
    [
        ("", "example.org", "SOA"),
        ("@ IN A 192.0.2.1", "example.org", "line:1.*TTL"),
        ("@ 60 IN A 192.0.2.1", "example.org", "SOA"),
        ("www IN A 192.0.2.1", None, "ORIGIN"),
        ("", None, "ORIGIN"),
        ("@ 60 IN SOA ns a 1 2 3 4", "example.org", "read"),
        ("$INCLUDE /etc/passwd\n", "example.org", "read"),
        ("@ 60 IN SOA ns a 1 2 3 4 5\n@ 60 IN NS ns\nx 60 IN A 999.0.0.1", "example.org", "line:3"),
        ("\0\0", "example.org", "read"),
    ],
)
def test_a_bad_zone_says_where(text: str, origin: str | None, hint: str) -> None:
    """The message names the line, or what is needed."""
    with pytest.raises(BadZone, match=hint):
        Zone.parse(text, origin)


@given(st.text(alphabet='$@ORIGIN\n\t ;()"TTL0169.*azSONAH', max_size=120))
def test_any_text_is_a_zone_or_a_bad_one(text: str) -> None:
    """A file raises the declared error only."""
    with contextlib.suppress(BadZone):
        Zone.parse(text, "example.org")


def test_the_same_zone_twice() -> None:
    """Which one would answer?"""
    with pytest.raises(BadZone, match="twice"):
        Authority([Zone.parse(OTHER), Zone.parse(OTHER)])


@pytest.mark.slow
def test_the_same_question_has_the_same_answer() -> None:
    """What was answered is answered again from memory: with the new id, per transport, counted, and bounded."""
    one = Authority([Zone.parse(ZONE + "".join(f"big IN A 192.0.3.{i}\n" for i in range(200)))])
    query = dns.message.make_query("big.example.org", "A")
    for number in (1, 2, 3):
        query.id = number
        (cut,) = one.handle(query.to_wire(), SOURCE, tcp=False)
        (whole,) = one.handle(query.to_wire(), SOURCE, tcp=True)
        for octets, full in ((cut, False), (whole, True)):
            response = dns.message.from_wire(octets)
            assert response.id == number
            assert bool(response.flags & dns.flags.TC) is not full
    assert one.counters["answered.noerror"] == 6
    for number in range(5000):
        ask(one, f"{number}.example.org")
    assert len(one._ready) <= 4096


def test_a_zone_is_replaced() -> None:
    """A new version takes over at once."""
    authority = Authority([Zone.parse(OTHER)])
    assert texts(ask(authority, "www.example.com").answer) == ["www.example.com. 60 IN A 192.0.2.88"]
    authority.replace(Zone.parse(OTHER.replace("192.0.2.88", "192.0.2.89")))
    assert texts(ask(authority, "www.example.com").answer) == ["www.example.com. 60 IN A 192.0.2.89"]
    assert authority.zone_of(parse_name("example.net")) is None
