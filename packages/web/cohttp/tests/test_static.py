"""The static-file service, called directly: paths, variants, conditions, ranges, listings."""

import dataclasses
import email
import email.policy
import gzip
import html.parser
import io
from collections.abc import Iterable, Mapping
from typing import BinaryIO, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.cohttp._static_types import accepted_codings, content_type
from mirage.cohttp.message import EmptyBody, FileBody, Headers, Request, Response, Service
from mirage.cohttp.static import static
from mirage.types import Info, KeyValueRO, Kind, NotFound, ValueExpected, check_key, value_digest
from mirage.types.testing import VirtualClock

TIME = 1_417_392_000.5
DATE = "Mon, 01 Dec 2014 00:00:00 GMT"
BIG = bytes(range(256)) * 1000
TEXT = b"all work and no play makes jack a dull boy\n" * 40


class Tree:
    """The least store that fits `KeyValueRO`; counts what is read."""

    def __init__(self, values: Mapping[str, bytes]) -> None:
        self.values = dict(values)
        self.read = 0

    def get(self, key: str) -> bytes:
        if self.info(key).kind is Kind.DIRECTORY:
            raise ValueExpected(key, "a directory")
        self.read += 1
        return self.values[key]

    def get_partial(self, key: str, offset: int, length: int) -> bytes:
        return self.get(key)[offset : offset + length]

    def info(self, key: str) -> Info:
        check_key(key)
        if key in self.values:
            return Info(Kind.VALUE, len(self.values[key]), TIME)
        if key and not any(other.startswith(key + "/") for other in self.values):
            raise NotFound(key, "nothing there")
        return Info(Kind.DIRECTORY, 0)

    def list(self, key: str = "") -> list[tuple[str, Kind]]:
        self.info(key)
        prefix = f"{key}/" if key else ""
        below = {other.removeprefix(prefix) for other in self.values if other.startswith(prefix)}
        return sorted(
            {(name.partition("/")[0], Kind.DIRECTORY if "/" in name else Kind.VALUE) for name in below},
            key=lambda entry: entry[0],
        )

    def digest(self, key: str) -> str:
        return value_digest(self.get(key))


class Fixed(Tree):
    immutable: Literal[True] = True


class Files(Tree):
    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self.get(key))


SITE = {
    "index.html": b"<h1>home</h1>",
    "text.txt": TEXT,
    "big.bin": BIG,
    "empty.txt": b"",
    "docs/index.html": b"<h1>docs</h1>",
    "docs/page.html": b"<h1>page</h1>",
    "plain/a.txt": b"a",
    "plain/b <&>\"'.txt": b"b",
    "plain/été #?.txt": b"c",
    "plain/sub/x": b"x",
    "pre.css": b"body{}" * 100,
    "pre.css.gz": b"the gzip form",
    "pre.css.br": b"the brotli form",
    ".env": b"secret",
    ".git/config": b"secret",
    ".well-known/x": b"public",
}


@pytest.fixture(params=[Tree, Fixed, Files])
def service(request: pytest.FixtureRequest) -> Service:
    """The service over a store that changes, one that does not, and one with files."""
    return static(request.param(SITE), listing=True)


def ask(service: Service, target: str, method: str = "GET", **fields: str) -> Response:
    headers = Headers((name.replace("_", "-"), value) for name, value in fields.items())
    response = service(Request(method, target, headers, EmptyBody()))
    assert isinstance(response, Response)
    if response.status == 200 and method == "GET":
        body = content(response)
        assert response.headers.get("content-length") == str(len(body))
        response.body = body
    return response


