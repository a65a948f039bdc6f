"""Folders that several processes write: claims on them, what dead writers left, and getting them onto the disk."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_pipeline.errors import StoreError


@contextmanager
def claimed(lock: Path, busy: str) -> Iterator[None]:
    """Hold the file `lock` for this process; the system lets go of it when the process dies.

    busy: the message of the StoreError when another process holds it, with {writer} for that process.
    """
    with open(lock, "a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder may have finished and deleted the file between opening and locking.
            held = os.path.samestat(os.fstat(file.fileno()), os.stat(lock))
        except (BlockingIOError, FileNotFoundError):
            held = False
        if not held:
            file.seek(0)
            raise StoreError(busy.replace("{writer}", file.read().strip() or "unknown"))
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """StoreError for whatever the system has against `path` being written inside: a full disk, missing rights."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {str(path)!r}: {error.strerror or error}; free space or choose another --out"
        ) from error


def remove_leftovers(path: Path, kinds: tuple[str, ...]) -> None:
    """Delete the hidden siblings `.name.<kind>-<pid>` of `path` whose writers are dead."""
    for kind in kinds:
        for leftover in path.parent.glob(f".{path.name}.{kind}-*"):
            pid = leftover.name.rpartition("-")[2]
            if pid.isdigit() and not _is_alive(int(pid)):
                shutil.rmtree(leftover, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Return when every file below `folder` and every folder's list of names are on the disk."""
    for below, _, names in os.walk(folder):
        for name in names:
            _sync(os.path.join(below, name))
        _sync(below)


def rename_and_sync(source: Path, target: Path) -> None:
    """Give a folder its name for good; OSError when `target` is a folder with something in it."""
    os.rename(source, target)
    _sync(target.parent)


def _sync(path: str | os.PathLike[str]) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
