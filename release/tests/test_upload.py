"""Uploads by twine, to a real pypiserver on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest
from mirage.index.testing import wheel

from release.errors import Failed
from release.rehearse import repository
from release.stages.publish import upload

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINE_USERNAME", "anybody")
    monkeypatch.setenv("TWINE_PASSWORD", "anything")


def test_files_arrive_and_may_be_sent_again(tmp_path: Path) -> None:
    """What is there already is passed over, so that a train may go on after half an upload."""
    paths = []
    for made in (wheel("mirage-a", "0.1.0"), wheel("mirage-a", "0.1.1")):
        paths.append(tmp_path / made.filename)
        paths[-1].write_bytes(made.data)
    with repository(tmp_path / "there") as address:
        assert upload(paths[:1], address) == {paths[0].name: "sent"}
        assert upload(paths, address) == {paths[0].name: "there already", paths[1].name: "sent"}
    for path in paths:
        assert (tmp_path / "there" / path.name).read_bytes() == path.read_bytes()


def test_what_is_refused_otherwise_fails(tmp_path: Path) -> None:
    """A file that is no distribution, and a repository that does not answer."""
    bad = tmp_path / "mirage_a-0.1.0-py3-none-any.whl"
    bad.write_bytes(b"x")
    with repository(tmp_path / "there") as address, pytest.raises(Failed, match="twine"):
        upload([bad], address)
    made = wheel("mirage-a", "0.1.0")
    bad.write_bytes(made.data)
    with pytest.raises(Failed, match="twine"):
        upload([bad], address)
