"""Which floors are too low, seen in a real history."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from packaging.version import Version

from release import plan, survey
from release.model import Need

from .conftest import Tree

BASE = "packages/core/base/src/mirage/base/__init__.py"
USER = "packages/core/middle"
OLD = "class Thing:\n    def grow(self, by): ...\ndef one(x): ...\ndef two(): ...\n"


def publish(tree: Tree, *releases: tuple[str, str], yanked: str | None = None) -> None:
    """Releases of packages, built from HEAD."""
    commit = tree.git("rev-parse", "HEAD").strip()
    file = tree.root / "site/index/releases.json"
    listed = json.loads(file.read_text()) if file.exists() else []
    for name, version in releases:
        entry = {"name": f"mirage-{name}", "version": version, "commit": commit, "yanked": yanked, "files": []}
        listed.append(entry)
    tree.write("site/index/releases.json", json.dumps(listed))
    tree.commit("published")


def base(tree: Tree, code: str) -> None:
    tree.write(BASE, f'"""base."""\n{code}')


@pytest.fixture
def released(tree: Tree) -> Tree:
    """The made-up tree, all of it released; of the middle package a test and an example are there too."""
    base(tree, OLD)
    tree.write(f"{USER}/tests/test_more.py", "def test_it(thing):\n    thing.take()\n")
    tree.commit()
    publish(tree, *((name, "0.1.0") for name in ("base", "middle", "top")))
    return tree


def needs(tree: Tree, user: str = "mirage-middle") -> Iterable[Need]:
    return survey.survey(tree.root).needs.get((user, "mirage-base"), ())


NEW = OLD.replace("by): ...", "by, limit=1): ...\n    def take(self): ...\n    size: int = 0") + "def later(): ...\n"


def test_each_use_of_what_is_new(released: Tree) -> None:
    """Imported, behind a dot, in a call; in all that proves a package; each with its place."""
    base(released, NEW)
    used = {
        "benchmarks/bench_a.py": "thing.grow(1, limit=2)",
        "examples/a.py": "Thing(size=1)",
        "src/mirage/middle/a.py": "import mirage.base as b; b.later()",
        "src/mirage/middle/b.py": "thing.grow(1); take(); size = 1; 'thing.take'; f(**{'limit': 1})",
        "tests/test_a.py": "from mirage.base import later\nthing.take()",
    }
    for file, text in used.items():
        released.write(f"{USER}/{file}", f"\n{text}\n")
    released.commit()
    assert needs(released) == (
        Need("mirage.base.later", "tests/test_a.py:2", None),
        Need(".later of mirage.base", "src/mirage/middle/a.py:2", None),
        Need(".take of mirage.base.Thing", "tests/test_a.py:3", None),
        Need("limit= of mirage.base.Thing.grow", "benchmarks/bench_a.py:2", None),
        Need("size= of mirage.base.Thing", "examples/a.py:2", None),
    )


def test_what_was_written_before_is_something_else(released: Tree) -> None:
    """At the commit of the release the test took what it takes, so that is another `take`; the second is news."""
    base(released, NEW)
    released.commit()
    assert needs(released) == ()
    released.write(f"{USER}/tests/test_more.py", "def test_it(thing, other):\n    thing.take()\n    other.take()\n")
    released.fragment("middle", "x.fixed", "It is.")
    released.commit()
    assert needs(released) == (Need(".take of mirage.base.Thing", "tests/test_more.py:3", None),)


def test_what_is_distributed_is_named_first(released: Tree) -> None:
    """One place is told of each name."""
    base(released, NEW)
    for file in ("benchmarks/bench.py", "src/mirage/middle/z.py", "tests/test_a.py"):
        released.write(f"{USER}/{file}", "x.take()\n")
    released.commit()
    assert needs(released) == (Need(".take of mirage.base.Thing", "src/mirage/middle/z.py:1", None),)


def test_a_provider_of_tests_alone(released: Tree) -> None:
    """What only a dependency group needs has a floor as well."""
    file = "packages/core/middle/pyproject.toml"
    text = (released.root / file).read_text()
    text = text.replace('dependencies = ["mirage-base>=0.1,<0.2"]', "dependencies = []")
    released.write(file, text.replace('test = ["pytest>=8"]', 'test = ["pytest>=8", "mirage-base>=0.1,<0.2"]'))
    base(released, NEW)
    released.write(f"{USER}/tests/test_a.py", "from mirage.base import later\n")
    released.fragment("base", "x.added", "It is.")
    released.commit()
    made = plan.plan(survey.survey(released.root))
    (bound,) = [b for b in made.bounds if b.file == file]
    assert bound.new == "mirage-base>=0.1.1,<0.2"
    assert bound.why == "it needs mirage.base.later (tests/test_a.py:1), which mirage-base has from 0.1.1 on"


def test_an_application_has_floors_too(released: Tree) -> None:
    """The website is built from releases."""
    text = (released.root / "site/pyproject.toml").read_text()
    released.write("site/pyproject.toml", text.replace("mirage-top", "mirage-base"))
    base(released, NEW)
    released.write("site/pages.py", "x.take()\n")
    released.fragment("base", "x.added", "It is.")
    released.commit()
    assert needs(released, "site") == (Need(".take of mirage.base.Thing", "pages.py:1", None),)
    (bound,) = plan.plan(survey.survey(released.root)).bounds
    assert (bound.file, bound.new) == ("site/pyproject.toml", "mirage-base>=0.1.1,<0.2")


def test_a_floor_that_was_left_behind(released: Tree) -> None:
    """A name that came with an earlier release than the last: the floor rises to that one, which stays where it is."""
    base(released, NEW)
    released.commit()
    publish(released, ("base", "0.1.1"))
    base(released, NEW + "def last(): ...\n")
    released.commit()
    publish(released, ("base", "0.1.2"))
    released.write(f"{USER}/tests/test_a.py", "x.take()\n")
    released.write(f"{USER}/src/mirage/middle/a.py", "1\n")
    released.fragment("middle", "x.fixed", "It is.")
    released.commit()
    assert needs(released) == (Need(".take of mirage.base.Thing", "tests/test_a.py:1", Version("0.1.1")),)
    made = plan.plan(survey.survey(released.root), ["mirage-middle"])
    assert [p.name for p in made.packages] == ["mirage-middle"]
    assert [b.new for b in made.bounds] == ["mirage-base>=0.1.1,<0.2"]


def test_a_floor_that_is_high_enough(released: Tree) -> None:
    """What somebody raised by hand is compared from there on; what is yanked is no floor."""
    base(released, NEW)
    released.commit()
    publish(released, ("base", "0.1.1"))
    file = "packages/core/middle/pyproject.toml"
    released.write(file, (released.root / file).read_text().replace("mirage-base>=0.1,", "mirage-base>=0.1.1,"))
    released.write(f"{USER}/src/mirage/middle/a.py", "x.take()\n")
    released.fragment("middle", "x.fixed", "It is.")
    released.commit()
    assert needs(released) == ()
    assert not plan.plan(survey.survey(released.root)).bounds


def test_a_yanked_release_is_no_floor(tree: Tree) -> None:
    """Nobody is given it, so what it lacks raises nothing."""
    base(tree, OLD)
    tree.commit()
    publish(tree, ("middle", "0.1.0"), ("top", "0.1.0"))
    publish(tree, ("base", "0.1.0"), yanked="it is broken")
    base(tree, NEW)
    tree.commit()
    publish(tree, ("base", "0.1.1"))
    tree.write(f"{USER}/src/mirage/middle/a.py", "x.take()\n")
    tree.commit()
    assert needs(tree) == ()
