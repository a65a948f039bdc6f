"""Where satellites look: repeat orbits, ephemeris files, and the ground points of nadir tracks and swaths.

Positions are unit vectors from the Earth's centre on a sphere, so nothing here has a seam at 180 degrees or at a pole.
Seconds count from an orbit's start and may be any real number: every orbit repeats after `cycle_seconds`.
"""

from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.interpolate import CubicSpline

from data_pipeline.errors import MissingFileError, SchemaError
from data_pipeline.layout.globe import EARTH_RADIUS_KM

EQUATOR_RADIUS_KM = 6378.137
GRAVITATION_KM3_PER_S2 = 398600.4418
OBLATENESS = 1.08262668e-3  # J2
SIDEREAL_DAY_SECONDS = 86164.0905
DAY_SECONDS = 86400.0
COARSE_SECONDS = 20.0


class Orbit(Protocol):
    """A satellite's ground track."""

    @property
    def cycle_seconds(self) -> float:
        """After this time the ground track repeats."""
        ...

    @property
    def altitude_km(self) -> float:
        """Height of the orbit, taken as circular, above the Earth's radius at the equator."""
        ...

    def positions(self, seconds: np.ndarray) -> np.ndarray:
        """Unit vectors (n, 3) of the points below the satellite at `seconds` (n,) after the orbit's start."""
        ...


class RepeatOrbit(BaseModel):
    """A circular orbit whose ground track closes exactly after `revolutions` in `cycle_days`.

    The Earth turns below the orbital plane a whole number of times per cycle; that number follows from the sidereal day
    and from the precession of the plane that the Earth's oblateness (J2) causes at this height and inclination.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["repeat"] = "repeat"
    inclination_degrees: float = Field(default=77.6, gt=0, lt=180)
    cycle_days: float = Field(default=20.86455, gt=0)
    revolutions: int = Field(default=292, ge=1)
    node_longitude: float = Field(default=0, ge=-360, le=360, description="degrees, of the node at the start")
    phase_degrees: float = Field(default=0, ge=-360, le=360, description="along the orbit, from that node at the start")

    @property
    def cycle_seconds(self) -> float:
        """After this time the ground track repeats."""
        return self.cycle_days * DAY_SECONDS

    @property
    def nodal_days(self) -> int:
        """Turns of the Earth below the orbital plane in one cycle."""
        rate = 2 * np.pi * self.revolutions / self.cycle_seconds
        axis = self.altitude_km + EQUATOR_RADIUS_KM
        precession = -1.5 * rate * OBLATENESS * (EQUATOR_RADIUS_KM / axis) ** 2
        turning = 2 * np.pi / SIDEREAL_DAY_SECONDS - precession * np.cos(np.deg2rad(self.inclination_degrees))
        return max(1, round(turning * self.cycle_seconds / (2 * np.pi)))

    @property
    def altitude_km(self) -> float:
        """Height of the orbit, taken as circular, above the Earth's radius at the equator."""
        cosine = float(np.cos(np.deg2rad(self.inclination_degrees)))
        return _semi_major_axis(self.cycle_seconds / self.revolutions, cosine) - EQUATOR_RADIUS_KM

    def positions(self, seconds: np.ndarray) -> np.ndarray:
        """Unit vectors (n, 3) of the points below the satellite at `seconds` (n,) after the start of a cycle."""
        turns = np.mod(np.asarray(seconds, np.float64) / self.cycle_seconds, 1.0)
        along = 2 * np.pi * self.revolutions * turns + np.deg2rad(self.phase_degrees)
        inclination = np.deg2rad(self.inclination_degrees)
        node = np.deg2rad(self.node_longitude) - 2 * np.pi * self.nodal_days * turns
        x, y = np.cos(along), np.cos(inclination) * np.sin(along)
        z = np.sin(inclination) * np.sin(along)
        return np.stack([x * np.cos(node) - y * np.sin(node), x * np.sin(node) + y * np.cos(node), z], -1)


class EphemerisOrbit(BaseModel):
    """A ground track from a text file: `# cycle_duration = days`, then rows time [s], longitude, latitude."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["ephemeris"] = "ephemeris"
    path: Path

    @property
    def cycle_seconds(self) -> float:
        """After this time the ground track repeats."""
        return self._table[0]

    @property
    def altitude_km(self) -> float:
        """Height of the orbit, taken as circular, above the Earth's radius at the equator."""
        seconds = np.linspace(0, self.cycle_seconds, max(3, int(self.cycle_seconds / COARSE_SECONDS)))
        height = self.positions(seconds)[:, 2]
        north = height >= 0
        crossings = seconds[1:][north[1:] & ~north[:-1]]
        if len(crossings) < 2:
            raise SchemaError(
                f"{self.path.name} crosses the equator northward {len(crossings)} times; an orbit does so twice or more"
            )
        cosine = float(np.sqrt(max(0.0, 1 - height.max() ** 2)))
        return _semi_major_axis(float(np.diff(crossings).mean()), cosine) - EQUATOR_RADIUS_KM

    def positions(self, seconds: np.ndarray) -> np.ndarray:
        """Unit vectors (n, 3) of the points below the satellite at `seconds` (n,) after the first row of the file."""
        cycle, spline = self._table
        vectors = spline(np.mod(np.asarray(seconds, np.float64), cycle))
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)

    @cached_property
    def _table(self) -> tuple[float, CubicSpline]:
        """Cycle [s], and positions over it; raises MissingFileError or SchemaError."""
        seconds, vectors, cycle = _read_ephemeris(self.path)
        step = np.diff(seconds).max()
        if seconds[-1] < cycle - 1.5 * step:
            raise SchemaError(
                f"{self.path.name} ends after {seconds[-1] / DAY_SECONDS:g} days where its cycle lasts "
                f"{cycle / DAY_SECONDS:g}; give a file that covers one cycle"
            )
        if seconds[-1] < cycle:
            seconds, vectors = np.append(seconds, cycle), np.concatenate([vectors, vectors[:1]])
        return cycle, CubicSpline(seconds, vectors)


