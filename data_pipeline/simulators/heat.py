"""Zebra's heat equation on a periodic line, exact: u_t - b u_xx = F(x, t), the forcing fixed in each environment."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data_pipeline.simulators.conservation import linear_solution
from data_pipeline.simulators.environments import LineConfig, Parameters, Random, parts, simulate
from data_pipeline.simulators.forcing import HIGHEST, Forcing, draw_forcing
from data_pipeline.simulators.initial_fields import random_waves

__all__ = ["HeatConfig", "parts", "simulate"]

_ZEBRA = {"environments": [{"b": {"low": 1e-3, "high": 5.0, "log": True}}], "trajectories": 10}


class HeatConfig(LineConfig):
    """What to simulate; 25 frames, every tenth of 250 in [0, 4], of a line of length 16 with 256 points."""

    NAME: ClassVar[str] = "heat"
    CHANNELS: ClassVar[tuple[str, ...]] = ("u",)
    DEFAULTS: ClassVar[Mapping[str, float]] = {"b": 0.1}
    PRESETS: ClassVar[Mapping[tuple[str, str], Mapping[str, Any]]] = {
        ("zebra", "train"): {**_ZEBRA, "draws": 1200},
        ("zebra", "test"): {**_ZEBRA, "draws": 12},
    }

    frames: int = Field(default=25, ge=2, description="of each trajectory")
    interval: float = Field(default=40 / 249, gt=0, description="time between frames")
    forcing_waves: int = Field(default=5, ge=0, description="terms of the forcing; 0: none")

    def of_environment(self, random: Random) -> dict[str, float]:
        """The forcing."""
        return draw_forcing(random, self.forcing_waves)

    def initial(self, random: Random) -> np.ndarray:
        """u (1, size)."""
        return random_waves(random, self.size, 5, 3, 0.5)[None]

    def solve(self, states: np.ndarray, parameters: Parameters, times: np.ndarray) -> np.ndarray:
        """States (n, frame, 1, size)."""
        zero = np.zeros(len(states))
        solved = linear_solution(states[:, 0], self.length, {"b": parameters["b"], "g": zero, "d": zero}, times)
        if self.forcing_waves:
            waves = 2 * np.pi / self.length * np.arange(1, HIGHEST + 1)
            damping = parameters["b"][:, None] * waves**2
            solved += Forcing(parameters, self.forcing_waves).response(damping, times, self.size)
        return solved[:, :, None]
