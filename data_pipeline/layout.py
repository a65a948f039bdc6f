"""The checks behind the two store layouts: structure from metadata, then values block by block."""

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import xarray as xr

from data_pipeline.channels import CHANNELS
from data_pipeline.errors import SchemaError

SCHEMA_VERSION = 1
CONVENTIONS = "CF-1.11"
ONE_DAY = np.timedelta64(1, "D")
OBSERVATIONS_PER_BLOCK = 2**20
# What may stand beside a channel of observations: the standard deviations of its whole error and of the part of it that
# is correlated along and across the track, and, where it is known, the true value.
COMPANIONS = {
    "_correlated_error": "standard deviation of the correlated part of the error of {}",
    "_error": "standard deviation of the error of {}",
    "_truth": "true value of {}, for comparison only",
}
_HORIZONTAL = ("latitude", "longitude")
_OBSERVATION_DIMS = {
    "time": "obs",
    "longitude": "obs",
    "latitude": "obs",
    "source": "obs",
    "source_name": "source_index",
    "day": "day",
    "day_offset": "day_edge",
}


def channel_names(ds: xr.Dataset) -> list[str]:
    """Names of the channels of a store, without coordinates, indices and what stands beside a channel."""
    names = [str(name) for name in ds.data_vars]
    if ds.attrs.get("dino_store") == "observations":
        names = [name for name in names if ds[name].dims == ("obs",) and name not in _OBSERVATION_DIMS]
        return [name for name in names if beside(name) is None]
    return names


def beside(name: str) -> tuple[str, str] | None:
    """(channel, ending) of a variable that stands beside a channel of observations; None for any other name."""
    ending = next((ending for ending in COMPANIONS if name.endswith(ending)), None)
    return None if ending is None else (name.removesuffix(ending), ending)


def exact_time(time: Any) -> np.ndarray:
    """Whole microseconds, which a store holds exactly, as datetime64[ns]."""
    return np.asarray(time).astype("datetime64[us]").astype("datetime64[ns]")


def check_fields(ds: xr.Dataset) -> None:
    """Raise SchemaError with the first thing that breaks the field layout; values of channels are not read."""
    _raise_first("field", layout_problems(ds, "fields"))


def check_observations(ds: xr.Dataset) -> None:
    """Raise SchemaError with the first thing that breaks the observation layout; values of channels are not read."""
    _raise_first("observation", layout_problems(ds, "observations"))


def layout_problems(ds: xr.Dataset, kind: str | None = None) -> list[str]:
    """Every way in which `ds` breaks its layout ("fields" or "observations"; by default the one it claims)."""
    claimed = ds.attrs.get("dino_store")
    if claimed not in ("fields", "observations") or claimed != (kind or claimed):
        return [f"attribute dino_store is {claimed!r} where {kind or 'fields or observations'!r} is wanted"]
    problems = [
        f"attribute {name} is {ds.attrs.get(name)!r} where {wanted!r} is wanted"
        for name, wanted in (("Conventions", CONVENTIONS), ("dino_schema", SCHEMA_VERSION))
        if ds.attrs.get(name) != wanted
    ]
    problems += [
        f"attribute {name} is missing or no text"
        for name in ("product", "sources", "history")
        if not isinstance(ds.attrs.get(name), str)
    ]
    return problems + (_field_problems(ds) if claimed == "fields" else _observation_problems(ds))


def _field_problems(ds: xr.Dataset) -> list[str]:
    missing = [f"coordinate {name} is missing" for name in ("time", "latitude", "longitude") if name not in ds.coords]
    if missing:
        return missing
    curvilinear = ds["longitude"].ndim == 2
    horizontal = ("y", "x") if curvilinear else ("latitude", "longitude")
    for name, wanted in (
        ("time", ("time",)),
        *((name, horizontal if curvilinear else (name,)) for name in _HORIZONTAL),
    ):
        if ds[name].dims != wanted:
            return [f"coordinate {name} has dimensions {ds[name].dims} where {wanted} is wanted"]
    problems = _position_problems(ds, finite=not curvilinear)
    problems += _time_problems(ds["time"].values, strictly=True)
    if not curvilinear:
        problems += [
            f"{name} is not strictly ascending" for name in _HORIZONTAL if not (np.diff(ds[name].values) > 0).all()
        ]
    layouts = (("time", *horizontal), ("trajectory", "time", *horizontal))
    problems += [] if ds.data_vars else ["there is no channel"]
    for name, variable in ds.data_vars.items():
        if variable.dims not in layouts:
            problems.append(
                f"channel {name} has dimensions {variable.dims} where {layouts[0]} or {layouts[1]} is wanted"
            )
        problems += _channel_problems(name, variable)
    empty = [str(dim) for dim, size in ds.sizes.items() if size == 0]
    return problems + [f"dimension {dim} is empty" for dim in empty]


