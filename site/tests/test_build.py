"""The tree as a whole: deterministic, complete, valid, with no link that leads nowhere and nothing from outside."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import feedparser
import html5lib
import pytest
from render import ContentError, Sources, build, write
from render.check import Outline, check_links

PACKAGE = """[project]
name="mirage-x"
version="1"
description="d"
requires-python=">=3.11"
license="ISC"
[tool.mirage]
systems=["Opiun"]
tier="incubating"
"""
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.mark.slow
def test_deterministic(root: Path, files: dict[str, bytes], tmp_path: Path) -> None:
    """Another process with another hash seed, time zone and locale writes the same octets."""
    environment = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    subprocess.run(
        [sys.executable, "-m", "render", "--out", tmp_path / "out"], cwd=root / "site", env=environment, check=True
    )
    written = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert written == files


@pytest.mark.slow
def test_every_page_is_strict_html(pages: dict[str, str]) -> None:
    """html5lib finds no parse error in any page."""
    assert len(pages) > 20
    for key, html in pages.items():
        parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
        document = parser.parse(html)
        assert document.find("body/main/h1") is not None or document.find(".//h1") is not None, key


def test_every_page_has_its_landmarks(pages: dict[str, str]) -> None:
    """One title, one first heading, one main, a skip link to it, a language, and headings that skip no level."""
    titles: dict[str, str] = {}
    for key, html in pages.items():
        assert html.startswith('<!DOCTYPE html>\n<html lang="en">'), key
        assert html.count("<main ") == html.count("<h1") == html.count("<title>") == 1, key
        assert '<a class="skip" href="#content">' in html, key
        title = html.partition("<title>")[2].partition("</title>")[0]
        assert title not in titles, f"{key} and {titles.get(title)} have one title"
        titles[title] = key
        levels = [int(level) for level in re.findall(r"<h([1-6])", html.partition("<main")[2].partition("</main>")[0])]
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), (key, levels)


@pytest.mark.slow
def test_links_lead_somewhere(files: dict[str, bytes]) -> None:
    """Each internal link and fragment has its target; and the check can tell when one has not."""
    assert check_links(files, _redirects(files)) > 500
    broken = files | {"index.html": files["index.html"].replace(b'href="/blog/"', b'href="/blug/"', 1)}
    with pytest.raises(ContentError, match=r"link '/blug/' leads nowhere"):
        check_links(broken, _redirects(files))


def _redirects(files: dict[str, bytes]) -> frozenset[str]:
    return frozenset(f"/links/{name}" for name in json.loads(files["links.json"]))


@pytest.mark.slow
def test_nothing_from_outside(files: dict[str, bytes], pages: dict[str, str]) -> None:
    """No page, style sheet or drawing makes a browser ask another host, or run a script."""
    for key, html in pages.items():
        for tag, address in Outline(html).references:
            assert tag == "a" or address.startswith(("/", "#")), (key, address)
        assert not re.search(r"<(script|iframe|object|embed|base|form|img|video|audio)\b", html), key
        assert not re.search(r"\s(style|on[a-z]+|srcset|background)=", html), key
        assert "<style" not in html, key
    for key, value in files.items():
        if key.endswith((".css", ".svg")):
            text = value.decode().replace('xmlns="http://www.w3.org/2000/svg"', "")
            assert not re.search(r"url\(|@import|//[a-z]|<script|<a |href=\"[^#]", text), key


def test_assets_are_named_by_content(files: dict[str, bytes], pages: dict[str, str]) -> None:
    """What may be kept for a year changes its name when it changes."""
    assets = [key for key in files if key.startswith("assets/")]
    assert len(assets) == 2
    assert all(re.fullmatch(r"assets/[a-z]+\.[0-9a-f]{12}\.(css|svg)", key) for key in assets)
    assert all(f'href="/{key}"' in html for key in assets for html in pages.values())


@pytest.mark.parametrize("name", ["blog/atom.xml", "releases/atom.xml", "atom.xml"])
def test_feeds(files: dict[str, bytes], name: str) -> None:
    """Each feed parses without complaint and has what RFC 4287 asks for."""
    document = files[name]
    parsed = feedparser.parse(document)
    assert not parsed.bozo
    assert parsed.version == "atom10"
    root = ET.fromstring(document)
    ids = [element.text for element in root.iter(f"{ATOM}id")]
    assert len(set(ids)) == len(ids)
    assert all(identity and identity.startswith("urn:uuid:") for identity in ids)
    for element in [root, *root.iter(f"{ATOM}entry")]:
        for required in ("id", "title", "updated"):  # RFC 4287 4.1.1 and 4.1.2
            assert len(element.findall(f"{ATOM}{required}")) == 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z", element.findtext(f"{ATOM}updated") or "")
    assert root.find(f"{ATOM}author/{ATOM}name") is not None
    assert [link.get("rel") for link in root.findall(f"{ATOM}link")] == ["self", "alternate"]
    assert all(link.get("href", "").startswith("https://") for link in root.iter(f"{ATOM}link"))
    for content in root.iter(f"{ATOM}content"):
        assert 'href="/' not in (content.text or "")


@pytest.mark.slow
def test_feed_ids_outlive_a_move(root: Path, files: dict[str, bytes]) -> None:
    """A site that moves to another host keeps the ids of its entries."""
    moved = build(Sources.of(root), "http://127.0.0.1:8080/")
    name = "atom.xml"
    assert b"http://127.0.0.1:8080/blog/" in moved[name]
    assert [e.id for e in feedparser.parse(moved[name]).entries] == [
        e.id for e in feedparser.parse(files[name]).entries
    ]


def test_sitemap_and_robots(files: dict[str, bytes], pages: dict[str, str]) -> None:
    """The sitemap has every page but the error pages, once, and robots.txt leads to it."""
    root = ET.fromstring(files["sitemap.xml"])
    locations = [element.text or "" for element in root.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]
    expected = {"/" + key.removesuffix("index.html") for key in pages if key.endswith("index.html")}
    assert sorted(location.removeprefix("https://mirage.example") for location in locations) == sorted(expected)
    assert b"Sitemap: https://mirage.example/sitemap.xml" in files["robots.txt"]
    assert {"404.html", "500.html"} <= set(pages)


def test_standings_come_from_the_packages(root: Path, pages: dict[str, str]) -> None:
    """A system is in the tree exactly when a package's metadata says so."""
    claimed = set()
    for file in root.glob("packages/*/*/pyproject.toml"):
        claimed |= set(tomllib.loads(file.read_text()).get("tool", {}).get("mirage", {}).get("systems", []))
    rows = re.findall(
        r'<tr>\s*<th scope="row">(.*?)</th>.*?class="mark mark-(here|not)"', pages["packages/index.html"], re.S
    )
    assert {name for name, standing in rows if standing == "here"} == claimed
    assert len(rows) == (root / "site/content/systems.toml").read_text().count("[[system]]")


