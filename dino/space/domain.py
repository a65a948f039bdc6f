"""Where a field lives: longitude and latitude to the coordinates a decoder sees.

Every domain works in float64 and leaves the cast to the caller: an ocean is 4e7 m around and an eddy moves by
kilometres, which float32 degrees resolve badly once they are multiplied by high filter frequencies.
"""

import math
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_pipeline.layout.globe import EARTH_RADIUS_KM, wrap_longitude

from ..errors import DomainError

SLACK_DEGREES = 1e-6  # float32 axes of products miss their own bounds by less
Array = NDArray[np.float64]


class _Domain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def check(self, longitude: np.ndarray, latitude: np.ndarray) -> None:
        """Raise `DomainError` unless some of the points (n,) are inside."""
        inside = self.contains(longitude, latitude)
        if not inside.any():
            raise DomainError(
                f"none of the {inside.size} points lies in the model's domain ({self.describe()}); "
                "give points inside it or train a model for their region"
            )

    def contains(self, longitude: np.ndarray, latitude: np.ndarray) -> NDArray[np.bool_]:
        """Which points (n,) the domain holds."""
        return np.isfinite(longitude) & (np.abs(latitude) <= 90.0)

    def describe(self) -> str:
        """The extent in words, for messages."""
        return "the whole sphere"


class Sphere(_Domain):
    """The globe as unit vectors (x, y, z): no seam at 180 degrees and no pole."""

    kind: Literal["sphere"] = "sphere"

    @property
    def input_size(self) -> int:
        """Number of decoder coordinates."""
        return 3

    def coordinates(self, longitude: np.ndarray, latitude: np.ndarray) -> Array:
        """Decoder coordinates (n, 3) of points given in degrees (n,)."""
        lon, lat = np.deg2rad(np.asarray(longitude, np.float64)), np.deg2rad(np.asarray(latitude, np.float64))
        return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


class Region(_Domain):
    """A part of the ocean on its local tangent plane, about [-1, 1] in both directions.

    East is measured along the parallel of the centre, in units of `half_size_km[0]`; north in `half_size_km[1]`.
    A region may cross 180 degrees: longitudes are compared as differences from the centre.
    """

    kind: Literal["region"] = "region"
    longitude: float
    latitude: float
    half_size_km: tuple[float, float]
    extent_degrees: tuple[float, float]

    @classmethod
    def from_bounds(cls, west: float, east: float, south: float, north: float, isotropic: bool = True) -> "Region":
        """The region between two meridians and two parallels [degrees]; `isotropic` keeps one unit of length."""
        if not (-90 <= south < north <= 90):
            raise DomainError(f"latitudes {south} to {north} are no range within -90..90; give south < north")
        width = (east - west) % 360.0 or 360.0
        longitude, latitude = float(wrap_longitude(np.array(west + width / 2))), (south + north) / 2
        kilometres = math.radians(1.0) * EARTH_RADIUS_KM
        half_x, half_y = width / 2 * kilometres * math.cos(math.radians(latitude)), (north - south) / 2 * kilometres
        longest = max(half_x, half_y)
        half = (longest, longest) if isotropic else (half_x, half_y)
        return cls(
            longitude=longitude, latitude=latitude, half_size_km=half, extent_degrees=(width / 2, (north - south) / 2)
        )

    @property
    def input_size(self) -> int:
        """Number of decoder coordinates."""
        return 2

    def coordinates(self, longitude: np.ndarray, latitude: np.ndarray) -> Array:
        """Decoder coordinates (n, 2) of points given in degrees (n,)."""
        east = np.deg2rad(wrap_longitude(np.asarray(longitude, np.float64) - self.longitude))
        north = np.deg2rad(np.asarray(latitude, np.float64) - self.latitude)
        x = EARTH_RADIUS_KM * math.cos(math.radians(self.latitude)) * east / self.half_size_km[0]
        return np.stack([x, EARTH_RADIUS_KM * north / self.half_size_km[1]], axis=-1)

    def contains(self, longitude: np.ndarray, latitude: np.ndarray) -> NDArray[np.bool_]:
        """Which points (n,) lie between the region's meridians and parallels."""
        east = np.abs(wrap_longitude(np.asarray(longitude, np.float64) - self.longitude))
        north = np.abs(np.asarray(latitude, np.float64) - self.latitude)
        return (east <= self.extent_degrees[0] + SLACK_DEGREES) & (north <= self.extent_degrees[1] + SLACK_DEGREES)

    def describe(self) -> str:
        """The extent in words, for messages."""
        dx, dy = self.extent_degrees
        west, east = self.longitude - dx, self.longitude + dx
        return f"{west:.2f} to {east:.2f} E, {self.latitude - dy:.2f} to {self.latitude + dy:.2f} N"


class PeriodicBox(_Domain):
    """A doubly periodic plane as (cos, sin) pairs, so that the two sides are one place.

    `length_km` are the periods in x and y; the box is laid on the tangent plane at its centre (degrees).
    """

    kind: Literal["periodic_box"] = "periodic_box"
    longitude: float = 0.0
    latitude: float = 0.0
    length_km: tuple[float, float]

    @model_validator(mode="after")
    def _positive(self) -> "PeriodicBox":
        if min(self.length_km) <= 0:
            raise ValueError(f"length_km must be positive, not {self.length_km}")
        return self

    @property
    def input_size(self) -> int:
        """Number of decoder coordinates."""
        return 4

    @property
    def period_degrees(self) -> Array:
        """(2,) periods in longitude and latitude [degrees]."""
        scale = np.array([math.cos(math.radians(self.latitude)), 1.0])
        return np.rad2deg(np.array(self.length_km) / (EARTH_RADIUS_KM * scale))

    def coordinates(self, longitude: np.ndarray, latitude: np.ndarray) -> Array:
        """Decoder coordinates (n, 4) of points given in degrees (n,)."""
        scale = math.cos(math.radians(self.latitude))
        # Wrapped as a difference: a box may lie across 180 degrees, and the globe is no multiple of its period.
        x = EARTH_RADIUS_KM * scale * np.deg2rad(wrap_longitude(np.asarray(longitude, np.float64) - self.longitude))
        y = EARTH_RADIUS_KM * np.deg2rad(np.asarray(latitude, np.float64) - self.latitude)
        angles = [2 * np.pi * x / self.length_km[0], 2 * np.pi * y / self.length_km[1]]
        return np.stack([f(angle) for angle in angles for f in (np.cos, np.sin)], axis=-1)

    def describe(self) -> str:
        """The extent in words, for messages."""
        return f"a periodic box of {self.length_km[0]:.0f} x {self.length_km[1]:.0f} km"


Domain = Annotated[Sphere | Region | PeriodicBox, Field(discriminator="kind")]
