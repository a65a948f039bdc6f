"""Six systems on one torus, and Kolmogorov's flow, so that one model may learn them together.

    u_t = -speed . grad u + diffusion laplacian u                           drift (advection and diffusion)
    u_t = diffusion laplacian u                                             warmth (heat)
    u_t = diffusion laplacian u + rate u (1 - u)                            growth (Fisher)
    u_t = diffusion laplacian u - u v^2 + feed (1 - u)                      spots (Gray-Scott)
    v_t = diffusion_v laplacian v + u v^2 - (feed + kill) v
    u_t = v,   v_t = speed^2 laplacian u - damping v                        waves
    u_t = -(velocity of u) . grad u + viscosity laplacian u - drag u - force wave cos(wave y)    eddies (vorticity u)

The side is 2 pi; all are solved with the waves that 64 points hold without aliasing, the linear ones exactly, and read
on `size` points. Channels are roles: the field, `u`, and a second one, `v`. Ranges are this package's own.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from data_pipeline.errors import ConfigError
from data_pipeline.simulators.environments import EnvironmentsConfig, Parameters, Random, parts, simulate
from data_pipeline.simulators.exponential import ExponentialSteps, solve_controlled
from data_pipeline.simulators.spectral import SpectralGrid

__all__ = ["TORUS", "TorusConfig", "parts", "simulate"]

SIDE, GRID = 2 * np.pi, 64


class TorusConfig(EnvironmentsConfig):
    """What all systems share: the square, its points, the initial fields."""

    BATCH: ClassVar[int] = 32
    LEVEL: ClassVar[float] = 1e-5  # of a state's norm, between two frames: the solver's tolerance

    frames: int = Field(default=12, ge=2, description="of each trajectory")
    interval: float = Field(default=0.2, gt=0, description="time between frames")
    size: int = Field(default=32, description="points along each side, a divisor of 64")
    smoothness: float = Field(default=3.5, gt=0, description="largest wave number of initial fields, about")

    @model_validator(mode="after")
    def _divides(self) -> "TorusConfig":
        if self.size < 8 or GRID % self.size:
            raise ValueError(f"size={self.size} is no divisor of {GRID} of 8 or more; give 32 or 64")
        return self

    @property
    def lengths(self) -> tuple[float, ...]:
        """Of the square."""
        return (SIDE, SIDE)

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along y, then x."""
        return (self.size, self.size)

    @property
    def waves(self) -> SpectralGrid:
        """Of the simulation."""
        return SpectralGrid(GRID, SIDE)

    def random_field(self, random: Random) -> np.ndarray:
        """A smooth field of mean 0 and deviation 1."""
        waves = self.waves
        spectrum = waves.forward(random.normal(size=(GRID, GRID)))
        spectrum *= np.exp(-2 * waves.squared / self.smoothness**2) * waves.kept
        spectrum[0, 0] = 0
        field = waves.inverse(spectrum)
        return field / field.std()

    def initial(self, random: Random) -> np.ndarray:
        """u (1, GRID, GRID)."""
        return self.random_field(random)[None]

    def linear(self, parameters: Parameters) -> np.ndarray:
        """(n, channel, GRID, columns) rate of every wave; parameters: name -> (n, 1, 1)."""
        raise NotImplementedError

    def tendency(self, spectra: np.ndarray, parameters: Parameters) -> np.ndarray:
        """What is not linear, of spectra (n, channel, GRID, columns)."""
        raise NotImplementedError

    def solve(self, states: np.ndarray, parameters: Parameters, times: np.ndarray) -> np.ndarray:
        """States (n, frame, channel, size, size)."""
        waves = self.waves
        column = {name: values[:, None, None] for name, values in parameters.items()}
        start = waves.forward(states) * waves.kept
        return np.stack([self.read(spectra) for spectra in self.path(start, column, times)], axis=1)

    def path(self, start: np.ndarray, column: Parameters, times: np.ndarray) -> Any:
        """Spectra (n, channel, GRID, columns) at every time."""
        linear = self.linear(column)
        if type(self).tendency is TorusConfig.tendency:
            return (np.exp(time * linear) * start for time in times)

        def tendency(spectra: np.ndarray, _: float, rows: np.ndarray) -> np.ndarray:
            return self.tendency(spectra, {name: values[rows] for name, values in column.items()})

        return solve_controlled(ExponentialSteps(linear, tendency), start, times, self.LEVEL)

    def read(self, spectra: np.ndarray) -> np.ndarray:
        """Fields (..., size, size)."""
        return self.waves.inverse(spectra)[..., :: GRID // self.size, :: GRID // self.size]


class DriftConfig(TorusConfig):
    """Advection and diffusion."""

    NAME: ClassVar[str] = "torus-drift"
    CHANNELS: ClassVar[tuple[str, ...]] = ("u",)
    DEFAULTS: ClassVar[Mapping[str, float]] = {"speed_x": 0.5, "speed_y": 0.5, "diffusion": 0.03}
    SEEN: ClassVar[Mapping[str, Any]] = {
        "speed_x": {"low": -1, "high": 1},
        "speed_y": {"low": -1, "high": 1},
        "diffusion": {"low": 0.01, "high": 0.1},
    }

    def linear(self, parameters: Parameters) -> np.ndarray:
        """See `TorusConfig`."""
        waves, p = self.waves, parameters
        made = -1j * (p["speed_x"] * waves.kx + p["speed_y"] * waves.ky) - p["diffusion"] * waves.squared
        return made[:, None]


class WarmthConfig(TorusConfig):
    """Heat."""

    NAME: ClassVar[str] = "torus-warmth"
    CHANNELS: ClassVar[tuple[str, ...]] = ("u",)
    DEFAULTS: ClassVar[Mapping[str, float]] = {"diffusion": 0.05}
    SEEN: ClassVar[Mapping[str, Any]] = {"diffusion": {"low": 0.02, "high": 0.2}}

    def linear(self, parameters: Parameters) -> np.ndarray:
        """See `TorusConfig`."""
        return (-parameters["diffusion"] * self.waves.squared)[:, None]


class GrowthConfig(TorusConfig):
    """Fisher."""

    NAME: ClassVar[str] = "torus-growth"
    CHANNELS: ClassVar[tuple[str, ...]] = ("u",)
    DEFAULTS: ClassVar[Mapping[str, float]] = {"diffusion": 0.05, "rate": 1.0}
    SEEN: ClassVar[Mapping[str, Any]] = {"diffusion": {"low": 0.02, "high": 0.1}, "rate": {"low": 0.5, "high": 2}}

    def initial(self, random: Random) -> np.ndarray:
        """u (1, GRID, GRID), in [0, 1]."""
        return (0.5 + 0.5 * np.tanh(self.random_field(random) - 0.5))[None]

    def linear(self, parameters: Parameters) -> np.ndarray:
        """See `TorusConfig`."""
        return (parameters["rate"] - parameters["diffusion"] * self.waves.squared)[:, None]

    def tendency(self, spectra: np.ndarray, parameters: Parameters) -> np.ndarray:
        """See `TorusConfig`."""
        waves = self.waves
        return -parameters["rate"][:, None] * waves.kept * waves.forward(waves.inverse(spectra) ** 2)


class SpotsConfig(TorusConfig):
    """Gray-Scott, times and lengths in units in which patterns have a few waves a side."""

    NAME: ClassVar[str] = "torus-spots"
    CHANNELS: ClassVar[tuple[str, ...]] = ("u", "v")
    DEFAULTS: ClassVar[Mapping[str, float]] = {
        "diffusion": 0.04,
        "diffusion_v": 0.02,
        "feed": 0.6,
        "kill": 1.0,
        "meeting": 16.0,
    }
    SEEN: ClassVar[Mapping[str, Any]] = {
        "diffusion": {"low": 0.03, "high": 0.06},
        "diffusion_v": {"low": 0.015, "high": 0.03},
        "feed": {"low": 0.4, "high": 0.8},
        "kill": {"low": 0.8, "high": 1.1},
    }

    def initial(self, random: Random) -> np.ndarray:
        """u and v (2, GRID, GRID): where v is, there is less of u."""
        spot = 0.5 + 0.5 * np.tanh(self.random_field(random) - 0.5)
        return np.stack([1 - 0.6 * spot, 0.05 + 0.3 * spot])

    def linear(self, parameters: Parameters) -> np.ndarray:
        """See `TorusConfig`."""
        p, squared = parameters, self.waves.squared
        return np.stack(
            [-p["feed"] - p["diffusion"] * squared, -p["feed"] - p["kill"] - p["diffusion_v"] * squared], axis=1
        )

    def tendency(self, spectra: np.ndarray, parameters: Parameters) -> np.ndarray:
        """See `TorusConfig`."""
        waves = self.waves
        u, v = np.moveaxis(waves.inverse(spectra), 1, 0)
        met = parameters["meeting"] * waves.kept * waves.forward(u * v * v)
        made = np.stack([-met, met], axis=1)
        made[:, 0, 0, 0] += parameters["feed"][:, 0, 0] * GRID**2
        return made


class WavesConfig(TorusConfig):
    """Waves with damping: displacement and its rate, exact."""

    NAME: ClassVar[str] = "torus-waves"
    CHANNELS: ClassVar[tuple[str, ...]] = ("u", "v")
    DEFAULTS: ClassVar[Mapping[str, float]] = {"speed": 1.0, "damping": 0.1}
    SEEN: ClassVar[Mapping[str, Any]] = {"speed": {"low": 0.5, "high": 1.5}, "damping": {"low": 0.0, "high": 0.4}}

    def initial(self, random: Random) -> np.ndarray:
        """u and v (2, GRID, GRID)."""
        return np.stack([self.random_field(random), self.random_field(random)])

    def path(self, start: np.ndarray, column: Parameters, times: np.ndarray) -> Any:
        """See `TorusConfig`."""
        half = column["damping"] / 2
        turn = np.sqrt(column["speed"] ** 2 * self.waves.squared - half**2 + 0j)
        for time in times:
            decay, cosine = np.exp(-half * time), np.cos(turn * time)
            sine = time * np.sinc(turn * time / np.pi)
            u, v = start[:, 0], start[:, 1]
            along = decay * (cosine * u + sine * (v + half * u))
            rate = decay * (cosine * v - sine * (half * v + column["speed"] ** 2 * self.waves.squared * u))
            yield np.stack([along, rate], axis=1)


class EddiesConfig(TorusConfig):
    """Vorticity; with `force` and `drag` it is Kolmogorov's flow."""

    NAME: ClassVar[str] = "torus-eddies"
    CHANNELS: ClassVar[tuple[str, ...]] = ("u",)
    DEFAULTS: ClassVar[Mapping[str, float]] = {"viscosity": 0.03, "drag": 0.0, "force": 0.0, "wave": 2.0}
    SEEN: ClassVar[Mapping[str, Any]] = {"viscosity": {"low": 0.02, "high": 0.08}}
    strength: float = Field(default=2.0, gt=0, description="deviation of initial vorticity")

    def initial(self, random: Random) -> np.ndarray:
        """u (1, GRID, GRID)."""
        return self.strength * self.random_field(random)[None]

    def linear(self, parameters: Parameters) -> np.ndarray:
        """See `TorusConfig`."""
        return (-parameters["viscosity"] * self.waves.squared - parameters["drag"])[:, None]

    def tendency(self, spectra: np.ndarray, parameters: Parameters) -> np.ndarray:
        """See `TorusConfig`."""
        waves = self.waves
        stream = -spectra / np.where(waves.squared > 0, waves.squared, np.inf)
        u = waves.inverse(spectra)
        along, across = waves.inverse(-1j * waves.ky * stream), waves.inverse(1j * waves.kx * stream)
        made = -1j * (waves.kx * waves.forward(along * u) + waves.ky * waves.forward(across * u))
        y = SIDE * np.arange(GRID)[:, None] / GRID * np.ones(GRID)
        wave = parameters["wave"]
        push = waves.forward(-parameters["force"] * wave * np.cos(wave * y))
        return waves.kept * (made + push[:, None])


_ALL: tuple[type[TorusConfig], ...] = (
    DriftConfig,
    WarmthConfig,
    GrowthConfig,
    SpotsConfig,
    WavesConfig,
    EddiesConfig,
)
TORUS = {kind.NAME.removeprefix("torus-"): kind for kind in _ALL}


def seen(name: str, **changes: Any) -> TorusConfig:
    """The settings of a system whose environments are drawn from its range; ConfigError where there is none."""
    if name not in TORUS:
        raise ConfigError(f"{name!r} is no system of the torus; there are {', '.join(TORUS)}: name one of them")
    kind = TORUS[name]
    return kind.model_validate({"environments": [kind.SEEN], **changes})  # pyright: ignore[reportAttributeAccessIssue]
