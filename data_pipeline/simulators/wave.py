"""The wave equation on a periodic square: the wave experiment of DINo (Yin et al., ICLR 2023).

    d²u/dt² = c² laplacian u,   u(0) a Gaussian bump, du/dt(0) = 0,   c = 1/16 on [-1, 1]²

Every Fourier mode is an oscillator of frequency c |k|, so the solution is exact at any time and on any grid that
holds the bump: other values of `grid` and `frame_interval` read the same trajectories elsewhere.
"""

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator
from scipy import fft

from data_pipeline.simulators.box import dimensionless_fields
from data_pipeline.simulators.sequences import Presets, SequencesConfig, batches
from data_pipeline.stores.parts import FieldParts, Report, gather
from data_pipeline.system.progress import Progress

BATCH = 4  # trajectories of a part
CHANNELS = {"displacement": "displacement", "displacement_rate": "rate of change of displacement"}
SYMMETRIES = (
    {"slide": (1, 0)},
    {"slide": (0, 1)},
    {"swap": True},
    {"flip": (True, False)},
    {"sign": dict.fromkeys(CHANNELS, -1)},
)
_QUICK = {"grid": 32, "frames": 160}


class WaveConfig(SequencesConfig):
    """What to simulate; the defaults give the 512 training sequences of the published experiment."""

    PRESETS: ClassVar[Presets] = {
        ("paper", "train"): {"trajectories": 64},
        ("paper", "test"): {"trajectories": 4},
        ("quick", "train"): {"trajectories": 6, **_QUICK},
        ("quick", "test"): {"trajectories": 1, **_QUICK},
    }

    trajectories: int = Field(default=64, ge=1, description="independent solutions")
    frames: int = Field(default=160, ge=1, description="of each solution, from its beginning")
    frame_interval: float = Field(default=0.25, gt=0)
    grid: int = Field(default=64, ge=8)
    length: float = Field(default=2.0, gt=0, description="side of the square")
    speed: float = Field(default=1 / 16, gt=0)
    width: tuple[float, float] = Field(default=(0.25, 0.30), description="standard deviation of a bump, from and to")
    amplitude: tuple[float, float] = Field(default=(2.0, 4.0), description="height of a bump, from and to")

    @model_validator(mode="after")
    def _resolved(self) -> Self:
        if not 0 < self.width[0] <= self.width[1]:
            raise ValueError(f"width={self.width} is no range of positive numbers")
        if not self.amplitude[0] <= self.amplitude[1]:
            raise ValueError(f"amplitude={self.amplitude} is no range; give the smaller number first")
        if self.width[0] < self.length / self.grid:
            raise ValueError(f"bumps of width {self.width[0]:g} are narrower than a cell; raise grid={self.grid}")
        return self


class WaveModel:
    """The exact solution. Spectra have shape (grid, grid // 2 + 1) and are those of `scipy.fft.rfft2`."""

    def __init__(self, config: WaveConfig) -> None:
        self.config = config
        unit = 2 * np.pi / config.length
        self.ky = unit * np.fft.fftfreq(config.grid, 1 / config.grid)[:, None]
        self.kx = unit * np.arange(config.grid // 2 + 1)[None, :]
        self.frequency = config.speed * np.hypot(self.kx, self.ky)

    def bump(self, generator: np.random.Generator) -> np.ndarray:
        """Spectrum of a Gaussian bump of random width, height and place, summed over its periodic images."""
        config = self.config
        width, amplitude = generator.uniform(*config.width), generator.uniform(*config.amplitude)
        x, y = generator.uniform(0, config.length, 2)
        weight = amplitude * 2 * np.pi * (width * config.grid / config.length) ** 2
        decay = np.exp(-0.5 * width**2 * (self.kx**2 + self.ky**2))
        spectrum = weight * decay * np.exp(-1j * (self.kx * x + self.ky * y))
        if config.grid % 2 == 0:  # the shortest wave has no phase on the grid
            spectrum[config.grid // 2] = 0
            spectrum[:, -1] = 0
        return spectrum

    def at(self, spectrum: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Displacement and its rate (time, grid, grid) at `times` after it was `spectrum`, at rest."""
        angle = self.frequency * np.asarray(times, np.float64)[:, None, None]
        shape = (self.config.grid, self.config.grid)
        displacement = fft.irfft2(np.cos(angle) * spectrum, shape)
        rate = fft.irfft2(-self.frequency * np.sin(angle) * spectrum, shape)
        return np.asarray(displacement), np.asarray(rate)


def parts(config: WaveConfig) -> FieldParts:
    """The field store of `config`, in parts of a few trajectories."""
    model = WaveModel(config)
    blocks = batches(config.trajectories, BATCH)
    times = np.arange(config.frames) * config.frame_interval

    def make(part: int, report: Report) -> Mapping[str, np.ndarray]:
        shape = (len(blocks[part]), config.frames, config.grid, config.grid)
        displacement, rate = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for run, number in enumerate(blocks[part]):
            displacement[run], rate[run] = model.at(model.bump(config.generator(number)), times)
        return {"displacement": config.cut(displacement), "displacement_rate": config.cut(rate)}

    square = config.grid, config.length, config.frame_interval
    fields = dimensionless_fields(config, "wave simulation", CHANNELS, *square, SYMMETRIES)
    sizes = tuple(len(block) * config.cuts for block in blocks)
    return FieldParts(fields, sizes, make, config.settings(), config.workers)


def simulate(config: WaveConfig, *, progress: Progress | None = None) -> xr.Dataset:
    """Solve `config`: `displacement` and `displacement_rate` [1], dims (trajectory, time, latitude, longitude).

    Each trajectory of the store is one sequence; those of one solution follow each other. progress: called with
    (maps done, maps in all), from `workers` threads.
    """
    return gather(parts(config), progress)
