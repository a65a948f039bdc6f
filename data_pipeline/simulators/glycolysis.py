"""Seven concentrations of a glycolytic oscillator, in the environments of CoDA: k1 and K1 vary.

    R = k1 x0 x5 / (1 + (x5 / K1)^q)
    x0' = J0 - R                              x1' = 2 R - k2 x1 (N - x4) - k6 x1 x4
    x2' = k2 x1 (N - x4) - k3 x2 (A - x5)     x3' = k3 x2 (A - x5) - k4 x3 x4 - kappa (x3 - x6)
    x4' = k2 x1 (N - x4) - k4 x3 x4 - k6 x1 x4
    x5' = -2 R + 2 k3 x2 (A - x5) - k5 x5     x6' = psi kappa (x3 - x6) - k x6

Solved by DOP853 to a relative tolerance of 1e-10, where the published data have the errors of RK45 at its default. The
parameter K1 is `half` here: stores are folders, and some disks do not tell capitals from small letters.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data_pipeline.simulators.environments import EnvironmentsConfig, Parameters, Random, parts, simulate
from data_pipeline.simulators.integration import integrate

__all__ = ["GlycolysisConfig", "parts", "simulate"]

J0, K2, K3, K4, K5, K6 = 2.5, 6.0, 16.0, 100.0, 1.28, 12.0
POWER, N, A, KAPPA, PSI, K = 4, 1.0, 4.0, 13.0, 0.1, 1.8
LOWEST = (0.15, 0.19, 0.04, 0.10, 0.08, 0.14, 0.05)  # of the box of initial states
HIGHEST = (1.60, 2.16, 0.20, 0.35, 0.30, 2.67, 0.10)
_CODA = {
    "environments": [{"k1": (100.0, 90.0, 80.0), "half": (1.0, 0.75, 0.5)}],
    "shared_initial": True,
    "seeding": "index",
}
_CODA_NEW = {**_CODA, "environments": [{"k1": (85.0, 95.0), "half": (0.625, 0.875)}]}


class GlycolysisConfig(EnvironmentsConfig):
    """What to simulate; frames 0.05 apart to time 1, as published."""

    NAME: ClassVar[str] = "glycolysis"
    CHANNELS: ClassVar[tuple[str, ...]] = tuple(f"x{number}" for number in range(7))
    DEFAULTS: ClassVar[Mapping[str, float]] = {"k1": 100.0, "half": 1.0}
    PRESETS: ClassVar[Mapping[tuple[str, str], Mapping[str, Any]]] = {
        ("coda", "train"): {**_CODA, "trajectories": 32},
        ("coda", "test"): {**_CODA, "trajectories": 32},
        ("coda", "adaptation"): {**_CODA_NEW, "trajectories": 1},
        ("coda", "adaptation-test"): {**_CODA_NEW, "trajectories": 32},
    }

    interval: float = Field(default=0.05, gt=0, description="time between frames")

    def initial(self, random: Random) -> np.ndarray:
        """Concentrations (7,)."""
        low, high = np.array(LOWEST), np.array(HIGHEST)
        return low + (high - low) * random.uniform(size=7)

    def solve(self, states: np.ndarray, parameters: Parameters, times: np.ndarray) -> np.ndarray:
        """States (n, frame, 7)."""

        def tendency(_: float, state: np.ndarray) -> np.ndarray:
            x0, x1, x2, x3, x4, x5, x6 = state.T
            first = parameters["k1"] * x0 * x5 / (1 + (x5 / parameters["half"]) ** POWER)
            second, third = K2 * x1 * (N - x4), K3 * x2 * (A - x5)
            fourth, sixth, out = K4 * x3 * x4, K6 * x1 * x4, KAPPA * (x3 - x6)
            changes = (
                J0 - first,
                2 * first - second - sixth,
                second - third,
                third - fourth - out,
                second - fourth - sixth,
                2 * third - 2 * first - K5 * x5,
                PSI * out - K * x6,
            )
            return np.stack(changes, axis=-1)

        return integrate(tendency, states, times, 1e-10, 1e-12)
