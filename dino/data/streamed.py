"""Series of a store larger than memory: the stages draw from a pool of blocks that moves through the store."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_pipeline.stores.blocks import BlockOrder, read_ahead

from ..numerics.parallel import ALONE, Group
from .charts import ChartedCells
from .maps import StoredMaps
from .series import Series, SeriesIndex, rows_of, series_from

MOST_COMING = 4  # blocks read for the next step while this one works


@dataclass(frozen=True, eq=False)
class StreamedSeries:
    """What `Series` is, read when it is wanted; see there for shapes.

    pool_bytes : values, as series, that the pool holds; half as many are loaded to validate on, at most
    steps : steps in which the pool passes once through the training blocks, shuffled by `seed`
    which, within, at_points : trajectories, times and points that this is about
    """

    maps: StoredMaps
    cut: ChartedCells
    pool_bytes: int
    steps: int
    seed: int
    share: float
    which: slice
    within: slice
    at_points: slice = field(default_factory=lambda: slice(None))
    device: str = "cpu"

    @property
    def charts(self) -> int:
        """Number of charts."""
        return self.cut.charts

    @property
    def count(self) -> int:
        """Number of series."""
        return self.charts * (self.which.stop - self.which.start)

    @property
    def alike(self) -> bool:
        """Whether all series have the same weights."""
        return self.charts == 1 or bool((self.cut.weights == self.cut.weights[:1]).all())

    @property
    def times(self) -> NDArray[np.float64]:
        """(time,) float64 days since 1950-01-01."""
        return self.maps.times[self.within]

    @property
    def coordinates(self) -> Tensor:
        """(point, input)."""
        return self.cut.coordinates[self.at_points].to(self.device)

    @property
    def weights(self) -> Tensor:
        """(series, point, channel), without memory of its own where there is one chart."""
        return self._of_charts(self.cut.weights[:, self.at_points])

    @property
    def context(self) -> Tensor:
        """(series, context)."""
        return self._of_charts(self.cut.context)

    def rows(self, trajectories: slice) -> SeriesIndex:
        """Numbers of the series of some trajectories in every chart."""
        return rows_of(self.count, self.charts, trajectories, self.device)

    def trajectories(self, which: slice) -> "StreamedSeries":
        """Some of the trajectories."""
        return replace(self, which=_within(self.which, which))

    def frames(self, which: slice) -> "StreamedSeries":
        """Part of the times."""
        return replace(self, within=_within(self.within, which))

    def points(self, which: slice) -> "StreamedSeries":
        """Some of the points."""
        every = slice(0, len(self.cut.coordinates))
        return replace(self, at_points=_within(_within(every, self.at_points), which))

    def to(self, device: str) -> "StreamedSeries":
        """The same, read to another device."""
        return replace(self, device=device)

    def at(self, step: int) -> Series:
        """The maps that a step draws from: (chart, map) of the blocks that are in the pool then, times without meaning.

        A function of the step alone, whatever was drawn before, so that a run may go on from any step.
        """
        return self._pool.at(step)

    @cached_property
    def _pool(self) -> "_Pool":
        # Of a twin: with this one the two would hold each other, and the blocks with them, after their last use.
        return _Pool(replace(self))

    def loaded(self) -> Series:
        """In memory, as much as half of the pool's size allows: the first times of the first trajectories."""
        one, most = 4 * self.cut.map_values, self.pool_bytes // 2
        length, count = len(self.times), self.which.stop - self.which.start
        times = min(length, max(1, most // one))
        trajectories = min(count, max(1, most // (one * times)))
        which, within = _within(self.which, slice(0, trajectories)), _within(self.within, slice(0, times))
        return self._series(self.maps.read(which, within), within)

    def parts(self, group: Group = ALONE) -> Iterator[tuple[SeriesIndex, slice, Series]]:
        """This process's share of the blocks: numbers of their series, their times, and the series themselves."""
        regions = self.regions()
        mine = range(group.rank, len(regions), group.size)
        made = read_ahead(lambda number: self.read(regions[number]), mine)
        for number, series in zip(mine, made, strict=True):
            which, within = regions[number]
            rows = self.rows(slice(which.start - self.which.start, which.stop - self.which.start))
            yield rows, slice(within.start - self.within.start, within.stop - self.within.start), series

    def regions(self) -> list[tuple[slice, slice]]:
        """Trajectories and times of the store's blocks, as far as they belong to this."""
        both = [
            (_common(which, self.which), _common(within, self.within)) for which, within in self.maps.blocks.regions
        ]
        return [(which, within) for which, within in both if which.start < which.stop and within.start < within.stop]

    def read(self, region: tuple[slice, slice]) -> Series:
        """The series of some trajectories and times of the store."""
        return self._series(self.maps.read(*region), region[1])

    def _series(self, values: NDArray[np.float32], within: slice) -> Series:
        series = series_from(self.cut(values), self.cut, self.maps.times[within], self.share)
        return series.points(self.at_points).to(self.device)

    def _of_charts(self, values: Tensor) -> Tensor:
        each = self.count // self.charts
        return values[:, None].expand(-1, each, *values.shape[1:]).flatten(0, 1).to(self.device)


class _Pool:
    """Some blocks side by side in one tensor; a step may find the next one in the place of the oldest."""

    def __init__(self, series: StreamedSeries) -> None:
        self.series, self.regions = series, series.regions()
        self.slot = max((which.stop - which.start) * (within.stop - within.start) for which, within in self.regions)
        block = 4 * self.slot * series.cut.map_values
        self.blocks = min(len(self.regions), max(2, series.pool_bytes // block))
        self.order = BlockOrder(len(self.regions), series.seed)
        charts, points, channels = series.cut.weights[:, series.at_points].shape
        self.values = torch.zeros(charts, self.blocks * self.slot, points, channels, device=series.device)
        self.held = [-1] * self.blocks  # positions in the order
        self.reader = ThreadPoolExecutor(max_workers=1)
        self.coming: dict[int, Future[Series]] = {}

    def at(self, step: int) -> Series:
        """The pool at a step of training."""
        for position in self._wanted(step):
            self._put(position, self.coming.pop(position, None))
        following = self._wanted(step + 1)[:MOST_COMING]
        # What is read ahead knows the store, not the pool, which may go while it is read.
        self.coming = {
            position: self.coming.get(position) or self.reader.submit(self.series.read, self._region(position))
            for position in following
        }
        series, cut, device = self.series, self.series.cut, self.values.device
        return Series(
            coordinates=series.coordinates,
            weights=cut.weights[:, series.at_points].to(device),
            values=self.values,
            times=np.arange(self.values.shape[1], dtype=np.float64),
            context=cut.context.to(device),
            share=series.share,
            charts=cut.charts,
        )

    def _wanted(self, step: int) -> list[int]:
        """Positions in the order that belong into the pool at a step and are not there."""
        steps = max(1, self.series.steps)
        first = min(step, steps) * (len(self.regions) - self.blocks) // steps
        return [at for at in range(first, first + self.blocks) if self.held[at % self.blocks] != at]

    def _put(self, position: int, coming: Future[Series] | None) -> None:
        """Bring a block to its place; a shorter one, at the end of the store, is repeated to fill it."""
        block = self.series.read(self._region(position)) if coming is None else coming.result()
        maps = block.values.unflatten(0, (self.series.charts, -1)).flatten(1, 2)
        place = position % self.blocks
        numbers = torch.arange(self.slot, device=maps.device) % maps.shape[1]
        self.values[:, place * self.slot : (place + 1) * self.slot] = maps[:, numbers]
        self.held[place] = position

    def _region(self, position: int) -> tuple[slice, slice]:
        return self.regions[self.order.at(position)]


def _within(whole: slice, part: slice) -> slice:
    """A part of a slice, told in the numbers that the slice is told in."""
    start, stop, _ = part.indices(whole.stop - whole.start)
    return slice(whole.start + start, whole.start + max(start, stop))


def _common(one: slice, other: slice) -> slice:
    return slice(max(one.start, other.start), min(one.stop, other.stop))
