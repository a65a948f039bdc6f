"""Training data: normalised maps of one shape of chart, in memory, that the stages draw from."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..numerics.parallel import ALONE, Group
from .charts import ChartedCells
from .maps import Maps

SeriesIndex = slice | Tensor


@dataclass(frozen=True)
class Series:
    """Maps in one shape of chart: `series` is a trajectory, a tile, or a tile of a trajectory.

    coordinates : (point, input) shared by all series
    weights : (series, point, channel) area weight of mean one over the valid values, zero where missing
    values : (series, time, point, channel) normalised, zero where missing
    times : (time,) float64 days since 1950-01-01
    context : (series, context)
    charts : charts, of each of which all trajectories follow one another
    """

    coordinates: Tensor
    weights: Tensor
    values: Tensor
    times: NDArray[np.float64]
    context: Tensor
    share: float = 1.0
    charts: int = 1

    @property
    def count(self) -> int:
        """Number of series."""
        return self.values.shape[0]

    @property
    def alike(self) -> bool:
        """Whether all series have the same weights."""
        return self.charts == 1 or bool((self.weights == self.weights[:1]).all())

    def rows(self, trajectories: slice) -> SeriesIndex:
        """Numbers of the series of some trajectories in every chart."""
        return rows_of(self.count, self.charts, trajectories, self.values.device)

    def trajectories(self, which: slice) -> "Series":
        """Some of the trajectories, as views where there is one chart."""
        return self.subset(self.rows(which))

    def frames(self, which: slice) -> "Series":
        """The same series over part of the times."""
        return replace(self, values=self.values[:, which], times=self.times[which])

    def subset(self, which: SeriesIndex) -> "Series":
        """Some of the series."""
        return replace(
            self,
            values=self.values[which],
            weights=self.weights[which],
            context=self.context[which],
        )

    def points(self, which: slice) -> "Series":
        """All series at some of the points, as views."""
        return replace(
            self,
            coordinates=self.coordinates[which],
            weights=self.weights[:, which],
            values=self.values[:, :, which],
        )

    def to(self, device: str) -> "Series":
        """A copy on another device."""
        names = ("coordinates", "weights", "values", "context")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def at(self, step: int) -> "Series":
        """The maps that a step draws from: all of them."""
        return self

    def loaded(self) -> "Series":
        """The maps to validate on, in memory: all of them."""
        return self

    def parts(self, group: Group = ALONE) -> Iterator[tuple[SeriesIndex, slice, "Series"]]:
        """This process's share of the series: their numbers, their times, and the series themselves."""
        mine = group.share(self.count)
        yield mine, slice(0, len(self.times)), self.subset(mine)


def series_of(maps: Maps, cut: ChartedCells, share: float = 1.0) -> Series:
    """All maps as series: the trajectories of the first chart, then those of the next one."""
    return series_from(cut(maps.values), cut, maps.times, share)


def series_from(
    values: NDArray[np.float32], cut: ChartedCells, times: NDArray[np.float64], share: float = 1.0
) -> Series:
    """Series of values (chart, trajectory, time, point, channel) that a cut has made."""
    each = values.shape[1]
    return Series(
        coordinates=cut.coordinates,
        weights=cut.weights.repeat_interleave(each, dim=0),
        values=torch.from_numpy(values).flatten(0, 1),
        times=times,
        context=cut.context.repeat_interleave(each, dim=0),
        share=share,
        charts=cut.charts,
    )


def rows_of(count: int, charts: int, trajectories: slice, device: torch.device | str) -> SeriesIndex:
    """Numbers of the series of some trajectories, of `count` series in `charts` charts."""
    if charts == 1:
        return slice(*trajectories.indices(count))
    return torch.arange(count, device=device).view(charts, -1)[:, trajectories].flatten()
