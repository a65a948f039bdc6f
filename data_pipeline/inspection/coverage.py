"""Where and when a store holds values: observations per cell and day, gaps in time; read block by block.

Memory is that of the cells and one block. Longitudes are unrolled at their widest gap, so that a store across the
antimeridian is one piece.
"""

import numpy as np
import xarray as xr

from data_pipeline.layout.checks import ONE_DAY, blocks, channel_names
from data_pipeline.system.scheduler import computed

MOST_CELLS = 120  # along an axis, where the size of cells is not given
_CELL_DEGREES = (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0)
_NANOSECONDS_PER_DAY = 86_400e9


def coverage(ds: xr.Dataset, cell_degrees: float | None = None) -> xr.Dataset:
    """How a store covers space and time.

    Of an observation store: `per_day` (latitude, longitude), observations of a cell a day; `longest_gap` (latitude,
    longitude), days between observations of a cell, the ends of the span included, NaN where there is none; `seen`
    (day,), fraction of the cells ever seen that were seen until the end of that day; `of_source` (day, source),
    observations. cell_degrees: side of a cell, by default one that makes about a hundred along the longer axis.

    Of a field store: `share` (latitude, longitude) or (y, x), fraction of maps with a value, and `valid` (time,),
    fraction of cells with a value.
    """
    return _of_points(ds, cell_degrees) if ds.attrs["dino_store"] == "observations" else _of_fields(ds)


def longest_gap(ds: xr.Dataset) -> tuple[np.datetime64, np.datetime64]:
    """The longest time without an observation: the moments of the observations before and after it."""
    best = (np.timedelta64(-1, "ns"), np.datetime64("NaT"), np.datetime64("NaT"))
    last = np.empty(0, "datetime64[ns]")
    for start, stop in blocks(ds.sizes["obs"]):
        time = np.concatenate([last, ds["time"].isel(obs=slice(start, stop)).values])
        step = np.diff(time)
        if step.size and step.max() > best[0]:
            at = int(step.argmax())
            best = (step[at], time[at], time[at + 1])
        last = time[-1:]
    return (best[1], best[2]) if best[0] >= np.timedelta64(0) else (last[0], last[0])


def _of_points(ds: xr.Dataset, cell_degrees: float | None) -> xr.Dataset:
    west, width, south, height = _rectangle(ds)
    cell = cell_degrees or next((c for c in _CELL_DEGREES if max(width, height) / c <= MOST_CELLS), _CELL_DEGREES[-1])
    west, south = np.floor(west / cell) * cell, np.floor(south / cell) * cell
    columns, rows = (int(np.floor(n / cell + 1e-9)) + 2 for n in (width, height))
    columns, rows = min(columns, int(np.ceil(360 / cell))), min(rows, int(np.ceil((90 - south) / cell)) or 1)
    counts = np.zeros(rows * columns, np.int64)
    first, final = (ds["time"].isel(obs=end).values.astype(np.int64) for end in (0, -1))
    latest = np.full(rows * columns, first, np.int64)
    gap = np.zeros(rows * columns, np.int64)
    days = ds["day"].values
    of_source = np.zeros((days.size, ds.sizes["source_index"]), np.int64)
    newly = np.zeros(days.size, np.int64)
    for start, stop in blocks(ds.sizes["obs"]):
        block = ds[["time", "longitude", "latitude", "source"]].isel(obs=slice(start, stop)).load()
        x = np.floor(np.mod(block["longitude"].values - west, 360) / cell).astype(np.int64)
        y = np.floor((block["latitude"].values - south) / cell).astype(np.int64)
        where = np.clip(y, 0, rows - 1) * columns + np.clip(x, 0, columns - 1)
        time = block["time"].values
        day = ((time - days[0]) // ONE_DAY).astype(np.int64)
        np.add.at(of_source, (day, block["source"].values), 1)
        fresh, at = np.unique(where, return_index=True)
        unseen = counts[fresh] == 0
        np.add.at(newly, day[at[unseen]], 1)
        counts += np.bincount(where, minlength=counts.size)
        _widen_gaps(where, time.astype(np.int64), latest, gap)
    gap = np.maximum(gap, final - latest)
    seen = counts > 0
    span = max((final - first) / _NANOSECONDS_PER_DAY, 1.0)
    cells = ("latitude", "longitude")
    return xr.Dataset(
        {
            "per_day": (cells, (counts / span).reshape(rows, columns), {"long_name": "observations per cell and day"}),
            "longest_gap": (
                cells,
                np.where(seen, gap / _NANOSECONDS_PER_DAY, np.nan).reshape(rows, columns),
                {"long_name": "longest time without an observation", "units": "days"},
            ),
            "seen": ("day", np.cumsum(newly) / max(seen.sum(), 1), {"long_name": "fraction of the cells ever seen"}),
            "of_source": (("day", "source"), of_source, {"long_name": "observations a day"}),
        },
        coords={
            "latitude": south + cell * (np.arange(rows) + 0.5),
            "longitude": west + cell * (np.arange(columns) + 0.5),
            "day": days,
            "source": ds["source_name"].values.astype(str),
        },
        attrs={"cell_degrees": cell},
    )


def _widen_gaps(where: np.ndarray, time: np.ndarray, latest: np.ndarray, gap: np.ndarray) -> None:
    """Take a block in order of time into each cell's latest observation and widest gap so far, in place."""
    order = np.argsort(where, kind="stable")
    where, time = where[order], time[order]
    opens = np.append(True, where[1:] != where[:-1])
    before = np.append(0, time[:-1])
    before[opens] = latest[where[opens]]
    np.maximum.at(gap, where, time - before)
    closes = np.append(opens[1:], True)
    latest[where[closes]] = time[closes]


def _rectangle(ds: xr.Dataset) -> tuple[float, float, float, float]:
    """West, width, south, height [degrees] of the observations; west follows the widest gap between longitudes."""
    occupied = np.zeros(360, bool)
    south, north = np.inf, -np.inf
    for start, stop in blocks(ds.sizes["obs"]):
        block = ds[["longitude", "latitude"]].isel(obs=slice(start, stop)).load()
        occupied[np.floor(block["longitude"].values).astype(np.int64) + 180] = True
        south, north = min(south, float(block["latitude"].min())), max(north, float(block["latitude"].max()))
    held = np.flatnonzero(occupied)
    gaps = np.append(np.diff(held), held[0] + 360 - held[-1])
    start = held[(int(gaps.argmax()) + 1) % held.size]
    width = 361 - int(gaps.max())
    return float(start - 180), float(min(width, 360)), south, north - south


def _of_fields(ds: xr.Dataset) -> xr.Dataset:
    """Over all channels: a cell of a map counts as far as its channels have values."""
    names = channel_names(ds)
    horizontal = ds[names[0]].dims[-2:]
    present = sum(ds[name].notnull().mean([d for d in ds[name].dims if d not in horizontal]) for name in names)
    valid = sum(ds[name].notnull().mean([d for d in ds[name].dims if d != "time"]) for name in names)
    return computed(xr.Dataset({"share": present / len(names), "valid": valid / len(names)}))
