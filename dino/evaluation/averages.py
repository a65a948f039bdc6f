"""Averages of dense observations in boxes so small that a field is nearly linear over them.

Two wide swaths leave twenty thousand points in a window of fifteen days. Local interpolation then meets one pass only;
of averages, its few hundred neighbours reach as far as the covariance does.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..data.observations import Observations
from .covariance import Covariance, positions_km

# Sides of the boxes that are averaged over, in the shortest length of a component, and their length in time [days].
BOX_LENGTH: Mapping[str, float] = {"gaussian": 1.0 / 3.0, "matern32": 1.0 / 6.0, "exponential": 1.0 / 12.0}
BOX_DAYS = 1.0


def boxes(covariance: Covariance) -> tuple[float, float]:
    """Sides [km] and length [days] of boxes over which a field of this covariance is nearly linear."""
    side = BOX_LENGTH[covariance.space_kernel] * min(part.length_km for part in covariance.components)
    return side, min(BOX_DAYS, 0.1 * min(part.time_days for part in covariance.components))


def averaged(seen: Observations, side_km: float, days: float) -> tuple[Observations, np.ndarray]:
    """Means of the observations of each source in boxes of space and time, and how many are in each.

    Their time, place and value are means, so that a field that is linear over a box is not changed; their error is that
    of a mean of independent errors. Observations without a value are left out.
    """
    seen = seen.select(np.isfinite(seen.values[:, 0]))
    place = np.floor(positions_km(seen.longitude, seen.latitude) / side_km)
    keys = np.column_stack([place, np.floor(seen.time / days), seen.source])
    _, first, box, count = np.unique(keys, axis=0, return_index=True, return_inverse=True, return_counts=True)
    box = box.ravel()

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(box, values) / count

    # Longitudes of a box that lies across 180 degrees are averaged from the first one's.
    east = seen.longitude[first][box]
    longitude = seen.longitude[first] + mean(np.mod(seen.longitude - east + 180.0, 360.0) - 180.0)
    error = np.sqrt(mean(seen.error[:, 0] ** 2) / count)
    made = replace(
        seen, time=mean(seen.time), longitude=longitude, latitude=mean(seen.latitude),
        values=mean(seen.values[:, 0])[:, None], error=error[:, None], source=seen.source[first], correlated_error=None,
    )  # fmt: skip
    order = np.argsort(made.time, kind="stable")
    return made.select(order), count[order]
