"""The two store layouts: constructors of canonical datasets and the checks that every reader relies on."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from data_pipeline.errors import EmptyDataError, SchemaError
from data_pipeline.layout.channels import CHANNELS, Channel
from data_pipeline.layout.checks import (
    COMPANIONS,
    CONVENTIONS,
    ONE_DAY,
    SCHEMA_VERSION,
    beside,
    channel_names,
    check_fields,
    check_observations,
    exact_time,
    layout_problems,
)
from data_pipeline.layout.globe import wrap_longitude
from data_pipeline.layout.moments import nanoseconds

__all__ = [
    "CHANNELS",
    "SCHEMA_VERSION",
    "Channel",
    "channel_names",
    "check_fields",
    "check_observations",
    "fields_dataset",
    "index_by_day",
    "layout_problems",
    "observations_dataset",
]

_LONGITUDE_ATTRS = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}
_LATITUDE_ATTRS = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}
_TIME_ATTRS = {"standard_name": "time", "long_name": "time"}


def fields_dataset(
    time: Any,
    longitude: Any,
    latitude: Any,
    channels: Mapping[str, Any],
    attrs: Mapping[str, Any] | None = None,
    units: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Canonical field Dataset from arrays (numpy or dask, values stay lazy).

    time: (time,) datetime64, strictly increasing. longitude, latitude [degrees]: 1-D axes, or both (y, x).
    channels: name -> (time, latitude, longitude) or (trajectory, time, latitude, longitude) values in canonical
    units, NaN = missing. units: units of channels that `CHANNELS` does not list. attrs: root attributes, e.g.
    product, sources (a list is stored as JSON), history. Longitudes are wrapped to [-180, 180) and 1-D axes sorted
    ascending. Raises SchemaError on inconsistent shapes or units.
    """
    longitude = wrap_longitude(longitude)
    latitude = np.asarray(latitude, dtype=np.float64)
    curvilinear = longitude.ndim == 2
    horizontal = ("y", "x") if curvilinear else ("latitude", "longitude")
    variables = {}
    for name, values in channels.items():
        lead = ("trajectory", "time") if np.ndim(values) == 4 else ("time",)
        if np.ndim(values) != len(lead) + 2:
            raise SchemaError(
                f"channel {name!r} has {np.ndim(values)} dimensions; a field has (time, latitude, longitude)"
            )
        values = values if hasattr(values, "astype") else np.asarray(values)
        variables[name] = ((*lead, *horizontal), values.astype(np.float32, copy=False), _channel_attrs(name, units))
    coords = {
        "time": ("time", exact_time(time), _TIME_ATTRS),
        "latitude": (horizontal if curvilinear else "latitude", latitude, _LATITUDE_ATTRS),
        "longitude": (horizontal if curvilinear else "longitude", longitude, _LONGITUDE_ATTRS),
    }
    try:
        ds = xr.Dataset(variables, coords=coords, attrs=_root_attrs("fields", attrs))
    except ValueError as error:
        raise SchemaError(f"the arrays of a field do not fit together: {error}") from error
    if not curvilinear:
        ds = _ascending(ds, "latitude", latitude)
        ds = _ascending(ds, "longitude", longitude)
    check_fields(ds)
    return ds


