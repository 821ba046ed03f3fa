"""Which modules are compiled, and that what is compiled is the same package in another form."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tasks import compiled, tree, wheels


def _package(place: Path, table: str) -> tree.Package:
    """A package of one module, in a folder of its own."""
    source = place / "src" / "mirage" / "tiny"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text('"""Tiny."""\n')
    (source / "sums.py").write_text(
        '"""Sums."""\n\n\ndef add(left: int, right: int) -> int:\n    return left + right\n'
    )
    (place / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["uv_build>=0.9,<1"]\nbuild-backend = "uv_build"\n\n'
        '[project]\nname = "mirage-tiny"\nversion = "0.1.0"\n\n'
        f'[tool.uv.build-backend]\nmodule-name = "mirage.tiny"\n\n[tool.mirage.compiled]\n{table}\n'
    )
    return tree.Package("core", "tiny", place)


def test_modules_are_named_by_patterns(tmp_path: Path) -> None:
    """All that match, but for those that are left out."""
    package = _package(tmp_path, 'modules = ["*.py"]\nexcept = ["__init__.py"]')
    assert compiled.modules(package) == [Path("mirage/tiny/sums.py")]


def test_a_pattern_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    """So that a module which was renamed is not quietly interpreted from then on."""
    with pytest.raises(wheels.Failed, match=r"pyproject\.toml: compiled\.modules: 'sum\.py' matches no file"):
        compiled.modules(_package(tmp_path, 'modules = ["sum.py"]'))


@pytest.mark.slow
@pytest.mark.tool("gcc")
def test_a_compiled_wheel(tmp_path: Path) -> None:
    """It has the source and the machine code, says what it fits, and works."""
    pytest.importorskip("mypyc.build")
    package = _package(tmp_path / "tiny", 'modules = ["sums.py"]')
    assert compiled.build_once(package, tmp_path / "out", Path(sys.executable))
    assert not compiled.build_once(package, tmp_path / "out", Path(sys.executable)), "nothing has changed"
    wheel = wheels.find(package, tmp_path / "out")
    assert wheel.name.startswith(f"mirage_tiny-0.1.0-cp3{sys.version_info.minor}-cp3{sys.version_info.minor}-")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "unpacked")
    names = {path.name for path in (tmp_path / "unpacked").rglob("*")}
    assert {"sums.py", "__init__.py"} <= names
    program = "from mirage.tiny import sums; print(sums.__file__.endswith('.so'), sums.add(2, 3))"
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path / "unpacked")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["True", "5"]
