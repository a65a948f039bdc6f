"""The charts that cover a domain: one for a whole domain, or overlapping tiles that share decoder and dynamics."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DomainError
from .domain import EARTH_RADIUS_KM, SLACK_DEGREES, Domain, Region, wrap_longitude

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# What a tile knows of itself, by name: rotation and its gradient follow latitude, advection amplitude and size.
CONTEXT = ("sin_latitude", "cos_latitude", "log_amplitude", "log_size")


class Pairs(NamedTuple):
    """Every pair of a point and a chart that holds it.

    point, chart : (pair,) numbers; coordinates : (pair, input) of the point on the chart, float64
    weight : (pair,) for blending, not normalised
    """

    point: Index
    chart: Index
    coordinates: Array
    weight: Array


@dataclass(frozen=True)
class Cover:
    """Charts with one amplitude each (spread of the field there over its spread everywhere).

    A published model has none until it is laid over a sea; what asks it for a place is then refused by `DomainError`.
    """

    charts: tuple[Domain, ...]
    amplitude: Array
    tiled: bool

    @property
    def input_size(self) -> int:
        """Number of decoder coordinates."""
        return self.charts[0].input_size

    def check(self, longitude: np.ndarray, latitude: np.ndarray) -> None:
        """Raise `DomainError` unless some chart holds some of the points (n,)."""
        self._refuse_nowhere()
        if not self.tiled:
            self.charts[0].check(longitude, latitude)
        elif not self.holds(longitude, latitude).any():
            west, east = np.nanmin(longitude), np.nanmax(longitude)
            south, north = np.nanmin(latitude), np.nanmax(latitude)
            raise DomainError(
                f"none of the {np.size(longitude)} points ({west:.1f} to {east:.1f} E, {south:.1f} to {north:.1f} N) "
                f"lies in the model's {len(self.charts)} tiles; give points inside them or train on their region"
            )

    def holds(self, longitude: np.ndarray, latitude: np.ndarray) -> NDArray[np.bool_]:
        """Which points (n,) some chart holds."""
        found = np.zeros(np.shape(longitude), bool)
        found[self.pairs(longitude, latitude).point] = True
        return found

    def pairs(self, longitude: np.ndarray, latitude: np.ndarray) -> Pairs:
        """Pairs of points (n,) [degrees] with the charts that hold them, in the order of points.

        Candidates are the charts of the cell of a lattice in which the point lies: the cost grows with points times
        overlapping charts, not with all charts. Points with a NaN are in no pair.
        """
        self._refuse_nowhere()
        longitude, latitude = np.asarray(longitude, np.float64), np.asarray(latitude, np.float64)
        if not self.tiled:
            point = np.flatnonzero(np.isfinite(longitude + latitude) & self.charts[0].contains(longitude, latitude))
            coordinates = self.charts[0].coordinates(longitude[point], latitude[point])
            return Pairs(point, np.zeros(len(point), np.int64), coordinates, np.ones(len(point)))
        point, chart = self._lattice.candidates(longitude, latitude)
        east = wrap_longitude(longitude[point] - self._centre[chart, 0])
        north = latitude[point] - self._centre[chart, 1]
        extent = self._extent[chart]
        inside = (np.abs(east) <= extent[:, 0] + SLACK_DEGREES) & (np.abs(north) <= extent[:, 1] + SLACK_DEGREES)
        point, chart, east, north, extent = (part[inside] for part in (point, chart, east, north, extent))
        # cos^2 vanishes at the tile's edge with its slope, so that blended fields have no seams; the floor keeps a
        # point that only one tile holds from being lost.
        share = [
            np.cos(np.pi / 2 * np.clip(d / e, -1, 1)) ** 2 for d, e in ((east, extent[:, 0]), (north, extent[:, 1]))
        ]
        coordinates = np.stack([east, north], axis=-1) * self.per_degree[chart]
        return Pairs(point, chart, coordinates, share[0] * share[1] + 1e-6)

    def context(self) -> Array:
        """What tiles know of themselves (chart, entry of `CONTEXT`); (1, 0) without tiles."""
        self._refuse_nowhere()
        if not self.tiled:
            return np.zeros((1, 0))
        return np.array([tile_context(chart, a) for chart, a in zip(self.charts, self.amplitude, strict=True)])

    def select(self, which: list[int]) -> "Cover":
        """Some of the charts."""
        return Cover(tuple(self.charts[i] for i in which), self.amplitude[which], self.tiled)

    def _refuse_nowhere(self) -> None:
        if not self.charts:
            raise DomainError(
                "the model lies over no sea yet; lay it over that of your observations: forecaster.over(observations), "
                "or `dino relocate`"
            )

    @cached_property
    def _regions(self) -> list[Region]:
        assert all(isinstance(chart, Region) for chart in self.charts)
        return list(self.charts)  # type: ignore[arg-type]

    @cached_property
    def _centre(self) -> Array:
        return np.array([(chart.longitude, chart.latitude) for chart in self._regions])

    @cached_property
    def _extent(self) -> Array:
        return np.array([chart.extent_degrees for chart in self._regions])

    @cached_property
    def per_degree(self) -> Array:
        """(chart, 2) decoder coordinates a degree, east and north."""
        half = np.array([chart.half_size_km for chart in self._regions])
        kilometres = math.radians(1.0) * EARTH_RADIUS_KM
        return kilometres * np.stack([np.cos(np.deg2rad(self._centre[:, 1])), np.ones(len(half))], axis=-1) / half

    @cached_property
    def _lattice(self) -> "_Lattice":
        return _Lattice.of(self._centre, self._extent)


def tile_context(chart: Domain, amplitude: float) -> list[float]:
    """The entries of `CONTEXT` of one tile."""
    assert isinstance(chart, Region)
    angle = math.radians(chart.latitude)
    return [math.sin(angle), math.cos(angle), math.log(max(amplitude, 1e-3)), math.log(chart.half_size_km[1] / 400.0)]


def tile_windows(size: int, cells: int, stride: int) -> list[int]:
    """First cells of windows of `cells` that cover an axis of `size`, the last one flush with its end."""
    if size <= cells:
        return [0]
    return sorted({*range(0, size - cells, stride), size - cells})


@dataclass(frozen=True)
class _Lattice:
    """Cells of longitude and latitude, each with the charts that touch it: `chart[start[cell] : start[cell + 1]]`."""

    shape: tuple[int, int]
    start: Index
    chart: Index

    @classmethod
    def of(cls, centre: Array, extent: Array) -> "_Lattice":
        """Cells of about the size of half a chart, so that few candidates are in vain."""
        size = np.maximum(extent.min(0), 0.25)
        columns, rows = (max(1, int(whole / width)) for whole, width in zip((360, 180), size, strict=True))
        low = np.floor((centre - extent + (180.0, 90.0) - SLACK_DEGREES) / (360.0 / columns, 180.0 / rows))
        high = np.floor((centre + extent + (180.0, 90.0) + SLACK_DEGREES) / (360.0 / columns, 180.0 / rows))
        low, high = low.astype(np.int64), high.astype(np.int64)
        low[:, 1], high[:, 1] = np.clip(low[:, 1], 0, rows - 1), np.clip(high[:, 1], 0, rows - 1)
        wide = np.minimum(high[:, 0] - low[:, 0] + 1, columns)
        tall = high[:, 1] - low[:, 1] + 1
        chart = np.repeat(np.arange(len(centre)), wide * tall)
        place = np.arange(len(chart)) - np.repeat(np.cumsum(wide * tall) - wide * tall, wide * tall)
        column = (low[chart, 0] + place % wide[chart]) % columns
        cell = (low[chart, 1] + place // wide[chart]) * columns + column
        order = np.argsort(cell, kind="stable")
        start = np.searchsorted(cell[order], np.arange(rows * columns + 1))
        return cls((columns, rows), start, chart[order])

    def candidates(self, longitude: Array, latitude: Array) -> tuple[Index, Index]:
        """Points and charts (pair,) of which each point's cell is touched by the chart."""
        columns, rows = self.shape
        placed = np.flatnonzero(np.isfinite(longitude + latitude) & (np.abs(latitude) <= 90.0))
        column = ((wrap_longitude(longitude[placed]) + 180.0) * (columns / 360.0)).astype(np.int64) % columns
        row = np.minimum(((latitude[placed] + 90.0) * (rows / 180.0)).astype(np.int64), rows - 1)
        cell = row * columns + column
        count = self.start[cell + 1] - self.start[cell]
        point = np.repeat(placed, count)
        place = np.arange(len(point)) - np.repeat(np.cumsum(count) - count, count)
        return point, self.chart[np.repeat(self.start[cell], count) + place]
