"""dino-data inspect: what a store holds, in one screen and in figures."""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import xarray as xr
from rich.console import Console
from rich.table import Table

from data_pipeline.commands.options import Scheduler
from data_pipeline.figures import draw_store
from data_pipeline.inspection.coverage import longest_gap
from data_pipeline.inspection.summary import statistics
from data_pipeline.layout.checks import blocks, channel_names
from data_pipeline.layout.trajectories import PARAMETER, parameter_names
from data_pipeline.stores.writing import open_store
from data_pipeline.system.scheduler import computed, connected

_SHOWN = 12
_CHARACTERS = 240


def inspect(
    store: Annotated[Path, typer.Argument(help="The store to look into.")],
    figures: Annotated[Path | None, typer.Option(help="Folder to draw coverage and histograms to.")] = None,
    cell: Annotated[float | None, typer.Option(min=0.01, max=30, help="Side (degrees) of cells of coverage.")] = None,
    scheduler: Scheduler = None,
) -> None:
    """Show the dimensions, channels, time span, coverage, sources and history of a store.

    Example: dino-data inspect stores/tracks.zarr --figures figures/tracks
    """
    with connected(scheduler):
        _show(open_store(store), store, figures, cell)


def _show(ds: xr.Dataset, store: Path, figures: Path | None, cell: float | None) -> None:
    console = Console(soft_wrap=not Console().is_terminal)

    def tell(label: str, text: str) -> None:
        console.print(f"[bold]{label:<11}[/bold] ", end="", highlight=False)
        console.print(text, highlight=False, markup=False)

    for label, text in describe(ds, store):
        tell(label, text)
    numbers = statistics(ds)
    table = Table("channel", "units", "missing", "min", "mean", "max", "std")
    for name, of_channel in numbers.items():
        row = [f"{of_channel[key]:.4g}" for key in ("min", "mean", "max", "std")]
        table.add_row(name, str(ds[name].attrs.get("units", "")), f"{100 * (1 - of_channel['coverage']):.1f} %", *row)
    console.print(table)
    for label, lines in (("source", _sources(ds)), ("history", ds.attrs["history"].splitlines())):
        for line in lines[:_SHOWN]:
            tell(label, line if len(line) <= _CHARACTERS else f"{line[:_CHARACTERS]} ...")
        if len(lines) > _SHOWN:
            tell("", f"and {len(lines) - _SHOWN} more")
    if figures is not None:
        for path in draw_store(ds, figures, numbers, cell):
            tell("figure", str(path))


def describe(ds: xr.Dataset, store: Path) -> list[tuple[str, str]]:
    """(label, text) lines on layout, dimensions, time span, extent, gaps and sources."""
    if ds.attrs["dino_store"] == "trajectories":
        return _of_trajectories(ds, store)
    first, last = (_moment(ds["time"][end].values) for end in (0, -1))
    dims = dict.fromkeys((*ds[channel_names(ds)[0]].dims, *ds.sizes))
    lines = [
        ("store", f"{store} ({ds.attrs['dino_store']}, {ds.attrs['Conventions']})"),
        ("product", str(ds.attrs["product"])),
        ("dimensions", ", ".join(f"{dim} {ds.sizes[dim]}" for dim in dims)),
        ("time", f"{first} to {last}"),
    ]
    for name in ("longitude", "latitude"):
        low, high = computed((ds[name].min(), ds[name].max()))
        lines.append((name, f"{float(low):.4f} to {float(high):.4f}"))
    return lines + (_of_observations(ds) if ds.attrs["dino_store"] == "observations" else _of_maps(ds))


def _of_observations(ds: xr.Dataset) -> list[tuple[str, str]]:
    a_day = np.diff(ds["day_offset"].values)
    before, after = longest_gap(ds)
    numbers = np.zeros(ds.sizes["source_index"], np.int64)
    for start, stop in blocks(ds.sizes["obs"]):
        numbers += np.bincount(ds["source"].isel(obs=slice(start, stop)).values, minlength=numbers.size)
    named = [f"{name} ({number})" for name, number in zip(ds["source_name"].values, numbers, strict=True)]
    more = [f"and {len(named) - _SHOWN} more"] if len(named) > _SHOWN else []
    empty = f"{np.count_nonzero(a_day == 0)} of {a_day.size} days without any"
    return [
        ("a day", f"{a_day.min()} to {a_day.max()}, median {np.median(a_day):g}; {empty}"),
        ("longest gap", f"{_hours(after - before)}, from {_moment(before)} to {_moment(after)}"),
        ("points of", ", ".join(named[:_SHOWN] + more)),
    ]


def _of_trajectories(ds: xr.Dataset, store: Path) -> list[tuple[str, str]]:
    times = ds["time"].values
    lengths, periodic = np.atleast_1d(ds.attrs["lengths"]), np.atleast_1d(ds.attrs["periodic"])
    sides = [f"{length:g}{' periodic' * bool(wraps)}" for length, wraps in zip(lengths, periodic, strict=True)]
    lines = [
        ("store", f"{store} ({ds.attrs['dino_store']}, {ds.attrs['Conventions']})"),
        ("product", str(ds.attrs["product"])),
        ("dimensions", ", ".join(f"{dim} {size}" for dim, size in ds.sizes.items())),
        ("time", f"{times[0]:g} to {times[-1]:g} in the system's unit"),
        ("box", " x ".join(sides) or "none: ordinary differential equations"),
        ("environments", str(len(np.unique(ds["environment"].values)))),
    ]
    for name in parameter_names(ds):
        values = ds[PARAMETER + name].values
        lines.append((name, f"{values.min():.6g} to {values.max():.6g}"))
    return lines


def _of_maps(ds: xr.Dataset) -> list[tuple[str, str]]:
    steps = np.diff(ds["time"].values)
    if not steps.size:
        return []
    usual, at = np.median(steps.astype(np.int64)).astype("m8[ns]"), int(steps.argmax())
    text = f"every {_hours(usual)}"
    if steps[at] > usual:
        text += f"; longest gap {_hours(steps[at])}, from {_moment(ds['time'][at].values)}"
    return [("maps", text)]


def _sources(ds: xr.Dataset) -> list[str]:
    files = json.loads(ds.attrs["sources"])
    return [f"{file['file']}, {file['bytes']} bytes, sha256 {file['sha256'][:12]}" for file in files]


def _moment(time: np.datetime64 | np.ndarray) -> str:
    return str(np.datetime_as_string(time, unit="s"))


def _hours(step: np.timedelta64) -> str:
    hours = step / np.timedelta64(1, "h")
    return f"{hours / 24:.4g} days" if hours >= 48 else f"{hours:.3g} hours"