def _read_ephemeris(path: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Seconds from the first row, unit vectors (n, 3) and the cycle in seconds."""
    if not path.is_file():
        raise MissingFileError(
            f"there is no ephemeris file {path}; give the path of a text file of time, longitude, latitude"
        )
    with path.open(encoding="utf-8", errors="replace") as lines:
        header = [line.lstrip("# ").partition("=") for line in lines if line.startswith("#")]
    cycle = {key.strip(): value.strip() for key, _, value in header}.get("cycle_duration")
    try:
        table = np.loadtxt(path, comments="#", usecols=(0, 1, 2), ndmin=2)
        cycle_seconds = float(cycle) * DAY_SECONDS if cycle else np.nan
    except ValueError as error:
        raise SchemaError(f"{path.name} is no ephemeris of time, longitude and latitude: {error}") from error
    if not (np.isfinite(table).all() and len(table) > 3 and (np.diff(table[:, 0]) > 0).all() and cycle_seconds > 0):
        raise SchemaError(
            f"{path.name} is no ephemeris: wanted a header `# cycle_duration = days` and rows of increasing time [s], "
            "longitude and latitude"
        )
    return table[:, 0] - table[0, 0], unit_vectors(table[:, 1], table[:, 2]), cycle_seconds


def _semi_major_axis(nodal_seconds: float, cosine: float) -> float:
    """Of a circular orbit [km] with this time from node to node and cosine of inclination, oblateness included."""
    rate = 2 * np.pi / nodal_seconds
    axis = (GRAVITATION_KM3_PER_S2 / rate**2) ** (1 / 3)
    drift = 1.5 * OBLATENESS * (EQUATOR_RADIUS_KM / axis) ** 2 * (4 * cosine**2 - 1)
    return axis * (1 + drift) ** (2 / 3)


def unit_vectors(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3) of longitudes and latitudes [degrees]."""
    longitude, latitude = np.deg2rad(longitude), np.deg2rad(latitude)
    flat = np.cos(latitude)
    return np.stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)], -1)


def longitude_latitude(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes in [-180, 180) and latitudes [degrees] of unit vectors (..., 3)."""
    longitude = np.rad2deg(np.arctan2(vectors[..., 1], vectors[..., 0]))
    latitude = np.rad2deg(np.arcsin(np.clip(vectors[..., 2], -1, 1)))
    return np.where(longitude >= 180, longitude - 360, longitude), latitude


def ground_speed(orbit: Orbit) -> float:
    """Mean speed of the point below the satellite [km/s]."""
    seconds = np.linspace(0, min(orbit.cycle_seconds, DAY_SECONDS), 2000)
    chord = np.linalg.norm(orbit.positions(seconds + 0.5) - orbit.positions(seconds - 0.5), axis=-1)
    return float(EARTH_RADIUS_KM * np.median(chord))


def track_seconds(
    orbit: Orbit, start: float, stop: float, interval: float, centre: np.ndarray, reach_km: float
) -> np.ndarray:
    """Times k * interval in [start, stop), k whole, at which the satellite is within `reach_km` of `centre` (3,).

    All times are seconds from the orbit's start. No wanted time is missed; a few beyond the reach may be kept.
    """
    coarse = np.arange(start, stop + COARSE_SECONDS, COARSE_SECONDS)
    margin = COARSE_SECONDS * 8.0  # no satellite's ground track is faster than 8 km/s
    near = orbit.positions(coarse) @ centre >= np.cos(min(np.pi, (reach_km + margin) / EARTH_RADIUS_KM))
    seconds = np.arange(np.ceil(start / interval), np.ceil(stop / interval)) * interval
    return seconds[near[((seconds - start) / COARSE_SECONDS).astype(np.int64)]]


def swath_points(orbit: Orbit, seconds: np.ndarray, across_km: np.ndarray) -> np.ndarray:
    """Ground points (n, m, 3) at cross-track distances (m,) [km] of the satellite at `seconds` (n,).

    Positive distances lie right of the flight direction, along the great circle at right angles to the ground track.
    """
    below = orbit.positions(seconds)
    forward = orbit.positions(seconds + 0.5) - orbit.positions(seconds - 0.5)
    right = np.cross(forward, below)
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    angle = np.asarray(across_km, np.float64)[None, :, None] / EARTH_RADIUS_KM
    return np.cos(angle) * below[:, None] + np.sin(angle) * right[:, None]
