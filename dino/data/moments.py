"""What one pass through the maps of a store tells of every cell: its mean and its variability."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import EmptyDataError
from ..space.gridmap import GridMap
from .maps import Maps, StoredMaps


@dataclass(frozen=True)
class Moments:
    """What a pass through the maps tells of every cell: mean and mean square (channel, row, column) in float64.

    Both are over what training sees, and NaN where a cell has a gap at any time. copies : maps of it that are the one
    before them in every cell; maps : those that have one before them
    """

    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]
    mean: NDArray[np.float64]
    square: NDArray[np.float64]
    copies: int = 0
    maps: int = 0

    def grid_map(self, kind: str, kept: NDArray[np.bool_] | bool = True) -> GridMap:
        """The training mean (kind "map") or its mean over the kept cells ("constant"), NaN where a cell has gaps."""
        whole, mean = np.isfinite(self.mean).all(0), self.mean
        if kind == "constant":
            rows = np.cos(np.deg2rad(self.latitude))
            area = np.where(whole & kept, rows[:, None] if rows.ndim == 1 else rows, 0.0)
            average = np.nansum(np.where(whole, mean, 0) * area, axis=(1, 2)) / area.sum()
            mean = np.broadcast_to(average[:, None, None], mean.shape)
        return GridMap(self.longitude, self.latitude, np.where(whole, mean, np.nan))

    def about(self, background: GridMap) -> NDArray[np.float64]:
        """Mean square (channel, row, column) of what departs from a background."""
        return np.maximum(self.square - 2 * self.mean * background.values + background.values**2, 0.0)

    def spread(self, background: GridMap, kept: NDArray[np.bool_] | bool = True) -> NDArray[np.float64]:
        """Standard deviation (channel,) about a background over the kept cells."""
        spread = np.sqrt(np.nanmean(np.where(kept, self.about(background), np.nan), axis=(1, 2)))
        if not (spread > 0).all():
            raise EmptyDataError("a channel of the training store does not vary at all; there is nothing to learn from")
        return spread


def moments(maps: Maps | StoredMaps, training: slice, trajectories: slice = slice(None)) -> Moments:
    """Moments over the times and trajectories that training may see; which cells have gaps is asked of all maps.

    Raises EmptyDataError when no cell is there at all times.
    """
    seen, learned = np.zeros(len(maps.times), bool), np.zeros(maps.trajectories, bool)
    seen[training], learned[trajectories] = True, True
    whole, total, square = np.ones(maps.grid, bool), 0.0, 0.0
    copies, followed = 0, 0
    last: dict[tuple[int, int], NDArray[np.float32]] = {}
    for rows, times, values in maps.parts():
        whole &= np.isfinite(values).all(axis=(0, 1, 2))
        wanted = values[learned[rows]][:, seen[times]]
        if wanted.size:
            before = last.pop((rows.start, times.start), wanted[:, :0])
            same = _copies(np.concatenate([before, wanted], axis=1) if before.size else wanted)
            copies, followed = copies + int(same.sum()), followed + same.size
            last = {(rows.start, times.stop): wanted[:, -1:].copy()}
        total = total + wanted.sum(axis=(0, 1), dtype=np.float64)
        square = square + np.square(wanted, dtype=np.float64).sum(axis=(0, 1))
    if not whole.any():
        raise EmptyDataError(
            "no cell of the store is valid at all times; fields with moving gaps are observations: "
            "sample them into an observation store, or choose a period without gaps"
        )
    count = int(seen.sum() * learned.sum())
    mean, mean_square = (np.where(whole, sums / count, np.nan) for sums in (total, square))
    return Moments(maps.longitude, maps.latitude, mean, mean_square, copies, followed)


def _copies(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(trajectory, time - 1) whether a map is the one before it in every cell, of (trajectory, time, ...)."""
    first, second = values[:, :-1], values[:, 1:]
    return ((first == second) | (np.isnan(first) & np.isnan(second))).all(axis=tuple(range(2, values.ndim)))
