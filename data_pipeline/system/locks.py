"""A lock on an open file that the system lets go of when its process dies, on POSIX and on Windows."""

import importlib
from types import ModuleType
from typing import IO, Any

# Windows locks bytes, and nobody else can read a byte that is locked: this one is beyond what anybody writes.
_LOCKED_BYTE = 2**30


def try_lock(file: IO[Any]) -> bool:
    """Lock `file` for this process, without waiting; False when another process holds it."""
    if fcntl := _module("fcntl"):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    msvcrt: Any = importlib.import_module("msvcrt")
    place = file.tell()
    file.seek(_LOCKED_BYTE)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError:  # EACCES or EDEADLOCK: it is held
        return False
    finally:
        file.seek(place)
    return True


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
