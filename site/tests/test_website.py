"""The site's own code, called in memory: redirects, error pages, header fields, caching."""

from __future__ import annotations

import json
import re

import pytest
from mirage.kv import MemoryStore
from mirage.opium import App
from mirage.opium.testing import Client
from mirage.types.testing import MemoryConsole, VirtualClock
from website import site

FOR_A_YEAR = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"


@pytest.fixture
def console() -> MemoryConsole:
    """What the site says."""
    return MemoryConsole()


@pytest.fixture
def clock() -> VirtualClock:
    """The time."""
    return VirtualClock()


@pytest.fixture
def service(files: dict[str, bytes], console: MemoryConsole, clock: VirtualClock) -> App:
    """The site over its rendered tree."""
    store = MemoryStore()
    for key, value in files.items():
        store.set(key, value)
    return site(store, console, clock)


@pytest.fixture
def client(service: App) -> Client:
    """A client of the site."""
    return Client(service)


def test_it_says_what_it_serves(service: App, console: MemoryConsole, files: dict[str, bytes]) -> None:
    """One line on the console at the start."""
    count = len(json.loads(files["links.json"]))
    assert console.lines == [f"website: {count} entries in the link log, pages from a MemoryStore"]


def test_pages(client: Client, files: dict[str, bytes]) -> None:
    """A page is the stored octets; an address without its slash leads to the one with it."""
    answer = client.get("/docs/")
    assert answer.status == 200
    assert answer.body == files["docs/index.html"]
    assert answer.headers.get("content-type") == "text/html; charset=utf-8"
    bare = client.get("/docs")
    assert bare.status in {301, 308}
    assert (bare.headers.get("location") or "").endswith("/docs/")


def test_conditional(client: Client) -> None:
    """A page that has not changed is not sent again, and the answer still bears the policy."""
    tag = client.get("/").headers.get("etag")
    assert tag
    again = client.get("/", headers={"if-none-match": tag})
    assert (again.status, again.body) == (304, b"")
    assert again.headers.get("cache-control") == REVALIDATE


def test_links_lead_out(client: Client, files: dict[str, bytes]) -> None:
    """Each entry of the log is a redirect to its place; no other name is."""
    for name, url in json.loads(files["links.json"]).items():
        answer = client.get(f"/links/{name}")
        assert (answer.status, answer.headers.get("location")) == (302, url)
    assert client.get("/links/nowhere").status == 404
    assert client.get("/links/").status == 200


@pytest.mark.parametrize("address", ["/nowhere", "/docs/nowhere/", "/links/nowhere", "/assets/gone.css"])
def test_what_is_not_there(client: Client, files: dict[str, bytes], address: str) -> None:
    """A 404 with the site's own page."""
    answer = client.get(address)
    assert answer.status == 404
    assert answer.body == files["404.html"]
    assert answer.headers.get("content-type") == "text/html; charset=utf-8"


@pytest.mark.parametrize("address", ["/../links.json", "/%2e%2e/links.json", "/blog/../links.json", "/a%2fb", "/a%00b"])
def test_what_names_nothing(client: Client, address: str) -> None:
    """A path that can name nothing is refused, and no file answers for it."""
    answer = client.get(address)
    assert answer.status in {400, 404}
    assert answer.headers.get("content-type") == "text/html; charset=utf-8"


def test_what_breaks(service: App, files: dict[str, bytes]) -> None:
    """A failure of a handler is a 500 with the site's own page, which tells nothing of it."""
    from mirage.opium import Request, Response, root

    @service.get(root / "broken")
    def broken(request: Request) -> Response:
        raise RuntimeError("a secret")

    answer = Client(service).get("/broken")
    assert (answer.status, answer.body) == (500, files["500.html"])
    assert b"secret" not in answer.body


def test_methods(client: Client) -> None:
    """What a page does not take is refused with what it does."""
    answer = client.post("/docs/")
    assert answer.status == 405
    assert "GET" in (answer.headers.get("allow") or "")


@pytest.mark.parametrize("address", ["/", "/nowhere", "/links/solo5", "/atom.xml", "/healthz"])
def test_every_answer_forbids_what_the_site_does_not_need(client: Client, address: str) -> None:
    """Nothing but the style sheet and the icon of this host may be loaded, by any answer whatever its status."""
    headers = client.get(address).headers
    policy = headers.get_all("content-security-policy")
    assert [rule.strip() for rule in policy[0].split(";")] == [
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    assert len(policy) == 1
    assert headers.get_all("x-content-type-options") == ["nosniff"]


def test_caching(client: Client, files: dict[str, bytes]) -> None:
    """What is named by its content is kept for a year, everything else is asked for anew."""
    page = client.get("/")
    assert page.headers.get_all("cache-control") == [REVALIDATE]
    for address in re.findall(r'href="(/assets/[^"]+)"', page.text):
        assert client.get(address).headers.get_all("cache-control") == [FOR_A_YEAR]


def test_feeds(client: Client) -> None:
    """Feeds are served as what they are."""
    for address in ("/atom.xml", "/blog/atom.xml", "/releases/atom.xml"):
        assert client.get(address).headers.get_all("content-type") == ["application/atom+xml; charset=utf-8"]


def test_health(client: Client) -> None:
    """The address for health checks answers."""
    assert client.get("/healthz").text == "ok\n"
