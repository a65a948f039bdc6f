"""Blocks of a store larger than memory: cut along its chunks, read ahead of their use, shuffled, shared out.

A block is a number. What is in it (`FieldBlocks`, `ObservationBlocks`), in which order blocks come (`BlockOrder`) and
how they are read (`read_ahead`) are told apart, so that whoever streams keeps one number, its position, to go on.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from data_pipeline.errors import SchemaError, StoreError, reason
from data_pipeline.layout.datasets import channel_names, index_by_day
from data_pipeline.stores.writing import OBSERVATIONS_PER_CHUNK, open_store

BLOCK_BYTES = 64 * 2**20
Store = xr.Dataset | str | os.PathLike[str]
Block = TypeVar("Block")


class FieldBlocks:
    """Blocks of a field store: whole chunks of all asked channels, together at most `block_bytes` or one chunk.

    Where they fit, a block takes all times of its trajectories. `period` limits the times. `regions` are the blocks as
    slices of trajectories (of one, where the store has none) and of the times of the period. A store given by its path
    is read by zarr alone, at twice the speed of dask. Raises SchemaError for a channel that the store has not, and
    StoreError when a chunk cannot be read.
    """

    def __init__(
        self, ds: Store, channels: Sequence[str], block_bytes: int = BLOCK_BYTES, period: slice = slice(None)
    ) -> None:
        self.ds = opened(ds)
        self.channels = tuple(_fields_asked(self.ds, channels))
        self.arrays = {} if isinstance(ds, xr.Dataset) else _arrays(ds, self.channels)
        lead = self.ds[self.channels[0]]
        first, stop, _ = period.indices(lead.sizes["time"])
        self.first, self.times, self.trajectories = first, stop - first, lead.sizes.get("trajectory", 1)
        one = lead.dtype.itemsize * len(self.channels) * lead.size // max(1, self.trajectories * lead.sizes["time"])
        most = max(1, block_bytes // max(1, one))
        in_rows, in_time = _edges(lead, "trajectory", 0, self.trajectories), _edges(lead, "time", first, stop)
        columns = _grouped(in_time, most // max(in_rows))
        rows = _grouped(in_rows, most // self.times if len(columns) == 1 else 1)
        self.regions = [(row, column) for row in rows for column in columns]

    def __len__(self) -> int:
        """Number of blocks."""
        return len(self.regions)

    def read(self, number: int) -> NDArray[np.float32]:
        """Block `number`: (trajectory, time, channel, row, column), NaN where missing."""
        return self.read_region(*self.regions[number])

    def read_region(self, trajectories: slice, times: slice) -> NDArray[np.float32]:
        """Any trajectories and times, of the period, in the same shape."""
        within = slice(self.first + times.start, self.first + times.stop)
        values = [self._values(name, trajectories, within) for name in self.channels]
        joined = values[0][:, :, None] if len(values) == 1 else np.stack(values, axis=2)
        return joined.astype(np.float32, copy=False)

    def _values(self, name: str, trajectories: slice, times: slice) -> NDArray[Any]:
        """One channel as (trajectory, time, row, column)."""
        variable = self.ds[name]
        whole = "trajectory" in variable.dims
        region = (trajectories, times) if whole else (times,)
        if name in self.arrays:
            try:
                array = np.asarray(self.arrays[name][region])
            except Exception as error:  # zarr and its codecs raise whatever damage makes them raise
                raise StoreError(f"{name} of the store cannot be read ({reason(error)}); make it anew") from error
        else:
            array = variable[region].to_numpy()
        return array if whole else array[None]


class ObservationBlocks:
    """Blocks of an observation store or archive: whole days, together at most `most` points or one day."""

    def __init__(self, ds: Store, most: int = OBSERVATIONS_PER_CHUNK) -> None:
        self.ds = opened(ds)
        if self.ds.attrs.get("dino_store") != "observations":
            raise SchemaError("blocks of days are cut from an observation store; FieldBlocks cuts a field store")
        edges = self.ds["day_offset"].values
        self.regions: list[slice] = []
        first = 0
        for day in range(1, len(edges)):
            if day == len(edges) - 1 or edges[day + 1] - edges[first] > most:
                if edges[day] > edges[first]:  # days without a point are no block
                    self.regions.append(slice(int(edges[first]), int(edges[day])))
                first = day

    def __len__(self) -> int:
        """Number of blocks."""
        return len(self.regions)

    def read(self, number: int) -> xr.Dataset:
        """Block `number` in memory, with its own day index."""
        return index_by_day(self.ds.isel(obs=self.regions[number]).load())


class BlockOrder:
    """Blocks in an order that chance shuffles anew every epoch, of which each of `size` readers has its share.

    In an epoch every block comes once, at one reader: none is left out and none comes twice. The order is a function of
    the seed and of the position alone, so that a reader who kept its position goes on where it stopped.
    """

    def __init__(self, count: int, seed: int, rank: int = 0, size: int = 1) -> None:
        if not (count >= size >= 1 and 0 <= rank < size):
            raise SchemaError(
                f"{count} blocks are to be shared among {size} readers, of which this is number {rank}; every reader "
                "wants a block at least: start fewer, or cut smaller blocks"
            )
        self.count, self.seed, self.rank, self.size = count, seed, rank, size
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        """Blocks that come to this reader in an epoch."""
        return len(range(self.rank, self.count, self.size))

    def at(self, position: int) -> int:
        """The block at a position, counted from 0 through all epochs."""
        epoch, index = divmod(position, len(self))
        if epoch != self._epoch:
            chance = np.random.default_rng([self.seed, epoch])
            self._epoch, self._order = epoch, chance.permutation(self.count)[self.rank :: self.size]
        return int(self._order[index])

    def epoch(self, number: int) -> list[int]:
        """All blocks of an epoch."""
        return [self.at(number * len(self) + index) for index in range(len(self))]


def read_ahead(read: Callable[[int], Block], numbers: Iterable[int], ahead: int = 1) -> Iterator[Block]:
    """What `read` gives for each number, in order; the next `ahead` are read while the caller works on one.

    Memory: `ahead` + 1 blocks. What `read` raises is raised at its block's turn.
    """
    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting: deque[Any] = deque()
        try:
            for number in chain(numbers, [None] * ahead):
                if number is not None:
                    waiting.append(reader.submit(read, number))
                if len(waiting) > ahead or (number is None and waiting):
                    yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def opened(ds: Store) -> xr.Dataset:
    """A dataset as it is, or the store at a path."""
    return ds if isinstance(ds, xr.Dataset) else open_store(ds)


def _fields_asked(ds: xr.Dataset, names: Sequence[str]) -> list[str]:
    """The names again, if they are channels of this field store; SchemaError otherwise."""
    unknown = [name for name in names if name not in channel_names(ds)]
    if ds.attrs.get("dino_store") != "fields" or unknown or not names:
        raise SchemaError(
            f"channels {list(names)} are asked of a store with {', '.join(channel_names(ds)) or 'none'}; "
            "name some of these"
        )
    return list(names)


def _arrays(path: str | os.PathLike[str], channels: Sequence[str]) -> dict[str, zarr.Array]:
    """The zarr arrays of a store's channels; fields are float32 with NaN for missing, so that nothing is to decode."""
    group = zarr.open_group(path, mode="r", use_consolidated=False)
    arrays = {name: group[name] for name in channels}
    return {name: array for name, array in arrays.items() if isinstance(array, zarr.Array)}


def _edges(variable: xr.DataArray, dim: str, first: int, stop: int) -> list[int]:
    """Lengths of the chunks, or of what the period leaves of them, along a dimension."""
    if dim not in variable.dims:
        return [stop - first]
    chunks = variable.chunksizes.get(dim, (variable.sizes[dim],))
    edges = np.cumsum([0, *chunks])
    return [int(length) for length in np.diff(np.clip(edges, first, stop)) if length]


def _grouped(chunks: Sequence[int], most: int) -> list[slice]:
    """Neighbouring chunks joined while they hold `most` together; a longer one stands alone."""
    slices, first, last = [], 0, 0
    for length in chunks:
        if last > first and last + length - first > most:
            slices.append(slice(first, last))
            first = last
        last += length
    return [*slices, slice(first, last)]
