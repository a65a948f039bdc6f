"""Where training from points begins: fields drawn from a stationary covariance, which a decoder learns as it does maps.

Scattered points tell the covariance of a field long before they tell its modes. Fields of that covariance, drawn on a
grid of one chart, are as many complete maps as one wants; variable projection on them gives the modes and the
population that the covariance has, in order of their variance. All that follows departs from there.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.charts import tensor
from ..data.series import Series
from ..errors import ConfigError
from ..space.cover import CONTEXT, Cover
from ..space.domain import PeriodicBox, Region

SIDE, MAPS, HELD = 28, 512, 64  # points a side of the grid, fields that are drawn, and those the decoder is checked on
Array = NDArray[np.float64]
Correlation = Callable[[Array], Array]
"""Of distances [km]; one at zero."""


def stationary_maps(cover: Cover, correlations: Sequence[Correlation], seed: int) -> tuple[Series, Series]:
    """Fields of variance one with these correlations, one a channel, on a chart of a cover: to train on, and others.

    Channels are independent of each other. A tiled cover's chart is one of the mean size. Raises ConfigError for the
    sphere, which is no chart that a stationary covariance in kilometres lies on.
    """
    coordinates, distance = _grid(cover)
    chance, made = np.random.default_rng(seed), []
    for correlation in correlations:
        values, vectors = np.linalg.eigh(correlation(distance))
        # Of distances around a box, or over a curved sea, a kernel may have a few small negative values.
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        made.append(chance.standard_normal((MAPS + HELD, len(values))) @ root.T)
    maps = np.stack(made, axis=-1)[:, None]
    context = np.zeros((len(maps), len(CONTEXT) if cover.tiled else 0))
    whole = Series(
        coordinates=tensor(coordinates),
        weights=torch.ones(1, len(coordinates), len(made)).expand(len(maps), -1, -1),
        values=tensor(maps),
        times=np.zeros(1),
        context=tensor(context),
    )
    return whole.subset(slice(0, MAPS)), whole.subset(slice(MAPS, None))


def _grid(cover: Cover) -> tuple[Array, Array]:
    """Coordinates (point, input) of a grid over a chart, and distances (point, point) [km]."""
    chart, side = cover.charts[0], (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    north, east = (axis.ravel() for axis in np.meshgrid(side, side, indexing="ij"))
    if isinstance(chart, PeriodicBox):
        length = np.array(chart.length_km)
        place = 0.5 * np.stack([east, north], axis=-1) * length
        apart = np.abs(place[:, None] - place)
        apart = np.minimum(apart, length - apart)
        angles = 2 * np.pi * place / length
        coordinates = np.stack([f(angles[:, axis]) for axis in (0, 1) for f in (np.cos, np.sin)], axis=-1)
        return coordinates, np.linalg.norm(apart, axis=-1)
    if not isinstance(chart, Region):
        raise ConfigError("points train tiles, a region or a periodic box; set domain.kind to one of them, not sphere")
    half = np.mean([one.half_size_km for one in cover.charts if isinstance(one, Region)], axis=0)
    reach = np.ones(2)
    if not cover.tiled:  # one unit of length for both axes, of which a long sea fills one
        degrees = np.deg2rad(chart.extent_degrees) * 6371.0
        reach = degrees * np.array([np.cos(np.deg2rad(chart.latitude)), 1.0]) / half
    coordinates = np.stack([east, north], axis=-1) * reach
    place = coordinates * half
    return coordinates, np.linalg.norm(place[:, None] - place, axis=-1)
