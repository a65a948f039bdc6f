"""Prey x and predators y of Lotka and Volterra, in the environments of CoDA and of LEADS.

    dx/dt = alpha x - beta x y,   dy/dt = delta x y - gamma y,   from 1 + U[0, 1]^2

Solved by DOP853 to a relative tolerance of 1e-10, where the published data have the errors of RK45 at its default.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data_pipeline.simulators.environments import EnvironmentsConfig, Parameters, Random, parts, simulate
from data_pipeline.simulators.integration import integrate

__all__ = ["LotkaVolterraConfig", "parts", "simulate"]

_CODA = {
    "environments": [{"beta": (0.5, 0.75, 1.0), "delta": (0.5, 0.75, 1.0)}],
    "shared_initial": True,
    "seeding": "index",
}
_CODA_NEW = {**_CODA, "environments": [{"beta": (0.625, 1.125), "delta": (0.625, 1.125)}]}
_LEADS_RATES = (
    (0.5, 0.5),
    (0.25, 0.5),
    (0.75, 0.5),
    (1.0, 0.5),
    (0.5, 0.25),
    (0.5, 0.75),
    (0.5, 1.0),
    (0.25, 0.25),
    (0.75, 0.75),
    (1.0, 1.0),
)
_LEADS = {**_CODA, "environments": [{"alpha": alpha, "gamma": gamma} for alpha, gamma in _LEADS_RATES]}


class LotkaVolterraConfig(EnvironmentsConfig):
    """What to simulate; frames 0.5 apart to time 10, as published."""

    NAME: ClassVar[str] = "lotka-volterra"
    CHANNELS: ClassVar[tuple[str, ...]] = ("prey", "predators")
    DEFAULTS: ClassVar[Mapping[str, float]] = {"alpha": 0.5, "beta": 0.5, "gamma": 0.5, "delta": 0.5}
    PRESETS: ClassVar[Mapping[tuple[str, str], Mapping[str, Any]]] = {
        ("coda", "train"): {**_CODA, "trajectories": 4},
        ("coda", "test"): {**_CODA, "trajectories": 32},
        ("coda", "adaptation"): {**_CODA_NEW, "trajectories": 1},
        ("coda", "adaptation-test"): {**_CODA_NEW, "trajectories": 32},
        ("leads", "train"): {**_LEADS, "trajectories": 1},
        ("leads", "test"): {**_LEADS, "trajectories": 32},
    }

    interval: float = Field(default=0.5, gt=0, description="time between frames")

    def initial(self, random: Random) -> np.ndarray:
        """Prey and predators (2,)."""
        return 1.0 + random.uniform(size=2)

    def solve(self, states: np.ndarray, parameters: Parameters, times: np.ndarray) -> np.ndarray:
        """States (n, frame, 2)."""

        def tendency(_: float, state: np.ndarray) -> np.ndarray:
            x, y = state.T
            met = x * y
            grown = parameters["alpha"] * x - parameters["beta"] * met
            return np.stack([grown, parameters["delta"] * met - parameters["gamma"] * y], axis=-1)

        return integrate(tendency, states, times, 1e-11, 1e-12)
