"""What failed, from what was printed: the first line that says so, and what of it is the same in every run. Pure.

Equal signatures are taken for one failure, so a signature keeps the exception, the names and the message, and loses
paths, addresses, numbers, times and colours.
"""

from __future__ import annotations

import re

from .model import Failure, Reason

LONGEST = 300
"""Characters of a line, and of a signature."""
BEFORE, AFTER = 25, 15
"""Lines of an excerpt around the first that failed."""

_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_FAILS = re.compile(
    r"""
    ^E\ {2,}\S                                         # pytest's line of an assertion or exception
    | ^\s*(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Warning|NotFound|Refused|Failed)\b:?
    | ^\s*(?:\S+:\ )?(?:error|fatal|failure|panic)(?:\[\w+\])?:   # compilers, git, uv, most programs
    | ^(?:FAILED|ERROR|FAIL)\b
    | ^\s*broken:\                                     # the crawl of the website
    | :\ error:\                                       # mypy, gcc
    """,
    re.VERBOSE,
)
_QUOTED = re.compile(r"^\s*(?:\||>)\s?")
"""What one program puts in front of the lines of another that it ran."""
_TRACEBACK = re.compile(r"^\s*Traceback \(most recent call last\):")
_MEMORY = re.compile(r"\bMemoryError\b|Cannot allocate memory|std::bad_alloc|out of memory", re.IGNORECASE)

_REPLACED = (
    (re.compile(r"^E\s+"), ""),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "UUID"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "0xN"),
    (re.compile(r"(?<![\w:/])(?:[A-Za-z]:)?(?:[\\/][^\s\\/:'\"()<>,]+)+[\\/]([^\s\\/:'\"()<>,]+)"), r"\1"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{12,64}\b"), "HASH"),
    (re.compile(r"(?<![\w.])\d+(?:[.:,]\d+)*(?=s\b|ms\b|[^\w]|$)"), "N"),
    (re.compile(r"\s+"), " "),
)


def plain(text: str) -> str:
    """A text without colours and control characters; tabs and line ends stay."""
    return _CONTROL.sub("", _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def normalise(line: str) -> str:
    """The signature of a line."""
    for pattern, by in _REPLACED:
        line = pattern.sub(by, line)
    return line.strip()[:LONGEST]


def failing_line(lines: list[str]) -> int:
    """The number of the first line that says that something failed; the last with any text where none does."""
    inside = False
    for number, line in enumerate(lines):
        if _TRACEBACK.match(line):
            inside = True
        elif inside:
            # The exception ends a traceback: the first line behind it that is indented no further than its head.
            if line.strip() and not line.startswith((" ", "\t")):
                return number
        elif _FAILS.search(line):
            return number
    return max((number for number, line in enumerate(lines) if line.strip()), default=0)


def read(reason: Reason, step: str, output: str, why: str = "") -> Failure:
    """What is known of a step that failed, from its output; `why` is the bot's own account, of a job that it ended."""
    lines = [_QUOTED.sub("", line) for line in plain(output).split("\n")]
    at = failing_line(lines)
    if reason is Reason.FAILED and _MEMORY.search(lines[at]):
        reason = Reason.MEMORY
    line = lines[at].strip()[:LONGEST] or why or f"{step} failed and printed nothing"
    if reason in {Reason.TIME, Reason.OUTPUT, Reason.MEMORY}:
        # Where it was when it was ended is chance; that it had to be is not.
        return Failure(reason, step, why or line, f"{step}: {reason.value}", excerpt(lines, len(lines)))
    return Failure(reason, step, line, f"{step}: {normalise(line)}", excerpt(lines, at))


def excerpt(lines: list[str], at: int) -> str:
    """The lines around one, each shortened; what is left out is said."""
    first, end = max(0, at - BEFORE), min(len(lines), at + AFTER)
    shown = [line if len(line) <= LONGEST else f"{line[:LONGEST]} [...]" for line in lines[first:end]]
    above = [f"[{first} lines above]"] if first else []
    below = [f"[{len(lines) - end} lines below]"] if end < len(lines) else []
    return "\n".join([*above, *shown, *below]).strip("\n")
