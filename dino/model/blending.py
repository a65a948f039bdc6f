"""Fields of overlapping charts blended at any points: one loop over batches of charts."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..numerics.groups import batches
from ..numerics.modes import without_gradients
from .ocean import Ocean

# Places of a batch of charts, and points that are blended together: memory is bounded by them.
BATCH_PLACES, BLOCK_POINTS = 2**14, 2**17
Array = NDArray[np.float64]


class Places(NamedTuple):
    """Points on some charts side by side.

    chart : (chart,) numbers; part : (chart,) what the caller groups points by beside the chart
    point : (chart, place) numbers of points; coordinates : (chart, place, input) there. Padding repeats a point.
    """

    chart: Tensor
    part: Tensor
    point: Tensor
    coordinates: Tensor


Evaluate = Callable[[Places], tuple[Tensor, Tensor | None]]
"""Fields and, if there are any, variances (*leading, chart, place, channel) in the charts' normalised units."""


def blocks(count: int) -> Iterator[slice]:
    """Slices that cover `count` points in blocks of bounded memory."""
    return (slice(start, min(start + BLOCK_POINTS, count)) for start in range(0, count, BLOCK_POINTS))


@without_gradients
def blend(
    ocean: Ocean,
    like: Tensor,
    longitude: Array,
    latitude: Array,
    evaluate: Evaluate,
    leading: tuple[int, ...] = (),
    part: NDArray[np.int64] | None = None,
    places: int = BATCH_PLACES,
) -> tuple[Array, Array]:
    """Mean and standard deviation (*leading, point, channel) of all charts blended, in the channels' units.

    like : a tensor of the device and precision that charts are evaluated in; part : (point,) see `Places`
    places : of a batch at most
    NaN on land, outside the charts and where a coordinate is NaN; a standard deviation of zero where `evaluate` gives
    no variance.
    """
    count, channels, frames = len(longitude), len(ocean.channels), math.prod(leading)
    usable = np.isfinite(longitude) & np.isfinite(latitude)
    place = np.where(usable, longitude, 0.0), np.where(usable, latitude, 0.0)
    usable &= ocean.background.is_ocean(*place)
    inside = np.flatnonzero(usable)
    pairs = ocean.cover.pairs(place[0][inside], place[1][inside])
    point = inside[pairs.point]
    total = np.bincount(point, pairs.weight, count)
    parts = 1 if part is None or not count else int(part.max()) + 1
    key = pairs.chart * parts + (0 if part is None else part[point])
    weight = torch.as_tensor(pairs.weight / total[point] * ocean.cover.amplitude[pairs.chart], device=like.device)
    number, group = (torch.as_tensor(column, device=like.device) for column in (point, key))
    coordinates = torch.as_tensor(pairs.coordinates, device=like.device).to(like)
    value, deviation = torch.zeros(2, frames, count, channels, dtype=torch.float64, device=like.device)
    for batch in batches(group, places, split=True):
        where, share = number[batch.row], (weight[batch.row] * batch.known).unsqueeze(-1)
        field, variance = evaluate(Places(batch.group // parts, batch.group % parts, where, coordinates[batch.row]))
        for target, part_of in ((value, field), (deviation, None if variance is None else variance.sqrt())):
            if part_of is not None:
                shared = (part_of * share.to(part_of)).reshape(frames, -1, channels)
                target.index_add_(1, where.flatten(), shared.double())
    scale = np.where(total > 0, 1.0, np.nan)[:, None] * ocean.spread
    shape = (*leading, count, channels)
    mean = value.cpu().numpy().reshape(shape) * scale + ocean.background.at(*place)
    return mean, deviation.cpu().numpy().reshape(shape) * scale
