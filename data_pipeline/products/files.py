"""Files as they come: what they are by content, where they come from, and how they open."""

import glob
import os
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from data_pipeline.errors import DinoError, EmptyDataError, MissingFileError, SchemaError, UnknownProductError
from data_pipeline.products.asking import require_paths
from data_pipeline.products.coordinates import has_positions
from data_pipeline.products.flag_types import with_numeric_flags
from data_pipeline.products.grouped import flat
from data_pipeline.products.times import with_times

# Decoding holds a few float64 copies of a block.
BLOCK_CELLS = 2**21
NETCDF = "netcdf"
TEXT = "text"
# The NetCDF library is not safe for threads, and xarray guards the reading of values alone.
_NETCDF_LOCK = threading.RLock()
_DECODED = ("mask_and_scale", "decode_times", "decode_timedelta", "concat_characters", "decode_coords")
_NETCDF_MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF\r\n\x1a\n")


@dataclass(frozen=True)
class Options:
    """What a user may say about files: the meaning is that of the options of `dino-data ingest`.

    units and variables map a channel to the units, or to the variable of the file, that it is read with. family: "grid"
    or "points", instead of what suits the file. keep_flagged: values that flags of the product condemn stay.
    """

    channels: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    time: str | None = None
    columns: tuple[str, ...] = ()
    time_units: str | None = None
    depth: float | None = None
    family: str | None = None
    keep_flagged: bool = False
    keep_repeats: bool = False


def expand(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Files named by paths and glob patterns, each once, in the order given; MissingFileError when one names
    nothing, ConfigError for what is no path.
    """
    found: dict[Path, None] = {}
    for path in require_paths(paths):
        matches = [str(path)] if Path(path).exists() else sorted(glob.glob(os.path.expanduser(str(path))))
        if not matches:
            raise MissingFileError(f"there is no file {str(path)!r}; check the path or the pattern")
        found |= dict.fromkeys(map(Path, matches))
    if not found:
        raise MissingFileError("no file is named; give at least one path or pattern")
    return list(found)


def content_of(path: Path) -> str:
    """NETCDF or TEXT, from the first bytes; UnknownProductError for anything else, EmptyDataError for an empty file."""
    if path.is_dir() and any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata")):
        raise UnknownProductError(
            f"{path.name!r} is a zarr store, which is not ingested: hand xarray.open_zarr of it to `dino` in Python, "
            "or write it to NetCDF (.to_netcdf) first"
        )
    if path.is_dir():
        raise UnknownProductError(f"{path.name!r} is a folder; name NetCDF or text files, or a pattern in quotes")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise MissingFileError(f"{path.name!r} cannot be read ({error.strerror}); check its permissions") from error
    if not head:
        raise EmptyDataError(f"{path.name!r} is empty (0 bytes); fetch it again")
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
    return UnknownProductError(f"{path.name!r} is neither NetCDF nor a table of text; convert it or name another file")


@contextmanager
def open_netcdf(path: Path) -> Iterator[list[xr.Dataset]]:
    """The datasets of a NetCDF file, open; see `tables`. Whatever goes wrong while it is open is the file's fault: an
    error that is none of ours becomes an UnknownProductError. One file is open at a time in a process.
    """
    opened: list[xr.Dataset] = []
    try:
        with _NETCDF_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of xarray, on what it decodes; what matters is checked and told
            opened = tables(path)
            yield opened
    except DinoError:
        raise
    except MemoryError as error:
        raise UnknownProductError(
            f"{path.name!r} claims more values than memory can hold; fetch it again, it may be damaged"
        ) from error
    except Exception as error:  # libraries raise whatever a malformed file makes them raise
        raise damaged(path, error) from error
    finally:
        for ds in opened:
            ds.close()


def tables(path: Path) -> list[xr.Dataset]:
    """The datasets of a NetCDF file that have positions: the root, or groups where it has none (`grouped.flat`).

    Values stay on disk until they are asked for; times that cannot be decoded stay numbers.
    """
    if content_of(path) != NETCDF:
        raise UnknownProductError(
            f"{path.name!r} is text where NetCDF is wanted; leave out --product to have it detected"
        )
    # One handle for all groups: HDF5 crashes on a text variable that was read through another one, closed since.
    groups = xr.open_groups(path, engine="netcdf4", **dict.fromkeys(_DECODED, False))
    root = _decoded(groups["/"], path)
    found = [root] if has_positions(root) else []
    if not found:
        found = flat({"/": root} | {name: _decoded(ds, path) for name, ds in groups.items() if name != "/"}) or [root]
    for ds in found:
        ds.set_close(groups["/"].close)
    return found


def lazily(ds: xr.Dataset) -> xr.Dataset:
    """The dataset in dask blocks of at most BLOCK_CELLS values, read from the file one at a time."""
    blocks = {}
    for name, variable in ds.variables.items():
        if variable.size and variable.ndim and name not in ds.indexes:
            blocks[name] = variable.chunk(block_lengths(variable.sizes))
    return ds.assign_coords({name: blocks.pop(name) for name in list(blocks) if name in ds.coords}).assign(blocks)


def block_lengths(sizes: Mapping[Any, int]) -> dict[Any, int]:
    """Length of a block along each dimension: the last ones whole while they fit into BLOCK_CELLS."""
    lengths, left = {}, BLOCK_CELLS
    for dim in reversed(list(sizes)):
        lengths[dim] = max(1, min(sizes[dim], left))
        left //= lengths[dim]
    return lengths


def _decoded(raw: xr.Dataset, path: Path) -> xr.Dataset:
    for variable in raw.variables.values():
        misspelt = [value for key, value in variable.attrs.items() if key.lower() in ("unit", "units")]
        if misspelt and "units" not in variable.attrs:
            variable.attrs["units"] = misspelt[0]
    try:
        raw = with_numeric_flags(raw, block_lengths)
        ds = xr.decode_cf(raw, decode_timedelta=False, decode_times=False)
    except (ValueError, TypeError) as error:
        raise SchemaError(
            f"{path.name!r} cannot be decoded ({_first_line(error)}); mend its scale factors and fill values"
        ) from error
    for name, variable in ds.variables.items():
        for key in ("scale_factor", "add_offset"):
            factor = np.asarray(variable.encoding.get(key, 1.0))
            if factor.dtype.kind not in "fiu" or factor.size != 1:
                raise SchemaError(
                    f"variable {name!r} of {path.name!r} has {key} {factor.tolist()!r}, no number; mend it"
                )
    return with_times(ds)


def damaged(path: Path, error: Exception) -> UnknownProductError:
    """The error for a NetCDF file that does not open or cannot be read to its end."""
    reason = f"{type(error).__name__}: {_first_line(error)}"
    return UnknownProductError(f"{path.name!r} cannot be read as NetCDF ({reason}); fetch it again, it may be damaged")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")
