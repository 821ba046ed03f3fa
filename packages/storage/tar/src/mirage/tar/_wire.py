"""The headers of tar archives (POSIX.1-2017, pax, section "ustar Interchange Format"; GNU tar manual, "Basic Tar").

`pull_*` read and `push_*` write the same structure. Everything that `pull_*` finds wrong is a `CorruptArchive`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import CorruptArchive

__all__ = ["BLOCK", "Entry", "pull_entry", "pull_pax", "push_entry", "push_pax"]

BLOCK = 512
_MAX_OCTAL = 8**11 - 1
_OCTAL = re.compile(rb"[ \0]*([0-7]*)[ \0]*\Z")


@dataclass(slots=True)
class Entry:
    """One header, as it is: before pax records and long names are applied."""

    name: bytes
    size: int
    modified: int
    type: bytes
    """One octet: ``0`` is a file, ``1`` a hard link, ``2`` a symbolic link, ``5`` a directory, ``x`` pax records ..."""
    link: bytes = b""


def pull_entry(block: bytes, where: int) -> Entry:
    """The entry in a block of 512 octets that starts at offset `where` of the archive."""
    stored = _number(block[148:156], "checksum", where)
    # "the simple sum of all octets in the header ... all chksum bytes shall be treated as ... spaces"
    if sum(block) - sum(block[148:156]) + 8 * 0x20 != stored:
        raise CorruptArchive(f"no tar header at offset {where}: its checksum is wrong (damaged, or no tar archive)")
    name = _text(block[0:100])
    if block[257:263] == b"ustar\0" and block[345]:  # GNU's magic is "ustar ", and its prefix field means other things
        name = _text(block[345:500]) + b"/" + name
    size = _number(block[124:136], "size", where)
    if size < 0:
        raise CorruptArchive(f"the entry at offset {where} has a negative size")
    modified = _number(block[136:148], "time", where)
    return Entry(name, size, modified, block[156:157].replace(b"\0", b"0"), _text(block[157:257]))


def push_entry(entry: Entry) -> bytes | None:
    """The block of an entry, owned by nobody, readable by all; None where the format has no room for it."""
    if max(entry.size, entry.modified) > _MAX_OCTAL or min(entry.size, entry.modified) < 0 or len(entry.link) > 100:
        return None
    split = _split(entry.name)
    if split is None:
        return None
    prefix, name = split
    mode = b"0000644"
    block = b"".join(
        (
            name.ljust(100, b"\0"),
            mode + b"\0" + b"0000000\0" * 2,
            b"%011o\0%011o\0" % (entry.size, entry.modified),
            b" " * 8,
            entry.type,
            entry.link.ljust(100, b"\0"),
            b"ustar\x0000" + bytes(64) + b"0000000\0" * 2,
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def pull_pax(records: bytes, where: int) -> dict[str, str]:
    r"""The records of a pax header: ``"%d %s=%s\n"``, the length counting the whole record."""
    found: dict[str, str] = {}
    position = 0
    while position < len(records):
        space = records.find(b" ", position, position + 20)
        digits = records[position:space] if space > 0 else b""
        end = position + int(digits) if re.fullmatch(rb"[1-9][0-9]*", digits) else 0
        keyword, equals, value = records[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(records) or records[end - 1 : end] != b"\n" or not equals or not keyword:
            raise CorruptArchive(f"the pax header at offset {where} has a malformed record at its octet {position}")
        # "All records ... shall be encoded in UTF-8"; what is not cannot matter to us unless it is a name.
        found[keyword.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        position = end
    return found


def push_pax(records: dict[str, str]) -> bytes:
    """The records of a pax header, in the order given."""
    out = []
    for keyword, value in records.items():
        rest = b" " + keyword.encode() + b"=" + value.encode() + b"\n"
        size = len(rest) + 1
        while size != len(rest) + len(str(size)):
            size = len(rest) + len(str(size))
        out.append(str(size).encode() + rest)
    return b"".join(out)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """A name as prefix and name of a header, or None where they have no room for it."""
    if len(name) <= 100:
        return b"", name
    slash = name.find(b"/", len(name) - 101)
    return (name[:slash], name[slash + 1 :]) if 0 < slash <= 155 and slash + 1 < len(name) else None


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes, what: str, where: int) -> int:
    if field[0] in (0x80, 0xFF):  # GNU: a binary number, for what octal digits cannot say
        return int.from_bytes(field[1:], "big") - (256 ** (len(field) - 1) if field[0] == 0xFF else 0)
    match = _OCTAL.match(field)
    if match is None:
        raise CorruptArchive(f"no tar header at offset {where}: its {what} is {field!r}, not an octal number")
    return int(match[1] or b"0", 8)
