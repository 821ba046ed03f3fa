"""The train's journal: one JSON file, `release/trains/NAME.json`, checked in.

::

    {"train": "2026-11-25", "date": "2026-11-25", "options": {...}, "plan": {...},
     "stages": {"build": {"state": "started", "seconds": 1.5, "steps": {"mirage-types": {...}}}}}

A stage is ``started`` and then ``done``; a step is in it once its work is finished, with what is to be remembered.
The file is replaced as a whole after every step, so whatever is killed loses at most the step that it was in.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tasks import files

from .errors import TrainError

__all__ = ["STAGES", "TRAINS", "Journal", "journals"]

STAGES = ("plan", "build", "stage", "verify", "publish", "announce")
"""The stages, in their order."""
TRAINS = Path("release") / "trains"
"""Where the journals are, below the tree's root."""
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Journal:
    """A train's journal, kept in step with its file."""

    def __init__(self, file: Path, data: dict[str, Any]) -> None:
        self.file = file
        self.data = data

    @classmethod
    def create(cls, root: Path, train: str, date: str, options: dict[str, Any] | None = None) -> Journal:
        """A journal for a new train, not written yet. Raises `TrainError`."""
        if not _NAME.fullmatch(train):
            raise TrainError(f"{train!r} is no name of a train: lower-case letters and digits, joined by dashes")
        data = {"train": train, "date": date, "options": options or {}, "plan": None, "stages": {}}
        return cls(root / TRAINS / f"{train}.json", data)

    @classmethod
    def load(cls, file: Path) -> Journal:
        """The journal in a file. Raises `TrainError`."""
        try:
            data = json.loads(file.read_text())
        except FileNotFoundError as error:
            raise TrainError(f"there is no train {file.stem}; ./noxw -s release -- status lists them") from error
        except ValueError as error:
            raise TrainError(f"{file} is no journal: {error}; git restores it: git checkout -- {file}") from error
        if not isinstance(data, dict) or not {"train", "date", "plan", "stages"} <= data.keys():
            raise TrainError(f"{file} is no journal: it lacks train, date, plan or stages")
        return cls(file, data)

    def save(self) -> None:
        """Replace the file."""
        files.write(self.file, json.dumps(self.data, indent=1, ensure_ascii=False) + "\n")

    @property
    def train(self) -> str:
        """The train's name."""
        return str(self.data["train"])

    @property
    def options(self) -> dict[str, Any]:
        """What was chosen when it was planned."""
        found: dict[str, Any] = self.data.setdefault("options", {})
        return found

    def state(self, stage: str) -> str:
        """``waiting``, ``started`` or ``done``."""
        return str(self.data["stages"].get(stage, {}).get("state", "waiting"))

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: announced, or given up."""
        return "abandoned" in self.data or self.state(STAGES[-1]) == "done"

    @property
    def next(self) -> str | None:
        """The first stage that is not done."""
        return next((stage for stage in STAGES if self.state(stage) != "done"), None)

    def start(self, stage: str) -> None:
        """A stage has begun, or goes on."""
        self._stage(stage)["state"] = "started"
        self.save()

    def finish(self, stage: str) -> None:
        """A stage is done."""
        self._stage(stage)["state"] = "done"
        self.save()

    def spend(self, stage: str, seconds: float) -> None:
        """Add to the time that a stage took; saved with whatever comes next."""
        there = self._stage(stage)
        there["seconds"] = round(there.get("seconds", 0.0) + seconds, 3)

    def seconds(self, stage: str) -> float:
        """How long a stage took, all its runs together."""
        return float(self.data["stages"].get(stage, {}).get("seconds", 0.0))

    def steps(self, stage: str) -> dict[str, Any]:
        """The steps of a stage that are done, each with what it left."""
        found: dict[str, Any] = self.data["stages"].get(stage, {}).get("steps", {})
        return found

    def record(self, stage: str, step: str, value: Any) -> None:
        """A step is done."""
        self._stage(stage).setdefault("steps", {})[step] = value
        self.save()

    def _stage(self, stage: str) -> dict[str, Any]:
        found: dict[str, Any] = self.data["stages"].setdefault(stage, {"state": "started", "seconds": 0.0})
        return found


def journals(root: Path) -> list[Journal]:
    """Every train's journal, oldest first. Raises `TrainError`."""
    found = [Journal.load(file) for file in (root / TRAINS).glob("*.json")]
    return sorted(found, key=lambda journal: (journal.data["date"], _natural(journal.train)))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split("-")]
