"""Release lists in both forms, where the index is found, and answers that are none."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.is_broken.errors import IndexFailed
from bots.is_broken.model import Release
from bots.is_broken.registry import Registry, addresses, read_list
from bots.is_broken.testing import Upstream

HTML = """\
<!DOCTYPE html><html><body>
<a href="../../files/a_b-1.0-py3-none-any.whl#sha256=00" data-requires-python="&gt;=3.9">a_b-1.0-py3-none-any.whl</a>
<a href="https://e.example/a-b-1.1.tar.gz" data-yanked="broken">a-b-1.1.tar.gz</a>
<a href="a_b-2.0b1-py3-none-any.whl">x</a> <a href="other-9-py3-none-any.whl">y</a> <a href="README.txt">z</a>
</body></html>
"""


def test_html_and_json_say_the_same() -> None:
    """But for the times, which only JSON has; what is no release of the project is passed over."""
    files = [
        {"filename": "a_b-1.0-py3-none-any.whl", "requires-python": ">=3.9", "upload-time": "2026-01-02T00:00:00Z"},
        {"filename": "a-b-1.1.tar.gz", "yanked": "broken"},
        {"filename": "a_b-2.0b1-py3-none-any.whl", "yanked": False},
        {"filename": "a_b-1.0.tar.gz", "requires-python": ">=3.9", "upload-time": "2026-01-01T00:00:00Z"},
    ]
    found = read_list("a-b", json.dumps({"files": files}).encode(), "application/vnd.pypi.simple.v1+json")
    assert found == (
        Release("a-b", "1.0", 1767225600.0, None, False, ">=3.9"),
        Release("a-b", "1.1", None, "broken"),
        Release("a-b", "2.0b1", prerelease=True),
    )
    plain = read_list("a-b", HTML.encode(), "text/html")
    assert [(r.version, r.yanked, r.prerelease, r.requires_python) for r in plain] == [
        (r.version, r.yanked, r.prerelease, r.requires_python) for r in found
    ]


def test_a_release_is_yanked_when_all_its_files_are() -> None:
    """One file that was left makes it one to install."""
    files = [{"filename": "a-1.tar.gz", "yanked": True}, {"filename": "a-1-py3-none-any.whl", "yanked": False}]
    assert read_list("a", json.dumps({"files": files}).encode(), "x/json")[0].yanked is None
    assert read_list("a", json.dumps({"files": files[:1]}).encode(), "x/json")[0].yanked == ""


@given(
    st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_a_list_that_is_none_is_the_indexs_failure(body: bytes) -> None:
    """Whatever it answers, nothing else is raised."""
    for kind in ("application/json", "text/html"):
        with contextlib.suppress(IndexFailed):
            assert all(release.project == "a" for release in read_list("a", body, kind))


def test_the_index_is_the_configured_one() -> None:
    """uv's first, then pip's; further ones are asked before it."""
    assert addresses({"UV_DEFAULT_INDEX": "https://a.example/simple"}) == ("https://a.example/simple/",)
    assert addresses({"PIP_INDEX_URL": "https://b.example/"}) == ("https://b.example/",)
    environ = {"UV_INDEX": "own=https://c.example/s", "UV_INDEX_URL": "https://a.example/s"}
    assert addresses(environ) == ("https://c.example/s/", "https://a.example/s/")


def test_the_first_index_that_knows_a_project_is_believed(upstream: Upstream, tmp_path: Path) -> None:
    """As uv does; one that fails is no index that knows nothing."""
    upstream.release("a", "1.0", {"a.py": ""}, uploaded=1.0)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "index.html").write_text("<a href='a-7.tar.gz'>a</a>")
    (tmp_path / "b" / "index.html").write_text("<a href='b-8.tar.gz'>b</a>")
    registry = Registry([upstream.url, f"{tmp_path.as_uri()}/"])
    found = registry.all_releases(["A", "b", "c"])
    assert [[release.version for release in found[name]] for name in ("A", "b", "c")] == [["1.0"], ["8"], []]
    upstream.failing = "simple"
    with pytest.raises(IndexFailed, match="the index answered 503 for /simple/a/"):
        Registry([upstream.url]).releases("a")
    upstream.close()
    with pytest.raises(IndexFailed, match="gave no answer"):
        Registry([upstream.url]).releases("a")
