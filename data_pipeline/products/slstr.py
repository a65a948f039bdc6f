"""Sentinel-3 SLSTR water temperature that was put on a grid: the moment of the scene, where its time is a mere date."""

from datetime import datetime

import numpy as np
import xarray as xr

CHANNELS = {"sst_skin_q4plus": "sst"}
_FORMATS = ("%d-%b-%Y %H:%M:%S.%f", "%d-%b-%Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S")
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
    for form in _FORMATS:
        try:
            return np.datetime64(datetime.strptime(text.strip().removesuffix("Z"), form), "ns")
        except ValueError:
            continue
    return None
