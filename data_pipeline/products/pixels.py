"""Values of a NetCDF file as points: columns along a track, pixels of a swath, cells of maps with gaps."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.base
import numpy as np
import xarray as xr

from data_pipeline.errors import EmptyDataError, SchemaError, UnitsError
from data_pipeline.products.coordinates import find_positions, find_time, in_degrees, require_degrees
from data_pipeline.products.files import Options, block_lengths, lazily, open_netcdf
from data_pipeline.products.flags import judge, notes_on_flags
from data_pipeline.products.levels import at_depth
from data_pipeline.products.observed import Points, concatenated, screened
from data_pipeline.products.registry import Product
from data_pipeline.products.swot import NADIR
from data_pipeline.products.times import decode_time, is_readable, single_time
from data_pipeline.products.variables import Reading, choose_readings

Region = dict[str, slice]
MOST_SECONDS = 1e7  # of a pixel after its scene; four months are no time of one


@dataclass(frozen=True)
class Pixels:
    """A dataset laid out: every reading lies along `dims`; position and time broadcast against them.

    seconds: seconds of each value after `time`. errors: standard deviation by channel.
    """

    ds: xr.Dataset
    dims: tuple[str, ...]
    readings: list[Reading]
    longitude: xr.DataArray
    latitude: xr.DataArray
    time: xr.DataArray
    seconds: xr.DataArray | None
    errors: dict[str, xr.DataArray]


def read_pixels(path: Path, product: Product, options: Options) -> Points:
    """The points of one NetCDF file, read block by block; there may be none.

    Raises UnknownProductError, UnitsError, SchemaError and EmptyDataError when the file cannot be told.
    """
    notes: list[str] = []
    blocks = []
    with open_netcdf(path) as opened:
        for ds in opened:
            pixels = _laid_out(ds, path, product, options, notes)
            for region in _regions({dim: pixels.ds.sizes[dim] for dim in pixels.dims}):
                blocks.append(_block(pixels, region, product, options, path.stem))
    return concatenated(blocks, notes)


def _laid_out(ds: xr.Dataset, path: Path, product: Product, options: Options, notes: list[str]) -> Pixels:
    ds = in_degrees(lazily(at_depth(ds, options.depth, path.name, notes)), options.units, path.name, notes)
    ds = product.adapt(ds, notes)
    longitude, latitude = find_positions(ds, path.name)
    positioned = [str(dim) for dim in dict.fromkeys((*latitude.dims, *longitude.dims))]
    if not all(ds.sizes[dim] for dim in positioned):
        raise EmptyDataError(f"{path.name!r} holds no observation; leave it out")
    require_degrees(longitude, latitude, path.name)
    readings = choose_readings(_variables_at(ds, positioned), product, options, path.name)
    notes += [note for reading in readings for note in reading.notes]
    layouts = {tuple(map(str, _squeezed(ds[reading.variable], positioned).dims)) for reading in readings}
    if len({frozenset(layout) for layout in layouts}) > 1:
        raise SchemaError(
            f"channels of {path.name!r} lie along {' and '.join(map(str, sorted(layouts)))}; choose with --channels"
        )
    dims = min(layouts)
    notes += notes_on_flags(ds, product.flags, [reading.variable for reading in readings], dims)
    if not all(ds.sizes[dim] for dim in dims):
        raise EmptyDataError(f"{path.name!r} holds no map; leave it out")
    time, note = _time(ds, dims, path, options)
    notes += [note] if note else []
    errors = {
        reading.channel.name: _squeezed(ds[variable], dims)
        for reading in readings
        if (variable := product.errors.get(reading.channel.name)) in ds.data_vars
    }
    errors = {name: error for name, error in errors.items() if set(error.dims) <= set(dims)}
    return Pixels(ds, dims, readings, longitude, latitude, time, _seconds(ds, dims, product, path), errors)


def _variables_at(ds: xr.Dataset, positioned: list[str]) -> xr.Dataset:
    """Variables with the dimensions of the positions and, of maps and swaths, at most one more."""
    most = len(positioned) + (len(positioned) > 1)
    names = []
    for name, variable in ds.data_vars.items():
        dims = _squeezed(variable, positioned).dims
        if set(positioned) <= set(map(str, dims)) and len(dims) <= most:
            names.append(name)
    return ds[names]


def _squeezed(variable: xr.DataArray, dims: Any) -> xr.DataArray:
    """Without coordinates and without dimensions of length one outside `dims`."""
    single = [dim for dim in variable.dims if dim not in dims and variable.sizes[dim] == 1]
    return variable.reset_coords(drop=True).squeeze(single, drop=True)


def _time(ds: xr.Dataset, dims: tuple[str, ...], path: Path, options: Options) -> tuple[xr.DataArray, str]:
    """(datetime64[ns] along some of `dims`, note): the file's own, else one for all by option, attribute or name."""
    time = find_time(ds, dims)
    if time is not None and options.time is not None and time.size == 1 and not is_readable(time):
        time = None  # what it counts nobody knows
    if time is not None and options.time is not None:
        raise SchemaError(f"{path.name!r} has a time ({time.name}) of its own; leave out --time")
    if time is not None:
        values = decode_time(time, options.time_units, path.name).reshape(time.shape)
        return _squeezed(xr.DataArray(values, dims=time.dims), dims), ""
    if len(dims) == 1 and options.time is None:
        raise SchemaError(f"{path.name!r} has no time along {dims[0]!r}; observations need one each, or one --time")
    moment, note = single_time(ds, path, options.time)
    return xr.DataArray(moment), note


