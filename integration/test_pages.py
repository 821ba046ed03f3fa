"""Every page is there, is valid, and leads somewhere."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import feedparser
import pytest

from .client import Client
from .crawl import Report, crawl
from .targets import ROOT, Running

ATOM = "{http://www.w3.org/2005/Atom}"

SECTIONS = (
    "/",
    "/blog/",
    "/docs/",
    "/releases/",
    "/links/",
    "/talks/",
    "/community/",
    "/pioneers/",
    "/status/",
    "/packages/",
)
FEEDS = ("/blog/atom.xml", "/releases/atom.xml", "/atom.xml")


def test_nothing_is_broken(report: Report) -> None:
    """Pages answer 200, parse under html5lib's strict mode, and their links, fragments and assets resolve."""
    assert not report.broken, "\n".join(report.broken)
    assert len(report.pages) > 20
    assert len(report.links) > 200


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_is_reached_from_the_front_page(report: Report, section: str) -> None:
    """The crawl begins at the front page, so a section in it is linked."""
    assert section in report.pages
    assert any(link.url.endswith(section) and link.page == "/" for link in report.links) or section == "/"


def test_the_sitemap_is_the_site(report: Report, client: Client) -> None:
    """The sitemap names every page that readers can reach, and no other."""
    locations = [
        element.text or ""
        for element in ET.fromstring(client.get("/sitemap.xml").body).iter()
        if element.tag.endswith("}loc")
    ]
    named = {"/" + location.split("/", 3)[3] for location in locations}
    assert len(named) == len(locations), "an address stands there twice"
    assert named == set(report.pages)


@pytest.mark.parametrize("feed", FEEDS)
def test_feeds_parse_and_are_whole(client: Client, feed: str) -> None:
    """Feeds are Atom with the elements that RFC 4287 section 4.1 requires, unique ids, newest first."""
    answer = client.get(feed)
    assert answer.status == 200
    assert answer.content_type == "application/atom+xml"
    parsed = feedparser.parse(answer.body)
    assert not parsed.bozo, parsed.get("bozo_exception")
    assert parsed.version == "atom10"
    assert parsed.feed.title
    assert parsed.feed.id
    root = ET.fromstring(answer.body)
    assert root.find(f"{ATOM}updated") is not None
    selfs = [link.get("href", "") for link in root.findall(f"{ATOM}link") if link.get("rel") == "self"]
    assert [href for href in selfs if href.endswith(feed)]
    entries = root.findall(f"{ATOM}entry")
    ids = [entry.findtext(f"{ATOM}id") for entry in entries]
    assert len(set(ids)) == len(ids)
    for entry in entries:
        assert entry.findtext(f"{ATOM}id")
        assert entry.findtext(f"{ATOM}title")
        assert entry.findtext(f"{ATOM}updated")
        assert entry.find(f"{ATOM}author") is not None or root.find(f"{ATOM}author") is not None
    dates = [entry.findtext(f"{ATOM}updated") or "" for entry in entries]
    assert dates == sorted(dates, reverse=True)


def test_the_blog_feed_has_entries(client: Client) -> None:
    """There is something to read."""
    assert len(feedparser.parse(client.get("/blog/atom.xml").body).entries) >= 3


def test_the_link_log_redirects_out(report: Report, client: Client) -> None:
    """Each id of the link log leads to another site, by a redirect."""
    ids = {target for target in report.other if target.startswith("/links/")}
    assert ids
    for target in ids:
        answer = client.get(target)
        assert answer.status in {302, 303, 307, 308, 301}
        assert answer.headers["location"].startswith("https://")


@pytest.mark.parametrize(
    "path", ["/nowhere", "/blog/nowhere/", "/links/nowhere", "/../etc/passwd", "/%2e%2e/etc/passwd", "/a%00b"]
)
def test_what_is_not_there_is_a_404_page(client: Client, path: str) -> None:
    """A real 404, with a page that helps; never a 200."""
    answer = client.get(path)
    names_nothing = any(part in path for part in ("..", "%2e", "%00"))  # the router may say that it cannot be a path
    assert answer.status in ({400, 404} if names_nothing else {404})
    if answer.status == 404:
        assert answer.content_type == "text/html"
        assert b'href="/"' in answer.body


def test_the_status_page_is_honest(report: Report) -> None:
    """It shows the nightly run that was published last, or says that there was none."""
    published = json.loads((ROOT / "bots" / "is_broken" / "data" / "published" / "status.json").read_text())
    assert (b"no nightly run" in report.pages["/status/"].body.lower()) is (published["night"] is None)


def test_pages_say_who_they_are(report: Report) -> None:
    """Each page has a language, a title of its own, one main heading and a description."""
    titles: dict[bytes, str] = {}
    for target, answer in report.pages.items():
        assert b'<html lang="en"' in answer.body, target
        assert answer.body.count(b"<h1") == 1, target
        assert b'name="description"' in answer.body, target
        title = answer.body.partition(b"<title>")[2].partition(b"</title>")[0]
        assert title.strip(), target
        assert title not in titles, f"{target} and {titles[title]} have the same title"
        titles[title] = target


def test_no_page_needs_a_script(report: Report) -> None:
    """Nothing on the site is JavaScript, and the policy that is sent forbids all of it."""
    for target, answer in report.pages.items():
        assert b"<script" not in answer.body, target
        policy = answer.headers.get("content-security-policy", "")
        assert "default-src 'none'" in policy or "script-src 'none'" in policy, target


def test_every_page_over_ipv6(website: Running) -> None:
    """Both versions of IP lead to the same site, wherever the program has a stack of its own."""
    if website.url6 is None:
        pytest.skip("the process listens at the host's IPv4 loopback only")
    over6 = crawl(website.url6)
    assert over6.pages
    assert not over6.broken
