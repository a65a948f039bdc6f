"""Sea surface temperature as a tracer that the surface flow carries over a large-scale gradient.

With psi the streamfunction of the upper layer, v its northward velocity, U the mean flow, G the large-scale gradient,
the departure theta [K] from the climatology T0 + G y obeys

    dtheta/dt + J(psi, theta) + U dtheta/dx + G v = -theta / relaxation + mixing lap theta - hyperviscosity + weather,

as Hasselmann (1976, Tellus 28) has the upper ocean integrate the weather and the flow stir it. Weather is a random
rate, smooth in space and an Ornstein-Uhlenbeck process in time. The flow knows nothing of the tracer.
"""

import numpy as np

from data_pipeline.simulators.layer_model import Forcing, QuasiGeostrophicModel
from data_pipeline.simulators.layer_settings import TracerConfig

TRACER = "sst"
KM2_PER_DAY = 86400.0 * 1e-6  # of one square metre per second
_WEATHER = 0x5557  # of the random numbers of a run, those of its weather: the flow keeps its own


class TracerModel:
    """A layered ocean with its tracer: states are spectra (run, layer + 1, ky, kx), the tracer last.

    It has what the integration asks of a `QuasiGeostrophicModel`: grid, damping, tendency, speed, levels.
    """

    def __init__(self, ocean: QuasiGeostrophicModel, tracer: TracerConfig):
        self.ocean, self.tracer, self.config, self.grid = ocean, tracer, ocean.config, ocean.grid
        self.complex_dtype, self.metres = ocean.complex_dtype, ocean.metres
        kept = self.grid.kept
        self._along_x, self._along_y = (
            (1j * k * kept).astype(self.complex_dtype) for k in (self.grid.kx, self.grid.ky)
        )
        own = ocean.damping + tracer.mixing_m2_s * KM2_PER_DAY * self.grid.squared + 1 / tracer.relaxation_days
        self.damping = np.stack([ocean.damping] * self.config.layers + [own])

    def begun(self, state: np.ndarray) -> np.ndarray:
        """States of the ocean (run, layer, ky, kx) with a tracer that is everywhere its climatology."""
        return np.concatenate([state, np.zeros_like(state[:, :1])], axis=1)

    def tendency(self, state: np.ndarray) -> np.ndarray:
        """Rate of change of everything but what `damping` has."""
        out = np.empty_like(state)
        out[:, :-1] = self.ocean.tendency(state[:, :-1])
        psi, theta = self.ocean.streamfunction(state[:, :-1])[:, 0], state[:, -1]
        northward = self._along_x * psi
        u, v, carried = self.grid.inverse(np.stack([-self._along_y * psi, northward, theta]))
        across = self._along_x * self.grid.forward(u * carried) + self._along_y * self.grid.forward(v * carried)
        mean = self.ocean.flow[0] * self._along_x * theta + self.tracer.gradient_k_per_km * northward
        out[:, -1] = -(across + mean)
        return out

    def speed(self, state: np.ndarray) -> np.ndarray:
        """Largest |u| + |v| of each run, mean flow included [km/day]."""
        return self.ocean.speed(state[:, :-1])

    def levels(self, state: np.ndarray) -> np.ndarray:
        """Sea level, what the lower layer would make [m], and temperature [degrees Celsius]: (run, level, y, x)."""
        temperature = self.grid.inverse(state[:, -1:])
        temperature = temperature + temperature.dtype.type(self.tracer.mean_c)
        return np.concatenate([self.ocean.levels(state[:, :-1]), temperature], axis=1)


class Weather:
    """What pushes ocean and tracer: the ocean's own forcing, and a random rate of the temperature."""

    def __init__(self, model: TracerModel, forcing: Forcing, seeds: list[np.random.SeedSequence]):
        self.forcing, self.model, self.config = forcing, model, model.tracer
        self.generators = [
            np.random.default_rng(np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, _WEATHER)))
            for seed in seeds
        ]
        self.shape = len(seeds), model.config.layers + 1, *model.grid.squared.shape
        self.rate = self._noise()

    def draw(self, step: float) -> np.ndarray:
        """The tendency of the state during the next `step` days."""
        push, flow = np.zeros(self.shape, self.model.complex_dtype), self.forcing.draw(step)
        if flow is not None:
            push[:, :-1] = flow
        keep = np.exp(-step / self.config.weather_memory_days)
        self.rate = keep * self.rate + np.sqrt(1 - keep**2) * self._noise()
        push[:, -1] = self.rate
        return push

    def _noise(self) -> np.ndarray:
        draws = [self.model.grid.random_field(g, self.config.weather_wavelength_km) for g in self.generators]
        return self.config.weather_k_per_day * np.stack(draws)
