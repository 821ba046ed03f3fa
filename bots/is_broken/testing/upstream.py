"""A package index on loopback whose releases are made up as one goes: PEP 691 with upload times and yanks."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class _File:
    version: str
    wheel: bytes
    metadata: bytes
    uploaded: float
    requires_python: str
    yanked: str | None = None


@dataclass
class Upstream:
    """Serves from its construction to `close`; also a context manager."""

    projects: dict[str, dict[str, _File]] = field(default_factory=dict)
    """Files by name, by project."""
    failing: str = ""
    """Paths that have this in them are answered 503; empty for none."""
    requests: list[str] = field(default_factory=list)
    """The paths that were asked for."""

    def __post_init__(self) -> None:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                upstream._answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address of its simple index."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/simple/"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def release(
        self,
        project: str,
        version: str,
        files: Mapping[str, str | bytes],
        *,
        uploaded: float,
        requires: Sequence[str] = (),
        requires_python: str = ">=3.8",
        links: Mapping[str, str] | None = None,
    ) -> None:
        """Publish a wheel of these files; `links` are the project URLs of its metadata."""
        module = project.replace("-", "_")
        name = f"{module}-{version}-py3-none-any.whl"
        metadata = [
            "Metadata-Version: 2.1",
            f"Name: {project}",
            f"Version: {version}",
            f"Requires-Python: {requires_python}",
            *(f"Requires-Dist: {line}" for line in requires),
            *(f"Project-URL: {label}, {url}" for label, url in (links or {}).items()),
        ]
        info = f"{module}-{version}.dist-info"
        content = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
        content[f"{info}/METADATA"] = "\n".join([*metadata, "", ""]).encode()
        content[f"{info}/WHEEL"] = (
            b"Wheel-Version: 1.0\nGenerator: upstream\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel = _wheel(content, f"{info}/RECORD")
        self.projects.setdefault(project, {})[name] = _File(
            version, wheel, content[f"{info}/METADATA"], uploaded, requires_python
        )

    def yank(self, project: str, version: str, reason: str = "") -> None:
        """Take a release back."""
        for file in self.projects[project].values():
            if file.version == version:
                file.yanked = reason

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path
        self.requests.append(path)
        parts = path.strip("/").split("/")
        body, kind, status = b"", "application/octet-stream", 200
        if self.failing and self.failing in path:
            status = 503
        elif len(parts) == 2 and parts[0] == "simple" and parts[1] in self.projects:
            body, kind = self._list(parts[1]), "application/vnd.pypi.simple.v1+json"
        elif len(parts) == 3 and parts[0] == "files" and (file := self._file(parts[1], parts[2])) is not None:
            body = file.metadata if parts[2].endswith(".metadata") else file.wheel
        else:
            status = 404
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _file(self, project: str, name: str) -> _File | None:
        return self.projects.get(project, {}).get(name.removesuffix(".metadata"))

    def _list(self, project: str) -> bytes:
        files = [
            {
                "filename": name,
                "url": f"/files/{project}/{name}",
                "hashes": {"sha256": hashlib.sha256(file.wheel).hexdigest()},
                "core-metadata": {"sha256": hashlib.sha256(file.metadata).hexdigest()},
                "requires-python": file.requires_python,
                "size": len(file.wheel),
                "upload-time": datetime.fromtimestamp(file.uploaded, UTC).isoformat().replace("+00:00", "Z"),
                "yanked": False if file.yanked is None else (file.yanked or True),
            }
            for name, file in self.projects[project].items()
        ]
        versions = sorted({file.version for file in self.projects[project].values()})
        meta = {"api-version": "1.1"}
        return json.dumps({"meta": meta, "name": project, "versions": versions, "files": files}).encode()


def _wheel(content: dict[str, bytes], record: str) -> bytes:
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in content.items()
    ]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in {**content, record: "\n".join([*lines, f"{record},,", ""]).encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()
