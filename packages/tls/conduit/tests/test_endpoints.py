"""Endpoints by name."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.conduit import InvalidEndpoint, Tcp, Tls, Unix, parse_endpoint

HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,30}[a-z0-9])?", fullmatch=True) | st.ip_addresses().map(str)
PORTS = st.integers(0, 65535)
PATHS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",))).map(lambda t: "/" + t)


@given(st.builds(Tcp, HOSTS, PORTS) | st.builds(Tls, HOSTS, PORTS) | st.builds(Unix, PATHS))
def test_names_go_round(endpoint: Tcp | Tls | Unix) -> None:
    """What `str` writes `parse_endpoint` reads."""
    assert parse_endpoint(str(endpoint)) == endpoint


@given(st.text())
def test_other_texts_are_refused(text: str) -> None:
    """Any text is an endpoint or raises the declared error."""
    with contextlib.suppress(InvalidEndpoint):
        assert parse_endpoint(str(parse_endpoint(text))) == parse_endpoint(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("example.org:80", "tcp://HOST:PORT"),
        ("tcp://example.org", "no port"),
        ("tcp://example.org:65536", "no port"),
        ("tcp://example.org:-1", "no port"),
        ("tls://::1:443", "brackets"),
        ("tls://[::g]:443", "no IPv6 address"),
        ("tcp://user@example.org:80", "characters"),
        ("tcp://b\u00fccher.example:80", "ASCII"),
        ("tcp://example.org:80/path", "no port"),
        ("unix://run/socket", "three slashes"),
        ("vchan://domain/1", "not there yet"),
        ("http://example.org:80", "unknown kind"),
    ],
)
def test_the_error_says_what_to_do(text: str, told: str) -> None:
    """Each misspelling has a message of its own."""
    with pytest.raises(InvalidEndpoint, match=told):
        parse_endpoint(text)
