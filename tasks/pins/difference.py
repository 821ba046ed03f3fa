"""The website with and without a pin: built and checked twice, and what differs between the two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .model import PinError

__all__ = ["Measured", "compare", "table"]


@dataclass(frozen=True)
class Measured:
    """What one build of the website was like."""

    ok: bool
    seconds: float
    sizes: dict[str, int] = field(default_factory=dict)
    """Octets of each file that the build made."""
    parts: dict[str, str] = field(default_factory=dict)
    """The bill of materials: each distribution and its version."""
    tail: str = ""
    """The check's last line: how many pages and links it saw; or why it failed."""
    figures: dict[str, float] = field(default_factory=dict)
    """The benchmarks that were asked for."""


def compare(root: Path, text: str, benches: Sequence[str]) -> str:
    """Build and check with the pins in force, then with those in `text`; the difference as a table."""
    place = root / "_build" / "pins"
    place.mkdir(parents=True, exist_ok=True)
    trial = root / "pins.try.toml"  # beside pins.toml, so that paths in it mean the same
    trial.write_text(text)
    try:
        before = _measure(root, None, benches)
        after = _measure(root, trial, benches)
    finally:
        trial.unlink(missing_ok=True)
    return table(before, after)


def table(before: Measured, after: Measured) -> str:
    """Both side by side; of the bill of materials only what differs."""
    rows = [("", "without", "with")]
    rows.append(("checks", _word(before), _word(after)))
    rows += [("seconds", f"{before.seconds:.1f}", f"{after.seconds:.1f}")]
    rows += [("says", before.tail, after.tail)] if before.tail != after.tail else [("says", before.tail, "the same")]
    for name in sorted(before.sizes.keys() | after.sizes.keys()):
        old, new = before.sizes.get(name), after.sizes.get(name)
        change = f" ({new - old:+,})" if old is not None and new is not None and new != old else ""
        rows.append((name, "-" if old is None else f"{old:,}", "-" if new is None else f"{new:,}{change}"))
    for name in sorted(before.parts.keys() | after.parts.keys()):
        pair = before.parts.get(name, "-"), after.parts.get(name, "-")
        if pair[0] != pair[1]:
            rows.append((name, *pair))
    for name in sorted(before.figures.keys() & after.figures.keys()):
        old_figure, new_figure = before.figures[name], after.figures[name]
        rows.append((name, f"{old_figure:.6g}", f"{new_figure:.6g} ({new_figure / old_figure - 1:+.0%})"))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _word(measured: Measured) -> str:
    return "pass" if measured.ok else "FAIL"


def _measure(root: Path, pins: Path | None, benches: Sequence[str]) -> Measured:
    environment = dict(os.environ)
    if pins is not None:
        environment["MIRAGE_PINS"] = str(pins)
    nox = [sys.executable, "-m", "nox", "--noxfile", str(root / "noxfile.py")]
    start = time.perf_counter()
    result = subprocess.run(
        [*nox, "-s", "website", "--", "--check"], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    said = [line for line in result.stdout.splitlines() if line.strip()]
    if result.returncode:
        wrong = [line for line in result.stderr.splitlines() if line.strip() and not line.startswith("nox >")]
        # What the build said of itself tells more than that it failed.
        reasons = [line.removeprefix("  | ") for line in said if line.startswith("  | mirage: ")]
        return Measured(False, seconds, tail=(reasons or wrong or said or ["failed"])[-1])
    figures: dict[str, float] = {}
    for name in benches:
        bench = subprocess.run([*nox, "-s", "bench", "--", name], cwd=root, env=environment, check=False)
        if bench.returncode:
            raise PinError(f"the benchmarks of {name} failed")
        for file in sorted((root / "_build" / "bench").glob(f"{name}-*.json")):
            figures |= {f["figure"]: f["ours"] for f in json.loads(file.read_text())["figures"]}
    made = root / "site" / "_build"
    sizes = {p.name: p.stat().st_size for p in sorted(made.iterdir()) if p.suffix in {".pyz", ".hvt"}}
    return Measured(True, seconds, sizes, _parts(made / "website.bom.json"), said[-1] if said else "", figures)


def _parts(bom: Path) -> dict[str, str]:
    """The distributions in a bill of materials (CycloneDX)."""
    components = json.loads(bom.read_text()).get("components", []) if bom.exists() else []
    return {
        c["name"]: f"{c.get('version', '?')} {_digest(c)}".strip() for c in components if c.get("type") == "library"
    }


def _digest(component: dict[str, list[dict[str, str]]]) -> str:
    hashes = component.get("hashes") or []
    return hashes[0]["content"][:12] if hashes else ""
