"""Linear interpolation of gridded fields at scattered points: on axes, across a periodic seam, on curvilinear grids."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import xarray as xr
from scipy.spatial import Delaunay

from data_pipeline.errors import EmptyDataError
from data_pipeline.layout.globe import EARTH_RADIUS_KM
from data_pipeline.observing.orbits import longitude_latitude, unit_vectors

LONGEST_EDGE = 2.2  # of a triangle, in spacings of the grid at its corners; longer ones bridge a gap


@dataclass(frozen=True)
class Extent:
    """A cap that holds every point of a grid, and the rectangle of its latitudes and longitudes [degrees]."""

    centre: np.ndarray
    radius_km: float
    south: float
    north: float
    west: float
    width: float


class Interpolator(Protocol):
    """Weights of the grid nodes around a point."""

    extent: Extent

    def weights(self, longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of points (n,): which lie inside, and for those (m,) the flat indices (m, k) and weights (m, k) of nodes."""
        ...


def interpolator(fields: xr.Dataset) -> Interpolator:
    """The interpolator of a canonical field dataset's grid."""
    longitude, latitude = fields["longitude"].values, fields["latitude"].values
    if longitude.ndim == 2:
        return CurvilinearGrid(longitude, latitude)
    return AxesGrid(longitude, latitude, _period_degrees(fields))


def _period_degrees(fields: xr.Dataset) -> tuple[float | None, float | None]:
    """Periods of longitude and latitude of a simulated box, None where there is none."""
    lengths = fields.attrs.get("periodic_length_km")
    if lengths is None:
        return None, None
    east, north = np.rad2deg(np.asarray(lengths, np.float64) / EARTH_RADIUS_KM)
    return float(east / np.cos(np.deg2rad(fields.attrs["reference_latitude"]))), float(north)


