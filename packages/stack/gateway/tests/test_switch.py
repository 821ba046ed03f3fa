"""The table of a switch."""

from __future__ import annotations

from mirage.gateway.switch import AddressTable

A, B, GROUP = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02", b"\x33\x33\0\0\0\x01"


def test_a_switch_learns_where_addresses_are() -> None:
    """From where they send; a station that moves is found again; groups are nobody's."""
    table: AddressTable[str] = AddressTable()
    assert table.find(A) is None
    table.learn(A, "left")
    table.learn(B, "right")
    table.learn(GROUP, "left")
    assert (table.find(A), table.find(B), table.find(GROUP)) == ("left", "right", None)
    table.learn(A, "right")
    assert table.find(A) == "right"
    table.forget("right")
    assert len(table) == 0


def test_the_table_is_bounded() -> None:
    """A guest that makes addresses up displaces the oldest entries, and the table grows no more."""
    table: AddressTable[str] = AddressTable(limit=10)
    table.learn(A, "left")
    for number in range(1000):
        table.learn(b"\x06" + number.to_bytes(5, "big"), "liar")
    assert len(table) == 10
    assert table.find(A) is None
