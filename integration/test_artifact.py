"""What is in the box: the packages that the application needs, and no other."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

from . import targets
from .targets import SITE, Artifact


def test_a_second_build_is_the_same_bytes(artifact: Artifact, tmp_path: Path) -> None:
    """Built from nothing twice, the artifact does not differ in a byte."""
    first = tmp_path / "first"
    shutil.copy(artifact.path, first)
    targets.mirage("clean", "-f", str(SITE / "config.py"))
    again = targets.build(artifact.target)
    assert again.path.read_bytes() == first.read_bytes()


def test_the_bill_of_materials_is_what_is_inside(artifact: Artifact) -> None:
    """Every package in the artifact stands in its bill of materials with version and hash, and nothing else does."""
    bill = json.loads(targets.mirage("query", "-f", str(SITE / "config.py"), "bom", "--json"))
    listed = {component["name"]: component for component in bill}
    assert {"mirage-types", "mirage-cohttp", "mirage-opium", "mirage-crunch"} <= listed.keys()
    for component in listed.values():
        assert component["version"]
        assert re.fullmatch("[0-9a-f]{64}", component["sha256"])
        assert component["licence"]
    if artifact.path.suffix == ".pyz":
        inside = {
            name.split("/")[1] for name in zipfile.ZipFile(artifact.path).namelist() if re.match("mirage/.", name)
        }
        assert inside == {
            name.removeprefix("mirage-").replace("-", "_") for name in listed if name.startswith("mirage-")
        }


def test_build_time_tools_stay_out(artifact: Artifact) -> None:
    """What rendered the pages, and what built the artifact, is not in it."""
    names = targets.files_in(artifact)
    for foreign in ("jinja2", "markdown_it", "pygments", "mirage/tool", "mirage/functoria", "pytest"):
        assert not [name for name in names if name.startswith(f"{foreign}/")]
