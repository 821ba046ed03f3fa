"""Grammars of every kind: round trips, and BER that says the same."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.asn1 import (
    APPLICATION,
    BER,
    DER,
    BitString,
    Chosen,
    DecodeError,
    EncodeError,
    Grammar,
    GrammarError,
    Limits,
    Oid,
    Rules,
    WithOctets,
    any_,
    bit_flags,
    bit_string,
    bmp_string,
    boolean,
    choice,
    default,
    enumerated,
    explicit,
    general_string,
    generalized_time,
    ia5_string,
    implicit,
    in_bit_string,
    in_octet_string,
    integer,
    null,
    numeric_string,
    octet_string,
    octets_of,
    oid,
    optional,
    printable_string,
    recursive,
    relative_oid,
    sequence,
    sequence_of,
    set_,
    set_of,
    teletex_string,
    universal_string,
    utc_time,
    utf8_string,
    visible_string,
    with_octets,
)
from mirage.asn1.testing import loosen


def values(grammar: Grammar[Any], size: int = 8) -> st.SearchStrategy[Any]:
    """Random values, as a strategy."""
    return st.randoms(use_true_random=False).map(lambda rng: grammar.random(rng, size))


class Pair(NamedTuple):
    left: Any
    right: Any


class Record(NamedTuple):
    version: int
    name: str | None
    tags: list[str] | None
    payload: Any


class Tree(NamedTuple):
    label: int
    children: list[Any]


RECORD = sequence(
    Record,
    version=default(explicit(0, integer), 0),
    name=optional(utf8_string),
    tags=optional(implicit(1, sequence_of(ia5_string))),
    payload=explicit(2, any_),
)
TREE: Grammar[Tree] = recursive(lambda tree: sequence(Tree, label=integer, children=sequence_of(tree)))
EXPRESSION: Grammar[Chosen] = recursive(
    lambda e: choice(number=integer, no=implicit(0, null), both=explicit(1, sequence(Pair, left=e, right=e)))
)
GRAMMARS: dict[str, Grammar[Any]] = {
    "boolean": boolean,
    "integer": integer,
    "enumerated": enumerated(red=0, green=5, blue=-129),
    "null": null,
    "octet_string": octet_string,
    "bit_string": bit_string,
    "bit_flags": bit_flags(*"abcdefghij"),
    "oid": oid,
    "relative_oid": relative_oid,
    "utf8_string": utf8_string,
    "numeric_string": numeric_string,
    "printable_string": printable_string,
    "teletex_string": teletex_string,
    "ia5_string": ia5_string,
    "visible_string": visible_string,
    "general_string": general_string,
    "universal_string": universal_string,
    "bmp_string": bmp_string,
    "utc_time": utc_time,
    "generalized_time": generalized_time,
    "sequence": RECORD,
    "set": set_(Pair, left=optional(boolean), right=implicit(3, integer)),
    "sequence_of": sequence_of(utf8_string),
    "set_of": set_of(octet_string, least=1, most=4),
    "choice": choice(a=boolean, b=implicit(0, boolean), c=explicit(0, integer)),
    "any": any_,
    "octets_of": octets_of(RECORD),
    "with_octets": with_octets(RECORD),
    "in_octet_string": in_octet_string(RECORD),
    "in_bit_string": implicit(7, in_bit_string(RECORD)),
    "high tag": implicit(31, implicit(4000, integer, APPLICATION)),
    "explicit high tag": explicit(128, octet_string),
    "mapped": implicit(2, integer.map(lambda n: -n, lambda n: -n)),
    "recursive": TREE,
    "recursive choice": EXPRESSION,
}


@pytest.mark.parametrize("name", GRAMMARS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_decode_inverts_encode(name: str, data: st.DataObject) -> None:
    """A random value of each grammar comes back from its DER, under both rules, and encodes to the same octets."""
    grammar = GRAMMARS[name]
    value = data.draw(values(grammar))
    der = grammar.encode(value)
    assert grammar.decode(der) == value
    assert grammar.decode(bytearray(der), BER) == grammar.decode(memoryview(der))
    assert grammar.encode(grammar.decode(der)) == der
    assert grammar.decode_prefix(der + b"\x05\x00") == (value, len(der))


KEEPS_OCTETS = {"any", "octets_of", "with_octets"}


@pytest.mark.parametrize(
    "name", sorted(GRAMMARS.keys() - KEEPS_OCTETS - {"sequence", "in_octet_string", "in_bit_string"})
)
@given(data=st.data(), seed=st.integers(0, 1 << 32))
@settings(max_examples=40, deadline=None)
def test_ber_means_what_der_means(name: str, data: st.DataObject, seed: int) -> None:
    """The same value in stranger BER is the same value; strict DER refuses whatever is not the DER itself."""
    grammar = GRAMMARS[name]
    value = data.draw(values(grammar))
    der = grammar.encode(value)
    ber = loosen(der, random.Random(seed))
    found = grammar.decode(ber, BER)
    assert found == value or (name == "set_of" and sorted(found) == sorted(value))
    if ber != der:
        with pytest.raises(DecodeError):
            grammar.decode(ber, DER)


@pytest.mark.slow
@given(data=st.binary(max_size=64), rules=st.sampled_from(Rules))
@settings(max_examples=300, deadline=None)
def test_any_octets_give_a_value_or_a_declared_error(data: bytes, rules: Rules) -> None:
    """Untrusted octets raise `DecodeError` only; what strict DER accepts is what would be encoded."""
    for grammar in GRAMMARS.values():
        try:
            value = grammar.decode(data, rules)
        except DecodeError:
            continue
        if rules is DER and grammar not in (GRAMMARS["bit_flags"], GRAMMARS["generalized_time"]):
            assert grammar.encode(value) == data


@pytest.mark.slow
@given(data=st.data(), rules=st.sampled_from(Rules))
@settings(max_examples=300, deadline=None)
def test_mutated_encodings(data: st.DataObject, rules: Rules) -> None:
    """As above, for octets that are nearly right."""
    grammar = data.draw(st.sampled_from(list(GRAMMARS.values())))
    octets = bytearray(grammar.encode(data.draw(values(grammar, 5))))
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    del octets[data.draw(st.integers(0, len(octets))) :]
    try:
        value = grammar.decode(octets, rules)
    except DecodeError as error:
        found = error.offset
    else:
        found = 0
        if rules is DER and grammar not in (GRAMMARS["bit_flags"], GRAMMARS["generalized_time"]):
            assert grammar.encode(value) == bytes(octets)
    assert 0 <= found <= len(octets)


def test_an_error_says_where() -> None:
    """The path from the outermost value, and the offset from the first octet."""
    good = RECORD.encode(Record(1, None, ["a", "b"], b"\x05\x00"))
    bad = good.replace(b"\x16\x01b", b"\x16\x01\xe4")
    with pytest.raises(DecodeError, match=r"^tags\[1\] at octet 12: octets that are no IA5String$") as caught:
        RECORD.decode(bad)
    assert (caught.value.path, caught.value.offset) == (("tags", 1), bad.index(b"\xe4") - 2)
    with pytest.raises(EncodeError, match=r"^tags\[1\]: a character that IA5String does not have"):
        RECORD.encode(Record(1, None, ["a", "ä"], b"\x05\x00"))
    with pytest.raises(DecodeError, match=r"^payload at octet 2: nothing where"):
        RECORD.decode(b"\x30\x00")


@pytest.mark.parametrize(
    ("grammar", "octets", "why"),
    [
        (integer, "0200", "8.3.1"),
        (integer, "02020001", "8.3.2"),
        (integer, "0202ff80", "8.3.2"),
        (integer, "02810101", "10.1"),
        (integer, "0282000101", "10.1"),
        (integer, "028001010000", "8.1.3.2|10.1"),
        (integer, "0201", "cut short"),
        (integer, "02ff01", "cut short|within|reserved"),
        (integer, "020101ff", "too many"),
        (boolean, "010101", "11.1"),
        (null, "050100", "8.8.2"),
        (bit_string, "030104", "8.6.2.2"),
        (bit_string, "03020801", "8.6.2.2"),
        (bit_string, "03020401", "11.2.1"),
        (bit_string, "0300", "8.6.2.3"),
        (bit_flags("a", "b"), "03020780", None),
        (bit_flags("a", "b"), "03020680", "11.2.2"),
        (bit_flags("a", "b", zeros=True), "03020680", None),
        (oid, "0600", "8.19.2"),
        (oid, "06028001", "8.19.2"),
        (oid, "0602812a81", "cut|too many|ends"),
        (oid, "0614" + "ff" * 19 + "7f", "128 bits"),
        (octet_string, "24030401aa", "constructed OCTET STRING"),
        (utc_time, "170b3235303130313030303057", "11.8"),
        (utc_time, "170d3235313330313030303030305a", "no such time"),
        (generalized_time, "180f32303235303130313030303030305a", None),
        (generalized_time, "180d3230323530313031303030305a", "11.7"),
        (generalized_time, "181132303235303130313030303030302e305a", "11.7"),
        (set_of(integer), "3106020102020101", "11.6"),
        (sequence_of(integer, 1), "3000", "1 or more"),
        (sequence_of(integer, 0, 1), "3006020101020102", "0 to 1"),
        (sequence(Pair, left=default(integer, 5), right=boolean), "30060201050101ff", "11.5"),
        (sequence(Pair, left=integer, right=integer), "3009020101020102020103", "too many"),
        (set_(Pair, left=integer, right=boolean), "31060201010101ff", "10.3"),
        (set_(Pair, left=integer, right=boolean), "3103020101", "without|no place|part"),
        (set_(Pair, left=optional(integer), right=optional(boolean)), "3106020101020101", "no place"),
        (implicit(31, integer), "9f1e0101", "long form"),
        (implicit(31, integer), "9f801f0101", "leading zeros"),
        (implicit(31, integer), "9fffffffff7f0101", "too large"),
        (bmp_string, "1e02d800", "surrogates|no BMP"),
        (bmp_string, "1e04d83ddc2b", "surrogates"),
        (utf8_string, "0c02c080", "no UTF8"),
        (printable_string, "130140", "PrintableString"),
        (in_octet_string(integer), "0404020101ff", "too many"),
        (in_bit_string(integer), "030407020100", "whole octets"),
    ],
)
def test_der_is_strict(grammar: Grammar[Any], octets: str, why: str | None) -> None:
    """What X.690 forbids is refused, with its clause; the neighbouring good form is not."""
    data = bytes.fromhex(octets)
    if why is None:
        grammar.decode(data)
    else:
        with pytest.raises(DecodeError, match=why):
            grammar.decode(data)


@pytest.mark.parametrize(
    ("grammar", "octets", "value"),
    [
        (boolean, "010101", True),
        (integer, "0282000101", 1),
        (octet_string, "24800401aa0402bbcc0000", b"\xaa\xbb\xcc"),
        (octet_string, "24092405040101040102", b"\x01\x02"[:0] or None),
        (bit_string, "2308030200aa030204f0", BitString(b"\xaa\xf0", 4)),
        (bit_string, "0302040f", BitString(b"\x00", 4)),
        (set_of(integer), "3106020102020101", [2, 1]),
        (sequence(Pair, left=default(integer, 5), right=boolean), "30800201050101ff0000", Pair(5, True)),
        (set_(Pair, left=integer, right=boolean), "31060201010101ff", Pair(1, True)),
        (implicit(0, octet_string), "a0060401aa0401bb", b"\xaa\xbb"),
        (any_, "30800000", b"\x30\x80\x00\x00"),
        (sequence(Pair, left=any_, right=integer), "3080308000000201070000", Pair(b"\x30\x80\x00\x00", 7)),
        (in_octet_string(integer), "2407040202010401ff", -1),
        (with_octets(null), "058100", WithOctets(None, b"\x05\x81\x00")),
    ],
)
def test_ber_is_lenient(grammar: Grammar[Any], octets: str, value: Any) -> None:
    """Forms that only BER has."""
    data = bytes.fromhex(octets)
    if value is None:
        with pytest.raises(DecodeError):
            grammar.decode(data, BER)
    else:
        assert grammar.decode(data, BER) == value
        with pytest.raises(DecodeError):
            grammar.decode(data, DER)


def test_times() -> None:
    """The centuries of UTCTime, and BER's offsets, fractions and missing seconds."""
    decode = {23: utc_time, 24: generalized_time}

    def read(number: int, text: str) -> str:
        raw = bytes((number, len(text))) + text.encode()
        return decode[number].decode(raw, BER).isoformat()

    assert read(23, "500101000000Z") == "1950-01-01T00:00:00+00:00"
    assert read(23, "491231235959Z") == "2049-12-31T23:59:59+00:00"
    assert read(23, "2501010000+0130") == "2024-12-31T22:30:00+00:00"
    assert read(24, "2025010112.5") == "2025-01-01T12:30:00+00:00"
    assert read(24, "20250101120000,25-05") == "2025-01-01T17:00:00.250000+00:00"
    assert generalized_time.encode(generalized_time.decode(b"\x18\x1120250101000000.5Z"))[2:] == b"20250101000000.5Z"


