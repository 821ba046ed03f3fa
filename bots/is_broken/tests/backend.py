"""A build backend that needs nothing: it zips `fam_a.py` (PEP 517). Copied into a repository by a test."""

import zipfile
from pathlib import Path


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Write the wheel."""
    name = "fam_a-5.0-py3-none-any.whl"
    info = "fam_a-5.0.dist-info"
    with zipfile.ZipFile(Path(wheel_directory) / name, "w") as wheel:
        wheel.write("fam_a.py")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: fam-a\nVersion: 5.0\n\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: b\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
