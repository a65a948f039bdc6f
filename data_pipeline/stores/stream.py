"""Windows of observations and blocks of fields as they lie in a store, in bounded memory."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr

from data_pipeline.errors import EmptyDataError, SchemaError
from data_pipeline.layout.datasets import index_by_day
from data_pipeline.layout.day_index import day_index_fits, without_index
from data_pipeline.layout.moments import moment
from data_pipeline.stores.blocks import FieldBlocks, Store, opened, read_ahead


def read_window(ds: Store, start: Any, stop: Any) -> xr.Dataset:
    """Observations with start <= time < stop as an in-memory observation Dataset with its own day index.

    start, stop: anything that `layout.moments.moment` takes, e.g. "2014-05-20" or "2014-05-20T12:00". Only the chunks
    that hold the days of the window are read, where the day index is that of the rows; else it is made anew from their
    times. Raises TimeError for what is no time, and EmptyDataError when the window holds nothing.
    """
    ds = opened(ds)
    if ds.attrs.get("dino_store") != "observations":
        raise SchemaError(
            "a window is read from an observation store; select along the time axis of a field store instead"
        )
    first, last = moment(start, "the start of a window"), moment(stop, "the stop of a window")
    if not first < last:
        raise SchemaError(f"the window from {start} to {stop} is empty; its start must lie before its stop")
    if "time" not in ds.variables or ds["time"].dims != ("obs",) or ds["time"].dtype.kind != "M":
        raise SchemaError(
            "the observations have no times along `obs`; give a store as it was opened, or a selection of it"
        )
    if not day_index_fits(ds):
        ds = _indexed_anew(ds)
    day = ds["day"].values
    edges = ds["day_offset"].values
    # Whole days first: `day` is sorted, so the window lies in the days from the one before `first` to the one before
    # `last`.
    low = max(int(np.searchsorted(day, first, side="right")) - 1, 0)
    high = int(np.searchsorted(day, last, side="left"))
    days = ds.isel(obs=slice(int(edges[low]), int(edges[high]))).load()
    time = days["time"].values
    inside = slice(int(np.searchsorted(time, first, side="left")), int(np.searchsorted(time, last, side="left")))
    window = days.isel(obs=inside)
    if not window.sizes["obs"]:
        raise EmptyDataError(f"no observation from {start} to {stop}; the store holds {_span(ds)}")
    return index_by_day(window)


def iterate_blocks(ds: Store, channels: str | Sequence[str], block: int | None = None) -> Iterator[np.ndarray]:
    """Blocks of a field store in store order; one more block is read while the caller works on the last.

    block: times per block, by default those of a chunk; a block holds one chunk of trajectories. Yields float32
    arrays with the variable's dims, (time, latitude, longitude) or (trajectory, time, latitude, longitude); with a
    sequence of channels these are stacked on a new first axis. Memory: two blocks.
    """
    single = isinstance(channels, str)
    blocks = FieldBlocks(ds, [channels] if single else channels, block_bytes=1)
    regions = blocks.regions
    if block is not None:
        if block < 1:
            raise SchemaError(f"a block of {block} times is asked for; it holds at least one")
        starts = range(0, blocks.times, block)
        rows = [which for which, times in regions if times.start == 0]
        regions = [(which, slice(start, min(start + block, blocks.times))) for which in rows for start in starts]
    for values in read_ahead(lambda number: blocks.read_region(*regions[number]), range(len(regions))):
        stacked = np.moveaxis(values, 2, 0)
        if "trajectory" not in blocks.ds[blocks.channels[0]].dims:
            stacked = stacked[:, 0]
        yield stacked[0] if single else stacked


def _indexed_anew(ds: xr.Dataset) -> xr.Dataset:
    """The observations that have a time, in its order, with the day index of it."""
    time = ds["time"].values
    order = np.argsort(time, kind="stable")[: np.count_nonzero(~np.isnat(time))]
    if not len(order):
        raise EmptyDataError("none of the observations has a time; check the store")
    ds = without_index(ds)
    return index_by_day(ds if np.array_equal(order, np.arange(len(time))) else ds.isel(obs=order))


def _span(ds: xr.Dataset) -> str:
    day = ds["day"].values
    return f"{np.datetime_as_string(day[0], unit='D')} to {np.datetime_as_string(day[-1], unit='D')}"
