"""A static map on a product's grid (time mean, land mask), read at any point."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from .domain import Sphere, wrap_longitude

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GridMap:
    """Values (channel, row, column), NaN over land, on 1-D axes (row), (column) or 2-D coordinates (row, column)."""

    longitude: Array
    latitude: Array
    values: Array

    @property
    def rectilinear(self) -> bool:
        """Whether longitude and latitude are axes rather than 2-D coordinates."""
        return self.longitude.ndim == 1

    def at(self, longitude: np.ndarray, latitude: np.ndarray) -> Array:
        """Values (point, channel): bilinear on axes, nearest on 2-D coordinates; gaps filled from the nearest cell."""
        if not self.rectilinear:
            valid = self._valid()
            _, nearest = self._tree(valid).query(Sphere().coordinates(longitude, latitude))
            return self.values[:, valid][:, nearest].T
        axes, filled = self._axes_and_filled()
        x = _unwrap(longitude, axes[1])
        points = np.stack([np.clip(latitude, axes[0][0], axes[0][-1]), np.clip(x, axes[1][0], axes[1][-1])], axis=-1)
        return np.stack([RegularGridInterpolator(axes, channel)(points) for channel in filled], axis=-1)

    def is_ocean(self, longitude: np.ndarray, latitude: np.ndarray) -> NDArray[np.bool_]:
        """Whether the nearest cell (point,) holds values; beyond the grid the cells at its edge decide."""
        valid = self._valid()
        if valid.all():
            return np.ones(np.shape(longitude), bool)
        if not self.rectilinear:
            placed = np.isfinite(self.longitude) & np.isfinite(self.latitude)
            _, nearest = self._tree(placed).query(Sphere().coordinates(longitude, latitude))
            return valid[placed][nearest]
        column = _nearest(self.longitude, _unwrap(longitude, self.longitude))
        return valid[_nearest(self.latitude, latitude), column]

    def _valid(self) -> NDArray[np.bool_]:
        """Cells (row, column) with a value in every channel and, on 2-D coordinates, a place."""
        known = np.isfinite(self.values)
        if not self.rectilinear:
            known = known & np.isfinite(self.longitude) & np.isfinite(self.latitude)
        return np.asarray(known.all(0))

    def _tree(self, mask: NDArray[np.bool_]) -> KDTree:
        return KDTree(Sphere().coordinates(self.longitude[mask], self.latitude[mask]))

    def _axes_and_filled(self) -> tuple[tuple[Array, Array], Array]:
        filled = np.stack([_fill(channel) for channel in self.values])
        longitude = self.longitude
        if len(longitude) > 1 and longitude[-1] - longitude[0] + 1.5 * np.diff(longitude).max() >= 360.0:
            # A global axis closes on itself: repeat a column on either side so that 180 degrees is no edge.
            longitude = np.concatenate([[longitude[-1] - 360], longitude, [longitude[0] + 360]])
            filled = np.concatenate([filled[..., -1:], filled, filled[..., :1]], axis=-1)
        return (self.latitude, longitude), filled


def _unwrap(longitude: np.ndarray, axis: Array) -> Array:
    """Longitudes on the branch of an axis."""
    centre = (axis[0] + axis[-1]) / 2
    return centre + wrap_longitude(np.asarray(longitude, np.float64) - centre)


def _nearest(axis: Array, points: np.ndarray) -> NDArray[np.int64]:
    if len(axis) == 1:
        return np.zeros(np.shape(points), np.int64)
    edges = (axis[1:] + axis[:-1]) / 2
    return np.searchsorted(edges, points)


def _fill(channel: Array) -> Array:
    """A copy with gaps taken from the nearest valid cell, so that interpolation beside a coast stays physical."""
    gaps = ~np.isfinite(channel)
    if not gaps.any() or gaps.all():
        return np.nan_to_num(channel)
    indices = np.asarray(distance_transform_edt(gaps, return_distances=False, return_indices=True))
    return channel[tuple(indices)]
