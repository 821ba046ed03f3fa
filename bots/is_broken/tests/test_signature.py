"""The first line that says that something failed is found, and means the same on every machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.is_broken.model import Reason
from bots.is_broken.signature import LONGEST, normalise, plain, read

PYTEST = """\
..F
=================================== FAILURES ===================================
    def test_escape():
>       from markupsafe import escape
E       ImportError: cannot import name 'escape' from 'markupsafe' (/tmp/x1/lib/python3.11/site-packages/markupsafe.py)
=========================== short test summary info ============================
FAILED test_x.py::test_escape - ImportError: cannot import name
"""

CHAINED = """\
build for unix ...
  | Traceback (most recent call last):
  |   File "/home/ann/site/render/build.py", line 12, in <module>
  |     import jinja2
  | ImportError: cannot import name 'escape' from 'markupsafe'
Traceback (most recent call last):
  File "website.py", line 3, in main
    raise Failed(
integration.targets.Failed: mirage build ended with status 1
"""


@pytest.mark.parametrize(
    ("output", "line", "signature"),
    [
        (
            PYTEST,
            "E       ImportError: cannot import name 'escape' from 'markupsafe' "
            "(/tmp/x1/lib/python3.11/site-packages/markupsafe.py)",
            "s: ImportError: cannot import name 'escape' from 'markupsafe' (markupsafe.py)",
        ),
        (
            CHAINED,
            "ImportError: cannot import name 'escape' from 'markupsafe'",
            "s: ImportError: cannot import name 'escape' from 'markupsafe'",
        ),
        (
            "collecting\nTimeoutError: no answer from 127.0.0.1:49152 in 3.25 s (0x7f3a9c)\n",
            "TimeoutError: no answer from 127.0.0.1:49152 in 3.25 s (0x7f3a9c)",
            "s: TimeoutError: no answer from N in N s (0xN)",
        ),
        ("a.c:10:5: error: expected ';'\n", "a.c:10:5: error: expected ';'", "s: a.c:N: error: expected ';'"),
        ("\x1b[31merror\x1b[0m: it is red\n", "error: it is red", "s: error: it is red"),
        ("one\ntwo\nthree fell over\n\n", "three fell over", "s: three fell over"),
        ("", "s failed and printed nothing", "s: s failed and printed nothing"),
        (
            "http2 and utf8 Error\nValueError: http2 stream 17\n",
            "ValueError: http2 stream 17",
            "s: ValueError: http2 stream N",
        ),
    ],
)
def test_the_first_failing_line_and_its_signature(output: str, line: str, signature: str) -> None:
    """pytest, tracebacks within tracebacks, compilers, colours, and programs that say nothing clear."""
    failure = read(Reason.FAILED, "s", output)
    assert (failure.line, failure.signature, failure.reason) == (line, signature, Reason.FAILED)


def test_the_same_failure_elsewhere_has_the_same_signature() -> None:
    """Another folder, port, process, time and commit."""
    first = "OSError: /tmp/a1/b/site.pyz: port 4711 of 0123456789ab4cde is taken since 12:30:01"
    second = "OSError: /var/x/site.pyz: port 5800 of fedcba98765432100 is taken since 09:00:59"
    assert normalise(first) == normalise(second) == "OSError: site.pyz: port N of HASH is taken since N"


def test_different_failures_have_different_signatures() -> None:
    """Names are kept."""
    assert normalise("ImportError: cannot import name 'a'") != normalise("ImportError: cannot import name 'b'")


def test_a_job_that_was_ended_has_the_signature_of_that() -> None:
    """Not of what it happened to print last."""
    first = read(Reason.TIME, "check", "working on 1\n", "it was ended after 9 s, its limit")
    second = read(Reason.TIME, "check", "working on 2\n", "it was ended after 9 s, its limit")
    assert first.signature == second.signature == "check: out of time"
    assert first.line == "it was ended after 9 s, its limit"


def test_memory_that_ran_out_is_told_apart() -> None:
    """Though the program ended by itself."""
    output = "Traceback (most recent call last):\n  File 'x', line 1\nMemoryError\n"
    assert read(Reason.FAILED, "check", output).reason is Reason.MEMORY


def test_an_excerpt_says_what_it_leaves_out() -> None:
    """The lines around the first that failed, none too long."""
    lines = [f"line {n}" for n in range(100)]
    lines[50] = "ValueError: " + "x" * 1000
    excerpt = read(Reason.FAILED, "s", "\n".join(lines)).excerpt.split("\n")
    assert (excerpt[0], excerpt[-1]) == ("[25 lines above]", "[35 lines below]")
    assert max(map(len, excerpt)) < LONGEST + 10


@given(st.text(), st.sampled_from(Reason))
def test_any_output_has_a_line_and_a_signature(output: str, reason: Reason) -> None:
    """Without colours and control characters, and bounded."""
    failure = read(reason, "step", output, "why")
    assert failure.line
    assert len(failure.signature) <= LONGEST + len("step: ")
    for text in (failure.line, failure.signature, failure.excerpt):
        assert plain(text) == text
