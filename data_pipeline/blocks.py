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
from numpy.typing import NDArray

from data_pipeline.errors import SchemaError
from data_pipeline.schema import channel_names, index_by_day
from data_pipeline.stores import OBSERVATIONS_PER_CHUNK, open_store

BLOCK_BYTES = 64 * 2**20
Store = xr.Dataset | str | os.PathLike[str]
Block = TypeVar("Block")


class FieldBlocks:
    """Blocks of a field store: whole chunks of all asked channels, together at most `block_bytes` or one chunk.

    Where they fit, a block takes all times of its trajectories. `regions` are the blocks as slices of trajectories (of
    one, where the store has none) and times. Raises SchemaError for a channel that the store has not.
    """

    def __init__(self, ds: Store, channels: Sequence[str], block_bytes: int = BLOCK_BYTES) -> None:
        ds = opened(ds)
        self.ds, self.channels = ds, tuple(fields_asked(ds, channels))
        lead = ds[self.channels[0]]
        self.trajectories, self.times = lead.sizes.get("trajectory", 1), lead.sizes["time"]
        one = lead.dtype.itemsize * len(self.channels) * lead.size // max(1, self.trajectories * self.times)
        most = max(1, block_bytes // max(1, one))
        chunks: dict[Any, tuple[int, ...]] = {"trajectory": (self.trajectories,), "time": (self.times,)}
        chunks |= lead.chunksizes
        columns = _grouped(chunks["time"], most // max(chunks["trajectory"]))
        rows = _grouped(chunks["trajectory"], most // self.times if len(columns) == 1 else 1)
        self.regions = [(row, column) for row in rows for column in columns]

    def __len__(self) -> int:
        """Number of blocks."""
        return len(self.regions)

    def read(self, number: int) -> NDArray[np.float32]:
        """Block `number`: (trajectory, time, channel, row, column), NaN where missing."""
        return self.read_region(*self.regions[number])

    def read_region(self, trajectories: slice, times: slice) -> NDArray[np.float32]:
        """Any part of the store in the same shape."""
        values = []
        for name in self.channels:
            variable = self.ds[name].isel(time=times)
            whole = "trajectory" in variable.dims
            array = (variable.isel(trajectory=trajectories) if whole else variable).to_numpy()
            values.append(array if whole else array[None])
        joined = values[0][:, :, None] if len(values) == 1 else np.stack(values, axis=2)
        return joined.astype(np.float32, copy=False)


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


def fields_asked(ds: xr.Dataset, names: Sequence[str]) -> list[str]:
    """The names again, if they are channels of this field store; SchemaError otherwise."""
    unknown = [name for name in names if name not in channel_names(ds)]
    if ds.attrs.get("dino_store") != "fields" or unknown or not names:
        raise SchemaError(
            f"channels {list(names)} are asked of a store with {', '.join(channel_names(ds)) or 'none'}; "
            "name some of these"
        )
    return list(names)


def _grouped(chunks: Sequence[int], most: int) -> list[slice]:
    """Neighbouring chunks joined while they hold `most` together; a longer one stands alone."""
    slices, first, last = [], 0, 0
    for length in chunks:
        if last > first and last + length - first > most:
            slices.append(slice(first, last))
            first = last
        last += length
    return [*slices, slice(first, last)]
