"""Point observations of a period, read from a store or a dataset with what was left out counted."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from data_pipeline.layout.day_index import day_index_fits
from data_pipeline.stores.stream import read_window

from .observations import Observations, datetime_of, days_since_epoch


class Read(NamedTuple):
    """Observations, how many points had no value, time or place, and how many lay outside the period."""

    observations: Observations
    missing: int
    outside: int


def read_period(dataset: xr.Dataset, channels: tuple[str, ...], start: float, end: float) -> Read:
    """Observations that hold those with start <= time <= end [days since 1950-01-01].

    The day index of a store lets a period be read without touching the rest. Points outside it may remain: `late`
    ones are somebody's to count. Raises what `Observations.from_dataset` raises.
    """
    unread = 0
    if day_index_fits(dataset):
        whole = dataset.sizes["obs"]
        margin = np.timedelta64(1, "ms")  # to which `datetime_of` rounds
        dataset = read_window(dataset, datetime_of(start) - margin, datetime_of(end) + margin)
        unread = whole - dataset.sizes["obs"]
    observations = Observations.from_dataset(dataset, channels)
    # Cells of maps without a value are land, not missing points.
    missing = dataset.sizes["obs"] - len(observations) if "obs" in dataset.dims else 0
    return Read(observations, missing, unread)


def read_window_of(dataset: xr.Dataset, channels: tuple[str, ...], start: float, end: float) -> Read:
    """The same without any point outside the period; raises `EmptyDataError` when there is none inside."""
    read = read_period(dataset, channels, start, end)
    inside = read.observations.window(start, end)
    return Read(inside, read.missing, read.outside + len(read.observations) - len(inside))


def last_time(dataset: xr.Dataset, channels: tuple[str, ...]) -> float:
    """The time of the last observation [days since 1950-01-01]."""
    if day_index_fits(dataset):
        # A store is in time order, and may be long: its last time is that of its last row.
        return float(days_since_epoch(dataset["time"].isel(obs=slice(-1, None)).values)[0])
    return float(Observations.from_dataset(dataset, channels).time[-1])
