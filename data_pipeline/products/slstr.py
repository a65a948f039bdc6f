"""Sentinel-3 SLSTR water temperature that was put on a grid: the moment of the scene, where its time is a mere date."""

import numpy as np
import xarray as xr

from data_pipeline.errors import TimeError
from data_pipeline.products.times import moment_of

CHANNELS = {"sst_skin_q4plus": "sst"}
_ONE_DAY = np.timedelta64(1, "D")


def adapt(ds: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """Give a single time at midnight the clock time of attribute `start_date`, when that is on the same day."""
    if "time" not in ds.variables or ds["time"].shape != (1,) or ds["time"].dtype.kind != "M":
        return ds
    date, start = ds["time"].values[0], _moment(str(ds.attrs.get("start_date", "")))
    if start is None or date != date.astype("datetime64[D]") or not np.timedelta64(0) < start - date < _ONE_DAY:
        return ds
    notes.append(f"time {start.astype('datetime64[s]')} from attribute start_date")
    return ds.assign_coords(time=("time", np.array([start])))


def _moment(text: str) -> np.datetime64 | None:
    try:
        return moment_of(text, "start_date")
    except TimeError:
        return None
