"""Errors of SWOT's radar interferometer KaRIn: white noise by wave height and distance, and errors of its geometry.

The noise of a pixel is white. Errors of the roll angle, of the phase of each antenna, of the length of the baseline and
of the timing of each antenna vary along the track with the spectra of a table, and across it as geometry has it: they
are the same, up to a known factor, for all pixels of a line, and last for thousands of kilometres.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field

from data_pipeline.errors import ConfigError, SchemaError
from data_pipeline.layout.globe import EARTH_RADIUS_KM
from data_pipeline.observing.random_signal import RandomSignal
from data_pipeline.products.files import open_netcdf

BASELINE_METRES = 10.0
RADAR_HERTZ = 35.75e9
LIGHT_METRES_PER_SECOND = 299_792_458.0
METRES_PER_KM = 1e3
SEA_LEVEL = ("adt", "ssh", "sla")

Component = Literal["roll", "phase", "baseline", "timing"]
# The columns of a table of spectra whose sum is a component's. Roll is the motion and the error of knowing it.
_SPECTRA: dict[Component, tuple[str, ...]] = {
    "roll": ("rollPSD", "gyroPSD"),
    "phase": ("phasePSD",),
    "baseline": ("dilationPSD",),
    "timing": ("timingPSD",),
}
# Phase and timing belong to one antenna: the two sides of the swath err independently.
_SIDES: dict[Component, int] = {"roll": 1, "phase": 2, "baseline": 1, "timing": 2}


class KarinErrors(BaseModel):
    """Which errors of KaRIn are drawn, and the tables that tell how large they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    noise: Path | None = Field(
        default=None, description="NetCDF table: height_sdt by SWH and cross_track; none: no noise"
    )
    wave_height_m: float = Field(default=2, ge=0, description="significant wave height")
    spectrum: Path | None = Field(default=None, description="NetCDF table of spectra; or no correlated error")
    components: tuple[Component, ...] = ("roll", "phase", "baseline", "timing")
    longest_km: float = Field(
        default=20_000, gt=0, description="longer waves of the correlated errors are left out: calibration removes them"
    )

    @cached_property
    def noise_table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Wave height (w,) [m], distance from nadir (x,) [km], standard deviation (w, x) [m] of a pixel of 1 km2."""
        columns = _columns(self.noise, ("SWH", "cross_track", "height_sdt"))
        height, across, std = columns.values()
        sound = std.shape == (height.size, across.size) and (np.diff(height) > 0).all() and (np.diff(across) > 0).all()
        if not (sound and np.isfinite(std).all() and (std >= 0).all()):
            raise SchemaError(
                f"{self.noise} is no table of KaRIn noise: wanted height_sdt (SWH, cross_track) >= 0 over increasing "
                "axes"
            )
        return height, across, std

    def noise_std(self, across_km: np.ndarray, spacing_km: float) -> np.ndarray:
        """Standard deviation (n,) [m] of the white noise of square pixels at these distances (n,) from nadir [km].

        Noise falls with the root of the pixel's area. Raises ConfigError beyond the table.
        """
        if self.noise is None:
            return np.zeros(len(across_km))
        height, across, std = self.noise_table
        for name, wanted, axis in (
            ("wave_height_m", np.array([self.wave_height_m]), height),
            ("a cross-track distance", np.abs(across_km), across),
        ):
            beyond = wanted[(wanted < axis[0]) | (wanted > axis[-1])]
            if beyond.size:
                raise ConfigError(
                    f"{name} of {beyond[0]:g} came where {self.noise.name} spans {axis[0]:g} to {axis[-1]:g}; "
                    "choose one inside"
                )
        of_height = [np.interp(self.wave_height_m, height, column) for column in std.T]
        return np.interp(np.abs(across_km), across, of_height) / spacing_km

    @cached_property
    def spectra(self) -> tuple[np.ndarray, dict[Component, np.ndarray]]:
        """Frequency (n,) [cycles/km] and the one-sided density (n,) of each component, in the table's units."""
        names = dict.fromkeys(name for component in self.components for name in _SPECTRA[component])
        columns = _columns(self.spectrum, ("spatial_frequency", *names))
        frequency = columns.pop("spatial_frequency")
        sound = frequency.ndim == 1 and frequency[0] > 0 and (np.diff(frequency) > 0).all()
        if not sound or any(c.shape != frequency.shape or not (c >= 0).all() for c in columns.values()):
            raise SchemaError(
                f"{self.spectrum} is no table of spectra: wanted columns >= 0 over an increasing spatial_frequency > 0"
            )
        return frequency, {c: np.sum([columns[name] for name in _SPECTRA[c]], axis=0) for c in self.components}


