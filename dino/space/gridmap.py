"""A static map on a product's grid (time mean, land mask), read at any point."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .domain import Sphere, wrap_longitude

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GridMap:
    """Values (channel, row, column), NaN over land, on 1-D axes (row), (column) or 2-D coordinates (row, column).

    Axes that do not ascend, as files from north to south have them, are sorted.
    """

    longitude: Array
    latitude: Array
    values: Array

    def __post_init__(self) -> None:
        for name, dim in (("longitude", -1), ("latitude", -2)) if self.rectilinear else ():
            axis = getattr(self, name)
            if (np.diff(axis) <= 0).any():
                order = np.argsort(axis, kind="stable")
                object.__setattr__(self, name, axis[order])
                object.__setattr__(self, "values", np.take(self.values, order, axis=dim))

    @property
    def rectilinear(self) -> bool:
        """Whether longitude and latitude are axes rather than 2-D coordinates."""
        return self.longitude.ndim == 1

    def at(self, longitude: np.ndarray, latitude: np.ndarray) -> Array:
        """Values (point, channel): bilinear on axes, nearest on 2-D coordinates; gaps filled from the nearest cell."""
        if not self.rectilinear:
            _, nearest = self._tree(self._valid).query(Sphere().coordinates(longitude, latitude))
            return self.values[:, self._valid][:, nearest].T
        (rows, columns), filled = self._axes_and_filled
        low, up = _between(rows, np.asarray(latitude, np.float64))
        left, right = _between(columns, _unwrap(longitude, columns))
        flat = filled.reshape(len(filled), -1).T
        start = low * len(columns) + left
        beside, above = (0 if len(axis) == 1 else step for axis, step in ((columns, 1), (rows, len(columns))))
        south = flat[start] + right[:, None] * (flat[start + beside] - flat[start])
        north = flat[start + above] + right[:, None] * (flat[start + above + beside] - flat[start + above])
        return south + up[:, None] * (north - south)

    def is_ocean(self, longitude: np.ndarray, latitude: np.ndarray) -> NDArray[np.bool_]:
        """Whether the nearest cell (point,) holds values; beyond the grid the cells at its edge decide."""
        if self._valid.all():
            return np.ones(np.shape(longitude), bool)
        if not self.rectilinear:
            placed = np.isfinite(self.longitude) & np.isfinite(self.latitude)
            _, nearest = self._tree(placed).query(Sphere().coordinates(longitude, latitude))
            return self._valid[placed][nearest]
        column = _nearest(self.longitude, _unwrap(longitude, self.longitude))
        return self._valid[_nearest(self.latitude, latitude), column]

    @property
    def filled_axes(self) -> tuple[Array, Array, Array]:
        """Latitudes (row), longitudes (column) and values (channel, row, column) on axes, gaps filled; cf. `at`."""
        (rows, columns), filled = self._axes_and_filled
        return rows, columns, filled

    def unwrapped(self, longitude: np.ndarray) -> Array:
        """Longitudes on the branch of a map's axis."""
        return _unwrap(longitude, self._axes_and_filled[0][1])

    @cached_property
    def _valid(self) -> NDArray[np.bool_]:
        """Cells (row, column) with a value in every channel and, on 2-D coordinates, a place."""
        known = np.isfinite(self.values)
        if not self.rectilinear:
            known = known & np.isfinite(self.longitude) & np.isfinite(self.latitude)
        return np.asarray(known.all(0))

    def _tree(self, mask: NDArray[np.bool_]):
        from scipy.spatial import KDTree  # curvilinear grids alone want it

        return KDTree(Sphere().coordinates(self.longitude[mask], self.latitude[mask]))

    @cached_property
    def _axes_and_filled(self) -> tuple[tuple[Array, Array], Array]:
        filled = np.stack([_fill(channel) for channel in self.values])
        longitude = self.longitude
        if len(longitude) > 1 and longitude[-1] - longitude[0] + 1.5 * np.diff(longitude).max() >= 360.0:
            # A global axis closes on itself: repeat a column on either side so that 180 degrees is no edge.
            longitude = np.concatenate([[longitude[-1] - 360], longitude, [longitude[0] + 360]])
            filled = np.concatenate([filled[..., -1:], filled, filled[..., :1]], axis=-1)
        return (self.latitude, longitude), filled


def _between(axis: Array, points: Array) -> tuple[NDArray[np.int64], Array]:
    """The cell of an axis below each point and the way to the next, 0..1; points beyond are taken to its ends."""
    if len(axis) == 1:
        return np.zeros(len(points), np.int64), np.zeros(len(points))
    low = np.clip(np.searchsorted(axis, points, side="right") - 1, 0, len(axis) - 2)
    return low, np.clip((points - axis[low]) / (axis[low + 1] - axis[low]), 0.0, 1.0)


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
    known = channel[~gaps]
    if (known == known[0]).all():  # a constant mean field wants no search
        return np.full_like(channel, known[0])
    from scipy.ndimage import distance_transform_edt

    indices = np.asarray(distance_transform_edt(gaps, return_distances=False, return_indices=True))
    return channel[tuple(indices)]
