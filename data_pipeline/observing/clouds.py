"""Clouds taken from a real product: where its scenes have no valid pixel, moved over the field that is sampled.

A scene is the largest rectangle of open sea, and keeps its size in kilometres. Every UTC day one is chosen, turned over
or not and shifted by chance, and stands still then; beyond its edge it goes on as its own mirror image, so that a field
of any size has clouds without a seam.
Instruments with the same clouds see the same sky.
"""

from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field
from scipy.ndimage import distance_transform_edt

from data_pipeline.errors import ConfigError, EmptyDataError, SchemaError
from data_pipeline.layout.channels import CHANNELS, match_channel, unit_conversion
from data_pipeline.layout.globe import EARTH_RADIUS_KM, mesh, wrap_longitude
from data_pipeline.observing.interpolation import Extent
from data_pipeline.observing.karin import read_table

# With so many scenes, a pixel that none of them shows is land rather than cloudy each time.
SCENES_THAT_SHOW_LAND = 5
BLOCKS = 60  # along the shorter side, in which open sea is looked for
_SKY = 0xC10D5


class CloudConfig(BaseModel):
    """A product of sea surface temperature, whose gaps are taken for clouds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    variable: str | None = Field(default=None, description="default: the sea surface temperature")
    quality: int = Field(default=4, ge=0, description="least quality_level of a clear pixel, where the product has one")
    window: tuple[float, float, float, float] | None = Field(
        default=None,
        description="west, south, east, north of the part to take: with few scenes, land and the edge of a swath "
        "look like clouds, so choose open sea",
    )

    @cached_property
    def scenes(self) -> "CloudScenes":
        """The scenes of the product, read once."""
        return read_scenes(self)


class CloudScenes:
    """clear : (scene, row, column) bool; spacing_km : distance between rows and between columns."""

    def __init__(self, clear: np.ndarray, spacing_km: tuple[float, float]):
        self.clear, self.spacing_km = clear, spacing_km

    def over(
        self, extent: Extent, seed: int, day: np.datetime64, longitude: np.ndarray, latitude: np.ndarray
    ) -> np.ndarray:
        """Whether points (n,) [degrees] of a field of this extent are clear on a day, as chance of this seed has it."""
        number = int(day.astype("datetime64[D]").astype(np.int64)) % 2**32
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_SKY, number)))
        scene = self.clear[generator.integers(len(self.clear))]
        shift, turned = generator.random(2), generator.integers(2, size=2)
        # Distances along the meridian and along the parallel: true areas at every latitude.
        middle = extent.west + 0.5 * extent.width
        east = np.deg2rad(wrap_longitude(longitude - middle)) * np.cos(np.deg2rad(latitude)) * EARTH_RADIUS_KM
        north = np.deg2rad(latitude - 0.5 * (extent.south + extent.north)) * EARTH_RADIUS_KM
        place = []
        for axis, distance in enumerate((north, east)):
            size = scene.shape[axis]
            pixel = np.floor(distance / self.spacing_km[axis] + 2 * size * shift[axis]).astype(np.int64)
            folded = np.mod(pixel * (1 - 2 * turned[axis]), 2 * size)
            place.append(np.minimum(folded, 2 * size - 1 - folded))
        return scene[place[0], place[1]]


def read_scenes(config: CloudConfig) -> CloudScenes:
    """The scenes of a product: L3 or L4 maps on axes, or an L2P swath with coordinates of every pixel.

    Raises MissingFileError or UnknownProductError when the file does not open, SchemaError when it has no scene, and
    EmptyDataError when no pixel is clear.
    """
    table = read_table(config.path)
    variable = _temperature(table, config)
    latitude, longitude = (_coordinate(table, variable, name, config.path) for name in ("latitude", "longitude"))
    rows, columns = (latitude.dims[0], longitude.dims[-1])
    values = variable.transpose(..., rows, columns)
    valid = _valid(values, config.variable)
    if "quality_level" in table and set(table["quality_level"].dims) == set(variable.dims):
        valid &= table["quality_level"].transpose(*values.dims).values >= config.quality
    clear = valid.reshape(-1, *valid.shape[-2:])
    lon, lat = longitude.values.astype(np.float64), latitude.values.astype(np.float64)
    lon, lat = mesh(lon, lat)
    known = np.isfinite(lon) & np.isfinite(lat)
    if len(clear) >= SCENES_THAT_SHOW_LAND:
        known &= clear.any(0)
    if config.window is not None:
        west, south, east, north = config.window
        eastward = np.mod(lon - west, 360) <= np.mod(east - west, 360)
        known &= eastward & (lat >= south) & (lat <= north)
    if not (clear & known).any():
        raise EmptyDataError(f"no pixel of {config.path.name} is clear; choose another product, window or quality")
    inside = _largest_rectangle(known)
    spacing = _spacing_km(lon, lat, 0), _spacing_km(lon, lat, 1)
    # A few pixels of land or without a position that are left take the state of the nearest one that is known.
    nearest = np.asarray(distance_transform_edt(~known[inside], return_distances=False, return_indices=True))
    whole = np.stack([scene[inside][tuple(nearest)] for scene in clear])
    if not whole.any():
        raise EmptyDataError(f"no pixel of {config.path.name} is clear; choose another product, window or quality")
    # A scene that rows or columns of the file run through southward or westward is as good as its mirror image.
    return CloudScenes(whole, spacing)


def _largest_rectangle(known: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the largest rectangle of blocks of pixels that are known, but for a tenth of a block."""
    size = max(1, min(known.shape) // BLOCKS)
    rows, columns = (n // size for n in known.shape)
    share = known[: rows * size, : columns * size].reshape(rows, size, columns, size).mean((1, 3))
    height, best = np.zeros(columns, np.int64), (0, 0, 0, 0, 0)
    for row in range(rows):
        height = np.where(share[row] >= 0.9, height + 1, 0)
        for column in np.flatnonzero(height):  # as far to both sides as columns are as high as this one
            low = np.flatnonzero(height[:column] < height[column])
            high = np.flatnonzero(height[column:] < height[column])
            left = int(low[-1]) + 1 if low.size else 0
            right = column + int(high[0]) if high.size else columns
            tall = int(height[column])
            best = max(best, (tall * (right - left), row - tall + 1, row + 1, left, int(right)))
    _, top, bottom, left, right = best
    return slice(top * size, bottom * size), slice(left * size, right * size)


def _temperature(table: xr.Dataset, config: CloudConfig) -> xr.DataArray:
    """The variable of which the gaps are clouds."""
    if config.variable is not None:
        if config.variable not in table or table[config.variable].ndim < 2:
            raise ConfigError(
                f"{config.path.name} has no map {config.variable!r}; it holds {', '.join(map(str, table))}"
            )
        return table[config.variable]
    maps = {str(name): v for name, v in table.data_vars.items() if v.ndim >= 2 and v.dtype.kind == "f"}
    maps = {name: v for name, v in maps.items() if not name.lower().startswith(("lat", "lon", "nav_"))}
    matched = {name: match_channel(name, v.attrs.get("standard_name")) for name, v in maps.items()}
    temperature = [name for name, channel in matched.items() if channel is CHANNELS["sst"]]
    chosen = temperature or list(maps)
    if len(chosen) != 1:
        raise SchemaError(
            f"{config.path.name} has {len(chosen)} maps that could hold the clouds ({', '.join(chosen) or 'none'}); "
            "name one as `variable`"
        )
    return maps[chosen[0]]


def _valid(values: xr.DataArray, name: str | None) -> np.ndarray:
    """Pixels with a value; of a temperature, those that an ocean can have."""
    numbers = values.values.astype(np.float64)
    valid = np.isfinite(numbers)
    units = str(values.attrs.get("units", ""))
    # What the user named, or what has no units, may be anything: it is only asked to be there.
    if name is None and units:
        scale, offset = unit_conversion(CHANNELS["sst"], units, str(values.name))
        low, high = CHANNELS["sst"].valid_range
        with np.errstate(invalid="ignore"):
            numbers = numbers * scale + offset
            valid &= (numbers >= low) & (numbers <= high)
    return valid


def _coordinate(table: xr.Dataset, variable: xr.DataArray, name: str, path: Path) -> xr.DataArray:
    """Longitude or latitude of a variable: an axis, or as many as pixels; the standard name decides before the name."""
    short = name[:3]
    of_pixels = [c for c in table.variables if 0 < table[c].ndim <= 2 and set(table[c].dims) <= set(variable.dims)]
    standard = [c for c in of_pixels if table[c].attrs.get("standard_name") == name]
    named = [c for c in of_pixels if str(c).lower().startswith((short, f"nav_{short}"))]
    found = standard or named
    if not found:
        raise SchemaError(f"{path.name} has no {name} for {variable.name!r}; a product of clouds needs coordinates")
    return table[found[0]]


def _spacing_km(longitude: np.ndarray, latitude: np.ndarray, axis: int) -> float:
    """Median distance between neighbours along an axis."""
    north = np.diff(latitude, axis=axis)
    middle = latitude[1:] if axis == 0 else latitude[:, 1:]
    east = wrap_longitude(np.diff(longitude, axis=axis)) * np.cos(np.deg2rad(middle))
    return float(np.deg2rad(np.nanmedian(np.hypot(north, east))) * EARTH_RADIUS_KM)
