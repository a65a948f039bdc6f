"""The checks behind the store layouts: structure from metadata, then values block by block."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from data_pipeline.errors import SchemaError
from data_pipeline.layout.channels import CHANNELS
from data_pipeline.layout.moments import moments
from data_pipeline.layout.problems import Findings, Problem
from data_pipeline.layout.trajectory_checks import check_layout

SCHEMA_VERSION = 1
CONVENTIONS = "CF-1.11"
KINDS = ("fields", "observations", "trajectories")
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
    return moments(time).astype("datetime64[us]").astype("datetime64[ns]")


def check_fields(ds: xr.Dataset) -> None:
    """Raise SchemaError with the first thing that breaks the field layout; values of channels are not read."""
    _raise_first("field", layout_problems(ds, "fields"))


def check_observations(ds: xr.Dataset) -> None:
    """Raise SchemaError with the first thing that breaks the observation layout; values of channels are not read."""
    _raise_first("observation", layout_problems(ds, "observations"))


def check_layout_of_trajectories(ds: xr.Dataset) -> None:
    """Raise SchemaError with the first thing that breaks the layout of trajectories; values are not read."""
    _raise_first("trajectories", layout_problems(ds, "trajectories"))


def layout_problems(ds: xr.Dataset, kind: str | None = None) -> list[Problem]:
    """Every way in which `ds` breaks its layout ("fields", "observations" or "trajectories"; by default the one it
    claims).

    Coordinates are read, observations block by block; values of channels are not (see `stores.validation`).
    """
    found = Findings()
    claimed = ds.attrs.get("dino_store")
    if claimed not in KINDS or claimed != (kind or claimed):
        found.add("attribute dino_store", f"is {claimed!r} where {kind or ' or '.join(KINDS)!r} is wanted")
        return list(found)
    for name, wanted in (("Conventions", CONVENTIONS), ("dino_schema", SCHEMA_VERSION)):
        if ds.attrs.get(name) != wanted:
            found.add(f"attribute {name}", f"is {ds.attrs.get(name)!r} where {wanted!r} is wanted")
    for name in ("product", "sources", "history"):
        if not isinstance(ds.attrs.get(name), str):
            found.add(f"attribute {name}", "is missing or no text")
        elif name == "sources" and not _is_list_of_files(ds.attrs[name]):
            found.add("attribute sources", "is no JSON list of files")
    {"fields": _check_field, "observations": _check_points, "trajectories": check_layout}[claimed](ds, found)
    return list(found)


def _is_list_of_files(text: str) -> bool:
    try:
        files = json.loads(text)
    except ValueError:
        return False
    return isinstance(files, list) and all(isinstance(file, dict) and "file" in file for file in files)


def _check_field(ds: xr.Dataset, found: Findings) -> None:
    for name in ("time", "latitude", "longitude"):
        if name not in ds.coords:
            found.add(f"coordinate {name}", "is missing")
    if found and any(problem.what == "is missing" for problem in found):
        return
    curvilinear = ds["longitude"].ndim == 2
    horizontal = ("y", "x") if curvilinear else ("latitude", "longitude")
    for name, wanted in (
        ("time", ("time",)),
        *((name, horizontal if curvilinear else (name,)) for name in _HORIZONTAL),
    ):
        if ds[name].dims != wanted:
            found.add(f"coordinate {name}", f"has dimensions {ds[name].dims} where {wanted} is wanted")
            return
    _check_positions(ds, found, finite=not curvilinear)
    _check_times(ds["time"].values, found, "time", strictly=True)
    if not curvilinear:
        for name in _HORIZONTAL:
            values = ds[name].values
            found.mark(name, "is not strictly ascending", _falls(values, strictly=True), values, (name,))
    layouts = (("time", *horizontal), ("trajectory", "time", *horizontal))
    if not ds.data_vars:
        found.add("", "there is no channel")
    for name, variable in ds.data_vars.items():
        if variable.dims not in layouts:
            found.add(f"channel {name}", f"has dimensions {variable.dims} where {layouts[0]} or {layouts[1]} is wanted")
        _check_channel(str(name), variable, found)
    for dim, size in ds.sizes.items():
        if size == 0:
            found.add(f"dimension {dim}", "is empty")


def _check_points(ds: xr.Dataset, found: Findings) -> None:
    for name, dim in _OBSERVATION_DIMS.items():
        if name not in ds.variables:
            found.add(f"variable {name}", "is missing")
        elif ds[name].dims != (dim,):
            found.add(f"variable {name}", f"has dimensions {ds[name].dims} where ({dim!r},) is wanted")
    if any(problem.variable.startswith("variable ") for problem in found):
        return
    if not ds.sizes["obs"]:
        found.add("", "there is no observation")
        return
    if ds["source"].dtype not in (np.int16, np.int32):  # an archive of years holds more files than int16 counts
        found.add("source", f"has type {ds['source'].dtype} where int16 or int32 is wanted")
    if not all(isinstance(name, str) for name in ds["source_name"].values):
        found.add("source_name", "is no text")
    names = channel_names(ds)
    if not names:
        found.add("", "there is no channel")
    for name, variable in ds.data_vars.items():
        if name in _OBSERVATION_DIMS:
            continue
        _check_channel(str(name), variable, found)
        if variable.dims != ("obs",):
            found.add(f"channel {name}", f"has dimensions {variable.dims} where ('obs',) is wanted")
        companion = beside(str(name))
        if companion and companion[0] not in names:
            found.add(str(name), "stands beside no channel")
    sound_index = _check_days(ds, found)
    for start, stop in blocks(ds.sizes["obs"]):
        _check_block(ds, start, stop, sound_index, found)


def blocks(size: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of the blocks in which observations are read."""
    for start in range(0, size, OBSERVATIONS_PER_BLOCK):
        yield start, min(start + OBSERVATIONS_PER_BLOCK, size)


