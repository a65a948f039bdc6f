"""How forecasts are drawn on maps: colour scales, coordinates, land. What all figures share is in `data_pipeline`."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import Normalize
from numpy.typing import ArrayLike, NDArray

from data_pipeline.errors import SchemaError
from data_pipeline.figures.style import INK, TICK_SIZE, label_degrees
from data_pipeline.layout.globe import mesh

Array = NDArray[np.float64]

LAND = "0.78"
DIVERGING, DIVERGING_ERROR, SEQUENTIAL, SPREAD = "RdBu_r", "PuOr_r", "viridis", "magma_r"


@dataclass(frozen=True)
class ColourScale:
    """A colour map with its limits."""

    cmap: str
    low: float
    high: float

    def norm(self) -> Normalize:
        return Normalize(self.low, self.high)


def field_scale(*fields: Array | None, percentile: float = 99.0) -> ColourScale:
    """Symmetric diverging limits for fields of both signs, sequential limits for others."""
    values = _finite(fields)
    low, high = (float(np.percentile(values, p)) for p in (100.0 - percentile, percentile))
    if low < 0 < high and min(-low, high) > 0.1 * max(-low, high):
        # The zero of sea level is a convention: a field far to one side of it is centred on its median instead.
        middle = float(np.median(values))
        centre = middle if abs(middle) > 0.15 * (high - low) else 0.0
        limit = max(centre - low, high - centre)
        return ColourScale(DIVERGING, centre - limit, centre + limit)
    return ColourScale(SEQUENTIAL, low, high if high > low else low + 1.0)


def error_scale(*fields: Array | None, percentile: float = 99.0) -> ColourScale:
    """Limits symmetric about zero."""
    limit = float(np.percentile(np.abs(_finite(fields)), percentile)) or 1.0
    return ColourScale(DIVERGING_ERROR, -limit, limit)


def spread_scale(*fields: Array | None, percentile: float = 99.0) -> ColourScale:
    """Limits from zero for a standard deviation."""
    return ColourScale(SPREAD, 0.0, float(np.percentile(_finite(fields), percentile)) or 1.0)


def map_coordinates(longitude: ArrayLike, latitude: ArrayLike, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Longitude and latitude (y, x) of maps whose last two dimensions are `shape`, from 1-D axes or 2-D coordinates.

    Curvilinear longitudes are unwrapped, so that a map across the antimeridian stays in one piece.
    """
    lon, lat = np.asarray(longitude, dtype=np.float64), np.asarray(latitude, dtype=np.float64)
    if lon.ndim == 1 and lat.ndim == 1:
        lon, lat = mesh(lon, lat)
    elif np.isfinite(lon).all():
        lon = np.unwrap(np.unwrap(lon, period=360.0, axis=0), period=360.0, axis=1)
    if lon.shape != shape or lat.shape != shape:
        raise SchemaError(
            f"maps of shape {shape} came with longitude {np.shape(longitude)} and latitude {np.shape(latitude)}; "
            "give the axes (x,) and (y,), or both as (y, x)"
        )
    return lon, lat


def draw_map(axis: Axes, lon: Array, lat: Array, values: Array, scale: ColourScale) -> QuadMesh | PathCollection:
    """Draw one map (y, x) on coordinates (y, x); missing values show the land colour beneath."""
    finite = np.isfinite(lon) & np.isfinite(lat)
    dress_map(axis, lon[finite], lat[finite])
    if finite.all():
        masked = np.ma.masked_invalid(values)
        return axis.pcolormesh(lon, lat, masked, cmap=scale.cmap, norm=scale.norm(), shading="nearest", rasterized=True)
    shown = finite & np.isfinite(values)
    return axis.scatter(lon[shown], lat[shown], c=values[shown], s=2, marker="s", cmap=scale.cmap, norm=scale.norm())


def dress_map(axis: Axes, lon: Array, lat: Array) -> None:
    """Land-coloured ground, true proportions at the middle latitude, degrees on the axes."""
    axis.set_facecolor(LAND)
    axis.set_xlim(float(lon.min()), float(lon.max()))
    axis.set_ylim(float(lat.min()), float(lat.max()))
    axis.set_aspect(1.0 / map_cosine(lat))
    label_degrees(axis)
    axis.locator_params(axis="x", nbins=5)
    axis.locator_params(axis="y", nbins=4)
    axis.tick_params(labelsize=TICK_SIZE, color=INK, labelcolor=INK)
    for spine in axis.spines.values():
        spine.set_edgecolor("0.5")


def map_cosine(lat: Array) -> float:
    """Cosine of the middle latitude, kept away from zero for maps of a pole."""
    return max(float(np.cos(np.deg2rad(0.5 * (lat.min() + lat.max())))), 0.2)


def map_height(lon: Array, lat: Array, width: float) -> float:
    """Height in inches of a map of that width, within what a page can hold."""
    finite = np.isfinite(lon) & np.isfinite(lat)
    span = max(float(np.ptp(lon[finite])), 1e-6) * map_cosine(lat[finite])
    return float(np.clip(width * np.ptp(lat[finite]) / span, 0.35 * width, 1.6 * width))


def _finite(fields: tuple[Array | None, ...]) -> Array:
    values = np.concatenate([np.ravel(field) for field in fields if field is not None])
    values = values[np.isfinite(values)]
    return values if len(values) else np.zeros(1)
