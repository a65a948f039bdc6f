"""Observations: values of one or more channels at points in space and time, checked once where they are made."""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data_pipeline.layout.moments import moment, moments, nanoseconds

from ..errors import EmptyDataError, ObservationError
from ..space.domain import wrap_longitude
from .entering import entered

EPOCH = np.datetime64("1950-01-01T00:00:00", "ns")
# Datetimes are told to the millisecond: what differs by no more than their rounding is the same moment.
SAME_MOMENT_DAYS = 1e-8
MOST_DAYS = 1e9  # beyond any date; what is more is cut to it, and refused
Array = NDArray[np.float64]


def days_since_epoch(time: Any) -> Array:
    """Times to float64 days since 1950-01-01 (to the microsecond), of the same shape; NaT to NaN.

    Raises `TimeError` for numbers, and for times beyond what a store holds.
    """
    # In microseconds: more than 292 years are no number of nanoseconds.
    return (moments(time).astype("datetime64[us]") - EPOCH.astype("datetime64[us]")) / np.timedelta64(1, "D")


def day_of(value: dt.datetime | np.datetime64 | np.ndarray | str) -> float:
    """One moment as float64 days since 1950-01-01, in UTC; raises `TimeError` for what is none."""
    return float(days_since_epoch(moment(value)))


def datetime_of(days: np.ndarray | float) -> np.ndarray:
    """Days since 1950-01-01 to datetime64[ns], rounded to the millisecond; NaN to NaT.

    Raises `TimeError` for days beyond what a store holds.
    """
    known = np.nan_to_num(np.asarray(days, np.float64), nan=0.0)
    milliseconds = np.round(np.clip(known, -MOST_DAYS, MOST_DAYS) * 86_400_000.0).astype("timedelta64[ms]")
    times = nanoseconds(EPOCH.astype("datetime64[ms]") + milliseconds)
    return np.where(np.isnan(days), np.datetime64("NaT", "ns"), times)[()]


