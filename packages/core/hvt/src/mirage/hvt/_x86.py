"""How long an x86-64 instruction is, where it branches to, and whether it means the same at another address.

Only what the three opcode maps, VEX and EVEX encode in 64-bit mode: an octet that begins nothing known, or something
whose length is in doubt, is no instruction. (Intel's manual, volume 2, chapter 2 and appendix A.)
"""

from __future__ import annotations

from dataclasses import dataclass

_NONE, _BYTE, _WORD, _FULL, _WIDE, _OFFSET, _ENTER = 0, 1, 2, 4, 8, 16, 3
"""Kinds of immediate: none, 1 octet, 2, 4 (2 with the operand-size prefix), 4 or 8 with REX.W, an address, 2 and 1."""
_PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
_SHORT = frozenset([*range(0x70, 0x80), *range(0xE0, 0xE4), 0xEB])
_LEAVES = frozenset(b"\xc2\xc3\xca\xcb\xcc\xcd\xcf\xf1\xf4")
"""Returns, interrupts and halt: these go elsewhere than to the next instruction, or are told apart by their address."""

Table = dict[int, tuple[bool, int]]
"""Whether a ModRM octet follows, and the kind of immediate, by opcode."""


def _rows(table: Table, modrm: bool, immediate: int, *opcodes: range | int) -> None:
    for some in opcodes:
        for opcode in some if isinstance(some, range) else (some,):
            table[opcode] = modrm, immediate


def _one_octet() -> Table:
    table: Table = {}
    for block in range(0, 0x40, 8):
        _rows(table, True, _NONE, range(block, block + 4))
        table[block + 4], table[block + 5] = (False, _BYTE), (False, _FULL)
    _rows(table, True, _NONE, 0x63, range(0x84, 0x8F), range(0xD0, 0xD4), range(0xD8, 0xE0), 0xFE, 0xFF)
    _rows(table, False, _NONE, range(0x50, 0x60), range(0x6C, 0x70), range(0x90, 0x9A), range(0x9B, 0xA0))
    _rows(table, False, _NONE, range(0xA4, 0xA8), range(0xAA, 0xB0), 0xC3, 0xC9, 0xCB, 0xCC, 0xCF, 0xD7)
    _rows(table, False, _NONE, range(0xEC, 0xF0), 0xF1, 0xF4, 0xF5, range(0xF8, 0xFE))
    _rows(table, False, _BYTE, 0x6A, range(0x70, 0x80), 0xA8, range(0xB0, 0xB8), 0xCD, range(0xE0, 0xE8), 0xEB)
    _rows(table, False, _FULL, 0x68, 0xA9, 0xE8, 0xE9)
    _rows(table, False, _WIDE, range(0xB8, 0xC0))
    _rows(table, False, _OFFSET, range(0xA0, 0xA4))
    _rows(table, False, _WORD, 0xC2, 0xCA)
    _rows(table, False, _ENTER, 0xC8)
    _rows(table, True, _BYTE, 0x6B, 0x80, 0x83, 0xC0, 0xC1, 0xC6, 0xF6)
    _rows(table, True, _FULL, 0x69, 0x81, 0xC7, 0xF7)
    return table


def _two_octets() -> Table:
    table: Table = {}
    _rows(table, True, _NONE, range(4), 0x0D, range(0x10, 0x24), range(0x28, 0x30), range(0x40, 0x70))
    _rows(table, True, _NONE, range(0x74, 0x77), range(0x78, 0x7A), range(0x7C, 0x80), range(0x90, 0xA0))
    _rows(table, True, _NONE, 0xA3, 0xA5, 0xAB, range(0xAD, 0xBA), range(0xBB, 0xC2), 0xC3, 0xC7, range(0xD0, 0x100))
    _rows(table, True, _BYTE, range(0x70, 0x74), 0xA4, 0xAC, 0xBA, 0xC2, range(0xC4, 0xC7))
    _rows(table, False, _NONE, range(0x05, 0x0A), 0x0B, range(0x30, 0x36), 0x37, 0x77, range(0xA0, 0xA3))
    _rows(table, False, _NONE, range(0xA8, 0xAB), range(0xC8, 0xD0))
    _rows(table, False, _FULL, range(0x80, 0x90))
    return table


_ONE, _TWO = _one_octet(), _two_octets()


@dataclass(frozen=True, slots=True)
class Instruction:
    """`target` is where a direct branch or call leads. One that is `movable` does the same wherever it stands."""

    start: int
    end: int
    target: int | None
    movable: bool


