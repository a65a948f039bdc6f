"""Zebra's wave with damping on a square whose edge is held: u_tt = c^2 laplacian u - k u_t, exact in the sine basis.

From rest, as five Gaussian bumps of random place, width [.025, .1] and height (U[-1, 1] here, as it is not
published). Points lie at 0, 1 / (size - 1), ..., 1, the outermost ones on the edge.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from scipy import fft

from data_pipeline.simulators.environments import EnvironmentsConfig, Parameters, Random, parts, simulate

__all__ = ["MembraneConfig", "parts", "simulate"]

BUMPS = 5
_RANGES = {"speed": {"low": 100.0, "high": 500.0}, "damping": {"low": 0.0, "high": 50.0}}
_BEYOND = {"speed": {"low": 500.0, "high": 550.0}, "damping": {"low": 50.0, "high": 60.0}}


class MembraneConfig(EnvironmentsConfig):
    """What to simulate; 30 frames to time 0.005 on 64 x 64 points."""

    NAME: ClassVar[str] = "membrane"
    CHANNELS: ClassVar[tuple[str, ...]] = ("displacement", "displacement_rate")
    DEFAULTS: ClassVar[Mapping[str, float]] = {"speed": 300.0, "damping": 0.0}
    BATCH: ClassVar[int] = 16
    PRESETS: ClassVar[Mapping[tuple[str, str], Mapping[str, Any]]] = {
        ("zebra", "train"): {"environments": [_RANGES], "draws": 1200, "trajectories": 10},
        ("zebra", "test"): {"environments": [_RANGES], "draws": 12, "trajectories": 10},
        ("zebra-ood", "test"): {"environments": [_BEYOND], "draws": 12, "trajectories": 10},
    }

    frames: int = Field(default=30, ge=2, description="of each trajectory")
    interval: float = Field(default=5e-3 / 29, gt=0, description="time between frames")
    length: float = Field(default=1.0, gt=0, description="side of the square")
    size: int = Field(default=64, ge=8, description="points along each side, with both ends")

    @property
    def lengths(self) -> tuple[float, ...]:
        """Of the square."""
        return (self.length, self.length)

    @property
    def periodic(self) -> bool:
        """The edge is held."""
        return False

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along y, then x."""
        return (self.size, self.size)

    def initial(self, random: Random) -> np.ndarray:
        """Displacement and its rate (2, size, size)."""
        axis = np.linspace(0, 1, self.size)
        state = np.zeros((2, self.size, self.size))
        for _ in range(BUMPS):
            x, y = random.uniform(0.0, 1.0, 2)
            width, height = random.uniform(0.025, 0.1), random.uniform(-1.0, 1.0)
            away = (axis - x) ** 2 + (axis[:, None] - y) ** 2
            state[0] += height * np.exp(-away / (2 * width**2))
        state[0, [0, -1]] = state[0, :, [0, -1]] = 0
        return state

    def solve(self, states: np.ndarray, parameters: Parameters, times: np.ndarray) -> np.ndarray:
        """States (n, frame, 2, size, size).

        A mode of frequency w obeys q'' + k q' + w^2 q = 0, so that
        q = exp(-k t / 2) (q0 cos r t + (q0' + k q0 / 2) sin(r t) / r) with r^2 = w^2 - k^2 / 4, of either sign.
        """
        number = np.pi / self.length * np.arange(1, self.size - 1)
        square = number**2 + number[:, None] ** 2
        damping = parameters["damping"][:, None, None]
        frequency = parameters["speed"][:, None, None] ** 2 * square
        root = np.sqrt(frequency - damping**2 / 4 + 0j)
        inner = states[:, :, 1:-1, 1:-1]
        place, rate = (np.asarray(fft.dstn(inner[:, c], 1, axes=(-2, -1))) for c in (0, 1))
        drive = rate + damping / 2 * place
        solved = np.zeros((len(states), len(times), 2, self.size, self.size))
        for frame, time in enumerate(times):
            decay = np.exp(-damping * time / 2)
            cosine = np.real(np.cos(root * time))
            sine = time * np.real(np.sinc(root * time / np.pi))  # sin(r t) / r, also at r = 0
            now = decay * (place * cosine + drive * sine)
            change = decay * (rate * cosine - (frequency * place + damping / 2 * rate) * sine)
            for c, modes in enumerate((now, change)):
                solved[:, frame, c, 1:-1, 1:-1] = np.asarray(fft.idstn(modes, 1, axes=(-2, -1)))
        return solved
