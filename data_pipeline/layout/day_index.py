"""The day index of observations: whether it belongs to the rows that it stands beside."""

from typing import Any

import numpy as np
import xarray as xr

INDEX = ("day", "day_offset")
BOUND = "dino_rows"  # in the encoding of the index, which is not written
ROWS_PER_BLOCK = 2**20


def day_index_fits(ds: xr.Dataset) -> bool:
    """Whether the day index of observations is that of their rows; False where there is none.

    A selection along `obs` leaves `day` and `day_offset` as they were. Lazy times that are still those which the index
    was opened or made with (`bound`) are trusted. All others are compared with the index, block by block.
    """
    if not {"time", "obs"} <= {*ds.variables, *ds.dims} or not all(name in ds.variables for name in INDEX):
        return False
    if ds["time"].dims != ("obs",) or any(ds[name].ndim != 1 for name in INDEX):
        return False
    day, offset, count = ds["day"].values, ds["day_offset"].values, ds.sizes["obs"]
    shaped = len(offset) == len(day) + 1 and day.dtype.kind == "M" and offset.dtype.kind in "iu" and len(day)
    if not shaped or not count or offset[0] != 0 or offset[-1] != count or (np.diff(offset) < 0).any():
        return False
    rows = _lazy_rows(ds)
    if rows is not None and rows == ds["day_offset"].encoding.get(BOUND):
        return True
    last = np.datetime64(0, "D")
    for start in range(0, count, ROWS_PER_BLOCK):
        stop = min(start + ROWS_PER_BLOCK, count)
        time = ds["time"].isel(obs=slice(start, stop)).values
        here = np.clip(offset, start, stop) - start
        if not rows_fit(time, day, here) or (start and time[0] < last):
            return False
        last = time[-1]
    return True


def bound(ds: xr.Dataset) -> xr.Dataset:
    """Observations whose day index is known to be that of their lazy rows; that is noted in place, beside the index."""
    ds["day_offset"].encoding[BOUND] = _lazy_rows(ds)
    return ds


def _lazy_rows(ds: xr.Dataset) -> str | None:
    """What tells lazy times from a selection of them; None for times in memory and of an unknown kind."""
    held: Any = ds["time"].variable._data
    if hasattr(held, "dask"):
        return str(held.name)
    while held is not None and not isinstance(held, np.ndarray):
        key = getattr(held, "key", None)
        if key is not None:
            return f"{key!r} of {type(getattr(held, 'array', None)).__name__}"
        held = getattr(held, "array", None)
    return None


def rows_fit(time: np.ndarray, day: np.ndarray, offset: np.ndarray) -> bool:
    """Whether times (obs,) ascend and each lies on its day, of which offsets (day + 1,) give the first rows."""
    if np.isnat(time).any() or (np.diff(time) < np.timedelta64(0)).any():
        return False
    of_day = np.repeat(np.arange(len(day)), np.diff(offset))
    return bool((time.astype("datetime64[D]") == day[of_day].astype("datetime64[D]")).all())


def without_index(ds: xr.Dataset) -> xr.Dataset:
    """The observations without a day index."""
    return ds.drop_vars(INDEX, errors="ignore")


def with_own_index(ds: xr.Dataset) -> xr.Dataset:
    """The dataset as it is, but without a day index that is not that of its rows."""
    return ds if "obs" not in ds.dims or day_index_fits(ds) else without_index(ds)
