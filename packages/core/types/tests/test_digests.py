"""The digest of values."""

from hypothesis import given
from hypothesis import strategies as st
from mirage.types import DIGEST_SIZE, value_digest


@given(st.lists(st.binary()))
def test_chunks_do_not_matter(chunks: list[bytes]) -> None:
    """A value in chunks has the digest of the value."""
    whole = b"".join(chunks)
    assert (
        value_digest(chunks) == value_digest(whole) == value_digest(memoryview(whole)) == value_digest(bytearray(whole))
    )


def test_known_answer() -> None:
    """Fixed for ever: an ETag must not change with a release. (`b2sum -l 128 </dev/null` prints it.)"""
    assert value_digest(b"") == "cae66941d9efbd404e4d88758ea67670"
    assert len(value_digest(b"x")) == 2 * DIGEST_SIZE
