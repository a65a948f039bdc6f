"""The Combined equation of several protocols: self-advection, diffusion, dispersion and hyper-diffusion together.

    u_t + d_x(a u^2 - b u_x + g u_xx) + d u_xxxx = 0 on a periodic line

`conservation` chooses the solver of each trajectory by its coefficients; values are those at the points. TTG's training
grids are inferred from its scripts; its trajectories for each environment are not known (16 here), nor is the number of
waves in the initial states of TTG, ENMA (5 of wave numbers up to 3, as in MP-PDE) and Zebra (3 of them). GEPS writes
-a u u_x, so that its a is twice this one, and its d and g are this g and d; ranges stand here for its grid.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data_pipeline.simulators.conservation import solve_conservation
from data_pipeline.simulators.environments import LineConfig, Parameters, Random, parts, simulate
from data_pipeline.simulators.initial_fields import random_waves

__all__ = ["CombinedConfig", "parts", "simulate"]

_EIGHTHS = tuple(number / 8 for number in range(1, 9))
_TWENTIETHS = tuple(round(0.05 * number, 2) for number in range(1, 21))
_EULER, _HEAT, _DISPERSION = {"a": _EIGHTHS}, {"b": _TWENTIETHS}, {"g": _EIGHTHS}
_TTG = {"frames": 250, "interval": 4 / 249, "trajectories": 16}
_TTG_TEST = {"frames": 116, "interval": 4 / 249}
_BEYOND = {"low": 1.0, "high": 2.0}
_ZEBRA_RANGES = {"a": {"low": 0.0, "high": 1.0}, "b": {"low": 0.0, "high": 0.4}, "g": {"low": 0.0, "high": 1.0}}
_ZEBRA = {"frames": 14, "interval": 100 / 139, "trajectories": 10, "waves": 3, "environments": [_ZEBRA_RANGES]}
_ENMA_RANGES = {"a": {"low": 0.3, "high": 0.5}, "b": {"low": 5e-4, "high": 0.5}, "g": {"low": 0.01, "high": 1.0}}
_ENMA = {"frames": 20, "interval": 1 / 19, "length": 2 * np.pi, "size": 128, "trajectories": 10}
_GEPS_RANGES = {"a": {"low": 0.25, "high": 0.5}, "b": {"low": 0.0, "high": 0.5}}
_GEPS_RANGES |= {"g": {"low": 0.0, "high": 1.0}, "d": {"low": 0.0, "high": 1.0}}
_GEPS = {"interval": 3.0, "length": 32.0, "size": 128, "waves": 3, "highest": 2, "environments": [_GEPS_RANGES]}


class CombinedConfig(LineConfig):
    """What to simulate; the line of MP-PDE: length 16, 256 points."""

    NAME: ClassVar[str] = "combined"
    CHANNELS: ClassVar[tuple[str, ...]] = ("u",)
    DEFAULTS: ClassVar[Mapping[str, float]] = {"a": 0.0, "b": 0.0, "g": 0.0, "d": 0.0}
    BATCH: ClassVar[int] = 64
    PRESETS: ClassVar[Mapping[tuple[str, str], Mapping[str, Any]]] = {
        ("ttg", "train"): {**_TTG, "environments": [_EULER, _HEAT, _DISPERSION]},
        ("ttg-euler", "train"): {**_TTG, "environments": [_EULER]},
        ("ttg-heat", "train"): {**_TTG, "environments": [_HEAT]},
        ("ttg-dispersion", "train"): {**_TTG, "environments": [_DISPERSION]},
        ("ttg-he", "test"): {**_TTG_TEST, "environments": [_EULER | _HEAT], "trajectories": 3},
        ("ttg-ed", "test"): {**_TTG_TEST, "environments": [_EULER | _DISPERSION], "trajectories": 8},
        ("ttg-bg", "test"): {**_TTG_TEST, "environments": [_HEAT | _DISPERSION], "trajectories": 3},
        ("ttg-all", "test"): {
            **_TTG_TEST,
            "environments": [{"a": _EIGHTHS, "b": _TWENTIETHS[1::2], "g": _EIGHTHS}],
            "trajectories": 1,
        },
        ("ttg-ood-a", "test"): {**_TTG_TEST, "environments": [{"a": _BEYOND}], "draws": 512},
        ("ttg-ood-g", "test"): {**_TTG_TEST, "environments": [{"g": _BEYOND}], "draws": 512},
        ("zebra", "train"): {**_ZEBRA, "draws": 1200},
        ("zebra", "test"): {**_ZEBRA, "draws": 12},
        ("zebra-ood", "test"): {
            **_ZEBRA,
            "draws": 12,
            "environments": [{**_ZEBRA_RANGES, "a": {"low": 1.0682, "high": 1.7581}}],
        },
        ("enma", "train"): {**_ENMA, "environments": [_ENMA_RANGES], "draws": 1200},
        ("enma", "test"): {**_ENMA, "environments": [_ENMA_RANGES], "draws": 120},
        ("enma-ood", "test"): {
            **_ENMA,
            "environments": [{**_ENMA_RANGES, "d": {"low": 0.5, "high": 1.0}}],
            "draws": 12,
        },
        ("geps", "train"): {**_GEPS, "frames": 10, "draws": 1190},
        ("geps", "test"): {**_GEPS, "frames": 20, "draws": 32},
        ("geps", "adaptation"): {**_GEPS, "frames": 10, "draws": 10},
        ("geps", "adaptation-test"): {**_GEPS, "frames": 20, "draws": 10, "trajectories": 32},
    }

    waves: int = Field(default=5, ge=1, description="sines of an initial state")
    highest: int = Field(default=3, ge=1, description="their largest wave number, in periods of the line")
    amplitude: float = Field(default=0.5, gt=0, description="their largest amplitude")

    def initial(self, random: Random) -> np.ndarray:
        """u (1, size)."""
        return random_waves(random, self.size, self.waves, self.highest, self.amplitude)[None]

    def solve(self, states: np.ndarray, parameters: Parameters, times: np.ndarray) -> np.ndarray:
        """States (n, frame, 1, size)."""
        return solve_conservation(states[:, 0], self.length, parameters, times)[:, :, None]
