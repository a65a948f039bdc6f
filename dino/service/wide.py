"""Forecasts of areas larger than memory, chunk by chunk: each by the tiles that reach it, from the maps below them.

A tile knows nothing of other tiles but where they are blended. A chunk's forecast is therefore the same to rounding as
that part of a forecast of everything, and a hundred chunks take the memory of one.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr

from data_pipeline.system.atomic import writing_folder

from ..config import Box
from ..data.observations import SAME_MOMENT_DAYS, datetime_of, day_of, days_since_epoch
from ..errors import EmptyDataError, ObservationError
from ..forecaster import Forecaster
from ..forecasts.output import refuse_other
from ..inference.maps import is_maps
from ..model import Ocean
from ..space.boxes import points_in
from ..space.domain import Region

CHUNK_DEGREES = 30.0


def fits_chunks(maps: xr.Dataset, at: xr.Dataset) -> bool:
    """Whether the input are maps on axes, and the target a grid of axes."""
    target = [at[name] for name in ("longitude", "latitude")]
    gridded = all(axis.ndim == 1 for axis in target) and target[0].dims != target[1].dims
    return gridded and is_maps(maps) and maps["longitude"].ndim == 1


def last_map(maps: xr.Dataset, time: np.datetime64 | None) -> float:
    """The day of the last map up to `time` [days since 1950-01-01]; EmptyDataError when there is none."""
    days = np.sort(days_since_epoch(maps["time"].values))
    known = days if time is None else days[days <= day_of(time) + SAME_MOMENT_DAYS]
    if not len(known):
        raise EmptyDataError(f"no map lies before {time}; the first is of {datetime_of(days[0])!s:.16}")
    return float(known[-1])


@dataclass(frozen=True)
class Chunk:
    """Rows and columns of the target grid, and the box around their cells."""

    rows: slice
    columns: slice
    box: Box


def chunks_of(longitude: np.ndarray, latitude: np.ndarray, degrees: float = CHUNK_DEGREES) -> Iterator[Chunk]:
    """A grid of ascending axes cut into chunks of about `degrees`; boxes reach to the next cells outside."""
    margin = [float(np.diff(axis).max()) if len(axis) > 1 else 0.5 for axis in (longitude, latitude)]
    for rows in _cuts(latitude, degrees):
        for columns in _cuts(longitude, degrees):
            west, east = longitude[columns][[0, -1]] + np.array([-1, 1]) * margin[0]
            south, north = latitude[rows][[0, -1]] + np.array([-1, 1]) * margin[1]
            yield Chunk(rows, columns, (float(west), float(east), float(south), float(north)))


def _cuts(axis: np.ndarray, degrees: float) -> list[slice]:
    edges = np.searchsorted(axis, np.arange(axis[0] + degrees, axis[-1], degrees))
    ends = [0, *dict.fromkeys(int(e) for e in edges if 0 < e < len(axis)), len(axis)]
    return [slice(*pair) for pair in itertools.pairwise(ends)]


def forecast_chunks(
    forecaster: Forecaster,
    maps: xr.Dataset,
    times: np.ndarray,
    at: xr.Dataset,
    *,
    time: np.datetime64 | None = None,
    spread: bool = True,
    beyond: bool = False,
    degrees: float = CHUNK_DEGREES,
) -> Iterator[tuple[Chunk, xr.Dataset]]:
    """Forecasts from lazy maps of the chunks of a grid that tiles reach; see `Forecaster.forecast` for the arguments.

    `at` has ascending axes. Raises ObservationError when the input is no maps on axes, or `at` no grid of axes, and
    EmptyDataError when no tile reaches the grid.
    """
    longitude, latitude = at["longitude"].values, at["latitude"].values
    if not fits_chunks(maps, at):
        raise ObservationError("chunks are forecast from maps on axes to a grid of axes; give a field store and a grid")
    if any((np.diff(axis) <= 0).any() for axis in (longitude, latitude)):
        raise ObservationError("the axes of a grid that is forecast in chunks must ascend; sort it first")
    found = False
    for chunk in chunks_of(longitude, latitude, degrees):
        part = forecaster.ocean.within(chunk.box)
        if part is None:
            continue
        below = _below(maps, part)
        local = xr.Dataset(coords={"latitude": at["latitude"][chunk.rows], "longitude": at["longitude"][chunk.columns]})
        here = forecaster.over(part)
        inside = points_in(*np.meshgrid(local["longitude"], local["latitude"]), [_extent(c) for c in part.cover.charts])
        if not inside.any():
            continue
        found = True
        yield chunk, here.forecast(here.analyse(below, time), times, local, spread=spread, beyond=beyond)
    if not found:
        raise EmptyDataError("none of the model's tiles reaches the grid; relocate the run to that sea first")


def _below(maps: xr.Dataset, ocean: Ocean) -> xr.Dataset:
    """The cells of maps that lie below an ocean's tiles, as rows and columns; what is read of the store is no more."""
    longitude, latitude = maps["longitude"].values, maps["latitude"].values
    rows, columns = np.zeros(len(latitude), bool), np.zeros(len(longitude), bool)
    for chart in ocean.cover.charts:
        assert isinstance(chart, Region)
        columns |= chart.contains(longitude, np.full(len(longitude), chart.latitude))
        rows |= chart.contains(np.full(len(latitude), chart.longitude), latitude)
    return maps.isel(latitude=rows, longitude=columns)


def _extent(chart: object) -> Box:
    assert isinstance(chart, Region)
    wide, high = chart.extent_degrees
    return chart.longitude - wide, chart.longitude + wide, chart.latitude - high, chart.latitude + high


def write_chunks(
    path: Path, parts: Iterator[tuple[Chunk, xr.Dataset]], at: xr.Dataset, overwrite: bool = False
) -> None:
    """Write the forecasts of chunks to a zarr store that appears whole or not at all; missing where no tile reaches.

    Raises StoreError for what `refuse_other` does not let be replaced.
    """
    with writing_folder(path, lambda taken: refuse_other(taken, overwrite)) as partial:
        begun = False
        for chunk, forecast in parts:
            if not begun:
                _template(forecast, at, chunk).to_zarr(
                    partial, mode="w", compute=False, consolidated=False, zarr_format=3
                )
                begun = True
            here = forecast.drop_vars([name for name in forecast.variables if forecast[name].ndim < 3])
            region = {"time": slice(0, here.sizes["time"]), "latitude": chunk.rows, "longitude": chunk.columns}
            here.to_zarr(partial, region=region, consolidated=False, zarr_format=3)


def _template(forecast: xr.Dataset, at: xr.Dataset, chunk: Chunk) -> xr.Dataset:
    """The whole forecast without its values: metadata alone are written, and what is never written reads as missing."""
    shape = {"time": forecast.sizes["time"], "latitude": at.sizes["latitude"], "longitude": at.sizes["longitude"]}
    size = (1, chunk.rows.stop - chunk.rows.start, chunk.columns.stop - chunk.columns.start)
    empty = dask.array.full(tuple(shape.values()), np.nan, dtype=np.float32, chunks=size)
    fields = {name: (tuple(shape), empty, forecast[name].attrs) for name in forecast.data_vars}
    coords = {name: (name, at[name].values, forecast[name].attrs) for name in ("latitude", "longitude")}
    times = {name: forecast[name] for name in ("time", "forecast_reference_time")}
    made = xr.Dataset(fields, {**times, **coords}, forecast.attrs)
    for name in made.data_vars:
        made[name].encoding["fill_value"] = np.nan
    return made