@pytest.fixture
def tree(root: Path, tmp_path: Path) -> Path:
    """A copy of the sources, to break."""
    shutil.copytree(root / "site", tmp_path / "site", ignore=shutil.ignore_patterns("tests", "__pycache__", ".mirage*"))
    shutil.copytree(root / "docs", tmp_path / "docs")
    for file in [*root.glob("packages/*/*/pyproject.toml"), *root.glob("packages/*/*/changes.d/*.md")]:
        copy = tmp_path / file.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    return tmp_path


def _add(tree: Path, name: str, text: str) -> None:
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(text)


def test_all_mistakes_at_once(tree: Path) -> None:
    """One run names the mistakes of every file."""
    post = "---\ntitle: t\ndate: 2026-11-23\nsummary: s\n---\n"
    _add(tree, "site/content/blog/Bad_Name.md", post)
    _add(tree, "site/content/blog/later.md", post.replace("2026-11-23", "soon"))
    _add(tree, "docs/ghost.md", "---\ntitle: t\nsummary: s\n---\n")
    _add(
        tree,
        "packages/web/x/pyproject.toml",
        PACKAGE.replace('description="d"\n', ""),
    )
    _add(tree, "packages/core/types/changes.d/thing.md", "x")
    with pytest.raises(ContentError) as caught:
        build(Sources.of(tree))
    text = str(caught.value)
    assert "site/content/blog/Bad_Name.md:1: the file's name becomes an address" in text
    assert "site/content/blog/later.md:3: field 'date': expected a date as YYYY-MM-DD, found 'soon'" in text
    assert "docs/ghost.md:4: field 'order' is missing: a Guide needs a whole number" in text
    assert "packages/web/x/pyproject.toml:1: packages/web/x/pyproject.toml has no description" in text
    assert "packages/core/types/changes.d/thing.md:1: this change fragment's name does not tell its kind" in text


@pytest.mark.slow
def test_mistakes_between_files(tree: Path) -> None:
    """Names that lead to nothing are told where they are written."""
    _add(tree, "docs/ghost.md", "---\ntitle: t\nsummary: s\norder: 9\npackage: mirage-ghost\n---\n")
    link = "---\ntitle: t\nurl: https://mirage.io/\nstream: tools\ndate: 2026-11-23\n---\nx\n"
    _add(tree, "site/content/links/again.md", link)
    with pytest.raises(ContentError) as caught:
        build(Sources.of(tree))
    assert "docs/ghost.md:5: field 'package': 'mirage-ghost' is not in the tree" in str(caught.value)
    assert "site/content/links/mirageos.md leads there already" in str(caught.value)


def test_unknown_system(tree: Path) -> None:
    """A package cannot claim a system that nobody has heard of."""
    _add(tree, "packages/web/x/pyproject.toml", PACKAGE)
    with pytest.raises(ContentError, match=r"x/pyproject.toml:8: .*'Opiun' is not in site/content/systems.toml"):
        build(Sources.of(tree))


@pytest.mark.slow
def test_broken_link_in_content(tree: Path) -> None:
    """A link to a page or a heading that is not there names the line that it is on."""
    text = "---\ntitle: t\ndate: 2026-11-23\nsummary: s\n---\n"
    text += "fine\n\n[a](/docs/nothing/)\n[b](/docs/architecture/#nothing)\n"
    _add(tree, "site/content/blog/broken.md", text)
    with pytest.raises(ContentError) as caught:
        build(Sources.of(tree))
    assert "site/content/blog/broken.md:8: link '/docs/nothing/' leads nowhere" in str(caught.value)
    assert "site/content/blog/broken.md:9: link '/docs/architecture/#nothing': that page has no" in str(caught.value)


def test_write_keeps_out_of_other_folders(tmp_path: Path) -> None:
    """An older tree is replaced; a folder with anything else in it is left alone."""
    write({"links.json": b"{}", "old/index.html": b"old"}, tmp_path / "out")
    write({"links.json": b"{}", "new/index.html": b"new"}, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["links.json", "new"]
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("keep me")
    with pytest.raises(FileExistsError):
        write({"links.json": b"{}"}, tmp_path / "home")
    assert (tmp_path / "home" / "letter.txt").read_text() == "keep me"