class _Axis:
    """One ascending axis; with a period, the last node's neighbour is the first."""

    def __init__(self, values: np.ndarray, period: float | None):
        self.size, self.period = len(values), period
        self.values = values if period is None else np.append(values, values[0] + period)

    def locate(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inside or not, lower node and the upper node's weight of each wanted value."""
        inside = (wanted >= self.values[0]) & (wanted <= self.values[-1])
        lower = np.clip(np.searchsorted(self.values, wanted, side="right") - 1, 0, len(self.values) - 2)
        upper = (wanted - self.values[lower]) / (self.values[lower + 1] - self.values[lower])
        return inside, lower, np.clip(upper, 0, 1)


class AxesGrid:
    """Bilinear interpolation on 1-D longitude and latitude axes, possibly periodic or lying across 180 degrees."""

    def __init__(self, longitude: np.ndarray, latitude: np.ndarray, periods: tuple[float | None, float | None]):
        longitude, self.columns, around = _unrolled(longitude)
        self.west = longitude[0]
        self.longitude = _Axis(longitude, periods[0] or around)
        self.latitude = _Axis(latitude, periods[1])
        south, north = self.latitude.values[[0, -1]]
        width = self.longitude.values[-1] - self.west
        self.extent = _rectangle(float(self.west), float(width), float(south), float(north))

    def weights(self, longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Interpolator`."""
        # Rounding may leave a point a hair west of the first node: it belongs there, not 360 degrees east.
        eastward = np.mod(longitude - self.west + 1e-9, 360) - 1e-9
        in_x, left, right_weight = self.longitude.locate(self.west + np.maximum(eastward, 0))
        in_y, below, above_weight = self.latitude.locate(latitude)
        inside = in_x & in_y
        left, right_weight, below, above_weight = (a[inside] for a in (left, right_weight, below, above_weight))
        x = self.columns[np.stack([left, (left + 1) % self.longitude.size], -1)]
        y = np.stack([below, (below + 1) % self.latitude.size], -1)
        x_weight = np.stack([1 - right_weight, right_weight], -1)
        y_weight = np.stack([1 - above_weight, above_weight], -1)
        nodes = (y[:, :, None] * self.longitude.size + x[:, None, :]).reshape(-1, 4)
        return inside, nodes, (y_weight[:, :, None] * x_weight[:, None, :]).reshape(-1, 4)


def _unrolled(longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray, float | None]:
    """The axis started after its widest gap, the column of each node, and 360 when the nodes go all the way round."""
    gaps = np.append(np.diff(longitude), longitude[0] + 360 - longitude[-1])
    start = int(gaps.argmax()) + 1
    columns = np.roll(np.arange(len(longitude)), -start)
    unrolled = longitude[columns] + np.where(columns < columns[0], 360.0, 0.0)
    return unrolled, columns, 360.0 if gaps.max() < 1.5 * np.median(gaps) else None


def _rectangle(west: float, width: float, south: float, north: float) -> Extent:
    side = np.linspace(0, 1, 33)
    longitude = west + np.concatenate([side, side, 0 * side, 0 * side + 1]) * width
    latitude = south + np.concatenate([0 * side, 0 * side + 1, side, side]) * (north - south)
    centre = unit_vectors(np.array(west + width / 2), np.array((south + north) / 2))
    # A belt wider than half the globe has its farthest point inside, so it counts as the globe.
    radius = np.pi if width > 180 else np.arccos(np.clip(unit_vectors(longitude, latitude) @ centre, -1, 1)).max()
    return Extent(centre, EARTH_RADIUS_KM * float(radius), south, north, west, width)


class CurvilinearGrid:
    """Linear interpolation on the triangles between the nodes of 2-D coordinates (y, x), which may hold NaN.

    The nodes are triangulated in a stereographic projection about their centre. Triangles much larger than the grid's
    own spacing, which would bridge a missing part or a hollow of the outline, are left out.
    """

    def __init__(self, longitude: np.ndarray, latitude: np.ndarray):
        vectors = unit_vectors(longitude, latitude)
        self.nodes = np.flatnonzero(np.isfinite(vectors).all(-1))
        if len(self.nodes) < 4:
            raise EmptyDataError(
                "a curvilinear grid needs four nodes with coordinates to interpolate between; check its file"
            )
        known = vectors.reshape(-1, 3)[self.nodes]
        centre = known.mean(0)
        centre /= max(float(np.linalg.norm(centre)), 1e-12)
        east = np.cross([0.0, 0.0, 1.0], centre) if abs(centre[2]) < 0.9 else np.cross([1.0, 0.0, 0.0], centre)
        east /= np.linalg.norm(east)
        self.frame = np.stack([east, np.cross(centre, east), centre], -1)
        self.triangles = Delaunay(self._project(known))
        corners = known[self.triangles.simplices]
        edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max(1)
        spacing = _node_spacing(vectors).reshape(-1)[self.nodes][self.triangles.simplices].max(1)
        self.sound = edges <= LONGEST_EDGE * spacing
        self.extent = self._bounds(known, centre)

    def _project(self, vectors: np.ndarray) -> np.ndarray:
        local = vectors @ self.frame
        return local[..., :2] / np.maximum(1 + local[..., 2:], 1e-9)

    def _bounds(self, known: np.ndarray, centre: np.ndarray) -> Extent:
        longitude, latitude = longitude_latitude(known)
        unrolled, _, around = _unrolled(np.unique(longitude))
        west, width = (-180.0, 360.0) if around else (float(unrolled[0]), float(unrolled[-1] - unrolled[0]))
        radius = np.arccos(np.clip(known @ centre, -1, 1)).max()
        return Extent(
            centre, EARTH_RADIUS_KM * float(radius), float(latitude.min()), float(latitude.max()), west, width
        )

    def weights(self, longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Interpolator`."""
        points = self._project(unit_vectors(longitude, latitude))
        triangle = self.triangles.find_simplex(points)
        inside = (triangle >= 0) & self.sound[triangle]
        triangle, points = triangle[inside], points[inside]
        transform = self.triangles.transform[triangle]
        first = np.einsum("nij,nj->ni", transform[:, :2], points - transform[:, 2])
        weights = np.column_stack([first, 1 - first.sum(1)])
        return inside, self.nodes[self.triangles.simplices[triangle]], weights


def _node_spacing(vectors: np.ndarray) -> np.ndarray:
    """Largest distance (y, x) from each node to a neighbour along y or x, as a chord; 0 where none is known."""
    spacing = np.zeros(vectors.shape[:2])
    for axis in (0, 1):
        step = np.nan_to_num(np.linalg.norm(np.diff(vectors, axis=axis), axis=-1))
        lower = [(0, 0), (0, 0)]
        upper = [(0, 0), (0, 0)]
        lower[axis], upper[axis] = (0, 1), (1, 0)
        spacing = np.maximum(spacing, np.maximum(np.pad(step, lower), np.pad(step, upper)))
    return spacing
