"""Fields with their derivatives along longitude and latitude: charts' coordinates, weights, a decoder's modes, maps.

A jet holds a value, its two slopes and its two curvatures (east, north), per degree. They are exact: those of
coordinates and weights in closed form, those of a decoder's modes by the product rule in every layer.
"""

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ConfigError
from .cover import Cover, Pairs
from .decoders import Basis, FourierDecoder, TrendDecoder
from .decoders.base import Decoder
from .domain import Domain, PeriodicBox, Region, Sphere
from .gridmap import GridMap

Array = NDArray[np.float64]
PARTS = 5  # of a jet: value, slope east, slope north, curvature east, curvature north


def coordinate_jets(cover: Cover, pairs: Pairs, longitude: Array, latitude: Array) -> Array:
    """(pair, input, 4) slopes and curvatures of the coordinates of pairs along longitude and latitude [per degree]."""
    made = np.zeros((len(pairs.point), cover.input_size, 4))
    chart = cover.charts[0]
    if isinstance(chart, Region):
        made[:, (0, 1), (0, 1)] = cover.per_degree[pairs.chart]
        return made
    degree = math.radians(1.0)
    if isinstance(chart, PeriodicBox):
        rate = 2.0 * np.pi / chart.period_degrees
        for axis, first in ((0, 0), (1, 2)):
            cos, sin = pairs.coordinates[:, first], pairs.coordinates[:, first + 1]
            made[:, first, axis], made[:, first + 1, axis] = -rate[axis] * sin, rate[axis] * cos
            made[:, first, 2 + axis], made[:, first + 1, 2 + axis] = -(rate[axis] ** 2) * cos, -(rate[axis] ** 2) * sin
        return made
    assert isinstance(chart, Sphere)
    x, y, z = pairs.coordinates.T
    lon, lat = (np.deg2rad(part[pairs.point]) for part in (longitude, latitude))
    made[:, :, 0] = degree * np.stack([-y, x, np.zeros_like(x)], axis=-1)
    made[:, :, 2] = degree**2 * np.stack([-x, -y, np.zeros_like(x)], axis=-1)
    made[:, :, 1] = degree * np.stack([-z * np.cos(lon), -z * np.sin(lon), np.cos(lat)], axis=-1)
    made[:, :, 3] = -(degree**2) * pairs.coordinates
    return made


def weight_jets(cover: Cover, pairs: Pairs, count: int) -> Array:
    """(pair, 5) jets of the weights that blend charts at `count` points, whose values sum to one at a point."""
    made = np.zeros((len(pairs.point), PARTS))
    made[:, 0] = pairs.weight
    if cover.tiled:
        # As `Cover.pairs` has them: cos^2 of the way to the edge in both directions, and a floor.
        extent = np.array([chart.extent_degrees for chart in cover.charts if isinstance(chart, Region)])[pairs.chart]
        way = pairs.coordinates / cover.per_degree[pairs.chart] / extent
        inside = np.abs(way) < 1.0
        angle = np.pi * np.clip(way, -1.0, 1.0)
        share = 0.5 * (1.0 + np.cos(angle))
        slope = np.where(inside, -0.5 * np.pi / extent * np.sin(angle), 0.0)
        bend = np.where(inside, -0.5 * (np.pi / extent) ** 2 * np.cos(angle), 0.0)
        for axis in (0, 1):
            made[:, 1 + axis] = slope[:, axis] * share[:, 1 - axis]
            made[:, 3 + axis] = bend[:, axis] * share[:, 1 - axis]
    total = np.stack([np.bincount(pairs.point, part, count) for part in made.T], axis=-1)[pairs.point]
    found = np.empty_like(made)
    found[:, 0] = made[:, 0] / total[:, 0]
    for axis in (0, 1):
        one, two = 1 + axis, 3 + axis
        found[:, one] = (made[:, one] - found[:, 0] * total[:, one]) / total[:, 0]
        twice = 2.0 * found[:, one] * total[:, one] + found[:, 0] * total[:, two]
        found[:, two] = (made[:, two] - twice) / total[:, 0]
    return found


def mode_jets(decoder: Decoder, coordinates: Tensor, paths: Tensor) -> Basis:
    """Jets of a decoder's affine form: offset (5, ..., channel) and modes (5, ..., channel, code).

    coordinates : (..., input); paths : (..., input, 4) their jets
    Raises ConfigError for a decoder that is not affine: its modes change with the code.
    """
    if not isinstance(decoder, FourierDecoder | TrendDecoder):
        raise ConfigError(
            "currents are derivatives of a field that is affine in its code, which decoder.kind=siren is not; train a "
            "run with decoder.kind=fourier"
        )
    return decoder.jets(coordinates, paths)


def map_jets(field: GridMap, longitude: Array, latitude: Array) -> Array:
    """(5, point, channel) jets of a map on axes, by cubic splines through its cells; land is filled from beside it.

    Raises ConfigError for a map on 2-D coordinates.
    """
    if not field.rectilinear:
        raise ConfigError("currents want a mean field on axes of longitude and latitude; this one has 2-D coordinates")
    from scipy.interpolate import RectBivariateSpline

    rows, columns, filled = field.filled_axes
    made = np.zeros((PARTS, len(longitude), len(filled)))
    place = np.clip(latitude, rows[0], rows[-1]), np.clip(field.unwrapped(longitude), columns[0], columns[-1])
    orders = (0, 0), (0, 1), (1, 0), (0, 2), (2, 0)
    degree = [min(3, len(axis) - 1) for axis in (rows, columns)]
    for channel, values in enumerate(filled):
        if np.ptp(values) == 0:
            made[0, :, channel] = values.flat[0]
            continue
        spline = RectBivariateSpline(rows, columns, values, kx=degree[0], ky=degree[1])
        for part, (dy, dx) in enumerate(orders):
            if dy <= degree[0] and dx <= degree[1]:
                made[part, :, channel] = spline.ev(*place, dx=dy, dy=dx)
    return made


def bounds(chart: Domain) -> tuple[Array, Array]:
    """(2,) lowest and (2,) highest longitude and latitude of a chart [degrees]."""
    if isinstance(chart, Sphere):
        return np.array([-180.0, -90.0]), np.array([180.0, 90.0])
    half = np.array(chart.extent_degrees) if isinstance(chart, Region) else chart.period_degrees / 2
    centre = np.array([chart.longitude, chart.latitude])
    return centre - half, centre + half
