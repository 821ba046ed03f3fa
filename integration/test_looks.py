"""The website in a browser: pictures for a person to look at, and axe-core for what a picture does not show.

The pictures are left in `_build/screenshots`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from .targets import ROOT, Running

SCREENSHOTS = ROOT / "_build" / "screenshots"
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES = {
    "home": "/",
    "blog": "/blog/",
    "post": "/blog/welcome/",
    "guide": "/docs/",
    "packages": "/packages/",
    "package": "/packages/mirage-types/",
    "releases": "/releases/",
    "links": "/links/",
    "pioneers": "/pioneers/",
    "status": "/status/",
    "missing": "/nowhere",
}
VIEWPORTS = {"desktop": (1280, 900), "phone": (390, 844)}

pytestmark = [pytest.mark.slow, pytest.mark.tool("chromium")]


@pytest.fixture(scope="module")
def browser(website: Running) -> Iterator[Browser]:
    """Debian's Chromium, headless, on the website's network."""
    # Without TLS a browser trusts loopback only, and complains of headers that it ignores from elsewhere.
    trusted = f"--unsafely-treat-insecure-origin-as-secure={website.url}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, trusted])
        yield browser
        browser.close()


def look(page: Page, url: str, picture: Path, full: bool) -> list[str]:
    """Open a page, keep a picture of it, and say what is wrong with it that a browser notices."""
    requested: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    answer = page.goto(url)
    assert answer is not None
    origin = "/".join(url.split("/")[:3])
    faults = [f"requests {other}" for other in requested if not other.startswith(origin)]
    if answer.status == 200:  # For any other status the browser's remark is about just that.
        faults += [f"the browser says: {text}" for text in said]
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if wide > 0:
        faults.append(f"{wide} pixels wider than the window")
    page.screenshot(path=picture, full_page=full)
    return faults


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", VIEWPORTS)
def test_pages_are_accessible_and_fit(
    website: Running, browser: Browser, viewport: str, scheme: Literal["light", "dark"]
) -> None:
    """No accessibility violation, no sideways scrolling, no error on the browser's console, no foreign request."""
    width, height = VIEWPORTS[viewport]
    size = ViewportSize(width=width, height=height)
    reader = browser.new_context(viewport=size, color_scheme=scheme, ignore_https_errors=True)
    # The site's policy forbids every script, axe's included.
    scanner = browser.new_context(viewport=size, color_scheme=scheme, ignore_https_errors=True, bypass_csp=True)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    faults: list[str] = []
    for name, target in PAGES.items():
        url = website.url + target
        with reader.new_page() as page:
            picture = SCREENSHOTS / f"{name}-{viewport}-{scheme}.png"
            faults += [f"{name}: {fault}" for fault in look(page, url, picture, full=viewport == "desktop")]
        with scanner.new_page() as page:
            page.goto(url)
            violations = Axe().run(page).response["violations"]
            faults += [f"{name}: {v['id']}: {v['help']}: {v['nodes'][0]['html'][:120]}" for v in violations]
    reader.close()
    scanner.close()
    assert not faults, "\n".join(faults)