def content(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    assert isinstance(response.body, Iterable)
    return b"".join(response.body)


def test_whole_values(service: Service) -> None:
    """Every value comes as it is, with its type, size, validators and nosniff."""
    for key in ("text.txt", "big.bin", "empty.txt", "docs/page.html"):
        response = ask(service, f"/{key}")
        assert (response.status, response.body) == (200, SITE[key])
        assert response.headers.get("content-type") == content_type(key)
        assert response.headers.get("etag") == f'"{value_digest(SITE[key])}"'
        assert response.headers.get("last-modified") == DATE
        assert response.headers.get("accept-ranges") == "bytes"
        assert response.headers.get("x-content-type-options") == "nosniff"


def test_the_second_answer_is_the_first(service: Service) -> None:
    """Kept answers equal fresh ones, and changing one that was given out does no harm."""
    first = ask(service, "/text.txt")
    fields = list(first.headers)
    first.headers.raw.append((b"x", b"y"))
    second = ask(service, "/text.txt")
    assert list(second.headers) == fields
    assert second.body == first.body
    assert ask(service, "/text.txt", "HEAD").body == b""
    assert ask(service, "/text.txt", "HEAD").headers.get("content-length") == str(len(TEXT))


def test_kept_answers_do_not_ask_the_store() -> None:
    """An immutable store is read once for each address; one that changes is seen to change."""
    fixed, changing = Fixed(SITE), Tree(SITE)
    services = static(fixed), static(changing)
    for service in services:
        ask(service, "/text.txt")
    count = fixed.read
    changing.values["text.txt"] = fixed.values["text.txt"] = b"new"
    assert ask(services[0], "/text.txt").body == TEXT
    assert fixed.read == count
    assert ask(services[1], "/text.txt").body == b"new"


def test_asking_again_does_not_ask_the_store() -> None:
    """Who always has the value already gets a kept 304, even when nobody has been sent the whole."""
    fixed = Fixed(SITE)
    service = static(fixed)
    etag = f'"{value_digest(TEXT)}"'
    assert ask(service, "/text.txt", if_none_match=etag).status == 304
    count = fixed.read
    assert ask(service, "/text.txt", if_none_match=etag).status == 304
    assert fixed.read == count


def test_kept_answers_are_bounded() -> None:
    """Addresses without number, from query strings, do not make the cache grow without bound."""
    service = static(Fixed(SITE), cache_size=20_000)
    for number in range(100):
        ask(service, f"/text.txt?{number}")
    ready = service._ready  # type: ignore[attr-defined]
    assert 1 <= len(ready._entries) <= 10
    assert ready._left >= 0


def test_head_is_get_without_content(service: Service) -> None:
    """RFC 9110 9.3.2: the same fields as in answer to GET, no content."""
    for target in ("/", "/text.txt", "/big.bin", "/plain/", "/missing"):
        get, head = ask(service, target), ask(service, target, "HEAD")
        assert (head.status, list(head.headers)) == (get.status, list(get.headers))
        if head.status == 200:
            assert content(head) == b""


def test_other_methods(service: Service) -> None:
    """15.5.6: 405 with Allow."""
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "get"):
        response = ask(service, "/", method)
        assert (response.status, response.headers.get("allow")) == (405, "GET, HEAD")


# Paths.


def test_directories(service: Service) -> None:
    """The index stands for the directory; without the slash one is sent there, query and all."""
    assert ask(service, "/").body == SITE["index.html"]
    assert ask(service, "/docs/").body == SITE["docs/index.html"]
    response = ask(service, "/docs?a=b")
    assert (response.status, response.headers.get("location")) == (301, "./docs/?a=b")
    assert ask(service, "/plain/sub").headers.get("location") == "./sub/"


def test_a_directory_without_index_may_not_be_listed() -> None:
    """Listing is off unless it is asked for."""
    assert ask(static(Tree(SITE)), "/plain/").status == 404