@dataclass(frozen=True)
class DrawnErrors:
    """Errors (n,) [m] of pixels, their whole standard deviation, and that of the part that is correlated."""

    error: np.ndarray
    std: np.ndarray
    correlated_std: np.ndarray


class KarinDraw:
    """The errors of one instrument, along all of its track."""

    def __init__(self, config: KarinErrors, altitude_km: float, spacing_km: float, seed: int, instrument: int):
        self.config, self.altitude_km, self.spacing_km = config, altitude_km, spacing_km
        self.signals: dict[Component, list[RandomSignal]] = {}
        if config.spectrum is None:
            return
        frequency, densities = config.spectra
        for component, density in densities.items():
            number = list(_SPECTRA).index(component)
            self.signals[component] = [
                RandomSignal(frequency, density, spacing_km, config.longest_km, seed, (instrument, number, side))
                for side in range(_SIDES[component])
            ]

    def draw(self, lines: np.ndarray, across_km: np.ndarray, generator: np.random.Generator) -> DrawnErrors:
        """Errors of pixels (n,) on lines (n,), whole numbers, at distances (n,) from nadir [km], positive right."""
        noise = self.config.noise_std(across_km, self.spacing_km)
        correlated, variance = np.zeros(len(lines)), np.zeros(len(lines))
        places, of_pixel = np.unique(lines, return_inverse=True)
        for component, sides in self.signals.items():
            factor = sensitivity(component, across_km, self.altitude_km)
            for side, signal in enumerate(sides):
                mine = (across_km > 0) == bool(side) if len(sides) == 2 else slice(None)
                correlated[mine] += (factor * signal.at(places)[of_pixel])[mine]
                variance[mine] += ((factor * signal.std) ** 2)[mine]
        error = correlated + noise * generator.normal(size=len(lines))
        return DrawnErrors(error, np.sqrt(noise**2 + variance), np.sqrt(variance))


def sensitivity(component: Component, across_km: np.ndarray, altitude_km: float) -> np.ndarray:
    """Error of height [m] (n,) at distances (n,) from nadir [km], per unit of a component.

    Units: roll per arc second, phase per degree, baseline per micrometre, timing per picosecond. The Earth's curvature
    turns an angle at the satellite into a larger one at the ground (Esteban-Fernandez, SWOT error budget, JPL D-79084).
    """
    curved = 1 + altitude_km / EARTH_RADIUS_KM
    metres = across_km * METRES_PER_KM
    if component == "roll":
        return curved * np.deg2rad(1 / 3600) * metres
    if component == "phase":
        wave_number = 2 * np.pi * RADAR_HERTZ / LIGHT_METRES_PER_SECOND
        return curved * np.deg2rad(1) / (wave_number * BASELINE_METRES) * metres
    if component == "baseline":
        return -curved * 1e-6 / BASELINE_METRES * metres**2 / (altitude_km * METRES_PER_KM)
    return np.full(len(across_km), 0.5 * LIGHT_METRES_PER_SECOND * 1e-12)


def _columns(path: Path | None, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Variables of a NetCDF table as float64; MissingFileError, UnknownProductError or SchemaError when it has none."""
    assert path is not None
    table = read_table(path)
    if lacking := [name for name in names if name not in table]:
        raise SchemaError(f"{path.name} has no variable {lacking[0]!r}; it holds {', '.join(map(str, table))}")
    return {name: table[name].values.astype(np.float64) for name in names}


def read_table(path: Path) -> xr.Dataset:
    """A small NetCDF file, loaded."""
    with open_netcdf(path) as opened:
        return opened[0].load()
