"""What `./noxw -s fuzz` is told, and what it has to run over."""

from __future__ import annotations

import pytest
from mirage.types import MirageError

from tasks import fuzz, tree


@pytest.mark.parametrize("name", sorted(fuzz.PACKAGES))
def test_every_package_has_its_targets_and_its_error(name: str) -> None:
    """The error is a declared one, good octets raise no other, and the package says what it is fuzzed with."""
    targets, declared = fuzz.PACKAGES[name].load()
    assert issubclass(declared, MirageError)
    assert len(targets) > 5
    for good, use in targets.values():
        try:
            use(good)
        except declared:
            continue
    [package] = tree.select([name])
    assert any(requirement.startswith("atheris") for requirement in package.group("fuzz"))


def test_who_can_be_fuzzed_is_listed() -> None:
    """A package that names atheris has a line in the task."""
    assert {package.short for package in tree.packages() if package.group("fuzz")} == set(fuzz.PACKAGES)


def test_words_that_choose() -> None:
    """A package, a target, and the rest for libFuzzer; what is missing is said with what there is."""
    assert fuzz.chosen(["asn1", "a tree", "-runs=1"]) == (fuzz.PACKAGES["asn1"], "a tree", ["-runs=1"])
    with pytest.raises(SystemExit, match="name a package: asn1, x509, tls"):
        fuzz.chosen(["tcpip"])
    for words in (["tls"], ["tls", "-runs=1"]):
        with pytest.raises(SystemExit, match=r"name a target of tls:\n(.*\n)*  1\.2: client flight\n"):
            fuzz.chosen(words)