@pytest.mark.parametrize(
    "target",
    [
        "/missing",
        "/index.html/",
        "/index.html/x",
        "//index.html",
        "//",
        "/docs//",
        "/docs//page.html",
        "/./index.html",
        "/docs/../index.html",
        "/docs/%2e%2e/index.html",
        "/docs%2fpage.html",
        "/docs%5cpage.html",
        "/index.html%00",
        "/%ff",
        "/%ed%a0%80",
        "//evil.example/%2f..",
        "index.html",
        "*",
        "",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/.git",
        "/plain/.git/",
    ],
)
def test_what_is_not_there(service: Service, target: str) -> None:
    """Everything that is no key, or hidden, is a plain 404: never a redirect, never an error."""
    response = ask(service, target)
    assert response.status == 404
    assert "location" not in response.headers


def test_dotfiles() -> None:
    """Names with a dot are served where that is asked for; .well-known always."""
    assert ask(static(Tree(SITE)), "/.well-known/x").body == b"public"
    assert ask(static(Tree(SITE), dotfiles=True), "/.env").body == b"secret"


@settings(deadline=None)
@given(st.text(st.sampled_from("/.%2feEcsdx\\\0é") | st.characters(), max_size=12))
def test_any_path_is_answered(path: str) -> None:
    """No path raises, and only what is in the store is served."""
    response = ask(static(Tree(SITE), listing=True), "/" + path)
    assert response.status in {200, 301, 404}
    assert content(response) != b"secret"


def test_not_found_hook() -> None:
    """What is not there is answered by another service, if there is one, awaited or not."""
    service = static(Tree(SITE), not_found=lambda request: Response(404, body=b"nothing at " + request.path.encode()))
    assert ask(service, "/x/y").body == b"nothing at /x/y"


def test_cache_control() -> None:
    """One value for all, or one for each key; also in a 304."""
    assert ask(static(Tree(SITE), cache_control="no-cache"), "/").headers.get("cache-control") == "no-cache"
    service = static(Tree(SITE), cache_control=lambda key: "max-age=9" if key.endswith(".css") else None)
    assert ask(service, "/pre.css").headers.get("cache-control") == "max-age=9"
    assert ask(service, "/pre.css", if_none_match="*").headers.get("cache-control") == "max-age=9"
    assert "cache-control" not in ask(service, "/").headers


# Conditions.


def test_not_modified(service: Service) -> None:
    """15.4.5: 304 has the validators and Vary, no content and no type."""
    etag = ask(service, "/text.txt").headers.get("etag") or ""
    for fields in ({"if_none_match": etag}, {"if_modified_since": DATE}):
        response = ask(service, "/text.txt", **fields)
        assert (response.status, response.body) == (304, b"")
        assert response.headers.get("etag") == etag
        assert response.headers.get("last-modified") == DATE
        assert response.headers.get("vary") == "accept-encoding"
        assert "content-type" not in response.headers
    assert ask(service, "/text.txt", if_none_match='"other"').status == 200


def test_no_modification_in_the_future() -> None:
    """8.8.2.1: a time that has not come is cut to the time of the answer."""
    service = static(Tree(SITE), clock=VirtualClock(wall_ns=1_000_000_000 * 10**9))
    assert ask(service, "/text.txt").headers.get("last-modified") == "Sun, 09 Sep 2001 01:46:40 GMT"


def test_precondition_failed(service: Service) -> None:
    """15.5.13: 412."""
    assert ask(service, "/text.txt", if_match='"other"').status == 412
    assert ask(service, "/text.txt", if_unmodified_since="Sat, 01 Nov 2014 00:00:00 GMT").status == 412


def test_kept_answers_have_the_same_conditions(service: Service) -> None:
    """Asked cold or kept, with one ETag or more, with a date beside it or alone: the same answer, field by field."""
    etag = ask(service, "/text.txt").headers.get("etag") or ""
    for accept in ({}, {"accept_encoding": "gzip"}):
        for fields in (
            {"if_none_match": etag},
            {"if_none_match": f'"x", {etag}'},
            {"if_none_match": etag, "if_modified_since": "Sat, 01 Nov 2014 00:00:00 GMT"},
            {"if_none_match": '"x"', "if_modified_since": DATE},
            {"if_modified_since": DATE},
            {"if_modified_since": "Sat, 01 Nov 2014 00:00:00 GMT"},
            {"if_none_match": etag, "if_match": '"x"'},
            {"if_none_match": etag, "range": "bytes=0-1"},
        ):
            kept = ask(service, "/text.txt", **accept, **fields)
            cold = ask(static(Fixed(SITE)), "/text.txt", **accept, **fields)
            assert (kept.status, list(kept.headers), kept.body) == (cold.status, list(cold.headers), cold.body)


