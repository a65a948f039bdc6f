"""Points that stores give to training, a day at a time: of observations, archives, and maps whose gaps may move.

A day is read when it is wanted, thinned to `DAY_POINTS` by a draw that is the day's own, and kept while there is room.
What a window holds is therefore a function of its days alone: whatever was read before, and by whichever process.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data_pipeline.layout.relations import lacking
from data_pipeline.stores.stream import read_window

from ..errors import ConfigError, EmptyDataError, SchemaError
from .observations import Observations, datetime_of, days_since_epoch

DAY_POINTS = 2**14
POINT_BYTES = 80  # of an observation in memory, about
SAMPLE_DAYS = 64


@dataclass(frozen=True, eq=False)
class PointStore:
    """One store as points.

    path : for messages; dataset : the store, of which no value is read yet; channels : their names there
    start, end : what may be seen [days since 1950-01-01]; room : days that are kept in memory; seed : of the draws
    """

    path: str
    dataset: xr.Dataset
    channels: tuple[str, ...]
    start: float = -np.inf
    end: float = np.inf
    room: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        missing = [name for name in self.channels if name not in self.dataset]
        if missing:
            raise ConfigError(lacking(self.path, map(str, self.dataset.data_vars), list(self.channels), missing))
        if self.dataset.sizes.get("trajectory", 1) > 1:
            raise SchemaError(
                f"{self.path} holds {self.dataset.sizes['trajectory']} trajectories beside points: oceans of their own "
                "are no record of one; train on them alone, or store one of them"
            )
        if not len(self.days):
            raise EmptyDataError(f"{self.path} holds nothing between data.train_start and data.train_end")

    @property
    def are_maps(self) -> bool:
        """Whether the store holds maps."""
        return "obs" not in self.dataset.dims

    @cached_property
    def _times(self) -> NDArray[np.float64]:
        return days_since_epoch(self.dataset["time"].values)

    @cached_property
    def days(self) -> NDArray[np.int64]:
        """Numbers of the days since 1950-01-01 that hold anything, ascending."""
        if self.are_maps:
            inside = (self._times >= self.start) & (self._times <= self.end)
            return np.unique(np.floor(self._times[inside]).astype(np.int64))
        first = np.floor(days_since_epoch(self.dataset["day"].values)).astype(np.int64)
        some = np.diff(self.dataset["day_offset"].values) > 0
        return first[some & (first + 1 > self.start) & (first <= self.end)]

    def of_day(self, day: int) -> Observations | None:
        """The points of a day, at most `DAY_POINTS` of them; None where none is known."""
        return self._kept(day)

    @cached_property
    def _kept(self):
        return lru_cache(self.room)(self._read)

    def _read(self, day: int) -> Observations | None:
        chance = np.random.default_rng((self.seed, day))
        try:
            found = self._maps(day, chance) if self.are_maps else self._points(day)
        except EmptyDataError:
            return None
        found = found.between(self.start, self.end)
        if len(found) > DAY_POINTS:
            found = found.select(np.sort(chance.choice(len(found), DAY_POINTS, replace=False)))
        return found if len(found) else None

    def _points(self, day: int) -> Observations:
        part = read_window(self.dataset, datetime_of(day), datetime_of(day + 1))
        return Observations.from_dataset(part, self.channels)

    def _maps(self, day: int, chance: np.random.Generator) -> Observations:
        """Cells with values of a day's maps, one map in memory at a time."""
        frames = np.flatnonzero(np.floor(self._times) == day)
        parts = []
        for frame in frames:
            one = self.dataset[list(self.channels)].isel(time=[int(frame)])
            one = one.isel(trajectory=0) if "trajectory" in one.dims else one
            try:
                found = Observations.from_dataset(one.load(), self.channels)
            except EmptyDataError:  # a map under clouds
                continue
            most = max(1, DAY_POINTS // len(frames))
            if len(found) > most:
                found = found.select(np.sort(chance.choice(len(found), most, replace=False)))
            parts.append(found)
        if not parts:
            raise EmptyDataError("no cell of the day holds a value")
        return joined(parts)


@dataclass(frozen=True, eq=False)
class Points:
    """The points of all stores of a run, by their names in the first."""

    stores: tuple[PointStore, ...]
    names: tuple[str, ...]

    @cached_property
    def days(self) -> NDArray[np.int64]:
        """Numbers of all days that hold anything, ascending."""
        return np.unique(np.concatenate([store.days for store in self.stores]))

    def between(self, start: float, end: float) -> Observations | None:
        """Points with start <= time <= end [days since 1950-01-01]; None where there is none."""
        low, high = np.searchsorted(self.days, [np.floor(start), np.floor(end) + 1])
        parts = []
        for day in self.days[low:high].tolist():
            found = [store.of_day(day) for store in self.stores]
            parts += [replace(part, channels=self.names) for part in found if part is not None]
        if not parts:
            return None
        made = joined(parts).between(start, end)
        return made if len(made) else None

    def sample(self) -> Observations:
        """The points of some days, evenly in time: what mean, spread and amplitudes are told from.

        Raises EmptyDataError where no day holds a value.
        """
        which = np.unique(np.linspace(0, len(self.days) - 1, SAMPLE_DAYS).astype(int))
        found = [self.between(day, np.nextafter(day + 1.0, 0)) for day in self.days[which].astype(float)]
        parts = [part for part in found if part is not None]
        if not parts:
            raise EmptyDataError(f"none of the stores holds a value of {', '.join(self.names)}; check the period")
        return joined(parts)


def joined(parts: Sequence[Observations]) -> Observations:
    """Observations of one or several stores in time order; sources of one name are one."""
    if len(parts) == 1:
        return parts[0]
    names = sorted({part.source_of(int(s)) for part in parts for s in np.unique(part.source)})
    number = {name: index for index, name in enumerate(names)}
    source = []
    for part in parts:
        every, back = np.unique(part.source, return_inverse=True)
        source.append(np.array([number[part.source_of(int(s))] for s in every], np.int64)[back])
    shared = None
    if any(part.correlated_error is not None for part in parts):
        none = [np.full_like(p.error, np.nan) if p.correlated_error is None else p.correlated_error for p in parts]
        shared = np.concatenate(none)
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("time", "longitude", "latitude", "values", "error")
    }
    order = np.argsort(columns["time"], kind="stable")
    return Observations(
        **{name: column[order] for name, column in columns.items()},
        source=np.concatenate(source)[order],
        channels=parts[0].channels,
        sources=tuple(names),
        correlated_error=None if shared is None else shared[order],
    )
