"""Reaction and diffusion of one field on a periodic square: Fisher's equation and that of Allen and Cahn.

    u_t = diffusion laplacian u + rate u (1 - u)            Fisher
    u_t = diffusion laplacian u + rate (u - u^3)            Allen-Cahn

Pseudo-spectral on twice the points, so that products of three are free of aliasing, by exponential Runge-Kutta steps.
The presets are this package's own.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from scipy import fft

from data_pipeline.simulators.environments import EnvironmentsConfig, Parameters, Random, parts, simulate
from data_pipeline.simulators.exponential import ExponentialSteps, solve_controlled

__all__ = ["AllenCahnConfig", "FisherConfig", "parts", "simulate"]

_SEEN = {"environments": [{"diffusion": (5e-4, 1e-3, 2e-3), "rate": (0.5, 1.0)}]}
_NEW = {"environments": [{"diffusion": (7e-4, 1.5e-3), "rate": (0.75,)}]}


class FisherConfig(EnvironmentsConfig):
    """What to simulate; a square of side 1 with 64 x 64 points."""

    NAME: ClassVar[str] = "fisher"
    CHANNELS: ClassVar[tuple[str, ...]] = ("u",)
    DEFAULTS: ClassVar[Mapping[str, float]] = {"diffusion": 1e-3, "rate": 1.0}
    BATCH: ClassVar[int] = 16
    PRESETS: ClassVar[Mapping[tuple[str, str], Mapping[str, Any]]] = {
        ("quick", "train"): {**_SEEN, "trajectories": 8},
        ("quick", "test"): {**_SEEN, "trajectories": 4},
        ("quick", "adaptation"): {**_NEW, "trajectories": 1},
        ("quick", "adaptation-test"): {**_NEW, "trajectories": 4},
    }

    interval: float = Field(default=0.25, gt=0, description="time between frames")
    length: float = Field(default=1.0, gt=0, description="side of the square")
    size: int = Field(default=64, ge=8, description="points along each side")
    smoothness: float = Field(default=6.0, gt=0, description="largest wave number of initial fields, about")

    @property
    def lengths(self) -> tuple[float, ...]:
        """Of the square."""
        return (self.length, self.length)

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along y, then x."""
        return (self.size, self.size)

    def random_field(self, random: Random) -> np.ndarray:
        """A smooth field (size, size) of mean 0 and deviation 1."""
        y, x = wave_numbers(self.size)
        spectrum = np.asarray(fft.rfft2(random.normal(size=self.shape)))
        spectrum *= np.exp(-2 * (y**2 + x**2) / self.smoothness**2)
        spectrum[0, 0] = 0
        field = np.asarray(fft.irfft2(spectrum, self.shape))
        return field / field.std()

    def initial(self, random: Random) -> np.ndarray:
        """u (1, size, size), in [0, 1]."""
        return (0.5 + 0.5 * np.tanh(self.random_field(random) - 1))[None]

    @staticmethod
    def reaction(u: np.ndarray, rate: np.ndarray) -> np.ndarray:
        """What is not linear."""
        return -rate * u * u

    def solve(self, states: np.ndarray, parameters: Parameters, times: np.ndarray) -> np.ndarray:
        """States (n, frame, 1, size, size)."""
        points = 2 * self.size
        y, x = wave_numbers(points)
        kept = (np.abs(y) < self.size / 2) & (x < self.size / 2)
        rate = parameters["rate"][:, None, None]
        square = (2 * np.pi / self.length) ** 2 * (y**2 + x**2)
        linear = rate - parameters["diffusion"][:, None, None] * square

        def tendency(spectra: np.ndarray, _: float, rows: np.ndarray) -> np.ndarray:
            u = np.asarray(fft.irfft2(spectra, (points, points)))
            return kept * np.asarray(fft.rfft2(self.reaction(u, rate[rows])))

        solved = []
        for spectra in solve_controlled(ExponentialSteps(linear, tendency), kept * self._widened(states[:, 0]), times):
            solved.append(np.asarray(fft.irfft2(spectra, (points, points)))[:, ::2, ::2])
        return np.stack(solved, axis=1)[:, :, None]

    def _widened(self, fields: np.ndarray) -> np.ndarray:
        """Spectra of fields (n, size, size) on twice the points."""
        held, half = np.asarray(fft.rfft2(fields)), self.size // 2
        wide = np.zeros((len(fields), 2 * self.size, self.size + 1), complex)
        for rows in (np.arange(half), np.arange(-half + 1, 0)):
            wide[:, rows, :half] = 4 * held[:, rows, :half]
        return wide


def wave_numbers(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Along y (points, 1) and x (points // 2 + 1,), in periods of the side."""
    return np.fft.fftfreq(points, 1 / points)[:, None], np.arange(points // 2 + 1.0)


class AllenCahnConfig(FisherConfig):
    """What to simulate; square and presets are those of Fisher's equation."""

    NAME: ClassVar[str] = "allen-cahn"

    def initial(self, random: Random) -> np.ndarray:
        """u (1, size, size), about 0."""
        return (0.3 * self.random_field(random))[None]

    @staticmethod
    def reaction(u: np.ndarray, rate: np.ndarray) -> np.ndarray:
        """What is not linear."""
        return -rate * u * u * u
