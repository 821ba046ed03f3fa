"""The two palettes hold WCAG 2.2 AA for every pair of colours that the style sheets put together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TEXT = 4.5  # 1.4.3 Contrast (Minimum)
GRAPHICS = 3.0  # 1.4.11 Non-text Contrast

_INKS = ("ink", "muted", "accent", "accent-strong")
_CODE = ("code-keyword", "code-string", "code-number", "code-comment", "code-name", "code-error")
PAIRS = [
    *((ink, ground, TEXT) for ink in _INKS for ground in ("paper", "raised", "sunk")),
    *((ink, "sunk", TEXT) for ink in _CODE),
    *(("on-accent", ground, TEXT) for ground in ("accent", "accent-strong")),
    *((ink, "tint", TEXT) for ink in ("ink", "muted", "accent-strong")),
    *((ink, "sun-tint", TEXT) for ink in ("ink", "sun", "accent")),
    *((ink, "art-halo", TEXT) for ink in ("ink", "muted", "accent")),
    ("sun", "paper", TEXT),
    *(("sun", ground, GRAPHICS) for ground in ("raised", "sunk")),  # the focus outline
]


def palettes(css: str) -> dict[str, dict[str, str]]:
    """The custom properties of the light palette, and of the dark one over it."""
    light, dark = css.split("@media screen and (prefers-color-scheme: dark)")
    properties = re.compile(r"--([a-z-]+):\s*(#[0-9a-f]{6});")
    base = dict(properties.findall(light))
    over = dict(properties.findall(dark))
    assert set(over) == set(base), "each colour is given for both schemes"
    return {"light": base, "dark": over}


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, as WCAG 2.2 defines it."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_formula() -> None:
    """The formula gives the values that everybody knows."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground", "least"), PAIRS)
def test_contrast(root: Path, scheme: str, ink: str, ground: str, least: float) -> None:
    """The pair can be told apart."""
    palette = palettes((root / "site/styles/palette.css").read_text())[scheme]
    assert contrast(palette[ink], palette[ground]) >= least


def test_colours_come_from_the_palette(root: Path) -> None:
    """No other sheet names a colour (print has its own), and no name of a colour is misspelt."""
    known = set(palettes((root / "site/styles/palette.css").read_text())["light"])
    own = {"measure", "wide", "sans", "mono", "step"}
    for sheet in (root / "site/styles").glob("*.css"):
        css = sheet.read_text()
        assert set(re.findall(r"var\(--([a-z-]+)\)", css)) <= known | own, sheet.name
        if sheet.name not in {"palette.css", "print.css"}:
            assert not re.search(r"#[0-9a-f]{3,8}\b|rgb|hsl", css), sheet.name
