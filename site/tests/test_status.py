"""The status pages: made from published nights alone, right about their age, and safe whatever the nights hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import feedparser
import html5lib
import pytest
from mirage.kv import MemoryStore
from mirage.opium.testing import Client
from mirage.types.testing import MemoryConsole, VirtualClock
from render import ContentError, Sources, build
from render.check import Outline, check_links
from website import site
from website.status import told

from bots.is_broken.model import Finding, State
from bots.is_broken.publish import publish
from bots.is_broken.tests.sample import CHANGE, DAY, EPOCH, FAILURE, after, bad, finding, good
from bots.is_broken.tests.test_publish import logs_of

Make = Callable[..., dict[str, bytes]]
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}<!--/age--><!--age 1-->'


@pytest.fixture(scope="module")
def rendered(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Renders the site with the nights of a state; without one, with none published."""

    def make(state: State | None, output: str = "all is well\n") -> dict[str, bytes]:
        folder = tmp_path_factory.mktemp("nights")
        if state is not None:
            publish(logs_of(state, folder / "run", output), folder / "run", folder / "out")
        return build(replace(Sources.of(root), status=folder / "out"))

    return make


def nights(*found: Finding) -> State:
    """A good night, then one in which these are broken."""
    return after(after(State(), good(0)), bad(1, *found), *found)


@pytest.fixture(scope="module")
def broken(rendered: Make) -> dict[str, bytes]:
    """The site after a bad night."""
    return rendered(nights(finding()))


@pytest.fixture(scope="module")
def hostile(rendered: Make) -> dict[str, bytes]:
    """The site after a night in which every text comes from an enemy."""
    change = replace(CHANGE, name=EVIL, old=EVIL, new=EVIL, link="javascript:alert(1)")
    failure = replace(FAILURE, line=EVIL, step=EVIL, signature=EVIL, excerpt=EVIL)
    one = finding(change, failure=failure, jobs=(EVIL,))
    told = replace(one.explanation, notes=(EVIL,), difference=(EVIL,), reproduce=EVIL, hold=EVIL)
    state = nights(replace(one, explanation=told))
    first, second = state.nights
    job = replace(second.results[0].job, package=EVIL, target=EVIL, python=EVIL)
    results = tuple(replace(result, job=job) for result in second.results)
    return rendered(replace(state, nights=(first, replace(second, results=results, revision=EVIL))), EVIL)


def status_pages(files: dict[str, bytes]) -> dict[str, str]:
    """The pages under /status/."""
    return {k: v.decode() for k, v in files.items() if k.startswith("status/") and k.endswith(".html")}


def used(html: str) -> tuple[set[str], set[str]]:
    """The names of the elements and of the attributes of a page."""
    tree = html5lib.parse(html, namespaceHTMLElements=False)
    elements = [element for element in tree.iter() if isinstance(element.tag, str)]
    return {element.tag for element in elements}, {name for element in elements for name in element.attrib}


def client(files: dict[str, bytes], now: float) -> Client:
    """The running site at a time."""
    store = MemoryStore()
    for key, value in files.items():
        store.set(key, value)
    return Client(site(store, MemoryConsole(), VirtualClock(int(now * 1e9))))


@pytest.mark.slow
def test_no_night(rendered: Make) -> None:
    """Without a night the page says so, and nothing else is there."""
    files = rendered(None)
    assert b"No nightly run has been published yet." in files["status/index.html"]
    assert [key for key in files if key.startswith("status/")] == ["status/index.html"]
    assert b"No nightly run has been published yet." in rendered(State())["status/index.html"]


@pytest.mark.slow
def test_a_bad_night(broken: dict[str, bytes]) -> None:
    """What is broken, by whom, the line that fails, how to see it; links to outputs and nights lead somewhere."""
    page = broken["status/index.html"].decode()
    for part in ("Something is broken", "leftpad 2.0 breaks the build", "cannot import name &#39;pad&#39;",
                 "./noxw -s is_broken -- repro newest-website-unix-3.11", "[hold.leftpad]", "found with 7 probes",
                 'href="/status/logs/20261126T030000Z/newest-website-unix-3.11/"', "the newest last: good, broken",
                 'href="/status/atom.xml"'):  # fmt: skip
        assert part in page, part
    both = ("20261125T030000Z", "20261126T030000Z")
    assert set(status_pages(broken)) == {
        "status/index.html",
        *(f"status/nights/{night}/index.html" for night in both),
        *(f"status/logs/{night}/newest-website-unix-3.11/index.html" for night in both),
    }
    second = broken["status/nights/20261126T030000Z/index.html"].decode()
    assert "What differs from" in second
    assert "good, then broken" in second
    assert "<code>leftpad 1.9 -&gt; 2.0</code>" in second
    check_links(broken, frozenset(f"/links/{name}" for name in json.loads(broken["links.json"])))
    assert json.loads(broken["status/status.json"])["word"] == "1 broken"