def test_limits() -> None:
    """Size, depth and count are errors, not a full stack or memory."""
    deep = Tree(1, [])
    for _ in range(40):
        deep = Tree(1, [deep])
    octets = TREE.encode(deep)
    with pytest.raises(DecodeError, match="depth"):
        TREE.decode(octets)
    assert TREE.decode(octets, limits=Limits(depth=41)) == deep
    nested = b"\x24\x80" * 2000
    with pytest.raises(DecodeError, match="deeper"):
        octet_string.decode(nested + bytes(4000), BER)
    parts = b"\x04\x01a"
    for _ in range(40):
        parts = b"\x24" + (bytes((len(parts),)) if len(parts) < 128 else bytes((0x81, len(parts)))) + parts
    with pytest.raises(DecodeError, match="depth"):
        octet_string.decode(parts, BER)
    with pytest.raises(DecodeError, match="count"):
        sequence_of(integer).decode(sequence_of(integer).encode([1] * 11), limits=Limits(count=10))
    with pytest.raises(DecodeError, match="size"):
        any_.decode(bytes(11), limits=Limits(size=10))


@pytest.mark.parametrize(
    "build",
    [
        lambda: sequence(Pair, left=optional(integer), right=integer).decode(b"\x30\x00"),
        lambda: sequence(Pair, left=optional(any_), right=integer).decode(b"\x30\x00"),
        lambda: choice(a=integer, b=integer).decode(b"\x02\x00"),
        lambda: set_(Pair, left=integer, right=integer).decode(b"\x31\x00"),
        lambda: implicit(0, choice(a=integer)),
        lambda: implicit(0, any_.map(bytes, bytes)),
        lambda: recursive(lambda g: choice(a=integer, b=g)).decode(b"\x02\x01\x01"),
        lambda: recursive(lambda g: sequence(Pair, left=integer, right=g)).random(random.Random(1)),
        lambda: enumerated(a=1, b=1),
    ],
)
def test_ambiguous_grammars_are_refused(build: Any) -> None:
    """Rules of X.680 that a grammar breaks are found when it is built or first used."""
    with pytest.raises(GrammarError):
        build()


