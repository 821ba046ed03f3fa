"""Drafts on GitHub, through github3.py, against a stand-in for its API."""

from __future__ import annotations

import pytest

from release import github
from release.errors import Failed, Refused

from .fake_github import fake_github

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:github3")

NOTES = "# The release of 2026-11-25\n\n## mirage-a 0.1.0\n"
OPAM = {"packages/mirage-a/mirage-a.0.1.0/opam": b'opam-version: "2.0"\n'}


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret")


def test_a_release_is_a_draft_and_is_made_once() -> None:
    """Asked again, the draft that is there is found."""
    with fake_github("mirage/python") as (fake, place):
        first = github.release(place, "2026-11-25", "c" * 40, "The release of 2026-11-25", NOTES)
        assert github.release(place, "2026-11-25", "c" * 40, "The release of 2026-11-25", NOTES) == first
        (made,) = fake.releases
    assert made["draft"] is True
    assert made["tag_name"] == "train-2026-11-25"
    assert made["target_commitish"] == "c" * 40
    assert made["body"] == "## mirage-a 0.1.0\n"


def test_a_pull_request_for_opam_is_made_once() -> None:
    """A branch of its own with the files, then one request; again, and a file that changed, changes just that."""
    with fake_github("ocaml/opam-repository") as (fake, place):
        first = github.opam_request(place, "2026-11-25", OPAM)
        changed = {path: data + b"x" for path, data in OPAM.items()}
        assert github.opam_request(place, "2026-11-25", OPAM) == first
        assert github.opam_request(place, "2026-11-25", changed) == first
        (made,) = fake.pulls
    assert (made["base"]["ref"], made["head"]["ref"]) == ("main", "mirage-2026-11-25")
    assert fake.files == {("mirage-2026-11-25", path): data for path, data in changed.items()}
    assert sum(call.startswith("PUT contents") for call in fake.calls) == 2
    assert not any(branch == "main" for branch, _ in fake.files)


def test_what_github_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong token, no token, no such repository, no name of one."""
    with fake_github("mirage/python") as (_, place):
        monkeypatch.setenv("GITHUB_TOKEN", "wrong")
        with pytest.raises(Failed, match="Bad credentials"):
            github.release(place, "x", "c" * 40, "x", NOTES)
        monkeypatch.setenv("GITHUB_TOKEN", "secret")
        with pytest.raises(Failed, match="Not Found"):
            github.release(f"{place}-other", "x", "c" * 40, "x", NOTES)
    monkeypatch.delenv("GITHUB_TOKEN")
    with pytest.raises(Refused, match="GITHUB_TOKEN is not set"):
        github.release("mirage/python", "x", "c" * 40, "x", NOTES)
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    with pytest.raises(Refused, match="neither OWNER/NAME"):
        github.release("mirage", "x", "c" * 40, "x", NOTES)