def _check_days(ds: xr.Dataset, found: Findings) -> bool:
    """Whether the day index is one: unbroken days, offsets that rise from 0 to the number of observations."""
    day, offset = ds["day"].values, ds["day_offset"].values
    if offset.shape != (day.size + 1,) or offset.dtype != np.int64 or day.dtype != np.dtype("datetime64[ns]"):
        wanted = f"int64 ({day.size + 1},) is wanted for {day.size} days"
        found.add("day_offset", f"is {offset.dtype} {offset.shape} where {wanted}")
        return False
    broken = np.append(False, np.diff(day) != ONE_DAY) | (day != day.astype("datetime64[D]"))
    found.mark("day", "is no unbroken row of days", broken, day, ("day",))
    wrong = _falls(offset, strictly=False)
    wrong[0] |= offset[0] != 0
    wrong[-1] |= offset[-1] != ds.sizes["obs"]
    found.mark(
        "day_offset", f"does not rise from 0 to the {ds.sizes['obs']} observations", wrong, offset, ("day_edge",)
    )
    return not (broken.any() or wrong.any())


def _check_block(ds: xr.Dataset, start: int, stop: int, sound_index: bool, found: Findings) -> None:
    """Coordinates of observations start..stop; one more on the left ties the blocks' times together."""
    block = ds[["time", "longitude", "latitude", "source"]].isel(obs=slice(start, stop)).load()
    _check_positions(block, found, finite=True, start=(start,))
    source, names = block["source"].values, ds.sizes["source_index"]
    what = f"points outside the {names} names of source_name"
    found.mark("source", what, (source < 0) | (source >= names), source, ("obs",), (start,))
    before = ds["time"].isel(obs=slice(max(start - 1, 0), start)).values
    time = block["time"].values
    if not _check_times(time, found, "obs", strictly=False, start=start, before=before) or not sound_index:
        return
    of_day = np.searchsorted(ds["day_offset"].values, np.arange(start, stop), side="right") - 1
    wrong = time.astype("datetime64[D]") != ds["day"].values[of_day]
    found.mark("day_offset", "puts observations on the wrong day", wrong, time, ("obs",), (start,))


def _check_positions(ds: xr.Dataset, found: Findings, finite: bool, start: tuple[int, ...] | None = None) -> None:
    for name, low, high in (("longitude", -180.0, 180.0), ("latitude", -90.0, 90.0)):
        values, dims = ds[name].values, [str(dim) for dim in ds[name].dims]
        if values.dtype != np.float64:
            found.add(name, f"has type {values.dtype} where float64 is wanted")
        if finite:
            found.mark(name, "is not finite", ~np.isfinite(values), values, dims, start)
        open_end = name == "longitude"
        outside = (values < low) | (values > high) | ((values == high) & open_end)
        bounds = f"[{low:g}, {high:g}{')' if open_end else ']'}"
        found.mark(name, f"lies outside {bounds}", outside & ~np.isinf(values), values, dims, start)


def _check_times(
    time: np.ndarray,
    found: Findings,
    dim: str,
    strictly: bool,
    start: int = 0,
    before: np.ndarray | None = None,
) -> bool:
    """Whether times can be compared; `before` holds the time to the left of the block, if there is one."""
    if time.dtype != np.dtype("datetime64[ns]"):
        found.add("time", f"has type {time.dtype} where datetime64[ns] is wanted")
        return False
    found.mark("time", "is missing", np.isnat(time), time, (dim,), (start,))
    joined = time if before is None else np.concatenate([before, time])
    late = _falls(joined, strictly)[joined.size - time.size :]
    found.mark("time", "does not increase", late, time, (dim,), (start,))
    fine = ~np.isnat(time) & (time != exact_time(time))
    found.mark("time", "is finer than a microsecond, which a store cannot hold", fine, time, (dim,), (start,))
    return not np.isnat(time).any()


def _falls(values: np.ndarray, strictly: bool) -> np.ndarray:
    """Which values are less than the one before them, or with `strictly` not greater."""
    wrong = values[1:] <= values[:-1] if strictly else values[1:] < values[:-1]
    return np.append(np.zeros(min(1, values.size), bool), wrong)


def _check_channel(name: str, variable: xr.DataArray, found: Findings) -> None:
    if variable.dtype != np.float32:
        found.add(f"channel {name}", f"has type {variable.dtype} where float32 is wanted")
    units = variable.attrs.get("units")
    known = CHANNELS.get((beside(name) or (name,))[0])
    if not isinstance(units, str):
        found.add(f"channel {name}", "has no units")
    elif known and units != known.units:
        found.add(f"channel {name}", f"has units {units!r} where {known.units!r} is wanted")


def _raise_first(kind: str, problems: list[Problem]) -> None:
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        constructor = f"{'fields' if kind == 'field' else 'observations' if kind == 'observation' else kind}_dataset"
        raise SchemaError(f"this is no sound {kind} dataset: {problems[0]}{more}; build it with {constructor}")
