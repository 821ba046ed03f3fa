"""Versions in opam's order, held against the real opam where it is installed."""

from __future__ import annotations

import operator
import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.index import Unmappable, formula, from_opam, to_opam
from mirage.index._versions import order_key
from packaging.specifiers import SpecifierSet
from packaging.version import Version

NUMBER = st.integers(0, 12)
VERSIONS = st.builds(
    lambda release, pre, post, dev: Version(".".join(map(str, release)) + pre + post + dev),
    st.lists(NUMBER, min_size=1, max_size=5),
    st.one_of(st.just(""), st.builds("{}{}".format, st.sampled_from(["a", "b", "rc"]), NUMBER)),
    st.one_of(st.just(""), st.builds(".post{}".format, NUMBER)),
    st.one_of(st.just(""), st.builds(".dev{}".format, NUMBER)),
)
TAILS = ("", ".0.1", "a1", "rc1", ".dev1", "a1.dev2", "a1.post1", ".post1", ".post1.dev1", ".post2")
EVERY = [Version(f"{major}.{minor}{tail}") for major in range(2) for minor in range(2) for tail in TAILS]
SMALL = st.builds(
    lambda major, minor, tail: Version(f"{major}.{minor}{tail}"),
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from(TAILS),
)
SPECIFIERS = st.one_of(
    st.builds(lambda op, v: f"{op}{v}", st.sampled_from([">=", "<=", ">", "<", "==", "!="]), SMALL),
    st.builds(lambda op, a, b: f"{op}{a}.{b}.*", st.sampled_from(["==", "!="]), st.integers(0, 2), st.integers(0, 2)),
    st.builds(lambda v: f"~={v}", SMALL),
)
ENVIRONMENT = {"OPAMROOTISOK": "1", "OPAMYES": "1", "OPAMCOLOR": "never", "OPAMNODEPEXTS": "1"}


def admits(text: str, version: str) -> bool:
    """A formula of ours read by the rules of opam."""
    if not text:
        return True
    relations = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt, ">=": operator.ge}
    relations["<="] = operator.le

    def holds(found: re.Match[str]) -> str:
        return str(relations[found[1]](order_key(version), order_key(found[2])))

    return bool(eval(re.sub(r'([<>=!]+) "([^"]*)"', holds, text).replace("&", "and").replace("|", "or")))


@given(first=VERSIONS, second=VERSIONS)
def test_the_order_is_kept(first: Version, second: Version) -> None:
    """Two versions compare in opam as they do in Python, and equal ones are written alike."""
    here, there = to_opam(first), to_opam(second)
    assert (first < second) == (order_key(here) < order_key(there))
    assert (first == second) == (here == there)


@given(version=VERSIONS)
def test_the_way_back(version: Version) -> None:
    """What was written for opam gives the version again."""
    assert from_opam(to_opam(version)) == version


@given(text=st.text(alphabet="0123456789.~+abcdeoprstv", max_size=20))
def test_any_text_gives_a_version_or_a_declared_error(text: str) -> None:
    """There is one writing of a version, and every other text is refused."""
    try:
        version = from_opam(text)
    except Unmappable:
        return
    assert to_opam(version) == text


@pytest.mark.slow
@pytest.mark.parametrize("sign", [">=", "<=", ">", "<", "==", "!=", "~="])
def test_a_bound_admits_what_the_specifier_admits(sign: str) -> None:
    """Every bound on every version means the same to pip and to opam, pre-releases and post-releases included."""
    for bound in EVERY:
        wanted = SpecifierSet(f"{sign}{bound}")
        text = formula(wanted)
        wrong = [v for v in EVERY if admits(text, to_opam(v)) != wanted.contains(v, prereleases=True)]
        assert not wrong, f"{wanted} is {text!r}, which is wrong for {wrong}"


@pytest.mark.parametrize("bound", ["==1.*", "==1.1.*", "!=0.*", "!=1.0.*"])
def test_a_prefix_admits_what_the_specifier_admits(bound: str) -> None:
    """The same for prefixes."""
    wanted = SpecifierSet(bound)
    assert [v for v in EVERY if admits(formula(wanted), to_opam(v))] == list(wanted.filter(EVERY, prereleases=True))


@given(specifiers=st.lists(SPECIFIERS, max_size=3), version=SMALL)
def test_a_formula_admits_what_all_its_bounds_admit(specifiers: list[str], version: Version) -> None:
    """Several bounds hold together."""
    wanted = SpecifierSet(",".join(specifiers))
    assert admits(formula(wanted), to_opam(version)) == wanted.contains(version, prereleases=True)


@pytest.mark.parametrize(
    ("text", "reason"), [("1!1.0", "epoch"), ("1.0+local", "local version")], ids=["epoch", "local"]
)
def test_what_opam_cannot_order_is_refused(text: str, reason: str) -> None:
    """The error says which part of the version it is."""
    with pytest.raises(Unmappable, match=reason):
        to_opam(Version(text))


def test_a_comparison_of_text_is_refused() -> None:
    """opam compares versions only."""
    with pytest.raises(Unmappable, match="use =="):
        formula(SpecifierSet("===1.0"))


@pytest.mark.slow
@pytest.mark.tool("opam")
@given(versions=st.lists(VERSIONS, min_size=30, max_size=60, unique=True))
@settings(max_examples=5, deadline=None)
def test_opam_itself_orders_so(versions: list[Version], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The real opam lists versions in the order in which Python sorts them."""
    root = tmp_path_factory.mktemp("opam")
    write_repository(root, "x", map(to_opam, versions))
    listed = opam(root, "show", "x", "-f", "all-versions").split()
    assert list(map(from_opam, listed)) == sorted(versions)


@pytest.mark.slow
@pytest.mark.tool("opam")
@pytest.mark.parametrize(
    "bound", [">=1.0", ">1.0", "<1.0", "<1.0a1", "<=1.0", "==1.0.*", "!=1.0", "!=1.0.*,<1.1", "~=1.0.0"]
)
def test_opam_itself_reads_formulas_so(bound: str, tmp_path: Path) -> None:
    """The real opam finds installable just the versions that the specifiers admit."""
    wanted = SpecifierSet(bound)
    write_repository(tmp_path, "x", map(to_opam, EVERY))
    write_repository(tmp_path, "y", ["1"], f'depends: ["x" {{{formula(wanted)}}}]')
    command = ["admin", "list", "--coinstallable-with=y.1", "-A", "-V", "-s", "--columns=package"]
    listed = opam(tmp_path, *command, "x", cwd=tmp_path / "repository").split()
    found = {from_opam(line.partition(".")[2]) for line in listed if line.startswith("x.")}
    assert found == set(wanted.filter(EVERY, prereleases=True))


def write_repository(root: Path, name: str, versions: object, text: str = "") -> None:
    """An opam repository with these versions of one package."""
    repository = root / "repository"
    repository.mkdir(exist_ok=True)
    (repository / "repo").write_text('opam-version: "2.0"\n')
    for version in versions:  # type: ignore[attr-defined]
        place = repository / "packages" / name / f"{name}.{version}"
        place.mkdir(parents=True)
        (place / "opam").write_text(f'opam-version: "2.0"\n{text}\n')


def opam(root: Path, *arguments: str, cwd: Path | None = None) -> str:
    """Run opam with a root of its own that knows the repository; its output."""
    environment = {**os.environ, **ENVIRONMENT, "OPAMROOT": str(root / "root")}
    init = ["opam", "init", "--bare", "--disable-sandboxing", "-n", "--bypass-checks", "r", str(root / "repository")]
    for command in [*([] if cwd else [init]), ["opam", *arguments]]:
        result = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout
