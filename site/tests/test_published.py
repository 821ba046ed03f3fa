"""What has been released: its pages, its feed, and the index that is served."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import feedparser
import html5lib
import pytest
from mirage.index import Index, answer
from mirage.index.testing import sdist, wheel
from render import ContentError, Sources, build
from render.load import load
from render.published import read, shelve
from render.testing import change, publish
from render.views import package_views, train_views

NET = [wheel("mirage-net", "0.1.0", ["mirage-types>=0.1,<0.2"]), sdist("mirage-net", "0.1.0")]
FIRST = [wheel("mirage-types", "0.1.0"), *NET, wheel("mirage-gone", "0.1", ["mirage-net", "cffi>=1"])]
SECOND = [wheel("mirage-types", "0.1.1")]


def copied(root: Path, place: Path) -> Path:
    """A copy of what the site is rendered from, without releases."""
    unwanted = shutil.ignore_patterns("tests", "__pycache__", ".mirage*", "_build", "index")
    shutil.copytree(root / "site", place / "site", ignore=unwanted)
    shutil.copytree(root / "docs", place / "docs")
    for pattern in ("pyproject.toml", "README.md", "changes.d/*.md"):
        for file in root.glob(f"packages/*/*/{pattern}"):
            copy = place / file.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    return place


@pytest.fixture(scope="module")
def tree(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources that has an index: two trains, and a package that is in the tree no more."""
    place = copied(root, tmp_path_factory.mktemp("tree"))
    log = "# Changes\n\n## 0.1.1 - 2026-12-03\n\n### Fixed\n\nAn *edge* is round.\n\n## 0.1.0 - 2026-11-26\n\nFirst.\n"
    (place / "packages/core/types/CHANGELOG.md").write_text(log)
    notes = "---\ntitle: A second look\ndate: 2026-12-03\nsummary: Types mended.\n"
    notes += "packages: mirage-types 0.1.1\n---\n## mirage-types 0.1.1\n\nIt was time.\n"
    (place / "site/content/releases").mkdir()
    (place / "site/content/releases/two.md").write_text(notes)
    publish(place / "site/index", "one", "2026-11-26", FIRST)
    publish(place / "site/index", "two", "2026-12-03", SECOND)
    change(place / "site/index", "mirage-types", "0.1.0", yanked="it was <square>")
    return place


@pytest.fixture(scope="module")
def released(tree: Path) -> dict[str, bytes]:
    """The site rendered from it."""
    return build(Sources.of(tree))


def test_nothing_is_published_yet(root: Path, tmp_path: Path) -> None:
    """As long as nothing is, the site says so and its index is an empty one that clients understand."""
    files = build(Sources.of(copied(root, tmp_path)))
    about = files["packages/mirage-net/index.html"].decode()
    assert "Nothing has been published yet" in files["releases/index.html"].decode()
    assert "It has not been released yet" in about
    assert "pip install" not in about.partition("package-about")[0]
    assert json.loads(files["simple/index.json"])["projects"] == []
    assert Index(files).problems() == []


def test_the_index_is_served_as_the_library_makes_it(released: dict[str, bytes]) -> None:
    """The tree is whole, holds every release, and the yanked one is marked for all clients."""
    index = Index(released)
    assert index.problems() == []
    assert index.projects == ["mirage-gone", "mirage-net", "mirage-types"]
    assert index.release("mirage-types", "0.1.0").yanked == "it was <square>"
    assert b"avoid-version" in released["opam/packages/mirage-types/mirage-types.0.1.0/opam"]
    assert released["files/mirage-net/mirage_net-0.1.0.tar.gz"] == NET[1].data
    assert answer(released, "/simple/mirage-net/").status == 200