def observations_dataset(
    time: Any,
    longitude: Any,
    latitude: Any,
    channels: Mapping[str, Any],
    errors: Mapping[str, Any] | None = None,
    source: Any = None,
    source_name: Sequence[str] = ("unknown",),
    attrs: Mapping[str, Any] | None = None,
    units: Mapping[str, str] | None = None,
    correlated_errors: Mapping[str, Any] | None = None,
    truth: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Canonical observation Dataset, sorted by time and indexed by day.

    All arrays are (obs,): time datetime64, longitude and latitude [degrees], channels and errors (one standard
    deviation) in canonical units, source an index into source_name (0 when omitted). correlated_errors: standard
    deviation of the part of an error that neighbours along the track share; truth: the values without error. Both are
    for experiments: nothing is trained on or assimilated from them. Observations without position, time or any value
    are left out. Raises EmptyDataError when nothing is left and SchemaError on inconsistent
    shapes or units.
    """
    time = exact_time(time)
    columns = {"longitude": wrap_longitude(longitude), "latitude": np.asarray(latitude, dtype=np.float64)}
    columns["source"] = np.zeros(time.shape, np.int16) if source is None else np.asarray(source, dtype=np.int16)
    columns |= {name: np.asarray(values, dtype=np.float32) for name, values in channels.items()}
    beside = {"_error": errors, "_correlated_error": correlated_errors, "_truth": truth}
    for ending, of_channel in beside.items():
        columns |= {f"{name}{ending}": np.asarray(v, dtype=np.float32) for name, v in (of_channel or {}).items()}
    for name, values in columns.items():
        if values.shape != time.shape or time.ndim != 1:
            raise SchemaError(
                f"{name!r} has shape {values.shape} and time {time.shape}; observations are equally long columns"
            )
    valued = (
        np.any([np.isfinite(columns[name]) for name in channels], axis=0) if channels else np.zeros(time.shape, bool)
    )
    keep = valued & ~np.isnat(time) & np.isfinite(columns["longitude"]) & np.isfinite(columns["latitude"])
    if not keep.any():
        raise EmptyDataError(
            f"none of {time.size} observations has a position, a time and a value; check the files and channels"
        )
    order = np.flatnonzero(keep)
    order = order[np.argsort(time[order], kind="stable")]
    time = time[order]
    day, offset = _day_index(time)
    sorted_columns = {"time": time, **{name: values[order] for name, values in columns.items()}}
    ds = described_observations(sorted_columns, day, offset, source_name, attrs, units)
    check_observations(ds)
    return ds


def described_observations(
    columns: Mapping[str, Any],
    day: np.ndarray,
    day_offset: np.ndarray,
    source_name: Sequence[str],
    attrs: Mapping[str, Any] | None = None,
    units: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Observation Dataset of columns (obs,) that are canonical and in time order already, numpy or dask; no value is
    read.

    columns: time, longitude, latitude, source, channels and what stands beside them (`COMPANIONS`). day, day_offset:
    their day index. The rest is as for `observations_dataset`.
    """
    described: dict[str, Mapping[str, str]] = {
        "time": _TIME_ATTRS,
        "longitude": _LONGITUDE_ATTRS,
        "latitude": _LATITUDE_ATTRS,
        "source": {"long_name": "index into source_name"},
    }
    for name in [name for name in columns if name not in described and beside(name) is None]:
        described[name] = _channel_attrs(name, units)
        for ending, text in COMPANIONS.items():
            described[f"{name}{ending}"] = {"long_name": text.format(name), "units": described[name]["units"]}
    variables = {name: ("obs", values, described[name]) for name, values in columns.items()}
    names = np.array(list(source_name), dtype=object)
    ds = xr.Dataset(variables, attrs=_root_attrs("observations", attrs))
    ds = ds.assign_coords(source_name=("source_index", names, {"long_name": "file or instrument"}))
    return _indexed(ds.set_coords(["time", "longitude", "latitude"]), day, day_offset)


def index_by_day(ds: xr.Dataset) -> xr.Dataset:
    """The observations (obs sorted by time) with `day` and `day_offset` made anew, after a selection along obs."""
    return _indexed(ds.drop_vars(["day", "day_offset"], errors="ignore"), *_day_index(ds["time"].values))


def _indexed(ds: xr.Dataset, day: np.ndarray, offset: np.ndarray) -> xr.Dataset:
    ds["day_offset"] = ("day_edge", offset, {"long_name": "first observation of each day, and the total"})
    return ds.assign_coords(day=("day", day, {"long_name": "day of the index"}))


def _channel_attrs(name: str, units: Mapping[str, str] | None) -> dict[str, str]:
    if name in CHANNELS:
        return CHANNELS[name].attrs
    if not units or name not in units:
        raise SchemaError(f"channel {name!r} is none of {', '.join(CHANNELS)}; give its units to use it all the same")
    return {"long_name": name.replace("_", " "), "units": units[name]}


def _root_attrs(kind: str, attrs: Mapping[str, Any] | None) -> dict[str, Any]:
    attrs = dict(attrs or {})
    sources = attrs.pop("sources", [])
    return {
        "Conventions": CONVENTIONS,
        "dino_store": kind,
        "dino_schema": SCHEMA_VERSION,
        "product": attrs.pop("product", "unknown"),
        "sources": sources if isinstance(sources, str) else json.dumps(sources),
        "history": attrs.pop("history", ""),
        **attrs,
    }


def _day_index(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, last = time[0].astype("datetime64[D]"), time[-1].astype("datetime64[D]")
    edges = nanoseconds(np.arange(first, last + 2 * ONE_DAY, ONE_DAY))
    return edges[:-1], np.searchsorted(time, edges, side="left").astype(np.int64)


def _ascending(ds: xr.Dataset, dim: str, values: np.ndarray) -> xr.Dataset:
    order = np.argsort(values, kind="stable")
    if (np.diff(order) == 1).all():
        return ds
    turn = int(np.argmax(np.diff(order) != 1)) + 1
    # A rolled axis is two slices; slices keep dask blocks whole where fancy indexing would split them.
    if (np.diff(order[:turn]) == 1).all() and (np.diff(order[turn:]) == 1).all():
        parts = [ds.isel({dim: slice(int(part[0]), int(part[-1]) + 1)}) for part in (order[:turn], order[turn:])]
        return xr.concat(parts, dim, data_vars="minimal", coords="minimal", compat="override", join="exact")
    return ds.isel({dim: slice(None, None, -1)}) if (np.diff(order) == -1).all() else ds.isel({dim: order})