@dataclass(frozen=True)
class Observations:
    """Point observations in time order.

    time : (n,) float64 days since 1950-01-01
    longitude, latitude : (n,) degrees, longitude in [-180, 180)
    values : (n, channel) in the channels' units, NaN where a channel was not observed
    error : (n, channel) standard deviation of the observation error, NaN where unknown
    source : (n,) index of the instrument or mission; sources : their names, where they have any
    correlated_error : (n, channel) standard deviation of the part of `error` that neighbours share, none when absent
    """

    time: Array
    longitude: Array
    latitude: Array
    values: Array
    error: Array
    source: NDArray[np.int64]
    channels: tuple[str, ...]
    sources: tuple[str, ...] = ()
    correlated_error: Array | None = None

    def __post_init__(self) -> None:
        count = len(self.time)
        if self.values.shape != (count, len(self.channels)) or self.error.shape != self.values.shape:
            raise ObservationError(
                f"values {self.values.shape} and error {self.error.shape} must be (observation, channel) = "
                f"({count}, {len(self.channels)})"
            )
        if count and not np.isfinite(self.time).all():
            raise ObservationError("some observation times are missing; drop those observations")
        if not (np.isfinite(self.longitude).all() and np.isfinite(self.latitude).all()):
            raise ObservationError("some observations have no longitude or latitude; drop those observations")
        if count and not (np.abs(self.latitude) <= 90).all():
            raise ObservationError(
                f"latitudes reach {np.abs(self.latitude).max():g}, outside -90..90 degrees; "
                "are longitude and latitude swapped?"
            )
        shared = self.correlated_error
        if shared is not None and shared.shape != self.values.shape:
            raise ObservationError(
                f"correlated_error {shared.shape} must be of the shape of values {self.values.shape}"
            )
        if (self.error < 0).any() or (shared is not None and (shared < 0).any()):
            raise ObservationError("observation errors are standard deviations and cannot be negative")

    def __len__(self) -> int:
        return len(self.time)

    def select(self, which: np.ndarray) -> "Observations":
        """The observations that a mask or an index (n,) names."""
        names = ("time", "longitude", "latitude", "values", "error", "source")
        shared = None if self.correlated_error is None else self.correlated_error[which]
        return replace(self, **{name: getattr(self, name)[which] for name in names}, correlated_error=shared)

    def source_of(self, index: int) -> str:
        """The name of a source."""
        return self.sources[index] if 0 <= index < len(self.sources) else f"source {index}"

    def window(self, start: float, stop: float) -> "Observations":
        """Observations with start <= time <= stop [days since 1950-01-01]; `EmptyDataError` when there is none."""
        inside = self.between(start, stop)
        if not len(inside):
            raise EmptyDataError(
                f"no observation between {datetime_of(start)!s:.16} and {datetime_of(stop)!s:.16}; "
                f"{self.span()}; choose a window inside that"
            )
        return inside

    def between(self, start: float, stop: float) -> "Observations":
        """As `window`, but none where there is none."""
        low, high = np.searchsorted(self.time, [start, np.nextafter(stop, np.inf)])
        return self.select(np.arange(low, high))

    def span(self) -> str:
        """The time span in words, for messages."""
        if not len(self):
            return "there are no observations at all"
        return f"observations run from {datetime_of(self.time[0])!s:.16} to {datetime_of(self.time[-1])!s:.16}"

    @classmethod
    def from_dataset(
        cls, dataset: xr.Dataset, channels: tuple[str, ...], units: tuple[str, ...] | None = None
    ) -> "Observations":
        """From maps or points of whatever xarray holds, with `channels` in `units`, the registry's when absent.

        Cells and points without a value in any channel are dropped, points without a time or a position too. Raises
        `SchemaError` when every channel is absent, `EmptyDataError` when nothing is left, and what `entered` raises.
        """
        dataset = entered(dataset, channels, units)
        present = [name for name in channels if name in dataset]
        table = dataset if "obs" in dataset.dims else _flatten(dataset, present)
        count = table.sizes["obs"]
        values, error, shared = np.full((3, count, len(channels)), np.nan)
        for index, name in enumerate(channels):
            if name in table:
                values[:, index] = table[name].values
            if f"{name}_error" in table:
                error[:, index] = table[f"{name}_error"].values
            if f"{name}_correlated_error" in table:
                shared[:, index] = table[f"{name}_correlated_error"].values
        keep = np.flatnonzero(np.isfinite(values).any(1))
        if not len(keep):
            raise EmptyDataError(
                f"all {count} values of {', '.join(present)} are missing; "
                "there is nothing to assimilate, choose another window or file"
            )
        # Selected before they are checked: over land, grids may have neither values nor coordinates.
        time = days_since_epoch(table["time"].values)
        placed = np.isfinite(time) & np.isfinite(table["longitude"].values + table["latitude"].values)
        keep = keep[placed[keep]]
        if not len(keep):
            raise EmptyDataError(
                f"none of the {count} values of {', '.join(present)} has a time and a position; check the file"
            )
        keep = keep[np.argsort(time[keep], kind="stable")]
        names = dataset["source_name"].values.tolist() if "source_name" in dataset else []
        source = table["source"].values if "source" in table else np.zeros(count, np.int64)
        if source.dtype.kind not in "iuf":
            names, source = np.unique(source.astype(str), return_inverse=True)
        source = source.astype(np.int64)
        return cls(
            time=time[keep],
            longitude=wrap_longitude(table["longitude"].values[keep]),
            latitude=np.asarray(table["latitude"].values[keep], np.float64),
            values=values[keep],
            error=error[keep],
            source=source[keep],
            channels=tuple(channels),
            sources=tuple(str(name) for name in names),
            correlated_error=shared[keep] if np.isfinite(shared[keep]).any() else None,
        )


def _flatten(dataset: xr.Dataset, channels: list[str]) -> xr.Dataset:
    """A field dataset as a table with dim `obs`: one row a cell and time."""
    if "trajectory" in dataset.dims:
        raise ObservationError("the dataset holds several trajectories; choose one with .isel(trajectory=0)")
    if "time" not in dataset.dims:
        dataset = dataset.expand_dims("time")
    first = dataset[channels[0]].dims
    space = [d for d in first if d != "time"]
    latitude, longitude = xr.broadcast(dataset["latitude"], dataset["longitude"])
    flat = dataset[channels].transpose("time", *space)
    times, cells = dataset.sizes["time"], int(np.prod([dataset.sizes[d] for d in space]))
    columns = {name: ("obs", flat[name].values.reshape(-1).astype(np.float64)) for name in channels}
    columns["time"] = ("obs", np.repeat(np.atleast_1d(dataset["time"].values), cells))
    columns["longitude"] = ("obs", np.tile(longitude.transpose(*space).values.reshape(-1), times))
    columns["latitude"] = ("obs", np.tile(latitude.transpose(*space).values.reshape(-1), times))
    return xr.Dataset(columns)
