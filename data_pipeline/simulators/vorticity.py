"""Two-dimensional vorticity on a torus, in environments of viscosity, drag and forcing.

    w_t + inertia u . grad w = viscosity laplacian w - drag w + F,   u = (-d psi/dy, d psi/dx),   laplacian psi = w
    F = sine sin 2 pi (sine_x x + sine_y y) / L + cosine cos 2 pi (cosine_x x + cosine_y y) / L

Pseudo-spectral with the two-thirds rule as `navier_stokes`, by exponential Runge-Kutta steps to `tolerance`. Without
inertia it is pure diffusion; without viscosity the truncated equation of Euler.

CoDA, LEADS: the published spectral truncation and spin-up; initial fields are of the same law, as torch drew theirs.
Zebra: the length 2 pi, wave number k0 = 10 and a grid of 128 are assumptions. TTG: counts and frames are this package's
own. HeterNS, iMOOE: times between frames 1 and 50 / 30 from a random field. APEBench: 64 points a side, not 160.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from data_pipeline.simulators.environments import EnvironmentsConfig, Parameters, Random, parts, simulate
from data_pipeline.simulators.exponential import ExponentialSteps, solve_controlled
from data_pipeline.simulators.navier_stokes import NavierStokesConfig, NavierStokesModel
from data_pipeline.simulators.vorticity_presets import PRESETS

__all__ = ["VorticityConfig", "parts", "simulate"]

SPIN_UP_STOPS, SPIN_UP_TOLERANCE = 60, 1e-5  # any state of the flow will do
POINTS_TOGETHER = 2**16


class VorticityConfig(EnvironmentsConfig):
    """What to simulate; CoDA's square: side 1, 32 x 32 points, ten frames a unit of time apart."""

    NAME: ClassVar[str] = "vorticity"
    CHANNELS: ClassVar[tuple[str, ...]] = ("vorticity",)
    DEFAULTS: ClassVar[Mapping[str, float]] = {
        "viscosity": 1e-3,
        "inertia": 1.0,
        "drag": 0.0,
        "sine": 0.1,
        "sine_x": 1.0,
        "sine_y": 1.0,
        "cosine": 0.1,
        "cosine_x": 1.0,
        "cosine_y": 1.0,
    }
    PRESETS: ClassVar[Mapping[tuple[str, str], Mapping[str, Any]]] = PRESETS

    frames: int = Field(default=10, ge=2, description="of each trajectory")
    length: float = Field(default=1.0, gt=0, description="side of the square")
    size: int = Field(default=32, ge=8, description="points along each side")
    grid: int | None = Field(default=None, ge=8, description="of the simulation, a multiple of size; null: size")
    kind: Literal["gaussian", "decaying"] = Field(default="gaussian", description="of initial fields")
    amplitude: float = Field(default=1.0, gt=0, description="that initial fields are multiplied by")
    peak: float = Field(default=10.0, gt=0, description="wave number k0 of a decaying field, in periods of the side")
    tolerance: float = Field(default=1e-7, gt=0, description="of a state's norm, between two frames")
    spin_up: float = Field(default=0.0, ge=0, description="time of the default environment before any other begins")
    spin_up_viscosity: float = Field(default=8e-4, gt=0)

    @model_validator(mode="after")
    def _multiple(self) -> Self:
        if self.grid is not None and self.grid % self.size:
            raise ValueError(f"grid={self.grid} is no multiple of size={self.size}; give one")
        return self

    @property
    def lengths(self) -> tuple[float, ...]:
        """Of the square."""
        return (self.length, self.length)

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along y, then x."""
        return (self.size, self.size)

    @property
    def batch(self) -> int:
        """Trajectories that are solved together."""
        return max(2, POINTS_TOGETHER // (self.grid or self.size) ** 2)

    def model(self) -> NavierStokesModel:
        """Advection on the unit torus, without forcing; lengths are measured in sides of the square."""
        return NavierStokesModel(NavierStokesConfig(grid=self.grid or self.size, forcing=0), np.float64)

    def initial(self, random: Random) -> np.ndarray:
        """Vorticity (1, grid, grid)."""
        model = self.model()
        if self.kind == "gaussian":
            return self.amplitude * model.grid.inverse(model.initial(random))[None]  # pyright: ignore
        wave = np.sqrt(model.grid.squared) / (2 * np.pi * self.peak)
        spectrum = model.grid.forward(random.normal(size=(model.grid.size,) * 2))
        spectrum *= np.sqrt(wave**5 * np.exp(-(wave**2))) * model.grid.kept  # of vorticity k^2 E(k), over rings of k
        velocity = self.length * np.sqrt((model.velocity(spectrum[None]) ** 2).sum(0).mean())
        return self.amplitude * model.grid.inverse(spectrum / velocity)[None]

    def prepared(self, states: np.ndarray) -> np.ndarray:
        """Vorticity (n, 1, grid, grid) after the spin-up."""
        if not self.spin_up:
            return states
        usual = {**self.DEFAULTS, "viscosity": self.spin_up_viscosity}
        parameters = {name: np.full(len(states), value) for name, value in usual.items()}
        times = self.spin_up * np.arange(1, SPIN_UP_STOPS + 1) / SPIN_UP_STOPS
        return self._solve(states, parameters, times, SPIN_UP_TOLERANCE)[:, -1]

    def solve(self, states: np.ndarray, parameters: Parameters, times: np.ndarray) -> np.ndarray:
        """States (n, frame, 1, size, size)."""
        finer = (self.grid or self.size) // self.size
        return self._solve(states, parameters, times, self.tolerance)[..., ::finer, ::finer]

    def _solve(self, states: np.ndarray, parameters: Parameters, times: np.ndarray, tolerance: float) -> np.ndarray:
        model = self.model()
        column = {name: values[:, None, None] for name, values in parameters.items()}
        push = model.grid.forward(self._forcing(column, model.grid.size)) * model.grid.kept
        linear = -column["viscosity"] / self.length**2 * model.grid.squared - column["drag"]

        def tendency(spectra: np.ndarray, _: float, rows: np.ndarray) -> np.ndarray:
            if not column["inertia"][rows].any():
                return push[rows]
            return column["inertia"][rows] * model.tendency(spectra) + push[rows]

        steps = ExponentialSteps(linear, tendency)
        start = model.grid.forward(states[:, 0]) * model.grid.kept
        solved = [model.grid.inverse(spectra) for spectra in solve_controlled(steps, start, times, tolerance)]
        return np.stack(solved, axis=1)[:, :, None]

    @staticmethod
    def _forcing(column: Parameters, size: int) -> np.ndarray:
        """F (n, size, size)."""
        x = 2 * np.pi * np.arange(size) / size
        y = x[:, None]
        sine = column["sine"] * np.sin(column["sine_x"] * x + column["sine_y"] * y)
        return sine + column["cosine"] * np.cos(column["cosine_x"] * x + column["cosine_y"] * y)
