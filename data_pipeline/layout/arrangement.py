"""Whether a dataset has the layout of a store already, told by names, dims, units and axes alone."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from data_pipeline.layout.channels import CHANNELS, match_channel
from data_pipeline.layout.checks import COMPANIONS
from data_pipeline.layout.degrees import CANONICAL

POSITIONS = ("longitude", "latitude")
# What says of values that they are not decoded yet.
PACKED = frozenset({"scale_factor", "add_offset", "_FillValue", "missing_value"})


def is_arranged(ds: xr.Dataset, channels: Mapping[str, str | None]) -> bool:
    """Whether a dataset has the layout of a store; names, attributes, axes and the times of maps are looked at."""
    kind = ds.attrs.get("dino_store")
    if not isinstance(kind, str) or kind not in ("fields", "observations"):
        return False
    if not {"time", *POSITIONS} <= set(ds.variables) or not are_places(ds):
        return False
    present = [name for name in channels if name in ds.data_vars]
    if not present or not all(_is_channel(ds, name, channels[name] or units_of(name)) for name in present):
        return False
    if ds["time"].dtype != np.dtype("datetime64[ns]") or any(ds[name].dtype.kind != "f" for name in POSITIONS):
        return False
    if kind == "observations":
        return all(ds[name].dims == ("obs",) for name in ("time", *POSITIONS, *present))
    curvilinear = ds["longitude"].ndim == 2
    horizontal = ("y", "x") if curvilinear else ("latitude", "longitude")
    axes = ["time"] if curvilinear else ["time", *POSITIONS]
    if any(ds[name].ndim > 1 or not _ascends(ds[name].values) for name in axes):
        return False
    if not curvilinear and any(ds[name].dims != (name,) for name in POSITIONS):
        return False
    layouts = [(*lead, *horizontal) for lead in ((), ("time",), ("trajectory", "time"))]
    return all(ds[name].dims in layouts for name in present)


def _is_channel(ds: xr.Dataset, name: str, units: str | None) -> bool:
    """Whether a variable and what stands beside it are numbers in units, decoded, and of no other quantity."""
    standard, known = ds[name].attrs.get("standard_name", ""), CHANNELS.get(name)
    if not isinstance(standard, str) or (known and standard and match_channel(name, standard) != known):
        return False
    held = [name, *(f"{name}{ending}" for ending in COMPANIONS if f"{name}{ending}" in ds.data_vars)]
    return all(
        ds[each].dtype.kind == "f"
        and ds[each].dims == ds[name].dims
        and _is(ds[each].attrs.get("units"), units)
        and not PACKED & set(ds[each].attrs)
        for each in held
    )


def _is(value: object, wanted: str | None) -> bool:
    """Whether an attribute is that text; an array of texts is none."""
    return isinstance(value, str) and value == wanted


def _ascends(axis: np.ndarray) -> bool:
    """Whether values ascend, each known and once; NaN and NaT are no numbers that do."""
    if axis.size < 2:
        return not np.isnat(axis).any() if axis.dtype.kind == "M" else True
    return bool((axis[1:] > axis[:-1]).all())


def units_of(name: str) -> str | None:
    """Units of a channel of the registry; None for another name."""
    return CHANNELS[name].units if name in CHANNELS else None


def are_places(ds: xr.Dataset) -> bool:
    """Whether a dataset has longitude and latitude by name, in degrees east and north or without units."""
    for name in POSITIONS:
        if name not in ds.variables:
            return False
        attrs = ds[name].attrs
        units, standard = attrs.get("units", CANONICAL[name]), attrs.get("standard_name", name)
        if not _is(units, CANONICAL[name]) or not _is(standard, name) or PACKED & set(attrs):
            return False
    return True
