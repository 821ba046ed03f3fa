"""CPython's own tests in a guest: the list of `cpython.toml` holds, and the guide shows it.

A few modules run each time; `MIRAGE_HVT_TESTS=all` runs the whole list.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import pytest
from mirage.hvt.testing import MARKS, Suite, build_suite, page_table, run_module

LIST = Path(__file__).with_name("cpython.toml")
GUIDE = next((p / "docs" / "hvt.md" for p in Path(__file__).resolve().parents if (p / "noxfile.py").exists()), None)
SUITE = Suite.read(LIST)
QUICK = [
    "test_int",
    "test_dict",
    "test_bytes",
    "test_float",
    "test_queue",
    "test_select",
    "test_hashlib",
    "test_tempfile",
]
CHOSEN = sorted(SUITE.run) if os.environ.get("MIRAGE_HVT_TESTS") == "all" else QUICK


def test_the_guide_shows_the_list() -> None:
    """The table of `docs/hvt.md` is that of the list, which the tests below hold the guest to."""
    if GUIDE is None:
        pytest.skip("needs the source tree: the guide is not part of the package")
    text = GUIDE.read_text()
    assert text.split(MARKS[0])[1].split(MARKS[1])[0].strip() == page_table(SUITE)


def test_every_test_left_out_has_a_reason() -> None:
    """And belongs to a module of the list."""
    assert SUITE.left_out.keys() <= SUITE.run.keys()
    assert all(reason.strip() for tests in SUITE.left_out.values() for reason in tests.values())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The standard library and its tests in one image."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("needs Python 3.11: the list is that of its test suite")
    if not Path(sysconfig.get_path("stdlib"), "test", "test_int.py").exists():
        pytest.skip("needs CPython's test suite: apt-get install libpython3.11-testsuite")
    return build_suite(tmp_path_factory.mktemp("suite") / "suite.hvt").path


@pytest.mark.kvm
@pytest.mark.tool("gcc")
@pytest.mark.slow
@pytest.mark.parametrize("name", CHOSEN)
def test_module(image: Path, name: str) -> None:
    """No test of the module fails but those left out, and as many run as the list says."""
    ran, _, failed = run_module(image, name, SUITE.left_out.get(name, {}))
    assert failed == []
    assert ran >= SUITE.run[name][0] * 0.9, "far fewer tests ran than when the list was recorded"
