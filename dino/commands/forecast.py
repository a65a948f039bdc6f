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
from data_pipeline.system.settings import refuse_existing

from ..data.observations import datetime_of
from ..errors import ConfigError
from ..forecaster import Forecaster
from ..forecasts.horizon import HorizonWarning, check_horizon, told_horizon
from ..forecasts.output import refuse_other
from ..forecasts.places import TABLES, read_places, without_value
from ..inference.analysis import Analysis
from ..model.checkpoint import load_model, load_run_config
from ..model.named import find_model
from ..service.cycle import advancing
from .common import AsOf, Device, Model, Overrides, Threads, console, one_trajectory, use_device, use_threads
from .derived import Currents, Members, derived
from .opening import described, opened
from .outlook import Outlook
from .sea import Sea, adapted, box_of, laid

LONGEST_LEAD_DAYS = 36525
LARGEST_GRID = 1e8
WIDE_DEGREES = 60.0  # twice the size of the chunks that a grid is then forecast in


def forecast(
    model: Model,
    files: Annotated[
        list[str], typer.Argument(help="A store or archive, or files of products (patterns in quotes) to start from.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Forecast to write: .zarr or .nc.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Page to draw: maps, their spread, series at places.")] = None,
    at: Annotated[
        Path | None,
        typer.Option(help="Table with columns longitude,latitude, others are kept; or a store for its places."),
    ] = None,
    grid: Annotated[str | None, typer.Option(help="west,east,south,north,step in degrees.")] = None,
    leads: Annotated[str, typer.Option(help="Lead times in days.")] = "1,3,5,7,10",
    time: Annotated[str | None, typer.Option(help="Analysis time; the last observation's when absent.")] = None,
    area: Annotated[
        str | None, typer.Option(help="west,east,south,north in degrees: the sea that the model is laid over.")
    ] = None,
    tile_degrees: Annotated[
        float | None, typer.Option(help="Size of the tiles it is laid with; 8, in an enclosed sea 4, when absent.")
    ] = None,
    adapt: Annotated[
        bool | None,
        typer.Option("--adapt/--no-adapt", help="Fit statistics and errors to the observations; only when it is laid."),
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder where files are kept as read; the user's cache.")] = None,
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
    """Forecast with standard deviations, by a run or by a shipped model (`dino models`).

    A shipped model is laid over the sea of the observations and adapted to them. Without --at or --grid a few places
    are printed, and --out holds a grid.

    Example: dino forecast sea-level "tracks/*.nc" --area=-74,-46,32,44 --figure week.png --out week.nc

    Example: dino forecast runs/mediterranean stores/tracks.zarr --grid 0,20,35,44,0.1 --leads 1,5,10 --out next.nc
    """
    run = find_model(model)
    config = load_run_config(run, overrides)
    _refuse_outputs(out, figure, overwrite)
    use_device(device)
    forecaster = Forecaster(*load_model(run, device), config.assimilation)
    dataset = one_trajectory(opened(files, as_of, cache), trajectory)
    days, start = _days(leads), None if time is None else moment(time, "--time")
    if cycle is not None and (days < 0).any():
        raise ConfigError(f"--leads {leads} lie before the analysis, of which a cycle keeps the end; leave --cycle out")
    target = target_asked(at, grid, dataset)
    box = None if area is None else box_of(area)
    anew = box is not None or not forecaster.ocean.charts
    if cycle is not None and (anew or adapt):
        raise ConfigError(
            f"a cycle goes on with one run, and {model} would be laid or adapted anew each time; make a run by `dino "
            "relocate` or `dino transfer` first"
        )
    if tile_degrees is not None and not anew:
        raise ConfigError(f"--tile-degrees is for a model that is laid, and {model} lies over its sea; give --area too")
    use_threads(threads)
    sea = Sea(forecaster, dataset, box)
    if anew:
        sea = laid(sea, tile_degrees, start)
    if "obs" in dataset.dims and (anew if adapt is None else adapt):
        sea = adapted(sea, start)
    for line in sea.lines:
        console().print(line, highlight=False, markup=False)
    extra = currents or members is not None
    if figure is None and cycle is None and _in_chunks(sea, target, out, days, start, beyond, overwrite, extra):
        return
    outlook = Outlook(sea, days, target, figure, described(files))
    if cycle is None:
        source: AbstractContextManager[Analysis] = nullcontext(
            sea.forecaster.analyse(sea.dataset, start, smooth=outlook.wants_past)
        )
    else:
        source = advancing(sea.forecaster, run, dataset, start, cycle)
    with source as analysis:  # a cycle's state is written when the forecast is
        with _horizon_told(sea.forecaster, days + analysis.time - analysis.observed_until, beyond):
            made = outlook.forecast(analysis, out is not None)
            made = derived(made, sea.forecaster, analysis, analysis.time + days, currents, members, config.seed)
        if target is not None:
            for line in without_value(made, sea.forecaster.ocean.names, sea.forecaster.ocean.cover):
                typer.echo(f"warning: {line}", err=True)
        if out is not None:
            write_forecast(made, out, overwrite)
        outlook.draw(analysis)
    _summarise(outlook, made, analysis, out)


def _summarise(outlook: Outlook, made: xr.Dataset, analysis: Analysis, out: Path | None) -> None:
    screen = console()
    for line in analysis.quality.lines() if analysis.maps is None else ():
        screen.print(line, markup=False)
    for shown in outlook.tables(analysis, made):
        screen.print(shown)
    if out is not None:
        sizes = ", ".join(f"{n} {d}" for d, n in made.sizes.items())
        screen.print(f"wrote {out}: {sizes} from {datetime_of(analysis.time)!s:.16}")
    if outlook.figure is not None:
        screen.print(f"wrote {outlook.figure}")
    if credit := made.attrs.get("credit"):
        screen.print(credit, highlight=False, markup=False)


def _refuse_outputs(out: Path | None, figure: Path | None, overwrite: bool) -> None:
    """Refuse what cannot be written before the work is done."""
    if out is not None:
        if out.suffix not in (".zarr", ".nc"):
            raise ConfigError(f"--out {out} must end in .zarr or .nc")
        refuse_other(out, overwrite)
    if figure is not None:
        if figure.suffix not in (".png", ".pdf", ".svg"):
            raise ConfigError(f"--figure {figure} must end in .png, .pdf or .svg")
        refuse_existing(figure, overwrite, "--figure")


def _in_chunks(
    sea: Sea, target: xr.Dataset | None, out: Path | None, days: np.ndarray, start: np.datetime64 | None, beyond: bool,
    overwrite: bool, extra: bool,
) -> bool:  # fmt: skip
    """Whether a forecast from maps was so wide that it was made and written chunk by chunk, without anything extra."""
    if out is None or target is None or out.suffix != ".zarr":
        return False
    if not (sea.forecaster.ocean.cover.tiled and _is_wide(target)):
        return False
    from ..service import wide  # with dask

    if not wide.fits_chunks(sea.dataset, target):
        return False
    if extra:
        raise ConfigError(
            f"--currents and --members want a grid of {WIDE_DEGREES:g} degrees at most; give a smaller --grid"
        )
    last = wide.last_map(sea.dataset, start)
    times = datetime_of(last + days)
    with _horizon_told(sea.forecaster, days, beyond):
        parts = wide.forecast_chunks(sea.forecaster, sea.dataset, times, target, time=start, beyond=True)
        wide.write_chunks(out, parts, target, overwrite)
    console().print(f"wrote {out}: in chunks of {wide.CHUNK_DEGREES:g} degrees from {datetime_of(last)!s:.16}")
    return True


def write_forecast(made: xr.Dataset, out: Path, overwrite: bool) -> None:
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


def target_asked(at: Path | None, grid: str | None, dataset: xr.Dataset) -> xr.Dataset | None:
    """The places or the grid that are asked for, the maps' own without either; None for the program to choose."""
    if at is not None and grid is not None:
        raise ConfigError("give either --at (a CSV of points or a store) or --grid west,east,south,north,step")
    if at is None and grid is None:
        if "obs" in dataset.dims:
            return None
        return xr.Dataset(coords={name: dataset[name] for name in ("latitude", "longitude")})
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
