"""Advection and diffusion on a periodic line, exact in Fourier: u_t + speed u_x = diffusivity u_xx.

TTG starts from waves whose amplitudes fall with the third power of their number (`fractaloid`), Zebra and ENMA from
three waves. TTG's number of training samples is not known (1024 of each kind here), nor are ENMA's time (1 here) and
initial states (Zebra's here).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy import fft

from data_pipeline.simulators.environments import LineConfig, Parameters, Random, parts, simulate
from data_pipeline.simulators.initial_fields import fractaloid, random_waves

__all__ = ["AdvectionDiffusionConfig", "parts", "simulate"]


def _between(low: float, high: float) -> dict[str, float]:
    return {"low": low, "high": high}


_TTG = {"frames": 100, "interval": 10 / 99}
_TTG_TRAIN = {**_TTG, "draws": 1024}
_TTG_TEST = {**_TTG, "draws": 512, "seed": 124}
_SLOW = _between(0.01, 1.0)
_ZEBRA = {
    "environments": [{"speed": _between(0.0, 4.0)}],
    "length": 128.0,
    "frames": 14,
    "start": 110 * 100 / 249,
    "interval": 1000 / 249,
    "kind": "waves",
    "trajectories": 10,
}
_ENMA = {"length": 1.0, "size": 128, "frames": 20, "interval": 1 / 19, "kind": "waves", "trajectories": 10}
_ENMA_NEW = [{"speed": _between(5.0, 7.0)}, {"speed": _between(-7.0, -5.0)}]


class AdvectionDiffusionConfig(LineConfig):
    """What to simulate; TTG's line of length 16 with 256 points, 100 frames to time 10."""

    NAME: ClassVar[str] = "advection-diffusion"
    CHANNELS: ClassVar[tuple[str, ...]] = ("u",)
    DEFAULTS: ClassVar[Mapping[str, float]] = {"speed": 0.0, "diffusivity": 0.0}
    PRESETS: ClassVar[Mapping[tuple[str, str], Mapping[str, Any]]] = {
        ("ttg", "train"): {**_TTG_TRAIN, "environments": [{"speed": _SLOW}, {"diffusivity": _SLOW}]},
        ("ttg-advection", "train"): {**_TTG_TRAIN, "environments": [{"speed": _SLOW}]},
        ("ttg-diffusion", "train"): {**_TTG_TRAIN, "environments": [{"diffusivity": _SLOW}]},
        ("ttg-all", "test"): {**_TTG_TEST, "environments": [{"speed": _SLOW, "diffusivity": _SLOW}]},
        ("ttg-ood-speed", "test"): {**_TTG_TEST, "environments": [{"speed": _between(1.0, 3.0)}]},
        ("ttg-ood-diffusivity", "test"): {**_TTG_TEST, "environments": [{"diffusivity": _between(1.0, 3.0)}]},
        ("ttg-ood-all", "test"): {
            **_TTG_TEST,
            "environments": [{"speed": _between(0.01, 2.0), "diffusivity": _between(0.01, 2.0)}],
        },
        ("zebra", "train"): {**_ZEBRA, "draws": 1200},
        ("zebra", "test"): {**_ZEBRA, "draws": 12},
        ("enma", "train"): {**_ENMA, "draws": 1200, "environments": [{"speed": _between(-5.0, 5.0)}]},
        ("enma", "test"): {**_ENMA, "draws": 120, "environments": [{"speed": _between(-5.0, 5.0)}]},
        ("enma-ood", "test"): {**_ENMA, "draws": 6, "environments": _ENMA_NEW},
    }

    kind: Literal["fractaloid", "waves"] = Field(default="fractaloid", description="of initial states")
    waves: int = Field(default=3, ge=1, description="of an initial state of this kind")
    highest: int = Field(default=5, ge=1, description="their largest wave number, in periods of the line")

    def initial(self, random: Random) -> np.ndarray:
        """u (1, size)."""
        if self.kind == "fractaloid":
            return fractaloid(random, self.size)[None]
        return random_waves(random, self.size, self.waves, self.highest, 0.5)[None]

    def solve(self, states: np.ndarray, parameters: Parameters, times: np.ndarray) -> np.ndarray:
        """States (n, frame, 1, size)."""
        wave = 2 * np.pi / self.length * np.arange(self.size // 2 + 1)
        speed, diffusivity = parameters["speed"][:, None, None], parameters["diffusivity"][:, None, None]
        after = times[:, None]
        spectrum = np.asarray(fft.rfft(states))  # (n, 1, wave)
        grown = np.exp((-1j * speed * wave - diffusivity * wave**2) * after)
        return np.asarray(fft.irfft(grown * spectrum, self.size))[:, :, None]