def test_a_package_has_its_page(released: dict[str, bytes]) -> None:
    """Description, versions, needs in both directions, install lines; and the way back to all packages."""
    page = released["packages/mirage-net/index.html"].decode()
    for words in (
        "--index-url https://mirage.example/simple/ mirage-net",
        "--default-index https://mirage.example/simple/ mirage-net",
        "--repositories mirage=https://mirage.example/opam",
        'href="/files/mirage-net/mirage_net-0.1.0-py3-none-any.whl"',
        'href="/packages/mirage-types/"',
        "&gt;=0.1, &lt;0.2",
        'href="/packages/mirage-gone/"',
        'href="/releases/one/"',
        'href="/docs/net/"',
        'id="package-about"',
        'href="/packages/"',
    ):
        assert words in re.sub(r"</?span[^>]*>", "", page) or words in page, words
    assert 'href="/packages/mirage-net/"' in released["packages/index.html"].decode()
    types = released["packages/mirage-types/index.html"].decode()
    assert "yanked" in types
    assert "it was &lt;square&gt;" in types
    assert types.index(">0.1.1") < types.index(">0.1.0")
    assert "An <em>edge</em> is round." in types
    gone = released["packages/mirage-gone/index.html"].decode()
    assert "in the source tree no more" in gone
    assert "--extra-index-url" in re.sub(r"</?span[^>]*>", "", gone)
    assert "cffi" in gone
    assert "not been released" in released["packages/mirage-tcpip/index.html"].decode()


def test_a_train_has_its_page_and_its_entry(released: dict[str, bytes]) -> None:
    """With the words that were written for it, or with what the lists say; newest first; the chart above."""
    page = released["releases/index.html"].decode()
    assert page.index("A second look") < page.index("Release train one")
    assert "3 packages, for the first time." in page
    assert "the index grew from 3 packages with 3 releases to 3 packages with 4 releases" in page
    assert "It was time." in released["releases/two/index.html"].decode()
    entries = feedparser.parse(released["releases/atom.xml"]).entries
    assert [entry.title for entry in entries] == ["A second look", "Release train one"]
    assert "https://mirage.example/packages/mirage-types/" in entries[0].content[0].value
    assert "It was time." in entries[0].content[0].value
    assert "First." in entries[1].content[0].value
    assert b"/releases/two/" in released["sitemap.xml"]


def test_released_pages_are_strict_html(released: dict[str, bytes]) -> None:
    """No parse error, no style or script of a page's own."""
    for key in (
        "releases",
        "releases/one",
        "releases/two",
        "packages/mirage-types",
        "packages/mirage-gone",
        "packages",
    ):
        html = released[f"{key}/index.html"].decode()
        html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)
        assert not re.search(r"\sstyle=|<style|<script", html), key


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"version": "one"}, "release 1 of the list: Invalid version"),
        ({"name": "Mirage Types"}, "no name of a package"),
        ({"train": "../x"}, "no name of a train"),
        ({"files": []}, "it has no files"),
        ({"date": "soon"}, "Invalid isoformat"),
        ({"yanked": True}, "yanked is null or a reason"),
        ({"signatures": ["../../key"]}, "no name of a signature"),
        (
            {"files": [{"filename": "a", "sha256": "0" * 64, "size": "1", "upload_time": "2026-01-01T00:00:00Z"}]},
            "size",
        ),
        (
            {"files": [{"filename": "../a", "sha256": "0" * 64, "size": 1, "upload_time": "2026-01-01T00:00:00Z"}]},
            "name",
        ),
        (
            {"files": [{"filename": "a", "sha256": "0" * 64, "size": 1, "upload_time": "2026-01-01T00:00:00"}]},
            "its zone",
        ),
    ],
)
def test_a_wrong_list_is_named(tmp_path: Path, fields: dict[str, object], reason: str) -> None:
    """Each mistake says which release it is in and what was expected."""
    publish(tmp_path, "one", "2026-11-26", [FIRST[0]])
    change(tmp_path, "mirage-types", "0.1.0", **fields)
    with pytest.raises(ContentError, match=re.escape(reason)) as caught:
        read(tmp_path, "site/index")
    assert "site/index/releases.json:1: release 1" in str(caught.value)


def test_a_list_that_is_none(tmp_path: Path) -> None:
    """No JSON, no list, an entry twice, a key that is missing."""
    path = tmp_path / "releases.json"
    for text, reason in (
        ("[\n1,", "releases.json:2: not JSON"),
        ("{}", "expected a list"),
        ("[[]]", "expected an object"),
    ):
        path.write_text(text)
        with pytest.raises(ContentError, match=reason):
            read(tmp_path, "site/index")
    path.unlink()
    publish(tmp_path, "one", "2026-11-26", [FIRST[0]])
    publish(tmp_path, "two", "2026-11-27", [FIRST[0]])
    with pytest.raises(ContentError, match=r"release 2 of the list: mirage-types .* is there twice"):
        read(tmp_path, "site/index")
    path.write_text('[{"version": "1"}]')
    with pytest.raises(ContentError, match="'files' is missing"):
        read(tmp_path, "site/index")