@pytest.mark.parametrize(
    ("grammar", "value"),
    [
        (integer, "1"),
        (integer, True),
        (boolean, 1),
        (octet_string, "x"),
        (null, 0),
        (oid, "1.2.3"),
        (utf8_string, b"x"),
        (utf8_string, "\ud800"),
        (bmp_string, "🐫"),
        (bit_string, BitString(b"\x01", 1)),
        (bit_string, BitString(b"", 1)),
        (bit_flags("a"), frozenset("b")),
        (enumerated(a=1), "b"),
        (choice(a=integer), Chosen("b", 1)),
        (any_, b"\x05\x00\x00"),
        (any_, b""),
        (octets_of(integer), b"\x05\x00"),
        (sequence_of(integer, 0, 1), [1, 2]),
        (RECORD, Pair(1, 2)),
        (relative_oid, ()),
        (with_octets(null), WithOctets(None, b"\x05")),
    ],
)
def test_values_without_encoding(grammar: Grammar[Any], value: Any) -> None:
    """A value of the wrong kind is the caller's error."""
    with pytest.raises(EncodeError):
        grammar.encode(value)


@pytest.mark.parametrize(
    "text", ["", "1", "3.1", "1.40", "1.2.", "1..2", "1.02", "a", "1.-2", "1.2." + "9" * 41, "0.1\n"]
)
def test_texts_that_are_no_oid(text: str) -> None:
    """`Oid` holds identifiers only."""
    with pytest.raises(ValueError, match="object identifier"):
        Oid(text)


def test_the_least_random_value() -> None:
    """However small a size is asked for, a recursive grammar ends."""
    for size in (-3, 0, 1, 200):
        value = EXPRESSION.random(random.Random(size), size)
        assert EXPRESSION.decode(EXPRESSION.encode(value), limits=Limits(depth=500)) == value
