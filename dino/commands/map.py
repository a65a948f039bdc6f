"""`dino map`."""

from pathlib import Path
from typing import Annotated, get_args

import numpy as np
import typer
import xarray as xr

from data_pipeline.layout.moments import moment
from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import reported

from ..data.observations import Observations, day_of, days_since_epoch
from ..errors import ConfigError
from ..evaluation.mapped import SOURCES, Method, mapped, mapped_along
from ..forecaster import Forecaster
from ..forecasts.output import refuse_other, target_points, told_of
from .common import Device, Model, Overrides, Threads, console, use_device, use_threads
from .derived import Currents
from .forecast import target_asked, write_forecast
from .outlook import box_around, grid_of
from .reading import inside, loaded, merged_observations, prepared
from .sea import box_of

MOST_TIMES = 10_000


def map(
    model: Model,
    observations: Annotated[
        list[str], typer.Argument(help="Stores or archives, or files of products (patterns in quotes).")
    ],
    out: Annotated[Path, typer.Option("--out", help="Analyses to write: .zarr or .nc.")],
    times: Annotated[
        str | None, typer.Option(help="Times, as 2022-01-03,2022-01-05 or first/last/days; that of the last one seen.")
    ] = None,
    grid: Annotated[str | None, typer.Option(help="west,east,south,north,step in degrees.")] = None,
    at: Annotated[
        Path | None, typer.Option(help="Table of places; or a store of observations: at their places and times.")
    ] = None,
    method: Annotated[str, typer.Option(help=f"One of {', '.join(get_args(Method))}.")] = "dino",
    area: Annotated[str | None, typer.Option(help="west,east,south,north in degrees: what is used of the record.")] = (
        None
    ),
    window: Annotated[float | None, typer.Option(help="Days of observations around a time; the run's.")] = None,
    relocate: Annotated[bool, typer.Option("--relocate", help="Lay the model over the sea of the record.")] = False,
    adapt: Annotated[
        bool | None,
        typer.Option("--adapt/--no-adapt", help="Fit statistics and errors to the record; only when it is laid."),
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder where files are kept as read; the user's cache.")] = None,
    currents: Currents = False,
    seed: Annotated[int, typer.Option(help="Seed of what interpolation is fitted to.")] = 0,
    device: Device = "cpu",
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the output where there is one.")] = False,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
) -> None:
    """Analyse past times on a grid or along tracks, with standard deviations.

    Example: dino map runs/mediterranean stores/tracks.zarr --times 2014-05-20/2014-05-30/1 --grid 0,20,35,44,0.1 --out
    maps.nc
    """
    chosen = _method(method)
    if window is not None and not window > 0:
        raise ConfigError(f"--window {window} is no length; give days above zero")
    if out.suffix not in (".zarr", ".nc"):
        raise ConfigError(f"--out {out} must end in .zarr or .nc")
    refuse_other(out, overwrite)
    use_device(device)
    forecaster = loaded(model, overrides, device)
    record = inside(merged_observations(observations, forecaster.ocean.names, cache), area)
    use_threads(threads)
    forecaster = prepared(forecaster, area, relocate, adapt, seed)(record)
    length = window or forecaster.assimilation.window_days
    track = _track(at)
    with reported("mapping") as report:
        if track is not None:
            if currents or times is not None:
                raise ConfigError("points of a store have times of their own, and no currents; leave --times out")
            made = _along(forecaster, record, track, chosen, length, report, seed)
        else:
            days = _times(times, float(record.time[-1]))
            target = target_asked(at, grid, xr.Dataset(coords={"obs": [0]}))
            if target is None:
                ocean = forecaster.ocean
                target = grid_of(ocean, box_around(ocean) if area is None else box_of(area))
            target = target_points(target)
            made = mapped(forecaster, record, days, target, chosen, length, report, currents=currents, seed=seed)
    if chosen == "dino":  # of interpolation no model has a part
        made.attrs |= told_of(forecaster.latent)
    write_forecast(made, out, overwrite)
    console().print(f"wrote {out}: {', '.join(f'{n} {d}' for d, n in made.sizes.items())}, {SOURCES[chosen]}")


def _method(name: str) -> Method:
    for known in get_args(Method):
        if name == known:
            return known
    raise ConfigError(f"--method {name!r} is none; choose one of {', '.join(get_args(Method))}")


def _track(at: Path | None) -> xr.Dataset | None:
    """A store of observations, whose points have times; None for a table or a store of maps."""
    if at is None or at.is_file() or not at.exists():
        return None
    store = open_store(at, blocks=False)
    return store[["time", "longitude", "latitude"]].load() if "obs" in store.dims else None


def _along(
    forecaster: Forecaster, record: Observations, track: xr.Dataset, method: Method, window: float, report, seed: int
) -> xr.Dataset:
    """A CF dataset over `obs` of analyses at the points of a track that the record spans."""
    time = days_since_epoch(track["time"].values)
    keep = np.flatnonzero((time >= record.time[0]) & (time <= record.time[-1]))
    if not len(keep):
        raise ConfigError(f"no point of the track lies in the record: {record.span()}; give points inside it")
    track, time = track.isel(obs=keep), time[keep]
    east, north = (np.asarray(track[name].values, np.float64) for name in ("longitude", "latitude"))
    mean, spread = mapped_along(forecaster, record, time, east, north, method, window, report, seed=seed)
    made = xr.Dataset(coords={name: track[name] for name in ("time", "longitude", "latitude")})
    for index, channel in enumerate(forecaster.ocean.channels):
        attributes = {"units": channel.units, "long_name": channel.long_name or channel.name}
        error = {"units": channel.units, "long_name": f"standard deviation of the error of {channel.name}"}
        if channel.standard_name:
            attributes["standard_name"] = channel.standard_name
            error["standard_name"] = f"{channel.standard_name} standard_error"
        made[channel.name] = "obs", mean[:, index].astype(np.float32), attributes
        made[f"{channel.name}_std"] = "obs", spread[:, index].astype(np.float32), error
    for name in made.variables:
        made[name].encoding.clear()
    made.attrs = {"Conventions": "CF-1.11", "title": "dino forecast", "source": SOURCES[method]}
    return made


def _times(wanted: str | None, last: float) -> np.ndarray:
    """Days since 1950-01-01 of a list of moments, or of first/last/days; the last observation's without."""
    if wanted is None:
        return np.array([last])
    parts = wanted.split("/")
    if len(parts) == 1:
        return np.unique([day_of(moment(part, "--times")) for part in wanted.split(",")])
    try:
        first, until = (day_of(moment(part, "--times")) for part in parts[:2])
        step = float(parts[2])
    except (ValueError, IndexError) as error:
        raise ConfigError(f"--times {wanted} is not first/last/days; give 2022-01-01/2022-01-07/1") from error
    count = (until - first) / step + 1 if step > 0 else 0
    if not 1 <= count <= MOST_TIMES:
        raise ConfigError(f"--times {wanted} are {max(count, 0):.0f} times; give 1 to {MOST_TIMES}, first before last")
    return first + step * np.arange(int(count + 1e-9))
