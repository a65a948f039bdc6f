"""Files as they come: what they are by content, where they come from, and how they open."""

import glob
import hashlib
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import xarray as xr

from data_pipeline.errors import EmptyDataError, MissingFileError, UnknownProductError

NETCDF = "netcdf"
TEXT = "text"
_NETCDF_MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF\r\n\x1a\n")


@dataclass(frozen=True)
class Options:
    """What a user may say about files: the meaning is that of the options of `dino-data ingest`.

    units and variables map a channel to the units, or to the variable of the file, that it is read with.
    """

    channels: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    time: str | None = None
    columns: tuple[str, ...] = ()
    time_units: str | None = None
    keep_repeats: bool = False


def expand(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Files named by paths and glob patterns, each once, in the order given; MissingFileError when one names
    nothing.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    found: dict[Path, None] = {}
    for path in paths:
        matches = [str(path)] if Path(path).exists() else sorted(glob.glob(os.path.expanduser(str(path))))
        if not matches:
            raise MissingFileError(f"there is no file {str(path)!r}; check the path or the pattern")
        found |= dict.fromkeys(map(Path, matches))
    if not found:
        raise MissingFileError("no file is named; give at least one path or pattern")
    return list(found)


def content_of(path: Path) -> str:
    """NETCDF or TEXT, from the first bytes; UnknownProductError for anything else, EmptyDataError for an empty file."""
    if path.is_dir():
        raise UnknownProductError(f"{str(path)!r} is a folder; name NetCDF or text files, or a pattern in quotes")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise MissingFileError(f"{str(path)!r} cannot be read ({error.strerror}); check its permissions") from error
    if not head:
        raise EmptyDataError(f"{str(path)!r} is empty (0 bytes); fetch it again")
    if head.startswith(_NETCDF_MAGIC):
        return NETCDF
    try:
        # The last character may be cut in two.
        head.decode("utf-8", errors="strict" if len(head) < 4096 else "ignore")
    except UnicodeDecodeError as error:
        raise foreign(path) from error
    if b"\0" in head:
        raise foreign(path)
    return TEXT


def foreign(path: Path) -> UnknownProductError:
    """The error for a file that is neither NetCDF nor text."""
    return UnknownProductError(f"{str(path)!r} is neither NetCDF nor a table of text; convert it or name another file")


def open_netcdf(path: Path) -> xr.Dataset:
    """A NetCDF file, decoded lazily by xarray; times that cannot be decoded stay numbers."""
    if content_of(path) != NETCDF:
        raise UnknownProductError(
            f"{path.name!r} is text where NetCDF is wanted; leave out --product to have it detected"
        )
    try:
        with warnings.catch_warnings():
            # Calendars beyond datetime64 arrive as cftime objects, which `field_times` turns into datetime64.
            warnings.simplefilter("ignore", category=xr.SerializationWarning)
            warnings.simplefilter("ignore", category=RuntimeWarning)
            try:
                return xr.open_dataset(path, decode_timedelta=False)
            except ValueError:
                return xr.open_dataset(path, decode_timedelta=False, decode_times=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> UnknownProductError:
    """The error for a NetCDF file that does not open or cannot be read to its end."""
    reason = str(error).split("\n")[0]
    return UnknownProductError(f"{str(path)!r} cannot be read as NetCDF ({reason}); fetch it again, it may be damaged")


def provenance(path: Path) -> dict[str, str | int]:
    """File name (no folder), sha256 and size in bytes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": path.name, "sha256": digest, "bytes": path.stat().st_size}
