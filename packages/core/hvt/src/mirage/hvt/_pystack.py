"""The Python stack of an interpreter that stands still, read from outside out of its memory.

The way is CPython's own: `_PyRuntime` -> interpreters -> thread states -> frames -> code objects. Since 3.13 the
offsets stand at the head of `_PyRuntime` (`_Py_DebugOffsets`); for 3.11 and 3.12 they are those of the internal headers
`pycore_runtime.h`, `pycore_interp.h`, `pycore_frame.h` and `cpython/code.h`.

The memory belongs to a guest that means harm, for all we know: every read may fail, every chain is cut after a fixed
number of links, and no text is longer than `_TEXT` or holds what a terminal would obey.
"""

from __future__ import annotations

import _codecs
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int, int], bytes | None]
    """Octets at an address; None when they are not all there."""

DEPTH = 100
"""Frames that are read at most."""
_THREADS = 4096
_TEXT = 300
_LINE_TABLE = 1 << 20
_COOKIE = b"xdebugpy"
_OWNED_BY_C = 3  # a frame that stands for C code between two runs of the interpreter's loop
_U64 = (1 << 64) - 1

_KNOWN = {
    (3, 11): {
        "interpreters_head": 40,
        "interpreter_next": 0,
        "threads_head": 16,
        "thread_next": 8,
        "thread_id": 152,
        "cframe": 56,
        "current_frame": 8,
        "executable": 32,
        "previous": 48,
        "instruction": 56,
        "owner": 69,
        "filename": 112,
        "qualname": 128,
        "line_table": 136,
        "first_line": 72,
        "code": 184,
        "unicode_length": 16,
        "unicode_state": 32,
        "ascii_data": 48,
        "unicode_data": 72,
        "bytes_size": 16,
        "bytes_data": 32,
    },
    (3, 12): {
        "interpreters_head": 40,
        "interpreter_next": 0,
        "threads_head": 72,
        "thread_next": 8,
        "thread_id": 136,
        "cframe": 56,
        "current_frame": 0,
        "executable": 0,
        "previous": 8,
        "instruction": 56,
        "owner": 70,
        "filename": 112,
        "qualname": 128,
        "line_table": 136,
        "first_line": 68,
        "code": 192,
        "unicode_length": 16,
        "unicode_state": 32,
        "ascii_data": 40,
        "unicode_data": 56,
        "bytes_size": 16,
        "bytes_data": 32,
    },
}
"""Offsets in octets. `cframe` is there until 3.12: the thread state points at a structure that points at the frame."""

# The words of `_Py_DebugOffsets` of 3.13, in order, after cookie, version and "free-threaded".
_DEBUG_OFFSETS = (
    *("", "", "interpreters_head"),
    *("", "", "interpreter_next", "threads_head", "", "", "", "", "", "", "", "", ""),
    *("", "", "thread_next", "", "current_frame", "thread_id", "", "", ""),
    *("", "previous", "executable", "instruction", "", "owner"),
    *("", "filename", "", "qualname", "line_table", "first_line", "", "", "", "code"),
    *[""] * 20,  # object, type, tuple, list, dict, float, int
    *("", "bytes_size", "bytes_data"),
    *("", "unicode_state", "unicode_length", "ascii_data"),
)


class _Gone(Exception):
    """What was to be read is not there."""


