"""Files and folders that are whole or not there: filled under a hidden name beside their own, then renamed.

The hidden name (`.name.partial-<pid>-<number>.suffix`) belongs to one writer, so that writers of the same path do not
meet, and keeps the suffix, by which libraries tell formats. What a dead writer left is removed by the next one. A
folder that is replaced steps aside (`.name.previous-...`) for the rename; when its writer dies between the two renames,
`recover` puts it back.
"""

import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data_pipeline.errors import BusyError, StoreError

_TRIES = 10  # of a folder that others replace at the same time
_numbers = itertools.count()
# Hidden paths of this process that are in use: the number of a process alone does not tell, as it comes again.
_in_use: set[Path] = set()


@contextmanager
def writing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write a file to, which becomes `path` when the block ends well and is deleted when it does not.

    The file is on the disk before it has its name. One that is there is replaced, and folders that it needs are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with hidden(path) as partial:
        yield partial
        _sync(partial)
        os.replace(partial, path)
        _sync_folder(path.parent)


@contextmanager
def writing_folder(path: str | os.PathLike[str], refuse: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """An empty folder to fill, which becomes `path` when the block ends well and is deleted when it does not.

    refuse: is called when something is at `path`, and raises where that may not be replaced; without it nothing is
    replaced but an empty folder. Raises BusyError when others replace the folder all the time.
    """
    path = Path(path)
    refuse = refuse or _refuse
    recover(path)
    if path.exists():
        refuse(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with hidden(path) as partial:
        partial.mkdir()
        yield partial
        sync_tree(partial)
        _exchange(partial, path, refuse)
        _sync_folder(path.parent)


@contextmanager
def hidden(path: Path, kind: str = "partial") -> Iterator[Path]:
    """A path beside `path` for this writer alone. What is there when the block ends is deleted."""
    remove_leftovers(path, kind)
    with _own(path, kind) as own:
        _remove(own)  # of a process of the same number, long ago
        try:
            yield own
        finally:
            _remove(own)


def recover(path: Path) -> None:
    """Put back an old folder whose writer died between moving it aside and moving the new one in."""
    if path.exists():
        return
    for previous in sorted(path.parent.glob(f".{path.name}.previous-*")):
        try:
            os.rename(previous, path)
        except FileNotFoundError:  # another reader was quicker
            continue
        return


def remove_leftovers(path: Path, *kinds: str) -> None:
    """Delete hidden siblings of `path` of some kinds whose writers are dead."""
    for kind in kinds:
        for leftover in path.parent.glob(f".{path.name}.{kind}-*"):
            pid = re.match(r"\d+", leftover.name.removeprefix(f".{path.name}.{kind}-"))
            if pid and leftover not in _in_use and not _is_alive(int(pid.group())):
                _remove(leftover)


def sync_tree(folder: Path) -> None:
    """Return when every file below `folder` and every folder's list of names are on the disk."""
    for below, _, names in os.walk(folder):
        for name in names:
            _sync(os.path.join(below, name))
        _sync_folder(below)


def rename_and_sync(source: Path, target: Path) -> None:
    """Give a folder its name for good; OSError when `target` is a folder with something in it."""
    os.rename(source, target)
    _sync_folder(target.parent)


@contextmanager
def _own(path: Path, kind: str) -> Iterator[Path]:
    own = path.parent / f".{path.name}.{kind}-{os.getpid()}-{next(_numbers)}{path.suffix}"
    _in_use.add(own)
    try:
        yield own
    finally:
        _in_use.discard(own)


def _exchange(partial: Path, path: Path, refuse: Callable[[Path], None]) -> None:
    with _own(path, "previous") as previous:
        for _ in range(_TRIES):
            if path.exists():
                refuse(path)
                _remove(previous)
                os.rename(path, previous)
            try:
                os.rename(partial, path)
                break
            except OSError:
                # A reader between the two renames has put the old folder back: move it aside again.
                if not path.exists():
                    recover(path)
                    raise
        else:
            raise BusyError(f"{str(path)!r} is being replaced by somebody else; try again")
    # Only now: until the new folder is there an old one that was left may be all there is.
    remove_leftovers(path, "previous")


def _refuse(path: Path) -> None:
    if not path.is_dir() or any(path.iterdir()):
        raise StoreError(f"{str(path)!r} exists already; choose another name")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: str | os.PathLike[str]) -> None:
    # Windows syncs only what is open for writing.
    number = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _sync_folder(path: str | os.PathLike[str]) -> None:
    if os.name != "nt":  # where a folder cannot be opened, and names are kept by the file system's journal
        _sync(path)


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # what this process has in use is known
    if os.name == "nt":
        return True  # where asking would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
