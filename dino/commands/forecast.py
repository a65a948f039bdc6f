"""`dino forecast`."""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import xarray as xr

from data_pipeline.layout.moments import moment
from data_pipeline.stores.writing import open_store
from data_pipeline.system.atomic import writing_file, writing_folder

from ..data.observations import datetime_of
from ..errors import ConfigError
from ..forecaster import Forecaster
from ..forecasts.horizon import HorizonWarning, check_horizon, told_horizon
from ..forecasts.output import refuse_other
from ..forecasts.places import TABLES, read_places, without_value
from ..inference.analysis import Analysis
from ..model.checkpoint import load_model, load_run_config
from ..service.cycle import advancing
from .common import AsOf, Device, Overrides, RunFolder, Threads, console, one_trajectory, use_device, use_threads
from .derived import Currents, Members, derived

LONGEST_LEAD_DAYS = 36525
LARGEST_GRID = 1e8
WIDE_DEGREES = 60.0  # twice the size of the chunks that a grid is then forecast in


def forecast(
    run: RunFolder,
    observations: Annotated[Path, typer.Argument(help="Store of observations or maps to start from.")],
    out: Annotated[Path, typer.Option("--out", help="Forecast to write: .zarr or .nc.")],
    at: Annotated[
        Path | None,
        typer.Option(help="Table with columns longitude,latitude, others are kept; or a store for its places."),
    ] = None,
    grid: Annotated[str | None, typer.Option(help="west,east,south,north,step in degrees.")] = None,
    leads: Annotated[str, typer.Option(help="Lead times in days.")] = "1,3,5,7,10",
    time: Annotated[str | None, typer.Option(help="Analysis time; the last observation's when absent.")] = None,
    trajectory: Annotated[int, typer.Option(help="Which trajectory of a simulated store.")] = 0,
    as_of: AsOf = None,
    cycle: Annotated[
        Path | None, typer.Option(help="Folder of a daily cycle's state: updated with what is new, made at first.")
    ] = None,
    beyond: Annotated[
        bool, typer.Option("--beyond", help="Allow leads far beyond those that the model was scored at.")
    ] = False,
    currents: Currents = False,
    members: Members = None,
    device: Device = "cpu",
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the output where there is one.")] = False,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
) -> None:
    """Forecast with standard deviations at points or on a grid.

    Example: dino forecast runs/mediterranean stores/tracks.zarr --grid 0,20,35,44,0.1 --leads 1,5,10 --out next.nc
    """
    config = load_run_config(run, overrides)
    if out.suffix not in (".zarr", ".nc"):
        raise ConfigError(f"--out {out} must end in .zarr or .nc")
    refuse_other(out, overwrite)
    use_device(device)
    forecaster = Forecaster(*load_model(run, device), config.assimilation)
    dataset = one_trajectory(open_store(observations, as_of=as_of, blocks=False), trajectory)
    days, start = _days(leads), None if time is None else moment(time, "--time")
    if cycle is not None and (days < 0).any():
        raise ConfigError(f"--leads {leads} lie before the analysis, of which a cycle keeps the end; leave --cycle out")
    target = _target(at, grid, dataset)
    use_threads(threads)
    if forecaster.ocean.cover.tiled and out.suffix == ".zarr" and cycle is None and _is_wide(target):
        from ..service import wide  # with dask

        if wide.fits_chunks(dataset, target):
            if currents or members is not None:
                raise ConfigError("--currents and --members want a grid of 60 degrees at most; give a smaller --grid")
            last = wide.last_map(dataset, start)
            times = datetime_of(last + days)
            with _horizon_told(forecaster, days, beyond):
                parts = wide.forecast_chunks(forecaster, dataset, times, target, time=start, beyond=True)
                wide.write_chunks(out, parts, target, overwrite)
            size = wide.CHUNK_DEGREES
            console().print(f"wrote {out}: in chunks of {size:g} degrees from {datetime_of(last)!s:.16}")
            return
    if cycle is None:
        source: AbstractContextManager[Analysis] = nullcontext(
            forecaster.analyse(dataset, start, smooth=bool((days < 0).any()))
        )
    else:
        source = advancing(forecaster, run, dataset, start, cycle)
    with source as analysis:  # a cycle's state is written when the forecast is
        with _horizon_told(forecaster, days + analysis.time - analysis.observed_until, beyond):
            made = forecaster.forecast(analysis, datetime_of(analysis.time + days), target, beyond=True)
            made = derived(made, forecaster, analysis, analysis.time + days, currents, members, config.seed)
        for line in without_value(made, forecaster.ocean.names, forecaster.ocean.cover):
            typer.echo(f"warning: {line}", err=True)
        if analysis.maps is None:
            made.attrs |= analysis.quality.attributes()
        if "dino_commit" in dataset.attrs:
            made.attrs["observations_as_of_commit"] = dataset.attrs["dino_commit"]
        _written(made, out, overwrite)
    for line in analysis.quality.lines() if analysis.maps is None else ():
        console().print(line, markup=False)
    console().print(
        f"wrote {out}: {', '.join(f'{n} {d}' for d, n in made.sizes.items())} from {datetime_of(analysis.time)!s:.16}"
    )


