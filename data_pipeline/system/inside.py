"""Paths that a foreign folder names: they stay inside it, or are refused."""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from data_pipeline.errors import StoreError


def inside(folder: Path, name: str | os.PathLike[str]) -> Path:
    """`name` as a path below `folder`; it need not exist.

    Raises StoreError when it is absolute, climbs with "..", or is led out of the folder by a symbolic link.
    """
    text = os.fspath(name)
    pure = (PurePosixPath(text), PureWindowsPath(text))
    if not text or "\0" in text or any(path.anchor or path.parts == () or ".." in path.parts for path in pure):
        raise StoreError(f"{str(folder)!r} names {text!r}, which is no path inside it; do not use this folder")
    path = folder / text
    if not _below(os.path.realpath(path), os.path.realpath(folder)):
        raise _led_out(path)
    return path


def links_stay_inside(folder: Path, entry: "os.DirEntry[str]") -> None:
    """StoreError when an entry somewhere below `folder` is a symbolic link that leads out of it."""
    if entry.is_symlink() and not _below(os.path.realpath(entry.path), os.path.realpath(folder)):
        raise _led_out(Path(entry.path))


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _led_out(path: Path) -> StoreError:
    return StoreError(
        f"{str(path)!r} is led out of its folder by a symbolic link; copy what it leads to, or do not use it"
    )
