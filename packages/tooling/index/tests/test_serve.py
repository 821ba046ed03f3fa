"""Which page a client is given."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.index import answer, build
from mirage.index.testing import wheel

TREE = build([wheel("mirage-a", "1")], base="http://127.0.0.1:8000/")
PIP = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"
UV = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (PIP, "application/vnd.pypi.simple.v1+json"),
        (UV, "application/vnd.pypi.simple.v1+json"),
        ("*/*", "text/html"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.v1+html"),
        ("application/vnd.pypi.simple.latest+json", "application/vnd.pypi.simple.v1+json"),
        ("text/html;q=0.5, application/vnd.pypi.simple.v1+json;q=0.4", "text/html"),
    ],
)
def test_the_form_that_is_asked_for(accept: str, kind: str) -> None:
    """PEP 691: the client's weights decide; a browser gets HTML."""
    found = answer(TREE, "/simple/mirage-a/", accept)
    assert (found.status, found.fields["Content-Type"]) == (200, kind)
    suffix = "json" if kind.endswith("json") else "html"
    assert found.body == TREE[f"simple/mirage-a/index.{suffix}"]


def test_what_nobody_has_is_406() -> None:
    """PEP 691 allows it, and it says what there is."""
    assert answer(TREE, "/simple/", "image/png").status == 406
    assert answer(TREE, "/simple/", "*/*;q=0").status == 406


def test_redirects_and_absences() -> None:
    """PEP 503: an address without its slash is sent on."""
    assert answer(TREE, "/simple/mirage-a").fields["Location"] == "/simple/mirage-a/"
    assert answer(TREE, "/simple/mirage-zzz/").status == 404
    assert answer(TREE, "/files/../SHA256SUMS").status == 404


def test_an_unchanged_page_is_not_sent_again() -> None:
    """Files are kept for good, pages are asked for again."""
    found = answer(TREE, "/simple/", PIP)
    assert answer(TREE, "/simple/", PIP, found.fields["ETag"]).status == 304
    assert "immutable" in answer(TREE, "/files/mirage-a/mirage_a-1-py3-none-any.whl").fields["Cache-Control"]


def test_opam_finds_a_file_by_its_digest() -> None:
    """What `archive-mirrors` in opam's `repo` promises; another digest, or a digest of something else, is not there."""
    assert b'archive-mirrors: "cache"' in TREE["opam/repo"]
    body = TREE["files/mirage-a/mirage_a-1-py3-none-any.whl"]
    digest = hashlib.sha256(body).hexdigest()
    found = answer(TREE, f"/opam/cache/sha256/{digest[:2]}/{digest}")
    assert (found.status, found.body) == (200, body)
    assert "immutable" in found.fields["Cache-Control"]
    page = hashlib.sha256(TREE["simple/index.html"]).hexdigest()
    for wrong in (f"00/{digest}", f"{page[:2]}/{page}", "00/" + "0" * 64):
        assert answer(TREE, f"/opam/cache/sha256/{wrong}").status == 404


@given(target=st.text(max_size=30), accept=st.text(max_size=60))
def test_any_request_has_an_answer(target: str, accept: str) -> None:
    """Nothing that a client sends raises."""
    try:
        found = answer(TREE, "/" + target, accept)
    except ValueError:
        pytest.fail("a request raised")
    assert found.status in {200, 301, 404, 406}
