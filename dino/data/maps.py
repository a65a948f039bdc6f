"""Maps of a field store as training reads them: whole in memory, or block by block when the store is larger."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from data_pipeline.layout.relations import lacking
from data_pipeline.stores.blocks import BLOCK_BYTES, FieldBlocks, Store, opened, read_ahead

from ..errors import ConfigError, EmptyDataError
from .observations import days_since_epoch

Part = tuple[slice, slice, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class StoredMaps:
    """A field store whose maps are read when they are wanted.

    longitude, latitude : axes [degrees], or 2-D; longitudes run on beyond 180 degrees where the ocean lies across it
    times : (time,) float64 days since 1950-01-01
    source, channels, period : the store that the values are in, or its path; `attributes` are those of the store
    columns : the store's column of each longitude, where the store has them in another order
    block_bytes : values read at a time, at most, or one chunk of the store
    """

    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]
    times: NDArray[np.float64]
    attributes: dict
    source: Store
    channels: tuple[str, ...]
    period: slice
    columns: NDArray[np.int64] | None = None
    block_bytes: int = BLOCK_BYTES

    @cached_property
    def blocks(self) -> FieldBlocks:
        """The store cut into blocks along its chunks."""
        return FieldBlocks(self.source, self.channels, self.block_bytes, self.period)

    @property
    def trajectories(self) -> int:
        """Number of trajectories, one for a store without them."""
        return self.blocks.trajectories

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        sizes = self.blocks.ds[self.channels[0]].shape[-2:]
        return (int(sizes[0]), int(sizes[1]))

    @property
    def nbytes(self) -> int:
        """Bytes of all values in float32."""
        return 4 * self.trajectories * len(self.times) * len(self.channels) * self.grid[0] * self.grid[1]

    def read(self, trajectories: slice, times: slice) -> NDArray[np.float32]:
        """Values (trajectory, time, channel, row, column) of some trajectories and times."""
        values = self.blocks.read_region(trajectories, times)
        return values if self.columns is None else values[..., self.columns]

    def parts(self) -> Iterator[Part]:
        """Trajectories, times and values (trajectory, time, channel, row, column) of every block; two are held."""
        regions = self.blocks.regions
        values = read_ahead(lambda number: self.read(*regions[number]), range(len(regions)))
        for (trajectories, times), block in zip(regions, values, strict=True):
            yield trajectories, times, block

    def loaded(self) -> "Maps":
        """All of it in memory."""
        values = np.empty((self.trajectories, len(self.times), len(self.channels), *self.grid), np.float32)
        for trajectories, times, block in self.parts():
            values[trajectories, times] = block
        return Maps(self.longitude, self.latitude, self.times, self.attributes, values)


@dataclass(frozen=True)
class Maps:
    """A field store in memory: values (trajectory, time, channel, row, column) float32, NaN where missing."""

    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]
    times: NDArray[np.float64]
    attributes: dict
    values: NDArray[np.float32]

    @property
    def trajectories(self) -> int:
        """Number of trajectories."""
        return len(self.values)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        return (self.values.shape[-2], self.values.shape[-1])

    def parts(self) -> Iterator[Part]:
        """Trajectories, times and values, some trajectories at a time."""
        some = max(1, BLOCK_BYTES // max(1, self.values[:1].nbytes))
        for first in range(0, self.trajectories, some):
            which = slice(first, min(first + some, self.trajectories))
            yield which, slice(0, len(self.times)), self.values[which]


def open_maps(source: Store, channels: list[str], start: float | None = None, end: float | None = None) -> StoredMaps:
    """The maps of a field store with start <= time <= end [days since 1950-01-01], of which no value is read yet.

    Raises ConfigError for a channel that is not there and EmptyDataError when no map lies in the period.
    """
    dataset = opened(source)
    missing = [name for name in channels if name not in dataset]
    if missing:
        raise ConfigError(lacking("the store", map(str, dataset.data_vars), channels, missing))
    days = days_since_epoch(dataset["time"].values)
    inside = (days >= (start if start is not None else -np.inf)) & (days <= (end if end is not None else np.inf))
    if not inside.any():
        raise EmptyDataError(
            "no map lies between data.train_start and data.train_end; the store runs from "
            f"{dataset['time'].values[0]!s:.10} to {dataset['time'].values[-1]!s:.10}"
        )
    first, last = np.flatnonzero(inside)[[0, -1]]
    latitude, longitude = dataset["latitude"].values.astype(float), dataset["longitude"].values.astype(float)
    longitude = _unbroken(longitude)
    columns = None
    if longitude.ndim == 1 and (np.diff(longitude) < 0).any():
        columns = np.argsort(longitude)
        longitude = longitude[columns]
    place = (source, tuple(channels), slice(int(first), int(last) + 1), columns)
    return StoredMaps(longitude, latitude, days[inside], dict(dataset.attrs), *place)


def translated(maps: Maps, copies: int, keep: int, seed: int) -> Maps:
    """Add `copies` - 1 randomly shifted copies of all but the last `keep` trajectories, in front of the originals.

    On a doubly periodic box with uniform forcing a shifted ocean is another, equally valid one.
    """
    if copies == 1:
        return maps
    if "periodic_length_km" not in maps.attributes:
        raise ConfigError("data.translations wants stores of a periodic box; set it to 1")
    chance = np.random.default_rng(seed)
    moved = [
        np.roll(run, tuple(chance.integers(0, size) for size in run.shape[-2:]), axis=(-2, -1))
        for _ in range(copies - 1)
        for run in maps.values[: len(maps.values) - keep]
    ]
    return replace(maps, values=np.concatenate([np.stack(moved), maps.values]))


def _unbroken(longitude: NDArray) -> NDArray:
    """The same longitudes, those before the widest gap turned by 360 where that gap is not the one at 180 degrees."""
    known = np.unique(longitude[np.isfinite(longitude)])
    gaps = np.diff(known, append=known[0] + 360.0)
    widest = int(np.argmax(gaps))
    if gaps[widest] < 1.5 * gaps[-1]:
        return longitude
    return np.where(longitude <= known[widest], longitude + 360.0, longitude)
