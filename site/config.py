# mirage >=0.1,<0.2
"""The website of MirageOS in Python."""

import tomllib
from pathlib import Path

from mirage.tool.devices import (
    CONSOLE,
    KV_RO,
    SERVICE,
    WALL_CLOCK,
    console,
    foreign,
    generated,
    https_server,
    register,
    wall_clock,
)

HERE = Path(__file__).parent
TREE = HERE.parent

# What renders the site, and what it runs on: said once, beside this file.
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))

# The site is rendered from its content, the guide, what has been released, and what the packages say of themselves.
sources = [HERE / name for name in ("content", "diagrams", "images", "index", "styles", "templates")]
sources += [
    TREE / "docs",
    *sorted(TREE.glob("bots/is_broken/data/published")),
    *sorted(TREE.glob("packages/*/*/pyproject.toml")),
    *sorted(TREE.glob("packages/*/*/README.md")),
    *sorted(TREE.glob("packages/*/*/CHANGELOG.md")),
    *sorted(TREE.glob("packages/*/*/changes.d")),
]

pages = generated(render="render:render", source=sources, packages=PROJECT["dependency-groups"]["render"], name="pages")

website = foreign(
    "website:site", takes=(KV_RO, CONSOLE, WALL_CLOCK), gives=SERVICE, packages=PROJECT["project"]["dependencies"]
)

register("website", https_server(website(pages, console(), wall_clock())))
