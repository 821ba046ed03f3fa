"""The edits that a plan makes in pyproject.toml files: versions and bounds, nothing else, comments kept."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import Failed

__all__ = ["edited"]

_VERSION = re.compile(r'^version\s*=\s*"[^"]*"', re.MULTILINE)


def edited(text: str, file: str, version: str | None, bounds: Iterable[Mapping[str, str]]) -> str:
    """A pyproject.toml's text with a version and bounds (`old`, `new`) put in; done already is done.

    Raises `Failed` where the text is not as the plan found it.
    """
    if version is not None:
        start = text.index("[project]") if "[project]" in text else 0
        head, rest = text[:start], text[start:]
        rest, count = _VERSION.subn(f'version = "{version}"', rest, count=1)
        if not count:
            raise Failed(f'{file} has no line version = "..." in [project]')
        text = head + rest
    for bound in bounds:
        for quote in ('"', "'"):
            text = text.replace(f"{quote}{bound['old']}{quote}", f"{quote}{bound['new']}{quote}")
    _check(tomllib.loads(text), file, version, bounds)
    return text


def _check(data: dict[str, Any], file: str, version: str | None, bounds: Iterable[Mapping[str, str]]) -> None:
    project = data.get("project", {})
    if version is not None and project.get("version") != version:
        raise Failed(f"{file}: the version did not become {version}")
    lists = [project.get("dependencies", [])]
    lists += [*project.get("optional-dependencies", {}).values(), *data.get("dependency-groups", {}).values()]
    said = {text for each in lists for text in each if isinstance(text, str)}
    for bound in bounds:
        if bound["new"] not in said:
            raise Failed(f"{file}: {bound['old']} did not become {bound['new']}; plan again")
