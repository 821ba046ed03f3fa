"""Messages on the wire, and the values of options."""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.dhcp import InvalidMessage, Message, MessageTooLong, MessageType, Option, Route, build, options, parse

addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
codes = st.integers(1, 254).filter(lambda code: code != Option.OVERLOAD)


def messages(most: int = 700) -> st.SearchStrategy[Message]:
    return st.builds(
        Message,
        op=st.sampled_from([1, 2]),
        xid=st.integers(0, 2**32 - 1),
        hardware=st.binary(max_size=16),
        hops=st.integers(0, 255),
        secs=st.integers(0, 65535),
        broadcast=st.booleans(),
        ciaddr=addresses,
        yiaddr=addresses,
        siaddr=addresses,
        giaddr=addresses,
        sname=st.binary(max_size=63).filter(lambda name: b"\0" not in name),
        file=st.binary(max_size=127).filter(lambda name: b"\0" not in name),
        options=st.dictionaries(codes, st.binary(max_size=most), max_size=8),
    )


@given(messages())
def test_parse_inverts_build(message: Message) -> None:
    """Whatever the length of its options, a message comes back whole (RFC 3396)."""
    assert parse(build(message, 65535)) == message


@given(messages(300), st.integers(576, 1500))
def test_a_message_fits_or_is_refused(message: Message, size: int) -> None:
    """With overloading too, what is built fits the size and comes back."""
    try:
        octets = build(message, size)
    except MessageTooLong:
        assert sum(map(len, message.options.values())) > size - 28 - 240 - 60
    else:
        assert len(octets) <= size - 28
        assert parse(octets) == message


@pytest.mark.parametrize("size", range(250, 472, 7))
def test_overload(size: int) -> None:
    """RFC 2131 4.1: what does not fit the options field goes on in file, then in sname."""
    message = Message(op=2, xid=1, hardware=b"\2" * 6, options={53: b"\5", 200: bytes(range(256)) * 2, 201: b"x" * 9})
    message = Message(op=2, xid=1, hardware=b"\2" * 6, options={**message.options, 200: message.options[200][:size]})
    octets = build(message)
    assert len(octets) <= 576 - 28
    assert parse(octets) == message


def test_more_than_all_fields_is_refused() -> None:
    """Local misuse has its own error."""
    with pytest.raises(MessageTooLong, match="fewer"):
        build(Message(op=2, xid=1, hardware=b"", options={200: bytes(520)}))


@pytest.mark.parametrize("code", [0, 52, 255, 256])
def test_what_is_no_option(code: int) -> None:
    """Pad, end and overload are no options to give."""
    with pytest.raises(MessageTooLong, match="no code"):
        build(Message(op=2, xid=1, hardware=b"", options={code: b""}))


@given(st.binary(max_size=600))
def test_any_octets_give_a_message_or_a_declared_error(octets: bytes) -> None:
    """Untrusted octets raise nothing but the declared error."""
    for data in (octets, b"\2\1\6\0" + octets[:232].ljust(232, b"\0") + b"\x63\x82\x53\x63" + octets[232:]):
        try:
            message = parse(data)
        except InvalidMessage:
            continue
        assert len(build(message, 65535)) >= 300


@given(messages(40), st.data())
def test_a_message_with_a_flipped_octet(message: Message, data: st.DataObject) -> None:
    """Nearly right messages reach every branch of the parser."""
    octets = bytearray(build(message, 65535))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InvalidMessage):
        assert parse(octets).type in {None, *MessageType}


@given(st.binary(max_size=80))
def test_options_raise_only_the_declared_error(value: bytes) -> None:
    """Values of options are as untrusted as messages."""
    for read in (
        options.parse_addresses,
        options.parse_addresses6,
        options.parse_domains,
        options.parse_mask,
        options.parse_routes,
        options.parse_static_routes,
        options.parse_text,
    ):
        with contextlib.suppress(InvalidMessage):
            read(value)


@given(st.lists(st.tuples(addresses, st.integers(0, 32), addresses), min_size=1))
def test_routes_come_back(found: list[tuple[IPv4Address, int, IPv4Address]]) -> None:
    """RFC 3442: prefixes as short as can be."""
    routes = tuple(Route(IPv4Network((to, length), strict=False), by) for to, length, by in found)
    assert options.parse_routes(options.build_routes(routes)) == routes


def test_rfc_3442_example() -> None:
    """The descriptors of the RFC's own table."""
    value = bytes([0, 1, 2, 3, 4]) + bytes([24, 10, 0, 0, 1, 2, 3, 4]) + bytes([17, 10, 229, 0, 1, 2, 3, 4])
    by = IPv4Address("1.2.3.4")
    assert options.parse_routes(value) == (
        Route(IPv4Network("0.0.0.0/0"), by),
        Route(IPv4Network("10.0.0.0/24"), by),
        Route(IPv4Network("10.229.0.0/17"), by),
    )


def test_rfc_3397_compression() -> None:
    """The RFC's example: eng.apple.com., then marketing. and a pointer to apple.com."""
    value = b"\3eng\5apple\3com\0\tmarketing\xc0\x04"
    assert options.parse_domains(value) == ("eng.apple.com", "marketing.apple.com")
    assert options.parse_domains(options.build_domains(["eng.apple.com", "b"])) == ("eng.apple.com", "b")


def test_a_pointer_to_itself_ends() -> None:
    """Pointers go backwards only, so that no name is endless."""
    for value in (b"\xc0\x00", b"\1a\xc0\x00", b"\1a\xc0\x02"):
        with pytest.raises(InvalidMessage):
            options.parse_domains(value)
    with pytest.raises(ValueError, match="no domain name"):
        options.build_domains(["a..b"])
