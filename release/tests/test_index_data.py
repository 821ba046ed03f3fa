"""What is published only grows, and is whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from release.errors import Failed, TrainError
from release.index_data import IndexData, entry

WHEN = 1_795_608_000


def files_of(folder: Path, version: str = "0.1.0", text: str = "x") -> list[Path]:
    folder.mkdir(exist_ok=True)
    made = [folder / f"mirage_a-{version}-py3-none-any.whl", folder / f"mirage_a-{version}.tar.gz"]
    for path in made:
        path.write_text(text)
    return made


def released(paths: list[Path], version: str = "0.1.0") -> dict[str, object]:
    return entry(
        "mirage-a", version, date="2026-11-25", train="2026-11-25", commit="c0ffee", uploaded=WHEN, paths=paths
    )


def test_what_an_entry_says(tmp_path: Path) -> None:
    """The form that the website reads."""
    made = released(files_of(tmp_path / "dist"))
    assert made["yanked"] is None
    assert made["files"] == [
        {
            "filename": name,
            "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
            "size": 1,
            "upload_time": "2026-11-25T12:00:00Z",
        }
        for name in ("mirage_a-0.1.0-py3-none-any.whl", "mirage_a-0.1.0.tar.gz")
    ]


def test_a_release_joins_once(tmp_path: Path) -> None:
    """The same again changes nothing."""
    data, paths = IndexData(tmp_path), files_of(tmp_path / "dist")
    assert [data.add_file(p) for p in paths] == [True, True]
    assert data.add([released(paths)]) == 1
    before = data.list.read_bytes()
    assert [data.add_file(p) for p in paths] == [False, False]
    assert data.add([released(paths)]) == 0
    assert data.list.read_bytes() == before
    assert [str(p.version) for p in data.published()["mirage-a"]] == ["0.1.0"]


def test_what_is_published_never_changes(tmp_path: Path) -> None:
    """The same name with other octets names both digests; the same version with other files is refused."""
    data, paths = IndexData(tmp_path), files_of(tmp_path / "dist")
    for path in paths:
        data.add_file(path)
    data.add([released(paths)])
    others = files_of(tmp_path / "other", text="y")
    with pytest.raises(Failed, match=r"2d711642.*is now given with a1fce436"):
        data.add_file(others[0])
    with pytest.raises(Failed, match="release a new version"):
        data.add([released(others)])


def test_no_release_is_listed_before_its_files_are_there(tmp_path: Path) -> None:
    """A list that promises what nobody can fetch is never written."""
    data, paths = IndexData(tmp_path), files_of(tmp_path / "dist")
    data.add_file(paths[0])
    with pytest.raises(Failed, match=r"mirage_a-0.1.0.tar.gz is not in"):
        data.add([released(paths)])
    assert not data.list.exists()


def test_a_yank_marks_and_removes_nothing(tmp_path: Path) -> None:
    """What nobody published cannot be yanked."""
    data, paths = IndexData(tmp_path), files_of(tmp_path / "dist")
    for path in paths:
        data.add_file(path)
    data.add([released(paths)])
    data.yank("mirage-a", "0.1", "loses frames")
    assert data.published()["mirage-a"][0].yanked == "loses frames"
    assert len(list((data.folder / "files").iterdir())) == 2
    with pytest.raises(TrainError, match=r"of mirage-a there is 0.1.0"):
        data.yank("mirage-a", "0.2.0", "why")


def test_a_list_that_is_none_is_refused(tmp_path: Path) -> None:
    """Broken by a merge, say."""
    data = IndexData(tmp_path)
    data.folder.mkdir(parents=True)
    for text in ("<<<<<<<", "{}"):
        data.list.write_text(text)
        with pytest.raises(TrainError, match="git restores it"):
            _ = data.releases