def _observation_problems(ds: xr.Dataset) -> list[str]:
    problems = [f"variable {name} is missing" for name in _OBSERVATION_DIMS if name not in ds.variables]
    problems = problems or [
        f"variable {name} has dimensions {ds[name].dims} where ({dim!r},) is wanted"
        for name, dim in _OBSERVATION_DIMS.items()
        if ds[name].dims != (dim,)
    ]
    if problems:
        return problems
    if not ds.sizes["obs"]:
        return ["there is no observation"]
    if ds["source"].dtype != np.int16:
        problems.append(f"source has type {ds['source'].dtype} where int16 is wanted")
    names = channel_names(ds)
    problems += [] if names else ["there is no channel"]
    for name, variable in ds.data_vars.items():
        if name not in _OBSERVATION_DIMS:
            problems += _channel_problems(name, variable)
            if variable.dims != ("obs",):
                problems.append(f"channel {name} has dimensions {variable.dims} where ('obs',) is wanted")
            companion = beside(str(name))
            if companion and companion[0] not in names:
                problems.append(f"{name} stands beside no channel")
    problems += _day_problems(ds)
    for start, stop in _blocks(ds.sizes["obs"]):
        problems += [problem for problem in _block_problems(ds, start, stop) if problem not in problems]
    return problems


def _blocks(size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, size, OBSERVATIONS_PER_BLOCK):
        yield start, min(start + OBSERVATIONS_PER_BLOCK, size)


def _day_problems(ds: xr.Dataset) -> list[str]:
    day, offset = ds["day"].values, ds["day_offset"].values
    if offset.shape != (day.size + 1,) or offset.dtype != np.int64 or day.dtype != np.dtype("datetime64[ns]"):
        return [
            f"day_offset is {offset.dtype} {offset.shape} where int64 ({day.size + 1},) is wanted for {day.size} days"
        ]
    if (np.diff(day) != ONE_DAY).any() or (day != day.astype("datetime64[D]")).any():
        return ["day is no unbroken row of days"]
    if offset[0] != 0 or offset[-1] != ds.sizes["obs"] or (np.diff(offset) < 0).any():
        return [f"day_offset does not rise from 0 to the {ds.sizes['obs']} observations"]
    return []


def _block_problems(ds: xr.Dataset, start: int, stop: int) -> list[str]:
    """Problems of observations start..stop; one more on the left ties the blocks' times together."""
    start = max(start - 1, 0)
    block = ds[["time", "longitude", "latitude", "source"]].isel(obs=slice(start, stop)).load()
    time, source = block["time"].values, block["source"].values
    problems = _position_problems(block, finite=True) + _time_problems(time, strictly=False, first_index=start)
    if source.min() < 0 or source.max() >= ds.sizes["source_index"]:
        problems.append(f"source points outside the {ds.sizes['source_index']} names of source_name")
    if not problems and not _day_problems(ds):
        of_day = np.searchsorted(ds["day_offset"].values, np.arange(start, stop), side="right") - 1
        if (time.astype("datetime64[D]") != ds["day"].values[of_day]).any():
            problems.append("day_offset puts observations on the wrong day")
    return problems


def _position_problems(ds: xr.Dataset, finite: bool) -> list[str]:
    problems = []
    for name, low, high in (("longitude", -180.0, 180.0), ("latitude", -90.0, 90.0)):
        values = ds[name].values
        if values.dtype != np.float64:
            problems.append(f"{name} has type {values.dtype} where float64 is wanted")
        if finite and not np.isfinite(values).all():
            problems.append(f"{name} has {np.count_nonzero(~np.isfinite(values))} values that are not finite")
        outside = (values < low) | (values > high) | ((values == high) & (name == "longitude"))
        if outside.any():
            problems.append(
                f"{name} has {np.count_nonzero(outside)} values outside its range, e.g. {values[outside][0]:g}"
            )
    return problems


def _time_problems(time: np.ndarray, strictly: bool, first_index: int = 0) -> list[str]:
    if time.dtype != np.dtype("datetime64[ns]"):
        return [f"time has type {time.dtype} where datetime64[ns] is wanted"]
    if np.isnat(time).any():
        return [f"time has {np.count_nonzero(np.isnat(time))} missing values"]
    steps = np.diff(time)
    late = steps <= np.timedelta64(0) if strictly else steps < np.timedelta64(0)
    problems = []
    if late.any():
        problems.append(f"time does not increase at index {first_index + int(np.flatnonzero(late)[0]) + 1}")
    if (time != exact_time(time)).any():
        problems.append("time is finer than a microsecond, which a store cannot hold")
    return problems


def _channel_problems(name: Hashable, variable: xr.DataArray) -> list[str]:
    problems = []
    if variable.dtype != np.float32:
        problems.append(f"channel {name} has type {variable.dtype} where float32 is wanted")
    units = variable.attrs.get("units")
    known = CHANNELS.get((beside(str(name)) or (str(name),))[0])
    if not isinstance(units, str):
        problems.append(f"channel {name} has no units")
    elif known and units != known.units:
        problems.append(f"channel {name} has units {units!r} where {known.units!r} is wanted")
    return problems


def _raise_first(kind: str, problems: list[str]) -> None:
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        constructor = "fields_dataset" if kind == "field" else "observations_dataset"
        raise SchemaError(f"this is no sound {kind} dataset: {problems[0]}{more}; build it with {constructor}")
