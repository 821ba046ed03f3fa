"""Changes of the text of `pins.toml` that leave every other line, comments included, as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date

__all__ = ["put", "remove"]

Value = str | int | date


def put(text: str, kind: str, name: str, values: Mapping[str, Value]) -> str:
    """Set a pin. One that is there keeps its place, its comments and the keys that are not named."""
    lines = text.splitlines()
    start, end = _find(lines, kind, name)
    written = {key: f"{key} = {_value(value)}" for key, value in values.items()}
    if start is None:
        gap = [""] if lines and lines[-1].strip() else []
        return "\n".join([*lines, *gap, f"[{kind}.{name}]", *written.values(), ""])
    block = lines[start + 1 : end]
    for key, line in written.items():
        at = next((i for i, old in enumerate(block) if old.split("=")[0].strip() == key), None)
        if at is None:
            last = max((i for i, old in enumerate(block) if old.strip()), default=-1)
            block.insert(last + 1, line)
        else:
            comment = _comment(block[at])
            block[at] = f"{line}  {comment}" if comment else line
    return "\n".join([*lines[: start + 1], *block, *lines[end:], ""])


def remove(text: str, kind: str, name: str) -> str:
    """Take a pin out, with the comment lines that stand directly above it."""
    lines = text.splitlines()
    start, end = _find(lines, kind, name)
    if start is None:
        return text
    while start and lines[start - 1].lstrip().startswith("#"):
        start -= 1
    while end > start and lines[end - 1].lstrip().startswith("#"):
        end -= 1  # these speak of the table that follows
    kept = [*lines[:start], *lines[end:]]
    while kept and not kept[-1].strip():
        kept.pop()
    while kept and not kept[0].strip():
        kept.pop(0)
    return "\n".join([*kept, ""]) if kept else ""


def _find(lines: list[str], kind: str, name: str) -> tuple[int | None, int]:
    """Where a table's header is, and where the next table's begins."""
    heads = [i for i, line in enumerate(lines) if line.lstrip().startswith("[")]
    for at, head in enumerate(heads):
        if lines[head].partition("#")[0].replace('"', "").strip() == f"[{kind}.{name}]":
            return head, heads[at + 1] if at + 1 < len(heads) else len(lines)
    return None, len(lines)


def _comment(line: str) -> str:
    """The comment at a line's end; a # inside quotes is none."""
    quote = ""
    for at, character in enumerate(line):
        if quote:
            quote = "" if character == quote and line[at - 1] != "\\" else quote
        elif character in "\"'":
            quote = character
        elif character == "#":
            return line[at:]
    return ""


def _value(value: Value) -> str:
    return value.isoformat() if isinstance(value, date) else json.dumps(value, ensure_ascii=False)
