"""The reaction and diffusion of Gray and Scott on a periodic square, in the environments of CoDA, LEADS, TTG and ENMA.

    du/dt = Du laplacian u - u v^2 + F (1 - u),   dv/dt = Dv laplacian v + u v^2 - (F + k) v

from u = .95, v = .05 with three random squares where u = 0, v = 1. The Laplacian is the published stencil of nine
points, (-3 a + a quarter of the four at the corners + half of the four beside) / dx^2, or that of the Fourier series.
Solved by DOP853 to a relative tolerance of 1e-9, where the published data have the errors of RK45 at its default.

Of TTG's data only the counts are known: environments where one of feed and kill varies, a test grid of both. Their
ranges, the grid and the constants are CoDA's here, with frames 10 apart. ENMA's diffusion is published as .102 of u and
.204 of v; u has the larger here, without which there are no patterns. Its time between frames is not known: 40 here.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy import fft

from data_pipeline.simulators.environments import EnvironmentsConfig, Parameters, Random, parts, simulate
from data_pipeline.simulators.integration import integrate

__all__ = ["GrayScottConfig", "parts", "simulate"]

SQUARES = 3
_SHARED = {"shared_initial": True, "seeding": "index"}
_PAIRS = ((0.03, 0.062), (0.039, 0.058), (0.03, 0.058), (0.039, 0.062))
_CODA = {"environments": [{"feed": feed, "kill": kill} for feed, kill in _PAIRS], "frames": 10, **_SHARED}
_CODA_NEW = {**_CODA, "environments": [{"feed": (0.033, 0.036), "kill": (0.059, 0.061)}]}
_LEADS = {
    "environments": [{"feed": feed, "kill": kill} for feed, kill in ((0.037, 0.060), (0.03, 0.062), (0.039, 0.058))],
    "frames": 10,
    **_SHARED,
}
_TTG = {"frames": 48, "interval": 10.0}
FEEDS = tuple(float(feed) for feed in np.round(np.linspace(0.03, 0.039, 20), 6))
KILLS = tuple(float(kill) for kill in np.round(np.linspace(0.058, 0.062, 20), 6))
_FEED_ONLY = {"feed": FEEDS, "kill": 0.06}
_KILL_ONLY = {"feed": 0.0345, "kill": KILLS}
_GRID = {"feed": FEEDS[::2], "kill": KILLS[::2]}
_ENMA_CONSTANTS = {"diffusion_u": 0.204, "diffusion_v": 0.102}
_ENMA = {"spacing": 2.0, "trajectories": 10}
_ENMA_SEEN = {"feed": {"low": 0.023, "high": 0.045}, "kill": {"low": 0.059, "high": 0.064}, **_ENMA_CONSTANTS}
_ENMA_NEW = {"feed": {"low": 0.045, "high": 0.0467}, "kill": {"low": 0.057, "high": 0.059}, **_ENMA_CONSTANTS}


class GrayScottConfig(EnvironmentsConfig):
    """What to simulate; ten frames 40 apart on 32 x 32 points, as CoDA and LEADS."""

    NAME: ClassVar[str] = "gray-scott"
    CHANNELS: ClassVar[tuple[str, ...]] = ("u", "v")
    DEFAULTS: ClassVar[Mapping[str, float]] = {
        "feed": 0.03,
        "kill": 0.062,
        "diffusion_u": 0.2097,
        "diffusion_v": 0.105,
    }
    BATCH: ClassVar[int] = 16  # of the size of a cache
    PRESETS: ClassVar[Mapping[tuple[str, str], Mapping[str, Any]]] = {
        ("coda", "train"): {**_CODA, "trajectories": 1},
        ("coda", "test"): {**_CODA, "trajectories": 32},
        ("coda", "adaptation"): {**_CODA_NEW, "trajectories": 1},
        ("coda", "adaptation-test"): {**_CODA_NEW, "trajectories": 32},
        ("leads", "train"): {**_LEADS, "trajectories": 1},
        ("leads", "test"): {**_LEADS, "trajectories": 32},
        ("ttg", "train"): {**_TTG, "environments": [_FEED_ONLY, _KILL_ONLY], "trajectories": 512},
        ("ttg-feed", "train"): {**_TTG, "environments": [_FEED_ONLY], "trajectories": 512},
        ("ttg-kill", "train"): {**_TTG, "environments": [_KILL_ONLY], "trajectories": 512},
        ("ttg", "test"): {**_TTG, "environments": [_GRID], "trajectories": 16},
        ("enma", "train"): {**_ENMA, "environments": [_ENMA_SEEN], "draws": 1200},
        ("enma", "test"): {**_ENMA, "environments": [_ENMA_SEEN], "draws": 120},
        ("enma", "adaptation-test"): {**_ENMA, "environments": [_ENMA_NEW], "draws": 12},
    }

    interval: float = Field(default=40.0, gt=0, description="time between frames")
    size: int = Field(default=32, ge=10, description="points along each side")
    spacing: float = Field(default=1.0, gt=0, description="distance of points")
    laplacian: Literal["stencil", "spectral"] = "stencil"

    @property
    def lengths(self) -> tuple[float, ...]:
        """Of the square."""
        return (self.size * self.spacing,) * 2

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along y, then x."""
        return (self.size, self.size)

    def initial(self, random: Random) -> np.ndarray:
        """u and v (2, size, size)."""
        state = np.stack([np.full(self.shape, 0.95), np.full(self.shape, 0.05)])
        side = self.size // 10
        integers = random.randint if isinstance(random, np.random.RandomState) else random.integers
        for _ in range(SQUARES):
            y, x = integers(0, self.size - side, size=2)
            state[:, y : y + side, x : x + side] = np.array([0.0, 1.0])[:, None, None]
        return state

    def solve(self, states: np.ndarray, parameters: Parameters, times: np.ndarray) -> np.ndarray:
        """States (n, frame, 2, size, size)."""
        column = {name: values[:, None, None] for name, values in parameters.items()}
        diffusion = np.stack([column["diffusion_u"], column["diffusion_v"]], axis=1)
        feed, loss = column["feed"], column["feed"] + column["kill"]
        laplacian = nine_points(self.spacing) if self.laplacian == "stencil" else of_series(self.size, self.spacing)

        def tendency(_: float, state: np.ndarray) -> np.ndarray:
            u, v = state[:, 0], state[:, 1]
            change = laplacian(state)
            change *= diffusion
            met = u * v
            met *= v
            change[:, 0] += feed * (1 - u) - met
            change[:, 1] += met - loss * v
            return change

        return integrate(tendency, states, times, 1e-9, 1e-9)


def nine_points(spacing: float) -> Callable[[np.ndarray], np.ndarray]:
    """The published Laplacian of fields (..., y, x): (1/2, 1, 1/2) along each side, less four times the middle."""

    def apply(fields: np.ndarray) -> np.ndarray:
        beside = np.roll(fields, 1, -1)
        beside += np.roll(fields, -1, -1)
        beside *= 0.5
        beside += fields
        above = np.roll(beside, 1, -2)
        above += np.roll(beside, -1, -2)
        above *= 0.5
        above += beside
        above -= 4 * fields
        above /= spacing**2
        return above

    return apply


def of_series(size: int, spacing: float) -> Callable[[np.ndarray], np.ndarray]:
    """The Laplacian of the Fourier series of fields (..., y, x)."""
    unit = 2 * np.pi / (size * spacing)
    symbol = -((unit * np.fft.fftfreq(size, 1 / size)[:, None]) ** 2) - (unit * np.arange(size // 2 + 1)) ** 2

    def apply(fields: np.ndarray) -> np.ndarray:
        return np.asarray(fft.irfft2(symbol * np.asarray(fft.rfft2(fields)), fields.shape[-2:]))

    return apply
