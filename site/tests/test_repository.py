"""The package index as the running site serves it: which form, which file, how long it may be kept."""

from __future__ import annotations

import gzip
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.index import build
from mirage.index.testing import wheel
from mirage.kv import MemoryStore
from mirage.opium.testing import Client
from mirage.types.testing import MemoryConsole, VirtualClock
from website import site

FILE = wheel("mirage-net", "0.1.0", [f"mirage-t{n}" for n in range(60)])  # metadata long enough for two ranges
NAME = f"files/mirage-net/{FILE.filename}"
TREE = build([FILE, *(wheel("mirage-net", f"0.1.{n}") for n in range(1, 9))], base="https://mirage.example/")
V1_JSON, V1_HTML = "application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.v1+html"
PIP = f"{V1_JSON}, {V1_HTML}; q=0.1, text/html; q=0.01"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture(scope="module")
def client() -> Client:
    """A client of a site that has this index."""
    store = MemoryStore()
    pages = {"links.json": b"{}", "404.html": b"<h1>not here</h1>", "500.html": b"<h1>broken</h1>"}
    for key, value in (TREE | pages).items():
        store.set(key, value)
    return Client(site(store, MemoryConsole(), VirtualClock()))


@pytest.mark.parametrize(
    ("accept", "kind", "form"),
    [
        (PIP, V1_JSON, "json"),
        (BROWSER, "text/html; charset=utf-8", "html"),
        ("*/*", "text/html; charset=utf-8", "html"),
        (V1_HTML, f"{V1_HTML}; charset=utf-8", "html"),
        ("application/vnd.pypi.simple.latest+json", V1_JSON, "json"),
        ("text/html;q=0.5, application/vnd.pypi.simple.v1+json;q=0.4", "text/html; charset=utf-8", "html"),
        ("text/html;q=0, */*;q=0.1", V1_JSON, "json"),
    ],
)
@pytest.mark.parametrize("address", ["/simple/", "/simple/mirage-net/"])
def test_the_form_that_is_asked_for(client: Client, address: str, accept: str, kind: str, form: str) -> None:
    """PEP 691: the weights decide; a cache is told that they do; each form has its own validator."""
    answer = client.get(address, headers={"accept": accept})
    assert (answer.status, answer.headers.get("content-type")) == (200, kind)
    assert answer.body == TREE[f"{address[1:]}index.{form}"]
    assert answer.headers.get_all("vary") == ["accept, accept-encoding"]
    assert answer.headers.get_all("cache-control") == ["no-cache"]
    tag = answer.headers.get("etag") or ""
    again = client.get(address, headers={"accept": accept, "if-none-match": tag})
    assert (again.status, again.body) == (304, b"")
    assert again.headers.get_all("vary") == ["accept, accept-encoding"]
    other = client.get(address, headers={"accept": V1_JSON if form == "html" else V1_HTML, "if-none-match": tag})
    assert other.status == 200


def test_what_nobody_has(client: Client) -> None:
    """406 says what there is; an unknown project is a 404 in every form."""
    refused = client.get("/simple/", headers={"accept": "image/png"})
    assert refused.status == 406
    assert V1_JSON in refused.text
    assert refused.headers.get("vary") == "accept"
    for accept in (PIP, BROWSER, "image/png"):
        assert client.get("/simple/mirage-zzz/", headers={"accept": accept}).status in {404, 406}
    assert client.get("/simple/mirage-zzz/", headers={"accept": BROWSER}).text == "<h1>not here</h1>"


def test_one_address_for_one_project(client: Client) -> None:
    """PEP 503: another spelling leads to the canonical one, and so does an address without its slash."""
    moved = client.get("/simple/Mirage_.Net/")
    assert (moved.status, moved.headers.get("location")) == (301, "/simple/mirage-net/")
    bare = client.get("/simple/mirage-net")
    assert (bare.status, bare.headers.get("location")) == (301, "./mirage-net/")
    assert client.get("/simple").status in {301, 308}
    assert client.get("/simple/index.json").headers.get("content-type") == "application/json"


def test_json_is_compressed_for_who_asks(client: Client) -> None:
    """The octets are the same once they are unpacked."""
    answer = client.get("/simple/mirage-net/", headers={"accept": PIP, "accept-encoding": "gzip"})
    assert answer.headers.get("content-encoding") == "gzip"
    assert json.loads(gzip.decompress(answer.body)) == json.loads(TREE["simple/mirage-net/index.json"])


def test_files_are_kept_for_good(client: Client) -> None:
    """A wheel is served whole and in ranges, for a year; its metadata beside it (PEP 658)."""
    whole = client.get(f"/{NAME}")
    assert whole.body == FILE.data
    assert whole.headers.get("cache-control") == "public, max-age=31536000, immutable"
    part = client.get(f"/{NAME}", headers={"range": "bytes=2-5"})
    assert (part.status, part.body) == (206, FILE.data[2:6])
    assert client.head(f"/{NAME}").headers.get("content-length") == str(len(FILE.data))
    beside = client.get(f"/{NAME}.metadata")
    assert (beside.body, beside.headers.get("content-type")) == (FILE.metadata, "text/plain; charset=utf-8")
    assert "immutable" in (beside.headers.get("cache-control") or "")
    two = client.get(f"/{NAME}.metadata", headers={"range": "bytes=0-1,900-901"})
    assert (two.headers.get("content-type") or "").startswith("multipart/byteranges")


def test_opam_finds_files_by_their_digests(client: Client) -> None:
    """Where its repository says that a cache is; only distribution files, and only by the whole digest."""
    assert b'archive-mirrors: "cache"' in client.get("/opam/repo").body
    found = client.get(f"/opam/cache/sha256/{FILE.sha256[:2]}/{FILE.sha256}")
    assert (found.status, found.body) == (200, FILE.data)
    assert "immutable" in (found.headers.get("cache-control") or "")
    page = hashlib.sha256(TREE["simple/index.html"]).hexdigest()
    for wrong in (f"00/{FILE.sha256}", f"{page[:2]}/{page}", f"{FILE.sha256[:2]}/{FILE.sha256[:8]}", ""):
        assert client.get(f"/opam/cache/sha256/{wrong}").status == 404
    assert client.get("/opam/index.tar.gz").body == TREE["opam/index.tar.gz"]


def test_methods(client: Client) -> None:
    """Nobody publishes through the site."""
    for address in ("/simple/", f"/{NAME}"):
        answer = client.post(address, body=b"x", headers={"accept": BROWSER})
        assert (answer.status, answer.headers.get("allow")) == (405, "GET, HEAD")


@given(below=st.text("/.%-_aA2f0?", max_size=12), accept=st.text("*/;q=0.1,texhml ", max_size=20))
def test_any_request_is_answered(client: Client, below: str, accept: str) -> None:
    """Nothing that a client sends is a failure of ours, and no redirect leads off the site."""
    for place in ("simple", "files", "opam/cache/sha256"):
        answer = client.get(f"/{place}/{below}", headers={"accept": accept})
        assert answer.status < 500
        assert not (answer.headers.get("location") or "").startswith("//")
