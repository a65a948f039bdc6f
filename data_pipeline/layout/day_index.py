"""The day index of observations: whether it belongs to the rows that it stands beside."""

import numpy as np
import xarray as xr

INDEX = ("day", "day_offset")


def day_index_fits(ds: xr.Dataset) -> bool:
    """Whether the day index of observations is that of their rows; False where there is none.

    A selection along `obs` leaves `day` and `day_offset` as they were. Times in memory are compared with the index one
    by one; of lazy ones the number and the two ends are, and whoever reads a part checks that part (`rows_fit`).
    """
    if not {"time", "obs"} <= {*ds.variables, *ds.dims} or not all(name in ds.variables for name in INDEX):
        return False
    if ds["time"].dims != ("obs",) or any(ds[name].ndim != 1 for name in INDEX):
        return False
    day, offset, count = ds["day"].values, ds["day_offset"].values, ds.sizes["obs"]
    shaped = len(offset) == len(day) + 1 and day.dtype.kind == "M" and offset.dtype.kind in "iu" and len(day)
    if not shaped or not count or offset[0] != 0 or offset[-1] != count or (np.diff(offset) < 0).any():
        return False
    ends = ds["time"].isel(obs=[0, -1]).values if count > 1 else ds["time"].values
    first, last = day[np.searchsorted(offset, [0, count - 1], side="right") - 1].astype("datetime64[D]")
    if ends[0].astype("datetime64[D]") != first or ends[-1].astype("datetime64[D]") != last:
        return False
    return not isinstance(ds["time"].variable._data, np.ndarray) or rows_fit(ds["time"].values, day, offset)


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