@pytest.mark.slow
@pytest.mark.parametrize("which", ["broken", "hostile"])
def test_pages_are_strict_and_run_nothing(which: str, request: pytest.FixtureRequest) -> None:
    """html5lib finds no error, and no page has a script, a handler, an image or an address of another scheme."""
    files: dict[str, bytes] = request.getfixturevalue(which)
    pages = status_pages(files)
    assert len(pages) == 5
    for key, html in pages.items():
        html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)
        elements, attributes = used(html)
        assert not elements & {"script", "iframe", "object", "embed", "base", "form", "img", "style", "video"}, key
        assert not {name for name in attributes if name.startswith("on") or name in {"style", "srcset"}}, key
        for _, address in Outline(html).references:
            assert address.startswith(("/", "#", "https://")), (key, address)
    for svg in ("badge.svg", "badge-stale.svg"):
        assert b"<script" not in files[f"status/{svg}"]


@pytest.mark.slow
def test_hostile_text_is_shown_as_text(hostile: dict[str, bytes]) -> None:
    """It is there, escaped; and it can neither say nor hide the age."""
    page = hostile["status/index.html"].decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert page.count("<!--age ") == page.count("<!--/age-->") == 1
    shown = client(hostile, EPOCH + DAY + 3600).get("/status/").text
    assert shown.count("ago.") == 1
    assert "60 minutes" in shown or "1 hour" in shown
    output = client(hostile, EPOCH).get(
        next("/" + key for key in hostile if re.fullmatch(r"status/logs/20261126T030000Z/[^/]+\.txt", key))
    )
    assert (output.headers.get("content-type") or "").startswith("text/plain")
    assert output.headers.get("x-content-type-options") == "nosniff"
    assert not feedparser.parse(hostile["status/atom.xml"]).bozo


@pytest.mark.slow
def test_the_age_is_that_of_the_moment_of_reading(broken: dict[str, bytes]) -> None:
    """The same files, read later, are told to be older; after two days they are stale, and so is the badge."""
    night = EPOCH + DAY
    fresh, old = client(broken, night + 7200), client(broken, night + 6 * DAY)
    assert "That was 2 hours ago." in fresh.get("/status/").text
    shown = old.get("/status/").text
    assert "This is stale:</strong> that was 6 days ago, and there should be a night every day." in shown
    assert "<!--" not in shown
    assert ">1 broken<" in fresh.get("/status/badge.svg").text
    assert ">stale<" in old.get("/status/badge.svg").text
    for one in (fresh, old):
        answer = one.get("/status/badge.svg")
        assert answer.headers.get("content-type") == "image/svg+xml; charset=utf-8"
        assert answer.headers.get_all("cache-control") == ["no-cache"]
        assert one.get("/status/").headers.get_all("cache-control") == ["no-cache"]
        assert one.get("/status/atom.xml").headers.get("content-type") == "application/atom+xml; charset=utf-8"
    assert fresh.get("/status").status in {301, 308}


@pytest.mark.slow
def test_files_without_the_service_are_not_wrong(broken: dict[str, bytes]) -> None:
    """Served as plain files, the page names the time and says when that would be stale."""
    page = broken["status/index.html"].decode()
    assert '<time datetime="2026-11-26T03:00:00Z">26 November 2026, 03:00 UTC</time>' in page
    assert "should that be more than two days ago, what stands here is stale." in page
    assert "ago." not in page


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "That was less than a minute ago."),
        (60, "That was 1 minute ago."),
        (3600, "That was 60 minutes ago."),
        (86400, "That was 24 hours ago."),
        (2 * 86400, "That was 2 days ago."),
        (
            2 * 86400 + 1,
            '<strong class="stale">This is stale:</strong> that was 2 days ago, and there should be a night every day.',
        ),
        (-60, "By this machine’s clock that is yet to come, so one of the two clocks is wrong."),
    ],
)
def test_ages_in_words(seconds: float, words: str) -> None:
    """Two of a unit at least, so that the words are exact enough."""
    assert told(seconds) == words


@pytest.mark.slow
def test_broken_data_is_named(root: Path, tmp_path: Path) -> None:
    """Data that was cut short stops the build, with the file's name."""
    (tmp_path / "status.json").write_text('{"nights": [{"name": "x"}], "site": ""}')
    with pytest.raises(ContentError, match="the published nights cannot be read"):
        build(replace(Sources.of(root), status=tmp_path))


@pytest.mark.slow
def test_a_long_log_is_trimmed_for_people_and_whole_for_programs(rendered: Make) -> None:
    """The page leaves the middle out and says how much; the text beside it has every line."""
    files = rendered(nights(finding()), "".join(f"line {n}\n" for n in range(1000)))
    page = files["status/logs/20261126T030000Z/newest-website-unix-3.11/index.html"].decode()
    assert "740 lines left out here." in page
    assert "line 59\n" not in page.partition("left out")[2]
    assert "line 999" in page
    assert files["status/logs/20261126T030000Z/newest-website-unix-3.11.txt"].count(b"\n") == 1000


@pytest.mark.slow
def test_what_is_checked_in_is_what_the_site_shows(root: Path, files: dict[str, bytes]) -> None:
    """The built site's data is the octets of the tree."""
    published = Sources.of(root).status
    for name in ("status.json", "badge.svg"):
        assert files[f"status/{name}"] == (published / name).read_bytes()