# Ranges.


def test_one_range(service: Service) -> None:
    """15.3.7.1: 206 with Content-Range."""
    for target, value in (("/text.txt", TEXT), ("/big.bin", BIG)):
        for field, start, end in (
            ("bytes=3-9", 3, 10),
            ("bytes=-7", len(value) - 7, len(value)),
            ("bytes=5-", 5, None),
        ):
            response = ask(service, target, range=field)
            body = content(response)
            assert (response.status, body) == (206, value[start:end])
            last = (end or len(value)) - 1
            assert response.headers.get("content-range") == f"bytes {start}-{last}/{len(value)}"
            assert response.headers.get("content-length") == str(len(body))


def test_several_ranges(service: Service) -> None:
    """15.3.7.2: the parts, as an independent reader of multipart content sees them."""
    response = ask(service, "/big.bin", range="bytes=0-9,100000-170000,-5")
    body = content(response)
    assert response.status == 206
    assert response.headers.get("content-length") == str(len(body))
    assert "content-range" not in response.headers
    kind = response.headers.get("content-type") or ""
    message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP)
    parts = [
        (part["content-type"], part["content-range"], part.get_payload(decode=True)) for part in message.iter_parts()
    ]
    size = len(BIG)
    assert parts == [
        ("application/octet-stream", f"bytes 0-9/{size}", BIG[:10]),
        ("application/octet-stream", f"bytes 100000-170000/{size}", BIG[100000:170001]),
        ("application/octet-stream", f"bytes {size - 5}-{size - 1}/{size}", BIG[-5:]),
    ]


def test_range_not_satisfiable(service: Service) -> None:
    """15.5.17: 416 with the size."""
    response = ask(service, "/text.txt", range=f"bytes={len(TEXT)}-")
    assert (response.status, response.headers.get("content-range")) == (416, f"bytes */{len(TEXT)}")


def test_if_range(service: Service) -> None:
    """13.1.5: a range of what has not changed, the whole of what has."""
    etag = ask(service, "/text.txt").headers.get("etag") or ""
    assert ask(service, "/text.txt", range="bytes=0-1", if_range=etag).status == 206
    assert ask(service, "/text.txt", range="bytes=0-1", if_range='"old"').body == TEXT


def test_head_has_no_ranges(service: Service) -> None:
    """14.2: Range is for GET only."""
    response = ask(service, "/text.txt", "HEAD", range="bytes=0-1")
    assert (response.status, response.headers.get("content-length")) == (200, str(len(TEXT)))


def test_preconditions_come_before_ranges(service: Service) -> None:
    """13.2.2: a value that was not modified has no ranges either."""
    assert ask(service, "/text.txt", range="bytes=0-1", if_none_match="*").status == 304


# Codings.


def test_gzip_on_the_fly(service: Service) -> None:
    """Text is compressed for who accepts it; the coded form has its own ETag; both say Vary."""
    plain = ask(service, "/text.txt")
    coded = ask(service, "/text.txt", accept_encoding="gzip, deflate")
    assert coded.headers.get("content-encoding") == "gzip"
    assert gzip.decompress(content(coded)) == TEXT
    assert coded.headers.get("etag") == f'"{value_digest(content(coded))}"' != plain.headers.get("etag")
    assert plain.headers.get("vary") == coded.headers.get("vary") == "accept-encoding"
    assert (
        ask(service, "/text.txt", accept_encoding="gzip", if_none_match=coded.headers.get("etag") or "").status == 304
    )
    assert (
        ask(service, "/text.txt", accept_encoding="gzip", if_none_match=plain.headers.get("etag") or "").status == 200
    )


