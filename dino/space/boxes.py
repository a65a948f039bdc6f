"""Boxes between meridians and parallels, and which tiles touch them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..config import Box
from .domain import Region, wrap_longitude


def touches(chart: Region, boxes: Sequence[Box]) -> bool:
    """Whether a tile shares more than an edge with one of some boxes (west, east, south, north) [degrees]."""
    return any(_near(chart, box, chart.extent_degrees) for box in boxes)


def centred_in(chart: Region, boxes: Sequence[Box]) -> bool:
    """Whether a tile's centre lies inside one of some boxes (west, east, south, north) [degrees]."""
    return any(_near(chart, box, (0.0, 0.0)) for box in boxes)


def points_in(longitude: np.ndarray, latitude: np.ndarray, boxes: Sequence[Box]) -> NDArray[np.bool_]:
    """Which points [degrees] lie in one of some boxes, edges included; longitude and latitude broadcast."""
    found = np.zeros(np.broadcast_shapes(np.shape(longitude), np.shape(latitude)), bool)
    for west, east, south, north in boxes:
        apart = np.abs(wrap_longitude(np.asarray(longitude, np.float64) - (west + east) / 2))
        found |= (apart <= (east - west) / 2) & (latitude >= south) & (latitude <= north)
    return found


def widened(box: Box, degrees: float) -> Box:
    """A box with a margin on all sides, which ends at the poles."""
    west, east, south, north = box
    return west - degrees, east + degrees, max(south - degrees, -90.0), min(north + degrees, 90.0)


def _near(chart: Region, box: Box, reach: tuple[float, float]) -> bool:
    west, east, south, north = box
    # Differences from the box's centre: a box may lie across 180 degrees, and so may a tile.
    apart = abs(float(wrap_longitude(chart.longitude - (west + east) / 2)))  # pyright: ignore[reportArgumentType]
    beside = abs(chart.latitude - (south + north) / 2)
    # Edges of tiles and boxes that meet miss each other by rounding.
    return apart < (east - west) / 2 + reach[0] - 1e-6 and beside < (north - south) / 2 + reach[1] - 1e-6
