"""Two-dimensional turbulence on the unit torus: the Navier-Stokes experiment of DINo (Yin et al., ICLR 2023).

    dw/dt + u . grad w = nu laplacian w + 0.1 (sin 2 pi (x + y) + cos 2 pi (x + y)),
    u = (-d psi/dy, d psi/dx),   laplacian psi = w

from the Gaussian random fields of Li et al. (2021), pseudo-spectral with the two-thirds rule: viscosity exactly,
advection and forcing by fourth-order Runge-Kutta.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from data_pipeline.errors import SimulationError
from data_pipeline.simulators.box import dimensionless_fields
from data_pipeline.simulators.sequences import Presets, SequencesConfig, batches
from data_pipeline.simulators.spectral import SpectralGrid, runge_kutta_step
from data_pipeline.stores.parts import FieldParts, Report, gather
from data_pipeline.system.progress import Progress

COURANT = 2.0  # of 2.83, where fourth-order Runge-Kutta loses stability to advection
FEWEST_STEPS = 8  # a unit of time; their number is a multiple of it
LARGEST_SPEED = 100.0
BATCH = 8  # trajectories integrated together: large enough to amortise Python, small enough for the cache
CHANNELS = {"vorticity": "vorticity"}
# The forcing is constant along x - y, odd under a shift by half a period of x + y and even about its crests.
SYMMETRIES = (
    {"slide": (1, -1)},
    {"swap": True, "shift": (-0.25, -0.25), "sign": {"vorticity": -1}},
    {"flip": (True, True), "shift": (0.25, 0)},
)
_QUICK = {"grid": 32, "spin_up": 20}


class NavierStokesConfig(SequencesConfig):
    """What to simulate; the defaults give the 512 training sequences of the published experiment.

    Lengths are in periods of the torus. `output_grid` and a shorter `frame_interval` with more frames read the same
    trajectories on a finer grid and at more times.
    """

    PRESETS: ClassVar[Presets] = {
        ("paper", "train"): {"trajectories": 256},
        ("paper", "test"): {"trajectories": 16},
        ("quick", "train"): {"trajectories": 24, **_QUICK},
        ("quick", "test"): {"trajectories": 4, **_QUICK},
    }

    trajectories: int = Field(default=256, ge=1, description="independent integrations")
    frames: int = Field(default=40, ge=1, description="of each integration")
    frame_interval: float = Field(default=1.0, gt=0)
    spin_up: float = Field(default=30.0, ge=0, description="discarded before the first frame")
    grid: int = Field(default=64, ge=8, description="points along each side of the simulation")
    output_grid: int | None = Field(default=None, ge=8, description="of the store; null: the simulation's")
    viscosity: float = Field(default=1e-3, gt=0)
    forcing: float = Field(default=0.1, ge=0)
    alpha: float = Field(default=2.5, gt=1, description="power of the initial spectrum")
    tau: float = Field(default=7.0, gt=0, description="its largest wave number")

    @model_validator(mode="after")
    def _fine_enough(self) -> Self:
        if self.output_grid is not None and self.output_grid < self.grid:
            raise ValueError(f"output_grid={self.output_grid} is coarser than grid={self.grid}; it can only be finer")
        return self


class NavierStokesModel:
    """The operators of one configuration. States are spectra of vorticity: (run, size, cutoff + 1)."""

    def __init__(self, config: NavierStokesConfig, dtype: type = np.float32) -> None:
        self.config, self.grid = config, SpectralGrid(config.grid, 1.0)
        grid, complex_dtype = self.grid, np.result_type(dtype, np.complex64)
        inverse = -1 / np.where(grid.squared > 0, grid.squared, np.inf)
        kept = grid.kept
        self._u = (-1j * grid.ky * inverse * kept).astype(complex_dtype)
        self._v = (1j * grid.kx * inverse * kept).astype(complex_dtype)
        self._along_x = (-1j * grid.kx * kept).astype(complex_dtype)
        self._along_y = (-1j * grid.ky * kept).astype(complex_dtype)
        axis = np.arange(config.grid) / config.grid
        phase = 2 * np.pi * (axis[:, None] + axis[None, :])
        self.push = grid.forward(config.forcing * (np.sin(phase) + np.cos(phase))).astype(complex_dtype)
        self.damping = config.viscosity * grid.squared
        self.complex_dtype = complex_dtype

    def initial(self, generator: np.random.Generator) -> np.ndarray:
        """Spectrum (size, cutoff + 1) of a random field of covariance tau^(2 alpha - 2) (tau² - laplacian)^-alpha."""
        alpha, tau = self.config.alpha, self.config.tau
        spectrum = self.grid.forward(generator.standard_normal((self.config.grid, self.config.grid)))
        spectrum *= (
            self.config.grid * tau ** (alpha - 1) * (self.grid.squared + tau**2) ** (-alpha / 2) * self.grid.kept
        )
        spectrum[0, 0] = 0
        return spectrum.astype(self.complex_dtype)

    def velocity(self, state: np.ndarray) -> np.ndarray:
        """Velocity (2, run, size, size) of states."""
        return self.grid.inverse(np.stack([self._u * state, self._v * state]))

    def tendency(self, state: np.ndarray) -> np.ndarray:
        """dw/dt of everything but viscosity."""
        u, v, w = self.grid.inverse(np.stack([self._u * state, self._v * state, state]))
        u *= w
        v *= w
        return self._along_x * self.grid.forward(u) + self._along_y * self.grid.forward(v) + self.push

    def advance(self, state: np.ndarray, interval: float, steps: int) -> np.ndarray:
        """The states `interval` later, in equal steps."""
        step = interval / steps
        half_decay = np.exp(-0.5 * step * self.damping).astype(self.complex_dtype)
        for _ in range(steps):
            state = runge_kutta_step(state, self.tendency, half_decay, step)
        return state

    def steps_per_unit(self, state: np.ndarray, runs: range, time: float) -> np.ndarray:
        """Steps (run,) that a unit of time wants; SimulationError when a flow is out of range."""
        speed = np.abs(self.velocity(state)).sum(0).max((1, 2))
        bad = np.flatnonzero(~(speed < LARGEST_SPEED))
        if len(bad):
            raise SimulationError(
                f"sample {runs[bad[0]]} blew up at time {time:g}: its largest speed is {speed[bad[0]]:g} where at most "
                f"{LARGEST_SPEED:g} is expected; lower forcing or raise viscosity"
            )
        wanted = 1.1 * speed * self.grid.largest / COURANT
        return FEWEST_STEPS * np.maximum(np.ceil(wanted / FEWEST_STEPS), 1).astype(int)


def integrate(model: NavierStokesModel, runs: range) -> Iterator[np.ndarray]:
    """Yield spectra (run, size, cutoff + 1) of the numbered runs, frame by frame.

    A run chooses its own steps, when a unit of time begins, so that it is the same in any company; the steps are a
    fraction of the unit, so that it is the same at whole times with more frames between them.
    """
    config = model.config
    state = np.stack([model.initial(config.generator(number)) for number in runs])
    frames = np.round(config.spin_up + np.arange(config.frames) * config.frame_interval, 9)
    rates = model.steps_per_unit(state, runs, 0.0)
    now = 0.0
    for frame in frames:
        for then in np.union1d(np.arange(np.floor(now) + 1, frame), frame):
            for rate in np.unique(rates):
                members = rates == rate
                steps = max(1, int(np.ceil((then - now) * rate - 1e-6)))
                state[members] = model.advance(state[members], then - now, steps)
            now = float(then)
            if now.is_integer():
                rates = model.steps_per_unit(state, runs, now)
        yield state


def parts(config: NavierStokesConfig) -> FieldParts:
    """The field store of `config`, in parts of a few trajectories."""
    model = NavierStokesModel(config)
    size = config.output_grid or config.grid
    blocks = batches(config.trajectories, BATCH)

    def make(part: int, report: Report) -> Mapping[str, np.ndarray]:
        vorticity = np.empty((len(blocks[part]), config.frames, size, size), np.float32)
        whole = config.spin_up + config.frames * config.frame_interval
        with np.errstate(over="ignore", invalid="ignore"):  # a blow-up is reported with its place
            for frame, state in enumerate(integrate(model, blocks[part])):
                vorticity[:, frame] = model.grid.on_grid(state, size)
                report((config.spin_up + (frame + 1) * config.frame_interval) / whole)
        return {"vorticity": config.cut(vorticity)}

    interval = config.frame_interval
    fields = dimensionless_fields(config, "Navier-Stokes simulation", CHANNELS, size, 1.0, interval, SYMMETRIES)
    sizes = tuple(len(block) * config.cuts for block in blocks)
    return FieldParts(fields, sizes, make, config.settings(), config.workers)


def simulate(config: NavierStokesConfig, *, progress: Progress | None = None) -> xr.Dataset:
    """Integrate `config`: `vorticity` [1], dims (trajectory, time, latitude, longitude).

    Each trajectory of the store is one sequence; those of one integration follow each other. progress: called with
    (maps done, maps in all), from `workers` threads. Raises SimulationError when a state blows up.
    """
    return gather(parts(config), progress)