def test_no_gzip_for_what_gains_nothing(service: Service) -> None:
    """Not for other types, small texts, or ranges."""
    for target in ("/big.bin", "/", "/empty.txt"):
        response = ask(service, target, accept_encoding="gzip")
        assert "content-encoding" not in response.headers
        assert "vary" not in response.headers
    assert content(ask(service, "/text.txt", accept_encoding="gzip", range="bytes=0-9")) == TEXT[:10]
    assert "content-encoding" not in ask(static(Tree(SITE), gzip_limit=0), "/text.txt", accept_encoding="gzip").headers


def test_precompressed_siblings(service: Service) -> None:
    """The form that lies beside the value is sent, brotli before gzip; the type is the value's."""
    for accept, coding, body in (
        ("gzip, br", "br", b"the brotli form"),
        ("gzip", "gzip", b"the gzip form"),
        ("br;q=0.5, gzip;q=0.8", "gzip", b"the gzip form"),
        ("br;q=0", None, SITE["pre.css"]),
        ("", None, SITE["pre.css"]),
    ):
        response = ask(service, "/pre.css", accept_encoding=accept)
        assert (response.headers.get("content-encoding"), response.body) == (coding, body)
        assert response.headers.get("content-type") == "text/css; charset=utf-8"
        assert response.headers.get("vary") == "accept-encoding"
    assert ask(service, "/pre.css.gz", accept_encoding="gzip").headers.get("content-type") == "application/gzip"


def test_stale_siblings_are_not_sent() -> None:
    """A compressed form that is older than its value is passed over."""

    class Stale(Tree):
        def info(self, key: str) -> Info:
            info = super().info(key)
            return Info(info.kind, info.size, TIME - 1) if key.endswith(".gz") else info

    response = ask(static(Stale(SITE)), "/pre.css", accept_encoding="gzip")
    assert gzip.decompress(content(response)) == SITE["pre.css"]


@pytest.mark.parametrize(
    ("field", "codings"),
    [
        (None, ()),
        ("", ()),
        ("identity", ()),
        ("*", ("br", "gzip")),
        ("*;q=0", ()),
        ("gzip;q=0.5, *;q=0", ("gzip",)),
        ("x-gzip", ("gzip",)),
        ("GZIP;Q=1.000", ("gzip",)),
        ("gzip;q=0.2, identity;q=0.5", ()),
        ("gzip;q=2, br", ("br",)),
        ("br ; q=0.9 , gzip", ("gzip", "br")),
    ],
)
def test_accept_encoding(field: str | None, codings: tuple[str, ...]) -> None:
    """12.5.3: weights, wildcards, what is malformed."""
    assert accepted_codings(field) == codings


# Large values, and values that change.


def test_large_values_are_never_whole_in_memory() -> None:
    """Without files, in chunks; with files, for the kernel to send; the whole is read for neither."""
    limit = {"hash_limit": 1000}
    chunked = static(Fixed(SITE))(Request("GET", "/big.bin", Headers(), EmptyBody()))
    assert isinstance(chunked, Response)
    sizes = [len(chunk) for chunk in chunked.body]  # type: ignore[union-attr,arg-type]
    assert max(sizes) <= 1 << 16
    sent = static(Files(SITE), **limit)(Request("GET", "/big.bin", Headers(), EmptyBody()))  # type: ignore[arg-type]
    assert isinstance(sent, Response)
    assert isinstance(sent.body, FileBody)
    assert sent.body.length == len(BIG)
    assert (sent.headers.get("etag") or "").startswith('W/"')


def test_an_etag_belongs_to_the_octets_sent() -> None:
    """A value that is set between its digest and its opening is answered afresh."""

    class Changing(Files):
        def open(self, key: str) -> BinaryIO:
            if self.values[key] == BIG:
                self.values[key] = BIG[::-1]
            return super().open(key)

    response = ask(static(Changing(SITE)), "/big.bin")
    assert response.body == BIG[::-1]
    assert response.headers.get("etag") == f'"{value_digest(BIG[::-1])}"'


