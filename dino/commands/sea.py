"""A model laid over the sea of a user's observations and adapted to them, as `forecast` does with a shipped one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import typer
import xarray as xr

from data_pipeline.layout.datasets import index_by_day
from data_pipeline.stores.stream import read_window
from data_pipeline.system.progress import reported

from ..config import Box, SourceErrors, StoreConfig
from ..data.observations import Observations, datetime_of, day_of
from ..data.overflights import View, overflights
from ..errors import ConfigError, EmptyDataError
from ..evaluation.report import display_units
from ..forecaster import Forecaster
from ..model.laying import POOLED, entered_as
from ..space.boxes import points_in
from ..transfer.evidence import adapt

RECENT_DAYS = 60  # of a record, by which a model is laid


@dataclass(frozen=True)
class Sea:
    """A forecaster over a sea, the dataset it starts from, the area that is asked for, and lines that tell of it."""

    forecaster: Forecaster
    dataset: xr.Dataset
    box: Box | None = None
    lines: tuple[str, ...] = ()


def box_of(area: str) -> Box:
    """`west,east,south,north` in degrees; `ConfigError` for what is none."""
    try:
        west, east, south, north = (float(part) for part in area.split(","))
    except ValueError as error:
        raise ConfigError(f"--area {area} is not west,east,south,north in degrees") from error
    if east < west:  # across 180 degrees
        east += 360.0
    if not (west < east <= west + 360.0 and -90.0 <= south < north <= 90.0):
        raise ConfigError(f"--area {area} is empty; west < east and south < north within -90..90 are wanted")
    return west, east, south, north


def within(dataset: xr.Dataset, box: Box) -> xr.Dataset:
    """The observations of a box; `EmptyDataError` when there is none."""
    inside = points_in(dataset["longitude"].values, dataset["latitude"].values, [box])
    if not inside.any():
        raise EmptyDataError(
            f"none of {inside.size} observations lies in {box[0]:g} to {box[1]:g} E, {box[2]:g} to {box[3]:g} N; give "
            "another --area or other files"
        )
    return index_by_day(dataset.isel(obs=np.flatnonzero(inside)))


def laid(sea: Sea, tile_degrees: float | None = None, time: Any = None) -> Sea:
    """The model over the sea of its observations or maps; nothing later than `time` is looked at."""
    forecaster, dataset, box = sea.forecaster, sea.dataset, sea.box
    if "obs" not in dataset.dims:
        known = dataset if time is None else dataset.sel(time=slice(None, time))
        made = forecaster.over(known) if tile_degrees is None else forecaster.over(known, store=_tiles(tile_degrees))
        return Sea(made, dataset, box, (f"laid over the sea of the maps: {made.ocean.charts} tiles",))
    dataset = _recent(dataset, time)
    dataset = dataset.load() if box is None else within(dataset, box)
    source, names = entered_as(dataset, forecaster.ocean.names)
    seen = Observations.from_dataset(source, names)
    end = float(seen.time[-1]) if time is None else day_of(time)
    made = laid_over(forecaster, seen, names, tile_degrees, box, end)
    return Sea(made, dataset, box, tuple(_told(made, seen)))


def laid_over(
    forecaster: Forecaster,
    seen: Observations,
    names: Sequence[str],
    tile_degrees: float | None = None,
    box: Box | None = None,
    end: float | None = None,
) -> Forecaster:
    """The model over the sea of observations, where there are some, with a window that they fill up to `end`."""
    made = _observed(forecaster.over(seen, names=list(names), tile_degrees=tile_degrees, box=box), seen)
    return _windowed(made, (float(seen.time[-1]) if end is None else end) - float(seen.time[0]))


def _observed(made: Forecaster, seen: Observations) -> Forecaster:
    """Without the tiles that hold no observation, as those of a sea beside: nothing is known there."""
    held = np.unique(made.ocean.cover.pairs(seen.longitude, seen.latitude).chart)
    return made.over(replace(made.ocean, cover=made.ocean.cover.select(held.tolist())))


def _windowed(made: Forecaster, days: float) -> Forecaster:
    """A window no longer than the record: before it nothing is known but the population, which stays as it is."""
    settings, nodes = made.assimilation, made.assimilation.node_days
    length = min(settings.window_days, nodes * max(1.0, np.ceil(days / nodes - 1e-6)))
    return Forecaster(made.latent, made.ocean, settings.model_copy(update={"window_days": float(length)}))


def adapted(sea: Sea, time: Any = None) -> Sea:
    """The same with population, time scales and errors fitted to the observations that the analysis will use."""
    seen = Observations.from_dataset(_recent(sea.dataset, time), sea.forecaster.ocean.names)
    last = float(seen.time[-1])
    recent = seen.window(last - sea.forecaster.assimilation.window_days, last)
    try:
        with reported("adapting") as report:
            made = adapt(sea.forecaster, recent, progress=report)
    except EmptyDataError as error:
        typer.echo(f"warning: not adapted to the observations: {error}", err=True)
        return sea
    return Sea(made, sea.dataset, sea.box, (*sea.lines, _told_errors(made, recent)))


def _told_errors(made: Forecaster, seen: Observations) -> str:
    """What was fitted to observations, of the way of looking that most of them have, in the first channel's units."""
    view = View(int(np.bincount(overflights(seen).view).argmax())).name.lower()
    errors: SourceErrors = getattr(made.assimilation.errors, view)
    factor, units = display_units(made.ocean.units[0])
    white, along = (f"{factor * value:.2g} {units}" for value in (errors.white, errors.along))
    shared = f", along the track {along} over {errors.along_km:.0f} km" if errors.along else ""
    return f"adapted to {len(seen):,} observations ({view}): white error {white}{shared}; codes relax"


def _tiles(degrees: float) -> StoreConfig:
    return StoreConfig(path=Path("maps"), tile_degrees=degrees)


def _recent(dataset: xr.Dataset, time: Any) -> xr.Dataset:
    """Observations up to `time`, their last by default, of the `RECENT_DAYS` before: an archive holds years."""
    end = dataset["time"].values.max() if time is None else np.datetime64(time, "ns")
    return read_window(dataset, end - np.timedelta64(RECENT_DAYS, "D"), end + np.timedelta64(1, "ms"))


def _told(made: Forecaster, seen: Observations) -> list[str]:
    ocean = made.ocean
    _, count = np.unique(ocean.cover.pairs(seen.longitude, seen.latitude).chart, return_counts=True)
    size = np.max([chart.extent_degrees[1] for chart in ocean.cover.charts]) * 2  # type: ignore[union-attr]
    lines = [
        f"laid over {len(seen):,} observations of {', '.join(ocean.names)}, {datetime_of(seen.time[0])!s:.16} to "
        f"{datetime_of(seen.time[-1])!s:.16}: {ocean.charts} tiles of {size:g} degrees, {int((count >= POOLED).sum())} "
        f"tell their own amplitude"
    ]
    level = np.nanmean(ocean.background.values, axis=(1, 2))
    if (level != 0).any():
        lines.append(
            f"the mean field is one level estimated from these observations "
            f"({', '.join(f'{v:.3g} {u}' for v, u in zip(level, ocean.units, strict=True))}): no mean topography ships"
        )
    return lines