def _written(made: xr.Dataset, out: Path, overwrite: bool) -> None:
    """Write a forecast, whole or not at all."""
    if out.suffix == ".nc":
        with writing_file(out) as partial:
            made.to_netcdf(partial)
    else:
        with writing_folder(out, lambda taken: refuse_other(taken, overwrite)) as partial:
            made.to_zarr(partial, mode="w", consolidated=False, zarr_format=3)


@contextmanager
def _horizon_told(forecaster: Forecaster, days: np.ndarray, beyond: bool) -> Iterator[None]:
    """Tell of leads beyond those that the model was scored at, once for all calls inside; refuse them far beyond."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HorizonWarning)
        check_horizon(forecaster.latent, days, beyond)
        yield
    # When all has gone well: a refusal is one line.
    if said := told_horizon(forecaster.latent, days):
        typer.echo(f"warning: {said}", err=True)


def _is_wide(target: xr.Dataset) -> bool:
    """Whether a grid is so large that it is forecast in chunks."""
    return any(np.ptp(target[name].values) > WIDE_DEGREES for name in ("longitude", "latitude"))


def _days(leads: str) -> np.ndarray:
    """Lead times in days; beyond a lifetime they are a slip of the keyboard, and beyond 292 years no datetime64."""
    try:
        days = np.array([float(lead) for lead in leads.split(",")])
    except ValueError as error:
        raise ConfigError(f"--leads {leads!r} is no list of days; give one such as 1,3,5") from error
    if not (np.abs(days) < LONGEST_LEAD_DAYS).all():
        raise ConfigError(f"--leads {leads} holds a time beyond {LONGEST_LEAD_DAYS} days; give a list such as 1,3,5")
    return days


def _target(at: Path | None, grid: str | None, dataset: xr.Dataset) -> xr.Dataset:
    if (at is None) == (grid is None):
        if at is None and "obs" not in dataset.dims:
            return xr.Dataset(coords={name: dataset[name] for name in ("latitude", "longitude")})
        raise ConfigError("give either --at (a CSV of points or a store) or --grid west,east,south,north,step")
    if grid is not None:
        try:
            west, east, south, north, step = (float(part) for part in grid.split(","))
        except ValueError as error:
            raise ConfigError(f"--grid {grid} is not west,east,south,north,step in degrees") from error
        if not (east > west and north > south and step > 0):
            raise ConfigError(f"--grid {grid} is empty; west < east, south < north and step > 0 are wanted")
        count = ((east - west) / step + 1) * ((north - south) / step + 1)
        if not count < LARGEST_GRID:
            raise ConfigError(
                f"--grid {grid} has more than {LARGEST_GRID:g} points; give a larger step or a smaller area"
            )
        axes = {
            "latitude": np.arange(south, north + step / 2, step),
            "longitude": np.arange(west, east + step / 2, step),
        }
        return xr.Dataset(coords=axes)
    assert at is not None
    if at.suffix.lower() in TABLES and not at.is_dir():
        return read_places(at)
    store = open_store(at, blocks=False)
    return xr.Dataset(coords={name: store[name] for name in ("latitude", "longitude")})