def decode(code: bytes | bytearray, start: int, limit: int) -> Instruction | None:
    """The instruction at a place; None where none is, or it does not end by `limit`. The place is its address."""
    try:
        found = _decode(code, start)
    except IndexError:
        return None
    return found if found is not None and found.end <= min(limit, len(code), start + 15) else None


def _decode(code: bytes | bytearray, start: int) -> Instruction | None:
    at, narrow, short_address, wide = start, False, False, False
    while (octet := code[at]) in _PREFIXES:
        narrow |= octet == 0x66
        short_address |= octet == 0x67
        at += 1
    if octet & 0xF0 == 0x40:
        wide = bool(octet & 8)
        at += 1
        octet = code[at]
    elif octet in {0xC4, 0xC5, 0x62}:
        return _vector(code, start, at) if at == start else None
    at += 1
    if octet == 0x0F:
        return _escaped(code, start, at, narrow)
    if octet not in _ONE or (octet == 0xC7 and code[at] >= 0xC8):  # the latter: XBEGIN, which branches
        return None
    modrm, immediate = _ONE[octet]
    first = at
    movable = octet not in _LEAVES and octet not in _SHORT and octet not in {0xE8, 0xE9}
    if modrm:
        at, fixed = _operand(code, at)
        operation = code[first] >> 3 & 7
        if octet in {0xF6, 0xF7} and operation > 1:
            immediate = _NONE
        # CALL and JMP through a register or memory.
        movable &= fixed and not (octet == 0xFF and 2 <= operation <= 5)
    at += _size(immediate, narrow, wide, short_address)
    target = None
    if octet in _SHORT:
        target = at + int.from_bytes(code[at - 1 : at], "little", signed=True)
    elif octet in {0xE8, 0xE9}:
        if narrow:
            return None  # processors disagree on its length
        target = at + int.from_bytes(code[at - 4 : at], "little", signed=True)
    return Instruction(start, at, target, movable)


def _size(immediate: int, narrow: bool, wide: bool, short_address: bool) -> int:
    if immediate == _FULL:
        return 2 if narrow and not wide else 4
    if immediate == _WIDE:
        return 8 if wide else 2 if narrow else 4
    if immediate == _OFFSET:
        return 4 if short_address else 8
    return immediate


def _operand(code: bytes | bytearray, at: int) -> tuple[int, bool]:
    """Where an operand that a ModRM octet describes ends, and whether it is independent of the address."""
    mode, register = code[at] >> 6, code[at] & 7
    at += 1
    if mode == 3:
        return at, True
    if register == 4:
        base = code[at] & 7
        at += 1
        return at + (1 if mode == 1 else 4 if mode == 2 or base == 5 else 0), True
    if mode == 0:
        return (at + 4, False) if register == 5 else (at, True)
    return at + (1 if mode == 1 else 4), True


def _escaped(code: bytes | bytearray, start: int, at: int, narrow: bool) -> Instruction | None:
    """What follows 0F."""
    octet = code[at]
    at += 1
    if octet in {0x38, 0x3A}:
        at, fixed = _operand(code, at + 1)
        return Instruction(start, at + (octet == 0x3A), None, fixed)
    if octet not in _TWO:
        return None
    modrm, immediate = _TWO[octet]
    if octet >> 4 == 8:
        if narrow:
            return None
        at += 4
        return Instruction(start, at, at + int.from_bytes(code[at - 4 : at], "little", signed=True), False)
    fixed = True
    if modrm:
        at, fixed = _operand(code, at)
    # System calls and their returns, and what only stops.
    return Instruction(start, at + immediate, None, fixed and octet not in {0x05, 0x07, 0x0B, 0x34, 0x35})


def _vector(code: bytes | bytearray, start: int, at: int) -> Instruction | None:
    """What begins with a VEX or an EVEX prefix."""
    kind = code[at]
    chosen = 1 if kind == 0xC5 else code[at + 1] & (0x1F if kind == 0xC4 else 0x07)
    at += {0xC5: 2, 0xC4: 3, 0x62: 4}[kind]
    opcode = code[at]
    if chosen == 1:
        if opcode not in _TWO or opcode >> 4 == 8:
            return None
        modrm, immediate = _TWO[opcode]
    elif chosen in {2, 3} or (chosen in {5, 6} and kind == 0x62):
        modrm, immediate = True, int(chosen == 3)
    else:
        return None
    at, fixed = _operand(code, at + 1) if modrm else (at + 1, True)
    return Instruction(start, at + immediate, None, fixed)
