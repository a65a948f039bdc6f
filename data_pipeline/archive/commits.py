"""The log of an archive: numbered commits, each a folder that appears whole under its number and never changes.

    ARCHIVE/commits/00000012/commit.json         what the commit changed
                             state.json          what the archive is with it, in every 64th commit
                             points-0000         the points of the days that it wrote (zarr group)
                             repeats-0000        points of these days that another file holds too
    ARCHIVE/lock                                 held by the process that appends

A day belongs to the last commit that wrote it. The newest number is the state of the archive: nothing points to it.
"""

import bisect
import datetime as dt
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from data_pipeline.archive.records import Commit, State
from data_pipeline.errors import BusyError, StoreError, TimeError, reason
from data_pipeline.layout.moments import moment
from data_pipeline.system.atomic import hidden, rename_and_sync, sync_tree
from data_pipeline.system.capacity import read_bounded
from data_pipeline.system.folders import claimed
from data_pipeline.system.inside import inside

STATE_EVERY = 64
_NUMBER = re.compile(r"[0-9]{8,18}")
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Draft:
    """The next commit while it is made: the state it builds on, and the hidden folder that its parts go to."""

    archive: Path
    state: State
    folder: Path
    hidden: Path
    target: Path

    @property
    def number(self) -> int:
        """The number the commit will have."""
        return self.state.number + 1

    def time(self) -> dt.datetime:
        """Now, but never before the last commit: clocks are turned back at times."""
        now = dt.datetime.now(dt.UTC)
        return max(now, self.state.time) if self.state.time else now

    def publish(self, commit: Commit) -> None:
        """Make the commit part of the archive, in one rename; BusyError when another process has taken the number."""
        (self.folder / "commit.json").write_text(commit.model_dump_json())
        if commit.number % STATE_EVERY == 0:
            after = self.state.model_copy(deep=True)
            after.add(commit)
            (self.folder / "state.json").write_text(after.model_dump_json())
        sync_tree(self.hidden)
        try:
            rename_and_sync(self.hidden, self.target)
        except OSError as error:
            if not self.target.exists():
                raise
            raise BusyError(
                f"another process was first to commit {commit.number} of {str(self.archive)!r}; "
                "nothing was added, run the same command again"
            ) from error


def is_archive(path: Path) -> bool:
    """Whether there is an archive at `path`; a zarr store may have a variable called commits."""
    return (path / "commits").is_dir() and not (path / "zarr.json").exists()


def refuse_foreign(path: Path) -> None:
    """Raise StoreError when there is something at `path` that is no archive."""
    if not is_archive(path) and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StoreError(
            f"{str(path)!r} is no archive and cannot grow; ingest its files into a new one with --append --out"
        )


@contextmanager
def drafting(path: Path) -> Iterator[Draft]:
    """A draft of the next commit of the archive at `path`, or of the first of a new one.

    The draft vanishes unless it is published. Raises StoreError when something else is at `path`, and BusyError when
    another process is appending; nobody waits.
    """
    if not is_archive(path):
        refuse_foreign(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with hidden(path) as own:
            yield Draft(path, State(), _made(own / _folder(1)), own, path)
        return
    busy = f"{str(path)!r} is being appended to by another process ({{writer}}); run the same command again after it"
    with claimed(path / "lock", busy):
        state = archive_state(path)
        target = path / _folder(state.number + 1)
        with hidden(target) as own:
            yield Draft(path, state, _made(own), own, target)


def archive_state(path: Path, as_of: object = None) -> State:
    """The archive now, or as of a commit: its number, or the last commit at or before a time (UTC).

    Raises StoreError when there is no such commit or the log is damaged.
    """
    number = _resolve(path, as_of)
    base = number - number % STATE_EVERY
    state = _load(path, _folder(base) / "state.json", State) if base else State()
    if state.number != base:
        raise StoreError(f"{str(path / _folder(base))!r} holds the state of commit {state.number}; restore the archive")
    for following in range(base + 1, number + 1):
        state.add(load_commit(path, following))
    return state


def load_commit(path: Path, number: int) -> Commit:
    """One commit; StoreError when it cannot be read."""
    commit = _load(path, _folder(number) / "commit.json", Commit)
    if commit.number != number:
        raise StoreError(
            f"{str(path / _folder(number))!r} holds commit {commit.number}; restore the archive from a copy"
        )
    return commit


def last_commit(path: Path) -> int:
    """The number of the newest commit; StoreError when one before it is gone."""
    numbers = sorted(int(name) for name in os.listdir(inside(path, "commits")) if _NUMBER.fullmatch(name))
    for expected, found in enumerate(numbers, start=1):
        if expected != found:
            raise StoreError(f"{str(path)!r} lacks commit {expected}; restore the archive from a copy")
    if not numbers:
        raise StoreError(f"{str(path)!r} has lost its commits; restore the archive from a copy")
    return numbers[-1]


def _resolve(path: Path, as_of: object) -> int:
    last = last_commit(path)
    if as_of is None:
        return last
    if _is_number(as_of):
        if not 1 <= int(as_of) <= last:
            raise StoreError(f"{str(path)!r} has commits 1 to {last}, not {as_of}; dino-data log lists them")
        return int(as_of)
    then = _utc(as_of)
    number = bisect.bisect_right(range(1, last + 1), then, key=lambda number: load_commit(path, number).time)
    if not number:
        first = load_commit(path, 1).time
        raise StoreError(f"{str(path)!r} did not exist at {as_of}; its first commit is of {first:%Y-%m-%dT%H:%M:%SZ}")
    return number


def _is_number(as_of: Any) -> TypeGuard[int | str]:
    """Whether a commit's number is meant: eight digits and more are a date."""
    if isinstance(as_of, (int, np.integer)):
        return abs(int(as_of)) < 10**7
    return isinstance(as_of, str) and as_of.isdecimal() and len(as_of) < 8


def _utc(as_of: object) -> dt.datetime:
    try:
        return moment(as_of).astype("datetime64[us]").item().replace(tzinfo=dt.UTC)
    except TimeError as error:
        raise StoreError(
            f"{as_of!r} is neither a commit's number nor a time ({error}); write 12 or 2014-05-20T12:00 (UTC)"
        ) from error


def _load(archive: Path, name: Path, model: type[Model]) -> Model:
    path = inside(archive, name)
    try:
        return model.model_validate_json(read_bounded(path))
    except ValidationError as error:
        raise StoreError(f"{str(path)!r} cannot be read ({reason(error)}); restore the archive from a copy") from error


def _folder(number: int) -> Path:
    return Path("commits", f"{number:08d}")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
