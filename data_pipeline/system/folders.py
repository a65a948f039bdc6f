"""Folders that several processes write: claims on them, and what the system has against their being written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_pipeline.errors import BusyError, StoreError
from data_pipeline.system.locks import try_lock


@contextmanager
def claimed(lock: Path, busy: str) -> Iterator[None]:
    """Hold the file `lock` for this process; the system lets go of it when the process dies.

    busy: the message of the BusyError when another process holds it, with {writer} for that process. Raises StoreError
    when the lock is a symbolic link: the file that it names would be emptied.
    """
    if lock.is_symlink():
        raise StoreError(f"the lock {str(lock)!r} is a symbolic link; delete it, and ask where the folder comes from")
    with open(lock, "a+", encoding="ascii", opener=_itself) as file:
        try:
            # The holder may have finished and deleted the file between opening and locking.
            held = try_lock(file) and os.path.samestat(os.fstat(file.fileno()), os.stat(lock))
        except FileNotFoundError:
            held = False
        if not held:
            file.seek(0)
            raise BusyError(busy.replace("{writer}", file.read().strip() or "unknown"))
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _itself(path: str, flags: int) -> int:
    """Opens a file and follows no link, also not one that appeared in this moment."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """StoreError for whatever the system has against `path` being written inside: a full disk, missing rights."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # no word of the system's: distributed's lost connections are such errors
            raise
        raise StoreError(
            f"cannot write {str(path)!r}: {error.strerror or error}; free space or choose another --out"
        ) from error
