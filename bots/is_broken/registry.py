"""The release lists of the configured package index (PEP 503, 691, 700): versions, upload times, yanks.

The index is the one that uv or pip are told of, in the environment or in pip's configuration; without either it is
pip's own. No address of any stands in this tree.
"""

from __future__ import annotations

import html
import json
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cached_property, lru_cache
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from .errors import IndexFailed
from .model import Release

LARGEST = 64 << 20
"""Octets of a release list that are read."""
AT_ONCE = 16
"""Requests under way."""
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.2"
_PIPS_OWN = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"


def addresses(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The configured indices, the one that is asked first in front. Raises `IndexFailed`."""
    extra = [word for key in ("UV_INDEX", "UV_EXTRA_INDEX_URL") for word in environ.get(key, "").split()]
    extra = [word.partition("=")[2] if "=" in word.partition("://")[0] else word for word in extra]
    named = (environ.get(key, "") for key in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"))
    default = next(filter(None, named), "") or _said("-m", "pip", "config", "get", "global.index-url")
    if not default and not (default := _said("-c", _PIPS_OWN)):
        raise IndexFailed("no package index is configured: set UV_DEFAULT_INDEX, or install pip in this environment")
    return tuple(word.rstrip("/") + "/" for word in (*extra, default))


def _said(*words: str) -> str:
    result = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
    )
    return "" if result.returncode else result.stdout.strip()


class Registry:
    """Release lists, each fetched once."""

    def __init__(self, urls: Iterable[str], seconds: float = 30.0) -> None:
        self.urls = tuple(urls)
        self.seconds = seconds
        self._lists: dict[str, tuple[Release, ...]] = {}

    @property
    def environ(self) -> dict[str, str]:
        """What makes uv use the same indices, whatever it is configured for itself."""
        *extra, default = self.urls
        return {"UV_DEFAULT_INDEX": default, "UV_INDEX": " ".join(extra)}

    def releases(self, project: str) -> tuple[Release, ...]:
        """Every release of a project, oldest version first; none where no index knows it. Raises `IndexFailed`."""
        name = canonicalize_name(project)
        if name not in self._lists:
            found: tuple[Release, ...] = ()
            for url in self.urls:
                if (answer := self._get(urljoin(url, f"{name}/"))) is not None:
                    found = read_list(name, *answer)
                    break
            self._lists[name] = found
        return self._lists[name]

    def all_releases(self, projects: Iterable[str]) -> dict[str, tuple[Release, ...]]:
        """Several lists at once. Raises `IndexFailed`."""
        names = list(projects)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(names, pool.map(self.releases, names), strict=True))

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        """One for all requests: the certificates are read once."""
        return urllib.request.build_opener(urllib.request.HTTPSHandler(context=ssl.create_default_context()))

    def _get(self, url: str) -> tuple[bytes, str] | None:
        """A page and its media type; None for 404."""
        try:
            if urlsplit(url).scheme == "file":
                with open(unquote(urlsplit(url).path) + "index.html", "rb") as page:
                    return page.read(LARGEST), "text/html"
            request = urllib.request.Request(url, headers={"Accept": _ACCEPT, "Cache-Control": "no-cache"})
            with self._opener.open(request, timeout=self.seconds) as response:
                body = response.read(LARGEST + 1)
                kind = response.headers.get_content_type()
        except FileNotFoundError:
            return None
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise IndexFailed(f"the index answered {error.code} for {urlsplit(url).path}") from error
        except (OSError, ValueError) as error:
            raise IndexFailed(f"the index gave no answer for {urlsplit(url).path}: {error}") from error
        if len(body) > LARGEST:
            raise IndexFailed(f"the index's list at {urlsplit(url).path} is longer than {LARGEST} octets")
        return body, kind


def read_list(project: str, body: bytes, kind: str) -> tuple[Release, ...]:
    """The releases in a project's page, oldest version first. Raises `IndexFailed` for a page that is none."""
    try:
        files = json.loads(body)["files"] if kind.endswith("json") else _Links(body.decode()).files
        return _releases(project, files)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IndexFailed(f"the index's list of {project} cannot be read: {type(error).__name__}: {error}") from error


def _releases(project: str, files: Iterable[Mapping[str, Any]]) -> tuple[Release, ...]:
    by_version: dict[Version, list[Mapping[str, Any]]] = {}
    for file in files:
        spelled = _version(project, file["filename"])
        if spelled is not None and (version := _parsed(spelled)) is not None:
            by_version.setdefault(version, []).append(file)
    found = []
    for version, ones in sorted(by_version.items()):
        times = [datetime.fromisoformat(one["upload-time"]).timestamp() for one in ones if one.get("upload-time")]
        yanks = [one.get("yanked", False) for one in ones]
        reason = next((yank for yank in yanks if isinstance(yank, str)), "")
        found.append(
            Release(
                project,
                str(version),
                min(times, default=None),
                reason if all(yank is not False for yank in yanks) else None,
                version.is_prerelease,
                str(ones[-1].get("requires-python") or ""),
            )
        )
    return tuple(found)


def _version(project: str, filename: str) -> str | None:
    """The version in a file's name (PEP 427, PEP 625); None for what is neither wheel nor sdist, or another project's.

    `packaging.utils` tells too, ten times slower: it makes the tags of each of thousands of wheels.
    """
    if filename.endswith(".whl"):
        name, _, rest = filename.partition("-")
        version = rest.partition("-")[0]
    else:
        stem = next((filename.removesuffix(end) for end in (".tar.gz", ".zip") if filename.endswith(end)), "")
        name, _, version = stem.rpartition("-")
    return version if name and canonicalize_name(name) == project else None


@lru_cache(maxsize=1 << 15)
def _parsed(version: str) -> Version | None:
    try:
        return Version(version)
    except InvalidVersion:
        return None


class _Links(HTMLParser):
    """The anchors of a PEP 503 page, in the form that PEP 691 gives to files."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.files: list[dict[str, Any]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One file."""
        given = dict(attrs)
        if tag == "a" and given.get("href"):
            filename = unquote(urlsplit(str(given["href"])).path.rpartition("/")[2])
            yanked = (given["data-yanked"] or "") if "data-yanked" in given else False
            requires = html.unescape(given.get("data-requires-python") or "")
            self.files.append({"filename": filename, "yanked": yanked, "requires-python": requires})