def test_a_file_that_changed_stops_the_build(tmp_path: Path) -> None:
    """Other octets, no octets, a file of another release, a signature that is not there: each is named."""
    publish(tmp_path, "one", "2026-11-26", FIRST)
    good = read(tmp_path, "site/index")
    file = tmp_path / "files" / NET[0].filename
    file.write_bytes(FIRST[0].data)
    with pytest.raises(
        ContentError, match=r"files/mirage_net-0.1.0-py3-none-any.whl:1: it has \d+ octets with SHA-256"
    ):
        shelve(good, tmp_path, "site/index", "https://mirage.example")
    file.unlink()
    with pytest.raises(ContentError, match="No such file"):
        shelve(good, tmp_path, "site/index", "https://mirage.example")
    file.write_bytes(NET[0].data)
    change(tmp_path, "mirage-net", "0.1.0", version="0.2.0", signatures=["mirage_net.sig"])
    with pytest.raises(ContentError) as caught:
        shelve(read(tmp_path, "site/index"), tmp_path, "site/index", "https://mirage.example")
    assert "it is of mirage-net 0.1.0, and listed as of mirage-net 0.2.0" in str(caught.value)
    assert "files/mirage_net.sig:1: mirage-net 0.2.0 is signed by it" in str(caught.value)


def test_signatures_are_served(tmp_path: Path) -> None:
    """Beside their files, and the root's beside the root."""
    publish(tmp_path, "one", "2026-11-26", [FIRST[0]])
    change(tmp_path, "mirage-types", "0.1.0", signatures=["types.sig"])
    (tmp_path / "files" / "types.sig").write_bytes(b"signed")
    (tmp_path / "SHA256SUMS.sig").write_bytes(b"root")
    tree = shelve(read(tmp_path, "site/index"), tmp_path, "site/index", "https://mirage.example").tree
    assert tree["files/mirage-types/types.sig"] == b"signed"
    assert tree["SHA256SUMS.sig"] == b"root"


def test_words_that_the_index_does_not_bear_out(tree: Path, tmp_path: Path) -> None:
    """A page about a train that released nothing, or other things, is a mistake."""
    shutil.copytree(tree, tmp_path / "tree")
    text = "---\ntitle: t\ndate: 2026-12-03\nsummary: s\n"
    folder = tmp_path / "tree/site/content/releases"
    (folder / "three.md").write_text(f"{text}---\n")
    (folder / "one.md").write_text(f"{text}packages: mirage-types 0.1.0, mirage-net 0.1.0, mirage-gone 0.2\n---\n")
    with pytest.raises(ContentError) as caught:
        build(Sources.of(tmp_path / "tree"))
    assert "releases/three.md:1: no release of site/index came with a train 'three'" in str(caught.value)
    assert (
        "one.md:5: field 'packages': site/index and this file do not agree on mirage-gone 0.1, mirage-gone 0.2"
        in str(caught.value)
    )


@pytest.mark.slow
def test_sixty_packages_of_twenty_releases(root: Path, tmp_path: Path) -> None:
    """Every project and train is there, with what each needs; the bench measures how long it takes."""
    for release in range(20):
        date = f"2026-{release // 2 + 1:02}-{release % 2 * 14 + 1:02}"
        names = [f"bench-p{n:02}" for n in range(60)]
        files = [
            wheel(n, f"0.{release}.0", [f"{o}>=0.1" for o in names[max(0, i - 2) : i]]) for i, n in enumerate(names)
        ]
        publish(tmp_path, f"train-{release}", date, files)
    publications = read(tmp_path, "site/index")
    shelf = shelve(publications, tmp_path, "site/index", "https://mirage.example")
    views = package_views(load(Sources.of(root)).packages, publications, shelf)
    assert len(train_views(publications)) == 20
    assert [need.name for need in views["bench-p30"].needs] == ["bench-p28", "bench-p29"]
    assert [need.name for need in views["bench-p30"].dependents] == ["bench-p31", "bench-p32"]
    assert shelf.days[-1].releases == 1200
