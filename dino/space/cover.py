"""The charts that cover a domain: one for a whole domain, or overlapping tiles that share decoder and dynamics."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DomainError
from .domain import Domain, Region, wrap_longitude

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cover:
    """Charts with one amplitude each (spread of the field there over its spread everywhere)."""

    charts: tuple[Domain, ...]
    amplitude: Array
    tiled: bool

    @property
    def input_size(self) -> int:
        """Number of decoder coordinates."""
        return self.charts[0].input_size

    def check(self, longitude: np.ndarray, latitude: np.ndarray) -> None:
        """Raise `DomainError` unless some chart holds some of the points (n,)."""
        if not self.tiled:
            self.charts[0].check(longitude, latitude)
        elif not any(chart.contains(longitude, latitude).any() for chart in self.charts):
            west, east = np.nanmin(longitude), np.nanmax(longitude)
            south, north = np.nanmin(latitude), np.nanmax(latitude)
            raise DomainError(
                f"none of the {np.size(longitude)} points ({west:.1f} to {east:.1f} E, {south:.1f} to {north:.1f} N) "
                f"lies in the model's {len(self.charts)} tiles; give points inside them or train on their region"
            )

    def weight(self, index: int, longitude: np.ndarray, latitude: np.ndarray) -> Array:
        """Blending weight (n,) of a chart at points inside it: 1 without tiles, a smooth bump on a tile."""
        if not self.tiled:
            return self.charts[index].contains(longitude, latitude).astype(np.float64)
        chart = self.charts[index]
        assert isinstance(chart, Region)
        inside = chart.contains(longitude, latitude)
        east = wrap_longitude(np.asarray(longitude, np.float64) - chart.longitude) / chart.extent_degrees[0]
        north = (np.asarray(latitude, np.float64) - chart.latitude) / chart.extent_degrees[1]
        # cos^2 vanishes at the tile's edge with its slope, so that blended fields have no seams; the floor keeps a
        # point that only one tile holds from being lost.
        bump = np.cos(np.pi / 2 * np.clip(east, -1, 1)) ** 2 * np.cos(np.pi / 2 * np.clip(north, -1, 1)) ** 2
        return np.where(inside, bump + 1e-6, 0.0)

    def context(self) -> Array:
        """What a tile knows of itself (chart, 4): sine and cosine of latitude, log amplitude, log size; else (1, 0)."""
        if not self.tiled:
            return np.zeros((1, 0))
        return np.array([tile_context(chart, a) for chart, a in zip(self.charts, self.amplitude, strict=True)])


def tile_context(chart: Domain, amplitude: float) -> list[float]:
    """Context of one tile: rotation and its gradient follow latitude, advection amplitude and size."""
    assert isinstance(chart, Region)
    angle = math.radians(chart.latitude)
    return [math.sin(angle), math.cos(angle), math.log(max(amplitude, 1e-3)), math.log(chart.half_size_km[1] / 400.0)]


def tile_windows(size: int, cells: int, stride: int) -> list[int]:
    """First cells of windows of `cells` that cover an axis of `size`, the last one flush with its end."""
    if size <= cells:
        return [0]
    return sorted({*range(0, size - cells, stride), size - cells})
