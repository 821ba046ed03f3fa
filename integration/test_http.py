"""HTTP as curl and other clients see it: conditional requests, ranges, HEAD, errors of method."""

from __future__ import annotations

import gzip
import subprocess

import pytest

from .client import Client, exchange
from .targets import Running


def curl(*arguments: str) -> str:
    """What curl prints; it must succeed. Whose key the website has, `test_https.py` compares."""
    result = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "10", "--insecure", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def status(*arguments: str) -> int:
    """The status code that curl saw."""
    return int(curl("--output", "/dev/null", "--write-out", "%{http_code}", *arguments))


@pytest.mark.tool("curl")
def test_curl_fetches_a_page(website: Running) -> None:
    """An independent client gets the front page, with a Date and a strong ETag."""
    text = curl("--include", f"{website.url}/")
    head = text.partition("\n\n")[0].lower()
    assert head.startswith("http/1.1 200")
    assert "\ndate: " in head
    assert '\netag: "' in head
    assert "<h1" in text


@pytest.mark.tool("curl")
def test_conditional_requests(website: Running, client: Client) -> None:
    """A validator that still holds gives 304, one that does not gives 200 or 412 (RFC 9110 section 13)."""
    url = f"{website.url}/docs/"
    tag = client.get("/docs/").headers["etag"]
    assert status("--header", f"If-None-Match: {tag}", url) == 304
    assert status("--header", 'If-None-Match: "other"', url) == 200
    assert status("--header", 'If-Match: "other"', url) == 412
    assert status("--header", f"If-Match: {tag}", url) == 200
    modified = client.get("/docs/").headers.get("last-modified")
    if modified:
        assert status("--header", f"If-Modified-Since: {modified}", url) == 304
        assert status("--header", "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT", url) == 412


@pytest.mark.tool("curl")
def test_ranges(website: Running, client: Client) -> None:
    """A range gives 206 and just these octets, one past the end 416 (RFC 9110 section 14)."""
    whole = client.get("/sitemap.xml").body
    url = f"{website.url}/sitemap.xml"
    assert curl("--range", "0-9", url).encode() == whole[:10]
    assert curl("--range", "-7", url).encode() == whole[-7:]
    assert status("--range", "5-", url) == 206
    assert status("--range", f"{len(whole)}-", url) == 416
    part = client.get("/sitemap.xml", Range="bytes=3-5")
    assert part.headers["content-range"] == f"bytes 3-5/{len(whole)}"
    assert client.get("/sitemap.xml", Range="bytes=0-9,900-909").content_type == "multipart/byteranges"


def test_head_is_get_without_its_content(client: Client) -> None:
    """HEAD gives the same fields and nothing more (RFC 9110 section 9.3.2)."""
    got, headed = client.get("/"), client.request("HEAD", "/")
    assert (headed.status, headed.body) == (200, b"")
    for name in ("content-length", "content-type", "etag"):
        assert headed.headers[name] == got.headers[name]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_method_that_makes_no_sense_is_405(client: Client, method: str) -> None:
    """The answer names the methods that do (RFC 9110 section 15.5.6)."""
    answer = client.request(method, "/", body=b"")
    assert answer.status == 405
    assert "GET" in answer.headers["allow"]


def test_an_unknown_method_is_refused(website: Running) -> None:
    """A method that nobody knows is 405 or 501, never served."""
    answer = exchange(website.url, b"BREW / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] in {b"405", b"501"}


@pytest.mark.tool("curl")
def test_compression(website: Running) -> None:
    """Text is compressed for those who ask, with a Vary that keeps caches honest."""
    plain = curl(f"{website.url}/")
    assert curl("--compressed", f"{website.url}/") == plain
    head = curl("--head", "--header", "Accept-Encoding: gzip", f"{website.url}/").lower()
    assert "content-encoding: gzip" in head
    assert "vary: accept-encoding" in head


def test_compressed_octets_are_gzip(client: Client) -> None:
    """What is said to be gzip is."""
    answer = client.get("/", Accept_Encoding="gzip")
    assert gzip.decompress(answer.body) == client.get("/").body


@pytest.mark.tool("curl")
def test_keep_alive_and_pipelining(website: Running) -> None:
    """One connection carries many requests, and answers to pipelined ones come in order."""
    two = curl("--verbose", "--stderr", "-", f"{website.url}/", f"{website.url}/docs/")
    assert "re-using" in two.lower()
    raw = exchange(
        website.url,
        b"GET /sitemap.xml HTTP/1.1\r\nHost: x\r\n\r\n"
        b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
        b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    codes = [part[:3] for part in raw.split(b"HTTP/1.1 ")[1:]]
    assert codes == [b"200", b"200", b"404"]
