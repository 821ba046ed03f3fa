"""The files of the bot: the state, replaced whole or not at all, and the lock that keeps two nights apart."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.files import write

from .errors import Busy, StateError
from .form import from_json, to_json
from .model import State

FILE = "state.json"
LOCK = "night.lock"


def load(folder: Path) -> State:
    """The state; an empty one where there is none yet. Raises `StateError`."""
    file = folder / FILE
    try:
        text = file.read_text()
    except FileNotFoundError:
        return State()
    try:
        return from_json(State, json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise StateError(f"{file}: is no JSON: {error}; take it from the last commit or delete it") from error
    except StateError as error:
        raise StateError(f"{file}: {error}") from error


def save(folder: Path, state: State) -> None:
    """Replace the state."""
    write(folder / FILE, json.dumps(to_json(state), indent=1, sort_keys=True, ensure_ascii=False) + "\n")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a data folder; a crash gives it back, whatever it leaves. Raises `Busy`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            who = file.read(40).strip() or "somebody"
            raise Busy(f"another night is under way here: process {who} holds {folder / LOCK}") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
