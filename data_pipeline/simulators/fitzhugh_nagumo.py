"""The reaction and diffusion of FitzHugh and Nagumo on a square without flux through its edge, as iMOOE has it.

    u_t = Du laplacian u + u - u^3 - k - v,   v_t = Dv laplacian v + u - v   on [-1, 1]^2

from u = .95, v = .05 with six random squares where u = 0, v = 1. Finite volumes, 64 a side, as published; steps by
DOP853 to a relative tolerance of 1e-8. Positions and lengths of the dataset are those of the middles of cells.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data_pipeline.simulators.environments import EnvironmentsConfig, Parameters, Random, parts, simulate
from data_pipeline.simulators.integration import integrate

__all__ = ["FitzHughNagumoConfig", "parts", "simulate"]

BLOCKS = 6
_BASE = {"diffusion_u": 1e-3, "diffusion_v": 5e-3, "k": 5e-3}


def _scaled(low: float, high: float) -> list[dict[str, Any]]:
    return [{name: {"low": low * value, "high": high * value} for name, value in _BASE.items()}]


class FitzHughNagumoConfig(EnvironmentsConfig):
    """What to simulate; 21 frames to time 20."""

    NAME: ClassVar[str] = "fitzhugh-nagumo"
    CHANNELS: ClassVar[tuple[str, ...]] = ("u", "v")
    DEFAULTS: ClassVar[Mapping[str, float]] = _BASE
    BATCH: ClassVar[int] = 8
    PRESETS: ClassVar[Mapping[tuple[str, str], Mapping[str, Any]]] = {
        ("imooe", "train"): {"environments": _scaled(1, 2), "draws": 16, "trajectories": 64},
        ("imooe", "test"): {"environments": _scaled(1, 2), "draws": 16, "trajectories": 8},
        ("imooe-ood", "test"): {"environments": _scaled(2, 3), "draws": 16, "trajectories": 8},
    }

    frames: int = Field(default=21, ge=2, description="of each trajectory")
    length: float = Field(default=2.0, gt=0, description="side of the square")
    size: int = Field(default=64, ge=10, description="cells along each side")

    @property
    def lengths(self) -> tuple[float, ...]:
        """From the middle of the first cell to that of the last."""
        return (self.length * (self.size - 1) / self.size,) * 2

    @property
    def periodic(self) -> bool:
        """Nothing passes the edge."""
        return False

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along y, then x."""
        return (self.size, self.size)

    def initial(self, random: Random) -> np.ndarray:
        """u and v (2, size, size)."""
        state = np.stack([np.full(self.shape, 0.95), np.full(self.shape, 0.05)])
        side = self.size // 10
        for _ in range(BLOCKS):
            y, x = np.floor(random.uniform(0, self.size - side, 2)).astype(int)
            state[:, y : y + side, x : x + side] = np.array([0.0, 1.0])[:, None, None]
        return state

    def solve(self, states: np.ndarray, parameters: Parameters, times: np.ndarray) -> np.ndarray:
        """States (n, frame, 2, size, size)."""
        column = {name: values[:, None, None] for name, values in parameters.items()}
        diffusion = np.stack([column["diffusion_u"], column["diffusion_v"]], axis=1)
        diffusion = diffusion * (self.size / self.length) ** 2

        def tendency(_: float, state: np.ndarray) -> np.ndarray:
            change = diffusion * closed_laplacian(state)
            u, v = state[:, 0], state[:, 1]
            change[:, 0] += u - u * u * u - column["k"] - v
            change[:, 1] += u - v
            return change

        return integrate(tendency, states, times, 1e-8, 1e-9)


def closed_laplacian(fields: np.ndarray) -> np.ndarray:
    """Differences of neighbours summed over the sides of each cell (..., y, x), none through the edge."""
    result = np.zeros_like(fields)
    for axis in (-1, -2):
        flux = np.diff(fields, axis=axis)
        lower = [slice(None)] * fields.ndim
        upper = lower.copy()
        lower[axis], upper[axis] = slice(None, -1), slice(1, None)
        result[tuple(lower)] += flux
        result[tuple(upper)] -= flux
    return result
