"""Folders that several processes write: claims on them, and what the system has against their being written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_pipeline.errors import StoreError
from data_pipeline.system.locks import try_lock


@contextmanager
def claimed(lock: Path, busy: str) -> Iterator[None]:
    """Hold the file `lock` for this process; the system lets go of it when the process dies.

    busy: the message of the StoreError when another process holds it, with {writer} for that process.
    """
    with open(lock, "a+", encoding="ascii") as file:
        try:
            # The holder may have finished and deleted the file between opening and locking.
            held = try_lock(file) and os.path.samestat(os.fstat(file.fileno()), os.stat(lock))
        except FileNotFoundError:
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