def test_a_value_that_always_changes_is_answered() -> None:
    """Who writes a value all the time does not keep the server busy with it: what is read in one go is sent."""

    class Growing(Files):
        def open(self, key: str) -> BinaryIO:
            self.values[key] = self.values[key] + b"!"
            return super().open(key)

    response = ask(static(Growing(SITE)), "/big.bin")
    assert isinstance(response.body, bytes)
    assert response.body.startswith(BIG)
    assert response.headers.get("etag") == f'"{value_digest(response.body)}"'
    assert response.headers.get("content-length") == str(len(response.body))
    response = ask(static(Growing(SITE), hash_limit=1 << 10), "/big.bin")
    assert (response.status, response.headers.get("retry-after")) == (503, "1")


def test_a_value_that_goes_leaves_no_file_open() -> None:
    """A value that is removed between its digest and the end of its opening is a 404, and its file is closed."""
    opened: list[BinaryIO] = []

    class Going(Files):
        def open(self, key: str) -> BinaryIO:
            opened.append(super().open(key))
            del self.values[key]
            return opened[-1]

    assert ask(static(Going(SITE)), "/big.bin").status == 404
    assert opened[0].closed


# Listings.


class Page(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.text = ""
        self.tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_listing(service: Service) -> None:
    """Every name is shown as it is and linked so that the link leads to it."""
    response = ask(service, "/plain/")
    assert response.headers.get("content-type") == "text/html; charset=utf-8"
    page = Page(content(response).decode())
    assert page.links == ["../", "./a.txt", "./b%20%3C%26%3E%22%27.txt", "./sub/", "./%C3%A9t%C3%A9%20%23%3F.txt"]
    for name in ("a.txt", "b <&>\"'.txt", "été #?.txt", "sub/"):
        assert name in page.text
    for link in page.links[1:]:
        assert ask(service, "/plain/" + link.removeprefix("./")).status in {200, 301}
    assert page.tags.count("a") == 5
    assert ask(service, "/plain/", if_none_match=response.headers.get("etag") or "").status == 304


def test_listing_of_times_that_no_calendar_has() -> None:
    """An archive may say any time; the page leaves out what is none."""

    class Odd(Tree):
        def info(self, key: str) -> Info:
            return dataclasses.replace(super().info(key), modified=1e18)

    assert ask(static(Odd({"a": b""}), listing=True), "/").status == 200


def test_listing_hides_dotfiles() -> None:
    """What is not served is not shown."""
    tree = Tree({".env": b"", "a": b"", "sub/.git/x": b""})
    service = static(tree, listing=True)
    assert Page(content(ask(service, "/")).decode()).links == ["./a", "./sub/"]


def test_listing_cannot_be_injected() -> None:
    """A name is text, whatever it contains."""
    service = static(Tree({"<script>alert(1)<": b"", 'd"><img src=x>/y': b""}), listing=True)
    for target in ("/", "/d%22%3E%3Cimg%20src=x%3E/"):
        page = Page(content(ask(service, target)).decode())
        assert "script" not in page.tags
        assert "img" not in page.tags


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.HTML", "text/html; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("feed.atom", "application/atom+xml; charset=utf-8"),
        ("a.svg", "image/svg+xml; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.tar.gz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a.woff2", "font/woff2"),
        ("a.unknown-thing", "application/octet-stream"),
        ("README", "application/octet-stream"),
        ("dir.html/README", "application/octet-stream"),
    ],
)
def test_content_types(name: str, kind: str) -> None:
    """Types do not depend on the machine; text says its charset."""
    assert content_type(name) == kind


def test_the_store_fits() -> None:
    """The store of these tests is one."""
    assert isinstance(Tree({}), KeyValueRO)
