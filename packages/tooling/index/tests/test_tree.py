"""The tree: byte-deterministic, append-only, and the same in however many steps it was made."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.index import BadDistribution, FileChanged, Index, UnknownProject, Unmappable, append, build, read_file
from mirage.index.testing import sdist, wheel

BASE = "http://127.0.0.1:8000/"
FILES = [
    wheel("mirage-a", "0.1.0", uploaded=1_789_000_000),
    wheel("mirage-a", "0.2.0rc1"),
    wheel("mirage-a", "0.2.0"),
    sdist("mirage-a", "0.2.0"),
    wheel("mirage-b", "1.0", ["mirage-a>=0.1,<0.3", "rich>=13; extra == 'nice'"], scripts={"b": "mirage.b:main"}),
    sdist("mirage-b", "1.0", ["mirage-a>=0.1,<0.3"]),
]


@given(order=st.permutations(range(4)), cut=st.integers(0, 4), last=st.booleans())
@settings(max_examples=30)
def test_the_way_does_not_matter(order: list[int], cut: int, last: bool) -> None:
    """Whatever the order and the steps, the same files make the same octets."""
    # An sdist cannot come before its wheel: opam is told to unpack one.
    files = [FILES[i] for i in (0, 1, 2, 4)]
    first = [files[i] for i in order[:cut]]
    rest = [files[i] for i in order[cut:]]
    late = [FILES[3], FILES[5]]
    tree = build(first, base=BASE)
    tree |= append(tree, rest if last else [*rest, *late])
    tree |= append(tree, late)
    assert tree == build(FILES, base=BASE)


def test_what_is_there_changes_nothing() -> None:
    """Appending again is nothing to write."""
    tree = build(FILES, base=BASE)
    assert append(tree, FILES) == {}


def test_a_changed_file_is_an_error_that_names_both_digests() -> None:
    """What was published never changes."""
    tree = build(FILES, base=BASE)
    other = wheel("mirage-a", "0.1.0", ["mirage-b"])
    with pytest.raises(FileChanged) as caught:
        append(tree, [other])
    assert other.sha256 in str(caught.value)
    assert FILES[0].sha256 in str(caught.value)
    with pytest.raises(FileChanged):
        build([other, FILES[0]], base=BASE)


def test_the_root_names_every_file() -> None:
    """SHA256SUMS covers all of the tree, and `problems` finds an octet that differs."""
    tree = build(FILES, base=BASE, sign=lambda data: b"signature of " + data[:8])
    covered = {line[66:] for line in tree["SHA256SUMS"].decode().splitlines()}
    assert covered == tree.keys() - {"SHA256SUMS", "SHA256SUMS.sig"}
    assert Index(tree).problems() == []
    path = f"files/mirage-a/{FILES[0].filename}"
    damaged = tree | {path: tree[path][:-1] + b"?"}
    assert any(path in line for line in Index(damaged).problems())
    del damaged[path]
    assert Index(damaged).problems() == [f"{path} is missing"]


def test_a_yank_marks_both_repositories() -> None:
    """The pages, and opam's description, say that nobody should choose it; the files stay."""
    tree = build(FILES, base=BASE)
    changed = append(tree, [], yanks={("mirage_a", "0.2"): 'eats <"files">'})
    after = tree | changed
    page = json.loads(after["simple/mirage-a/index.json"])
    assert [f["yanked"] for f in page["files"]] == [False, False, 'eats <"files">', 'eats <"files">']
    assert b'data-yanked="eats &lt;&quot;files&quot;&gt;"' in after["simple/mirage-a/index.html"]
    assert b"flags: avoid-version" in after["opam/packages/mirage-a/mirage-a.0.2.0/opam"]
    assert str(Index(after).release("mirage-a").version) == "0.1.0"
    assert not any(path.startswith("files/") for path in changed)
    assert after == build(FILES, base=BASE, yanks={("mirage-a", "0.2.0"): 'eats <"files">'})
    with pytest.raises(UnknownProject, match="cannot be yanked"):
        append(tree, [], yanks={("mirage-a", "9"): ""})


def test_the_archive_is_one_that_tar_reads() -> None:
    """index.tar.gz, by another implementation, holds just the descriptions."""
    tree = build(FILES, base=BASE)
    with tarfile.open(fileobj=io.BytesIO(tree["opam/index.tar.gz"])) as archive:
        members = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
    assert members == {
        path.removeprefix("opam/"): data
        for path, data in tree.items()
        if path.startswith("opam/") and path != "opam/index.tar.gz"
    }
    assert gzip.decompress(tree["opam/index.tar.gz"])[:4] == b"pack"


def test_metadata_is_served_octet_by_octet() -> None:
    """PEP 658: the digest on the page is that of the file beside, which is the wheel's own METADATA."""
    tree = build(FILES, base=BASE)
    assert tree[f"files/mirage-b/{FILES[4].filename}.metadata"] == FILES[4].metadata
    assert b'"mirage-a" {>= "0.1.0" & < "0.3.0~~"}' in tree["opam/packages/mirage-b/mirage-b.1.0.0/opam"]
    assert b"rich" not in tree["opam/packages/mirage-b/mirage-b.1.0.0/opam"]


def test_what_cannot_be_published_is_refused() -> None:
    """A release without a wheel, a version that opam cannot order, a requirement that is an address."""
    with pytest.raises(BadDistribution, match="has no wheel"):
        build([sdist("mirage-c", "1")], base=BASE)
    with pytest.raises(Unmappable, match="epoch"):
        build([wheel("mirage-c", "1!1")], base=BASE)
    with pytest.raises(BadDistribution, match="no index can promise"):
        build([wheel("mirage-c", "1", ["x @ https://example.org/x.whl"])], base=BASE)
    with pytest.raises(BadDistribution, match="console script"):
        build([wheel("mirage-c", "1", scripts={"x": "os:system('%{bin}%')"})], base=BASE)


@given(
    data=st.binary(max_size=200), name=st.sampled_from(["a-1-py3-none-any.whl", "a-1.tar.gz", "a.whl", "../a-1.whl"])
)
def test_any_octets_give_a_file_or_a_declared_error(data: bytes, name: str) -> None:
    """Untrusted files raise nothing but `BadDistribution`."""
    with pytest.raises(BadDistribution):
        read_file(name, data, uploaded=0)


@given(
    place=st.integers(0, 2000), octets=st.binary(min_size=1, max_size=4), which=st.sampled_from([FILES[4], FILES[5]])
)
def test_damage_gives_a_file_or_a_declared_error(place: int, octets: bytes, which: object) -> None:
    """A real file with some octets changed is read, or refused; nothing else happens."""
    assert isinstance(which, type(FILES[0]))
    at = place % len(which.data)
    damaged = which.data[:at] + octets + which.data[at + len(octets) :]
    try:
        found = read_file(which.filename, damaged, uploaded=0)
    except BadDistribution:
        return
    assert found.name == "mirage-b"


def test_provenance_is_linked_and_checked() -> None:
    """PEP 740: the object lies beside its file, and what is none is refused."""
    data = json.dumps({"version": 1, "attestation_bundles": []}).encode()
    file = read_file(FILES[0].filename, FILES[0].data, uploaded=0, provenance=data)
    tree = build([file], base=BASE)
    assert tree[f"files/mirage-a/{file.filename}.provenance"] == data
    assert json.loads(tree["simple/mirage-a/index.json"])["files"][0]["provenance"].endswith(".provenance")
    with pytest.raises(BadDistribution, match="PEP 740"):
        read_file(FILES[0].filename, FILES[0].data, uploaded=0, provenance=b"[]")
