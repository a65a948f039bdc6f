"""dino-data inspect: what a store holds, in one screen."""

import json
from pathlib import Path
from typing import Annotated, Any

import dask.base
import numpy as np
import typer
import xarray as xr
from rich.console import Console
from rich.table import Table

from data_pipeline.schema import channel_names
from data_pipeline.stores import open_store

_SHOWN_SOURCES = 12


def inspect(store: Annotated[Path, typer.Argument(help="The store to look into.")]) -> None:
    """Show the dimensions, channels, time span, coverage and sources of a store.

    Example: dino-data inspect stores/tracks.zarr
    """
    ds = open_store(store)
    console = Console(soft_wrap=not Console().is_terminal)
    for label, value in describe(ds, store):
        console.print(f"[bold]{label:<11}[/bold] {value}", highlight=False)
    table = Table("channel", "units", "coverage", "min", "mean", "max", "std")
    for name, numbers in statistics(ds).items():
        row = [f"{numbers[key]:.4g}" for key in ("min", "mean", "max", "std")]
        table.add_row(name, str(ds[name].attrs["units"]), f"{100 * numbers['coverage']:.1f} %", *row)
    console.print(table)
    sources = json.loads(ds.attrs["sources"])
    for source in sources[:_SHOWN_SOURCES]:
        text = f"{source['file']}, {source['bytes']} bytes, sha256 {source['sha256'][:12]}"
        console.print(f"[bold]{'source':<11}[/bold] {text}", highlight=False)
    if len(sources) > _SHOWN_SOURCES:
        console.print(f"            and {len(sources) - _SHOWN_SOURCES} more")


def describe(ds: xr.Dataset, store: Path) -> list[tuple[str, str]]:
    """(label, text) lines on layout, dimensions, time span and extent."""
    first, last = (np.datetime_as_string(ds["time"][end].values, unit="s") for end in (0, -1))
    dims = dict.fromkeys((*ds[channel_names(ds)[0]].dims, *ds.sizes))
    lines = [
        ("store", f"{store} ({ds.attrs['dino_store']}, {ds.attrs['Conventions']})"),
        ("product", str(ds.attrs["product"])),
        ("dimensions", ", ".join(f"{dim} {ds.sizes[dim]}" for dim in dims)),
        ("time", f"{first} to {last}"),
    ]
    for name in ("longitude", "latitude"):
        low, high = dask.base.compute(ds[name].min(), ds[name].max())
        lines.append((name, f"{float(low):.4f} to {float(high):.4f}"))
    if "source_name" in ds.variables:
        numbers = np.bincount(ds["source"].values, minlength=ds.sizes["source_index"])
        named = [f"{name} ({number})" for name, number in zip(ds["source_name"].values, numbers, strict=True)]
        lines.append(("points of", ", ".join(named[:_SHOWN_SOURCES]) + (" ..." if len(named) > _SHOWN_SOURCES else "")))
    return lines


def statistics(ds: xr.Dataset) -> dict[str, dict[str, Any]]:
    """coverage (fraction of values that are not missing), min, mean, max and std of each channel, block by block."""
    lazy = {}
    for name in channel_names(ds):
        values = ds[name].astype(np.float64)
        lazy[name] = {
            "coverage": values.count() / values.size,
            "min": values.min(),
            "mean": values.mean(),
            "max": values.max(),
            "std": values.std(),
        }
    (computed,) = dask.base.compute(lazy)
    return {name: {key: float(value) for key, value in numbers.items()} for name, numbers in computed.items()}
