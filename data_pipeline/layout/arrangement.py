"""Whether a dataset has the layout of a store already, told by names, dims, units and axes alone."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from data_pipeline.layout.channels import CHANNELS
from data_pipeline.layout.degrees import CANONICAL

POSITIONS = ("longitude", "latitude")


def is_arranged(ds: xr.Dataset, channels: Mapping[str, str | None]) -> bool:
    """Whether a dataset has the layout of a store; names, dims, units and coordinates are looked at, no value is."""
    kind = ds.attrs.get("dino_store")
    if kind not in ("fields", "observations") or not {"time", *POSITIONS} <= set(ds.variables):
        return False
    present = [name for name in channels if name in ds.data_vars]
    if not present or any(ds[name].attrs.get("units") != (channels[name] or units_of(name)) for name in present):
        return False
    if any(ds[name].attrs.get("units") not in (None, CANONICAL[name]) for name in POSITIONS):
        return False
    if ds["time"].dtype != np.dtype("datetime64[ns]"):
        return False
    if kind == "observations":
        return all(ds[name].dims == ("obs",) for name in ("time", *POSITIONS, *present))
    curvilinear = ds["longitude"].ndim == 2
    horizontal = ("y", "x") if curvilinear else ("latitude", "longitude")
    layouts = [(*lead, *horizontal) for lead in ((), ("time",), ("trajectory", "time"))]
    ordered = curvilinear or all((np.diff(ds[name].values) > 0).all() for name in POSITIONS)
    return ordered and all(ds[name].dims in layouts for name in present)


def units_of(name: str) -> str | None:
    """Units of a channel of the registry; None for another name."""
    return CHANNELS[name].units if name in CHANNELS else None


def are_places(ds: xr.Dataset) -> bool:
    """Whether a dataset has longitude and latitude by name, in degrees east and north or without units."""
    return all(name in ds.variables and ds[name].attrs.get("units") in (None, CANONICAL[name]) for name in POSITIONS)