def _seconds(ds: xr.Dataset, dims: tuple[str, ...], product: Product, path: Path) -> xr.DataArray | None:
    if product.seconds_after not in ds.data_vars:
        return None
    seconds = _squeezed(ds[product.seconds_after], dims)
    if not set(seconds.dims) <= set(dims) or seconds.dtype.kind not in "fiu":
        return None
    units = str(seconds.attrs.get("units", "seconds")).lower()
    if units not in ("s", "sec", "second", "seconds"):
        raise UnitsError(
            f"{product.seconds_after!r} of {path.name!r} has units {units!r} where seconds are wanted; correct the file"
        )
    return seconds


def _regions(sizes: dict[str, int]) -> Iterator[Region]:
    """The blocks of `block_lengths`, one after the other."""
    lengths = block_lengths(sizes)
    for corner in np.ndindex(*(-(-size // lengths[dim]) for dim, size in sizes.items())):
        yield {
            dim: slice(place * lengths[dim], min((place + 1) * lengths[dim], size))
            for place, (dim, size) in zip(corner, sizes.items(), strict=True)
        }


def _block(pixels: Pixels, region: Region, product: Product, options: Options, name: str) -> Points:
    """The points of one region, every array brought to its shape."""
    shape = tuple(part.stop - part.start for part in region.values())

    def cut(variable: xr.DataArray) -> Any:
        variable = _squeezed(variable, pixels.dims)
        part = variable.isel({dim: region[str(dim)] for dim in variable.dims}).variable
        absent = [dim for dim in pixels.dims if dim not in part.dims]
        return part.set_dims([*absent, *part.dims]).transpose(*pixels.dims).data

    ds = pixels.ds.isel({dim: part for dim, part in region.items() if dim in pixels.ds.dims})
    flags = () if options.keep_flagged else product.flags
    lazy = {
        "values": [cut(pixels.ds[reading.variable]) for reading in pixels.readings],
        "checks": [judge(ds, flags, reading.variable, pixels.dims) for reading in pixels.readings],
        "errors": {channel: cut(error) for channel, error in pixels.errors.items()},
        "positions": [cut(pixels.longitude), cut(pixels.latitude)],
        "seconds": [] if pixels.seconds is None else [cut(pixels.seconds)],
        "nadir": [cut(pixels.ds[NADIR])] if NADIR in pixels.ds else [],
    }
    (held,) = dask.base.compute(lazy, scheduler="synchronous")
    full = {key: _full(value, shape) for key, value in held.items()}
    time = np.broadcast_to(cut(pixels.time), shape).ravel()
    for seconds in full["seconds"]:
        known = abs(seconds) < MOST_SECONDS
        after = np.where(known, seconds, 0.0).astype(np.float64) * 1e9
        time = np.where(known, time + after.round().astype("timedelta64[ns]"), np.datetime64("NaT", "ns"))
    return screened(
        list(zip(pixels.readings, full["values"], strict=True)),
        time,
        *full["positions"],
        source_name=[name, f"{name} nadir"] if full["nadir"] else [name],
        source=full["nadir"][0].astype(np.int16) if full["nadir"] else None,
        checks={reading.channel.name: checks for reading, checks in zip(pixels.readings, full["checks"], strict=True)},
        errors=full["errors"],
    )


def _full(held: Any, shape: tuple[int, ...]) -> Any:
    """Arrays in nested lists and mappings, broadcast to `shape` and flattened."""
    if isinstance(held, dict):
        return {key: _full(value, shape) for key, value in held.items()}
    if isinstance(held, (list, tuple)):
        return type(held)(_full(value, shape) for value in held)
    return np.broadcast_to(held, shape).ravel() if isinstance(held, np.ndarray) else held
