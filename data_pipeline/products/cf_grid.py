"""CF grids with 1-D or 2-D longitude and latitude, with or without time and depth, into a lazy field Dataset."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dask.array
import dask.base
import numpy as np
import xarray as xr

from data_pipeline.errors import EmptyDataError, SchemaError
from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.layout.globe import wrap_longitude
from data_pipeline.products.coordinates import find_positions, find_time, in_degrees, require_degrees
from data_pipeline.products.files import BLOCK_CELLS, Options, lazily, open_netcdf, tables
from data_pipeline.products.flags import judge, notes_on_flags
from data_pipeline.products.levels import at_depth
from data_pipeline.products.nemo import removed_land
from data_pipeline.products.registry import Product
from data_pipeline.products.screening import NO_POSITION, Count, Counts, numbers, screen
from data_pipeline.products.times import decode_time, single_time
from data_pipeline.products.variables import Reading, choose_readings

SAME_POSITION_DEGREES = 1e-4
FARTHEST_EAST = 720.0  # degrees, either way; what is more is no longitude


@dataclass
class Maps:
    """The maps of one file: (time, row, column) dask arrays by channel, in canonical units.

    counts: what was read and dropped of each channel, when they have been read. notes: for the history.
    """

    time: np.ndarray
    longitude: np.ndarray
    latitude: np.ndarray
    channels: dict[str, dask.array.Array]
    dropped: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: Counts = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def survey_maps(path: Path, product: Product, options: Options) -> Maps:
    """The maps of one file without their values, each of which is read once, block by block, to be counted.

    Raises SchemaError, UnitsError, UnknownProductError and EmptyDataError when the file cannot be told.
    """
    with open_netcdf(path) as opened:
        maps = _described(opened[0], path, product, options)
        (dropped,) = dask.base.compute(maps.dropped, scheduler="synchronous")
        counts = {}
        for name, values in maps.channels.items():
            counts[name] = Count()
            counts[name].add(values.size, {reason: int(number) for reason, number in dropped[name].items()})
        return replace(maps, channels=dict.fromkeys(maps.channels), dropped={}, counts=counts)


def join_maps(
    files: Sequence[tuple[Path, Product]], parts: Sequence[Maps], options: Options
) -> tuple[xr.Dataset, list[str]]:
    """(lazy field Dataset, history notes) of surveyed files of one grid, joined in time order; maps of a time seen
    before are dropped.

    Raises SchemaError when the grids differ.
    """
    first = parts[0]
    for (path, _), part in zip(files, parts, strict=True):
        _require_same_grid(first, part, files[0][0].name, path.name)
    lazy = [_described(tables(path)[0], path, product, options).channels for path, product in files]
    time = np.concatenate([part.time for part in parts])
    channels = {name: dask.array.concatenate([part[name] for part in lazy]) for name in first.channels}
    order = np.unique(time, return_index=True)[1]
    notes = [f"{len(time) - len(order)} maps of times that came before dropped"] if len(order) < len(time) else []
    if not np.array_equal(order, np.arange(len(time))):
        time = time[order]
        channels = {name: values[order] for name, values in channels.items()}
    return fields_dataset(time, first.longitude, first.latitude, channels), notes


def _described(ds: xr.Dataset, path: Path, product: Product, options: Options) -> Maps:
    notes: list[str] = []
    ds = in_degrees(lazily(at_depth(ds, options.depth, path.name, notes)), options.units, path.name, notes)
    ds = product.adapt(ds, notes)
    longitude, latitude = find_positions(ds, path.name)
    horizontal = tuple(map(str, longitude.dims if longitude.ndim == 2 else (*latitude.dims, *longitude.dims)))
    if len(set(horizontal)) < 2:
        raise SchemaError(f"{path.name!r} holds points, not a grid; leave out --as, or --product")
    if not all(ds.sizes[dim] for dim in horizontal):
        raise EmptyDataError(f"{path.name!r} holds no cell; leave it out")
    require_degrees(longitude, latitude, path.name)
    maps = _on_grid(ds, horizontal)
    readings = choose_readings(maps, product, options, path.name)
    time_dim = _time_dimension(maps, readings, horizontal, path)
    time = _times(ds, time_dim, path, options, notes)
    longitudes, latitudes = longitude.values.astype(np.float64), latitude.values.astype(np.float64)
    keep: dict[str, Any] = {}
    if longitude.ndim == 1:
        keep[horizontal[0]] = rows = _distinct(latitudes, 90.0, "latitude", path.name, notes)
        keep[horizontal[1]] = columns = _distinct(longitudes, FARTHEST_EAST, "longitude", path.name, notes)
        longitudes, latitudes = longitudes[columns], latitudes[rows]
        nowhere = np.zeros((1, 1, 1), bool)
    else:
        lost = ~((abs(longitudes) <= FARTHEST_EAST) & (abs(latitudes) <= 90)) | removed_land(longitudes, latitudes)
        longitudes, latitudes = np.where(lost, np.nan, longitudes), np.where(lost, np.nan, latitudes)
        nowhere = lost[None]
    part = Maps(time, longitudes, latitudes, {}, notes=notes)
    dims = (time_dim or "", *horizontal)
    flags = () if options.keep_flagged else product.flags
    kept = ds.isel(keep)
    part.notes += notes_on_flags(ds, product.flags, [reading.variable for reading in readings], dims)
    for reading in readings:
        blocks = maps[reading.variable].isel(keep).transpose(*dims[not time_dim :])
        data = blocks.chunk(_chunks(blocks)).data
        data = data if time_dim else data[None]
        checks = [(NO_POSITION, nowhere), *judge(kept, flags, reading.variable, dims)]
        values, masks = screen(data, reading, checks)
        part.channels[reading.channel.name] = values
        part.dropped[reading.channel.name] = numbers(masks)
        part.notes += reading.notes
    return part


def _on_grid(ds: xr.Dataset, horizontal: tuple[str, ...]) -> xr.Dataset:
    """The variables on the horizontal grid with at most one more dimension, which is time; others of length one go."""
    time = find_time(ds, tuple(map(str, ds.sizes)))
    timely = set(map(str, time.dims)) if time is not None else set()
    maps = {}
    for name, variable in ds.data_vars.items():
        extra = [dim for dim in map(str, variable.dims) if dim not in horizontal]
        if len(extra) > 1:
            variable = variable.squeeze([dim for dim in extra if variable.sizes[dim] == 1 and dim not in timely])
            extra = [dim for dim in map(str, variable.dims) if dim not in horizontal]
        if set(horizontal) <= set(map(str, variable.dims)) and len(extra) <= 1:
            maps[name] = variable.reset_coords(drop=True)
    return xr.Dataset(maps)


def _time_dimension(maps: xr.Dataset, readings: list[Reading], horizontal: tuple[str, ...], path: Path) -> str | None:
    dims = {str(dim) for reading in readings for dim in maps[reading.variable].dims if dim not in horizontal}
    without = [r.variable for r in readings if len(maps[r.variable].dims) == len(horizontal)]
    if len(dims) > 1 or (dims and without):
        listed = ", ".join(sorted(dims) + [f"no time ({name})" for name in without])
        raise SchemaError(f"channels of {path.name!r} lie along {listed}; choose some with --channels")
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
        readable = time.dtype.kind in "MOSU" or "units" in time.attrs or options.time_units
        if readable or size > 1:
            times = decode_time(time, options.time_units, path.name)
            if np.isnat(times).any():
                raise SchemaError(
                    f"{np.count_nonzero(np.isnat(times))} of {size} maps of {path.name!r} have no time; fetch it again"
                )
            return times
    if size > 1:
        raise SchemaError(f"{path.name!r} has {size} maps along {dim!r} and no time for each; add a time coordinate")
    unread = str(time.name) if time is not None and time.size == 1 else None
    moment, note = single_time(ds, path, options.time, unread)
    notes.append(note)
    return np.array([moment])


def _distinct(values: np.ndarray, bound: float, name: str, where: str, notes: list[str]) -> np.ndarray | slice:
    """Indices of the axis without repeated values (a global axis that ends where it began); all of it if there are
    none.
    """
    if not np.isfinite(values).all():
        raise SchemaError(f"the {name} axis of {where!r} has missing values; fetch it again")
    if (abs(values) > bound).any():
        raise SchemaError(f"the {name} axis of {where!r} reaches {values[abs(values).argmax()]:g} degrees; correct it")
    values = wrap_longitude(values) if name == "longitude" else values
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
    if same:
        for mine, theirs in ((first.longitude, part.longitude), (first.latitude, part.latitude)):
            same = same and bool(np.allclose(mine, theirs, rtol=0, atol=SAME_POSITION_DEGREES, equal_nan=True))
    if not same or set(first.channels) != set(part.channels):
        raise SchemaError(
            f"{first_name!r} and {name!r} differ in grid or channels; ingest them into stores of their own"
        )
