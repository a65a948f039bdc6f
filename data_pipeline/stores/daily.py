"""Write a store of observations that come day by day, in the memory of a day.

How long the columns become is known at the end, so days wait in a hidden sibling of the store (`.name.days-...`), a
file each, until `write_store` reads them back region by region and puts the store in place.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr
from dask.delayed import delayed

from data_pipeline.errors import EmptyDataError
from data_pipeline.layout.checks import ONE_DAY, channel_names
from data_pipeline.layout.datasets import described_observations
from data_pipeline.layout.moments import nanoseconds
from data_pipeline.stores.writing import write_store
from data_pipeline.system.atomic import hidden
from data_pipeline.system.folders import writing
from data_pipeline.system.scheduler import here
from data_pipeline.system.settings import refuse_existing


def write_days(
    days: Iterable[xr.Dataset], path: str | os.PathLike[str], *, overwrite: bool = False
) -> Mapping[str, int]:
    """Write observation datasets, each of one UTC day and later than the one before, as one store; returns its sizes.

    They hold the same columns and sources; the attributes are those of the first. Until the store is in place the
    disk holds the days besides. Raises EmptyDataError when no day comes, and StoreError when `path` is taken and
    `overwrite` is false, or cannot be written.
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with hidden(path, "days") as folder:
            folder.mkdir()
            ds = _assembled(_saved(days, folder))
            with here():  # workers of a cluster need not see this folder
                write_store(ds, path, overwrite=overwrite)
    return {str(dim): size for dim, size in ds.sizes.items()}


@dataclass(frozen=True)
class _Saved:
    """The file of each day, how many observations it holds, which day it is, and the first of them for its looks."""

    files: list[Path]
    counts: list[int]
    dates: list[np.datetime64]
    like: xr.Dataset


def _saved(days: Iterable[xr.Dataset], folder: Path) -> _Saved:
    files, counts, dates, like = [], [], [], None
    for number, ds in enumerate(days):
        files.append(folder / f"{number:06d}.npz")
        with open(files[-1], "wb") as file:
            np.savez(file, **{name: ds[name].values for name in _columns(ds)})  # pyright: ignore[reportArgumentType]
        counts.append(ds.sizes["obs"])
        dates.append(ds["day"].values[0].astype("datetime64[D]"))
        like = ds.isel(obs=slice(1)).copy(deep=True) if like is None else like
    if like is None:
        raise EmptyDataError("no instrument saw a valid point of the field; widen the period, the swath or the field")
    return _Saved(files, counts, dates, like)


def _assembled(saved: _Saved) -> xr.Dataset:
    """The dataset of all days, each read when it is needed."""
    read = delayed(_load, pure=False)
    columns = {}
    for name in _columns(saved.like):
        pairs = zip(saved.files, saved.counts, strict=True)
        parts = [dask.array.from_delayed(read(file, name), (n,), saved.like[name].dtype) for file, n in pairs]
        columns[name] = dask.array.concatenate(parts)
    edges = np.arange(saved.dates[0], saved.dates[-1] + 2 * ONE_DAY, ONE_DAY)
    offset = np.append(0, np.cumsum(saved.counts))[np.searchsorted(saved.dates, edges)]
    return described_observations(
        columns,
        day=nanoseconds(edges[:-1]),
        day_offset=offset.astype(np.int64),
        source_name=saved.like["source_name"].values.tolist(),
        attrs=saved.like.attrs,
        units={name: saved.like[name].attrs["units"] for name in channel_names(saved.like)},
    )


def _columns(ds: xr.Dataset) -> list[str]:
    return [str(name) for name, variable in ds.variables.items() if variable.dims == ("obs",)]


def _load(path: Path, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return file[name]
