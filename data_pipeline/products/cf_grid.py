"""CF grids with 1-D or 2-D longitude and latitude, with or without time and depth, into a lazy field Dataset."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.array
import dask.base
import numpy as np
import xarray as xr

from data_pipeline.errors import EmptyDataError, SchemaError, UnknownProductError
from data_pipeline.products.coordinates import decode_time, find_positions, find_time, is_points, single_time
from data_pipeline.products.files import Options, damaged, open_netcdf
from data_pipeline.products.registry import Product
from data_pipeline.products.variables import Reading, choose_readings, packed_extremes, screen, screening_note
from data_pipeline.schema import fields_dataset, wrap_longitude

# Decoding holds a few float64 copies of a block, one block per thread.
BLOCK_CELLS = 2**21
SAME_POSITION_DEGREES = 1e-4
_VERTICAL_NAMES = ("depth", "deptht", "depthu", "depthv", "lev", "level", "s_rho", "z")


@dataclass
class Maps:
    """The maps of one file: (time, row, column) dask arrays by channel, in canonical units, with what was screened."""

    time: np.ndarray
    longitude: np.ndarray
    latitude: np.ndarray
    channels: dict[str, dask.array.Array]
    counts: dict[str, tuple[Reading, Any]]
    notes: list[str] = field(default_factory=list)


def read_grids(paths: list[Path], product: Product, options: Options) -> tuple[xr.Dataset, list[str]]:
    """(lazy field Dataset, history notes) of files of one grid, joined in time order; maps of a time seen before
    are dropped.

    Every value is read once to count what is valid and what is screened, block by block. Raises SchemaError when
    the grids differ, EmptyDataError when nothing valid is left.
    """
    if options.time is not None and len(paths) > 1:
        raise SchemaError(f"--time gives one time and {len(paths)} files are named; ingest them one by one")
    parts = [_read_file(path, product, options) for path in paths]
    first = parts[0]
    for path, part in zip(paths, parts, strict=True):
        _require_same_grid(first, part, paths[0].name, path.name)
    notes = [f"{path.name}: {note}" for path, part in zip(paths, parts, strict=True) for note in part.notes]
    notes += _count(paths, parts)
    time = np.concatenate([part.time for part in parts])
    channels = {name: dask.array.concatenate([part.channels[name] for part in parts]) for name in first.channels}
    order = np.unique(time, return_index=True)[1]
    if len(order) < len(time):
        notes.append(f"{len(time) - len(order)} maps of times that came before dropped")
    if not np.array_equal(order, np.arange(len(time))):
        time = time[order]
        channels = {name: values[order] for name, values in channels.items()}
    return fields_dataset(time, first.longitude, first.latitude, channels), notes


def _read_file(path: Path, product: Product, options: Options) -> Maps:
    ds = open_netcdf(path)
    longitude, latitude = find_positions(ds, path.name)
    if is_points(longitude, latitude, path.name):
        raise UnknownProductError(f"{path.name!r} holds points, not a grid; leave out --product or name one of points")
    horizontal = tuple(map(str, longitude.dims if longitude.ndim == 2 else (*latitude.dims, *longitude.dims)))
    notes: list[str] = []
    maps = _surface_maps(ds, horizontal, notes)
    readings = choose_readings(maps, product, options, path.name)
    time_dim = _time_dimension(maps, readings, horizontal, path)
    time = _times(ds, time_dim, path, options, notes)
    longitudes, latitudes = longitude.values.astype(np.float64), latitude.values.astype(np.float64)
    keep: dict[str, Any] = {}
    if longitude.ndim == 1:
        keep[horizontal[0]] = rows = _distinct(latitudes, "latitude", path.name, notes)
        keep[horizontal[1]] = columns = _distinct(wrap_longitude(longitudes), "longitude", path.name, notes)
        longitudes, latitudes = longitudes[columns], latitudes[rows]
    else:
        lost = ~((abs(longitudes) <= 720) & (abs(latitudes) <= 90))
        longitudes, latitudes = np.where(lost, np.nan, longitudes), np.where(lost, np.nan, latitudes)
    part = Maps(time, longitudes, latitudes, {}, {}, notes)
    for reading in readings:
        variable = maps[reading.variable]
        dims = ((time_dim,) if time_dim else ()) + horizontal
        blocks = variable.isel(keep).transpose(*dims)
        blocks = blocks.chunk(_chunks(blocks))
        data = blocks.data if time_dim else blocks.data[None]
        if longitude.ndim == 2:
            data = dask.array.where(np.isfinite(longitudes + latitudes), data, np.nan)
        values, extreme, beyond = screen(data, reading, packed_extremes(variable.encoding))
        part.channels[reading.channel.name] = values
        part.counts[reading.channel.name] = (reading, [np.isfinite(values).sum(), extreme.sum(), beyond.sum()])
        part.notes += reading.notes
    return part


def _surface_maps(ds: xr.Dataset, horizontal: tuple[str, ...], notes: list[str]) -> xr.Dataset:
    """The variables on the horizontal grid, at the level nearest to the surface, with at most one more dimension
    (time).
    """
    maps = ds[[name for name, variable in ds.data_vars.items() if set(horizontal) <= set(map(str, variable.dims))]]
    for dim in map(str, maps.dims):
        if dim in horizontal:
            continue
        vertical = dim.lower() in _VERTICAL_NAMES or "positive" in getattr(ds.get(dim), "attrs", {})
        if vertical:
            depth = ds[dim].values if dim in ds.variables else np.arange(ds.sizes[dim])
            level = int(np.argmin(abs(depth)))
            maps = maps.isel({dim: level})
            notes.append(f"{dim} {depth[level]:g} taken of {len(depth)} levels")
    extra = {name: [dim for dim in map(str, maps[name].dims) if dim not in horizontal] for name in maps.data_vars}
    return maps[[name for name, dims in extra.items() if len(dims) <= 1]]


def _time_dimension(maps: xr.Dataset, readings: list[Reading], horizontal: tuple[str, ...], path: Path) -> str | None:
    dims = {str(dim) for reading in readings for dim in maps[reading.variable].dims if dim not in horizontal}
    if len(dims) > 1:
        raise SchemaError(f"channels of {path.name!r} lie along {', '.join(sorted(dims))}; choose some with --channels")
    return next(iter(dims), None)


def _times(ds: xr.Dataset, dim: str | None, path: Path, options: Options, notes: list[str]) -> np.ndarray:
    """The time of each map along `dim`, or of the only one."""
    size = ds.sizes[dim] if dim else 1
    if not size:
        raise EmptyDataError(f"{path.name!r} holds no map; leave it out")
    if options.time is not None and size > 1:
        raise SchemaError(f"--time gives one time and {path.name!r} holds {size} maps; leave it out")
    time = find_time(ds, (dim,) if dim else ())
    if options.time is None and time is not None and time.size == size:
        readable = time.dtype.kind in "MO" or "units" in time.attrs or options.time_units
        if readable or size > 1:
            return decode_time(time, options.time_units, path.name)
    if size > 1:
        raise SchemaError(f"{path.name!r} has {size} maps along {dim!r} and no time for each; add a time coordinate")
    moment, note = single_time(ds, path, options.time)
    notes.append(note)
    return np.array([moment])


def _distinct(values: np.ndarray, name: str, where: str, notes: list[str]) -> np.ndarray | slice:
    """Indices of the axis without repeated values (a global axis that ends where it began); all of it if there are
    none.
    """
    if not np.isfinite(values).all():
        raise SchemaError(f"the {name} axis of {where!r} has missing values; fetch it again")
    kept = np.sort(np.unique(values, return_index=True)[1])
    if len(kept) == len(values):
        return slice(None)
    notes.append(f"{len(values) - len(kept)} repeated {name} dropped")
    return kept


def _chunks(variable: xr.DataArray) -> dict[Any, int]:
    """Blocks of whole maps where they fit, else of rows."""
    *time, row, column = variable.dims
    rows, columns = variable.sizes[row], variable.sizes[column]
    lengths = {row: max(1, min(rows, BLOCK_CELLS // columns)), column: columns}
    return lengths | dict.fromkeys(time, max(1, BLOCK_CELLS // (rows * columns)))


def _require_same_grid(first: Maps, part: Maps, first_name: str, name: str) -> None:
    same = first.longitude.shape == part.longitude.shape and first.latitude.shape == part.latitude.shape
    for mine, theirs in ((first.longitude, part.longitude), (first.latitude, part.latitude)):
        same = same and bool(np.allclose(mine, theirs, rtol=0, atol=SAME_POSITION_DEGREES, equal_nan=True))
    if not same or set(first.channels) != set(part.channels):
        raise SchemaError(
            f"{first_name!r} and {name!r} differ in grid or channels; ingest them into stores of their own"
        )


def _count(paths: list[Path], parts: list[Maps]) -> list[str]:
    """Read every block once: notes on what was screened; EmptyDataError when a channel holds nothing valid."""
    totals = dict.fromkeys(parts[0].counts, np.zeros(3, dtype=np.int64))
    for path, part in zip(paths, parts, strict=True):
        try:
            (counts,) = dask.base.compute({name: count for name, (_, count) in part.counts.items()})
        except (OSError, RuntimeError) as error:
            raise damaged(path, error) from error
        totals = {name: total + counts[name] for name, total in totals.items()}
    notes = []
    for name, (valid, extreme, beyond) in totals.items():
        note = screening_note(parts[0].counts[name][0], int(extreme), int(beyond))
        if not valid:
            reason = f" ({note})" if note else ""
            raise EmptyDataError(
                f"channel {name!r} of {paths[0].name!r} has no valid value{reason}; check its units and fill value"
            )
        notes += [note] if note else []
    return notes