class _Reader:
    """Words and objects of the interpreter."""

    def __init__(self, read: Read, runtime: int, version: tuple[int, int]) -> None:
        self._read = read
        self.runtime = runtime
        self.offsets = _KNOWN[version] if version in _KNOWN else self._debug_offsets()

    def _debug_offsets(self) -> dict[str, int]:
        head = self.octets(self.runtime, 24 + 8 * len(_DEBUG_OFFSETS))
        if head[:8] != _COOKIE or struct.unpack_from("<QQ", head, 8)[0] >> 16 != 0x030D:
            raise _Gone
        words = struct.unpack_from(f"<{len(_DEBUG_OFFSETS)}Q", head, 24)
        found = {name: word for name, word in zip(_DEBUG_OFFSETS, words, strict=True) if name}
        found["unicode_data"] = found["ascii_data"] + 16  # PyCompactUnicodeObject has two words more
        return found

    def octets(self, address: int, length: int) -> bytes:
        found = self._read(address, length)
        if found is None:
            raise _Gone
        return found

    def word(self, address: int, name: str = "") -> int:
        """The word at a named offset."""
        at = address + (self.offsets[name] if name else 0)
        value: int = struct.unpack("<Q", self.octets(at & _U64, 8))[0]
        return value

    def text(self, address: int) -> str:
        """A `str` object, as far as a terminal may see it."""
        state = self.word(address, "unicode_state") & 0xFFFFFFFF
        kind, compact, ascii_only = state >> 2 & 7, state >> 5 & 1, state >> 6 & 1
        if not compact or kind not in {1, 2, 4}:
            raise _Gone
        length = min(self.word(address, "unicode_length"), _TEXT)
        data = self.octets(address + self.offsets["ascii_data" if ascii_only else "unicode_data"], length * kind)
        # Not `data.decode`: that may have to import the codec, when files may no longer be opened.
        decode = {1: _codecs.latin_1_decode, 2: _codecs.utf_16_le_decode, 4: _codecs.utf_32_le_decode}[kind]
        text = decode(data, "replace")[0]
        return "".join(c if c.isprintable() else "?" for c in text)


def _thread(reader: _Reader, thread_id: int) -> int | None:
    """The thread state with a `pthread_self()`."""
    seen = 0
    interpreter = reader.word(reader.runtime, "interpreters_head")
    while interpreter and seen < _THREADS:
        thread = reader.word(interpreter, "threads_head")
        while thread and seen < _THREADS:
            if reader.word(thread, "thread_id") == thread_id:
                return thread
            thread = reader.word(thread, "thread_next")
            seen += 1
        interpreter = reader.word(interpreter, "interpreter_next")
        seen += 1
    return None


def _frames(reader: _Reader, thread: int) -> Iterator[str]:
    frame = reader.word(thread, "cframe") if "cframe" in reader.offsets else thread
    frame = reader.word(frame, "current_frame")
    for _ in range(2 * DEPTH):
        if not frame:
            return
        if reader.octets(frame + reader.offsets["owner"], 1)[0] != _OWNED_BY_C:
            yield _place(reader, frame)
        frame = reader.word(frame, "previous")


def _place(reader: _Reader, frame: int) -> str:
    code = reader.word(frame, "executable")
    name = reader.text(reader.word(code, "qualname"))
    file = reader.text(reader.word(code, "filename"))
    first = struct.unpack("<i", reader.octets(code + reader.offsets["first_line"], 4))[0]
    table = reader.word(code, "line_table")
    size = min(reader.word(table, "bytes_size"), _LINE_TABLE)
    unit = (reader.word(frame, "instruction") - code - reader.offsets["code"]) // 2
    line = line_of(reader.octets(table + reader.offsets["bytes_data"], size), first, unit)
    return f"{file}:{'?' if line is None else line} in {name}"


def line_of(table: bytes, line: int, unit: int) -> int | None:
    """The source line of a code unit (two octets), from a code object's location table and first line.

    The table's format is that of CPython's Objects/locations.md. None where an instruction has no line.
    """
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while at < len(table):
            octet = table[at]
            at += 1
            value |= (octet & 63) << shift
            shift += 6
            if not octet & 64 or shift > 60:
                break
        return value

    covered = 0
    while at < len(table):
        head = table[at]
        at += 1
        kind, covered = head >> 3 & 15, covered + (head & 7) + 1
        if kind in {13, 14}:
            delta = number()
            line += -(delta >> 1) if delta & 1 else delta >> 1
        elif 10 <= kind <= 12:
            line += kind - 10
        if kind == 14:
            for _ in range(3):
                number()
        else:
            at += 1 if kind < 10 else 2 if kind < 13 else 0
        if unit < covered:
            return None if kind == 15 else line
    return None


def python_stack(read: Read, runtime: int, version: tuple[int, int], thread_id: int) -> list[str]:
    """The stack of the thread whose `pthread_self()` is given: `FILE:LINE in FUNCTION`, innermost first.

    As far as it can be read. `runtime` is the address of `_PyRuntime`. Raises nothing.
    """
    found: list[str] = []
    try:
        reader = _Reader(read, runtime, version)
        if thread := _thread(reader, thread_id):
            for place in _frames(reader, thread):
                found.append(place)
                if len(found) == DEPTH:
                    break
    except _Gone:
        pass
    return found
