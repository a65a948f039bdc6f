"""Barotropically unstable jets on the rotating Earth: the shallow-water experiment of DINo (Yin et al., ICLR 2023).

The shallow-water equations on the sphere, with absolute vorticity z + f, divergence d and height h,

    dz/dt = -div((z + f) u),   dd/dt = curl((z + f) u) - laplacian(g h + |u|²/2),   dh/dt = -div(h u),

each with biharmonic diffusion, start from the jet of Galewsky, Scott & Polvani (2004, Tellus A 56, 429-440) in both
hemispheres, in balance, with a bump of height on each that sets off the instability. Spherical harmonics at the
triangular truncation of the grid (256 x 128: T85); diffusion exactly, the rest by fourth-order Runge-Kutta.
"""

import json
from collections.abc import Iterator, Mapping
from typing import ClassVar, Self

import dask.array
import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from data_pipeline.errors import SimulationError
from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.simulators.sequences import Presets, SequencesConfig, frame_times
from data_pipeline.simulators.spectral import runge_kutta_step
from data_pipeline.simulators.sphere import SphericalGrid, cell_axes
from data_pipeline.stores.parts import FieldParts, Report, gather
from data_pipeline.system.progress import Progress

PLANET_RADIUS_M = 6.37122e6  # of the published test case, not the Earth's of `layout.globe`
EARTH_ROTATION_PER_S = 7.292e-5
GRAVITY_M_PER_S2 = 9.80616
MEAN_DEPTH_M = 1e4
JET_BORDERS = np.pi / 7, np.pi / 2 - np.pi / 7  # radians north
BUMP_SIZE = 1 / 3, 1 / 15  # radians east and north
COURANT = 2.2  # of 2.83, where fourth-order Runge-Kutta loses stability to gravity waves
LARGEST_SPEED_M_S = 300.0
CHANNELS = {"height": ("m", "height of the free surface"), "vorticity": ("s-1", "relative vorticity")}
# Any turn about the axis, and the mirror at the equator.
SYMMETRIES = ({"slide": (1, 0)}, {"flip": (False, True), "sign": {"vorticity": -1}})
# Coarse and smooth; frames far apart leave the time for more trajectories, whose jets differ.
_QUICK = {
    "latitudes": 32,
    "output_latitudes": 32,
    "hyperdiffusion_m4_s": 3e16,
    "frames": 40,
    "frame_interval_hours": 4.0,
    "jet_m_s": (70.0, 80.0),
}


class ShallowWaterConfig(SequencesConfig):
    """What to simulate; the defaults give the 64 training sequences of the published experiment."""

    PRESETS: ClassVar[Presets] = {
        ("paper", "train"): {"trajectories": 8},
        ("paper", "test"): {"trajectories": 2},
        ("quick", "train"): {"trajectories": 12, **_QUICK},
        ("quick", "test"): {"trajectories": 2, **_QUICK},
    }

    trajectories: int = Field(default=8, ge=1, description="independent integrations")
    frames: int = Field(default=160, ge=1, description="of each integration")
    frame_interval_hours: float = Field(default=1.0, gt=0)
    spin_up_hours: float = Field(default=96.0, ge=0, description="discarded: the jets are still zonal")
    latitudes: int = Field(default=128, ge=16, description="rings of the simulation, each of twice as many points")
    output_latitudes: int = Field(default=64, ge=4, description="rows of the store, each of twice as many cells")
    hyperdiffusion_m4_s: float = Field(default=4e15, ge=0)
    jet_m_s: tuple[float, float] = Field(default=(60.0, 80.0), description="fastest wind of a jet, from and to")
    jet_shift_degrees: float = Field(default=5.0, ge=0, le=20, description="largest shift of a jet to north or south")
    bump_m: float = Field(default=120.0, ge=0)
    bump_latitude: tuple[float, float] = Field(default=(40.0, 50.0), description="centre of a bump, from and to")

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name in ("jet_m_s", "bump_latitude"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}={low:g}, {high:g} is no range of positive numbers")
        return self


class ShallowWaterModel:
    """The operators of one configuration. A state is the spectra (3, coefficients) of vorticity, divergence, height."""

    def __init__(self, config: ShallowWaterConfig) -> None:
        self.config, self.grid = config, SphericalGrid(config.latitudes, PLANET_RADIUS_M)
        self.coriolis = 2 * EARTH_ROTATION_PER_S * np.sin(self.grid.latitude)
        self.damping = config.hyperdiffusion_m4_s * self.grid.laplacian**2

    def tendency(self, state: np.ndarray) -> np.ndarray:
        """d(state)/dt of everything but diffusion."""
        grid = self.grid
        east, north = grid.wind(state[0], state[1])
        absolute = grid.inverse(state[0]) + self.coriolis
        curl, divergence = grid.curl_and_divergence(absolute * east, absolute * north)
        height = grid.inverse(state[2])
        _, outflow = grid.curl_and_divergence(height * east, height * north)
        bernoulli = GRAVITY_M_PER_S2 * state[2] + grid.forward(0.5 * (east**2 + north**2))
        return np.stack([-divergence, curl - grid.laplacian * bernoulli, -outflow])

    def balanced(self, east: np.ndarray) -> np.ndarray:
        """The steady state with a zonal wind (latitudes, longitudes) [m/s]; its mean depth is `MEAN_DEPTH_M`."""
        grid = self.grid
        vorticity, _ = grid.curl_and_divergence(east, np.zeros_like(east))
        state = np.stack([vorticity, np.zeros_like(vorticity), np.zeros_like(vorticity)])
        # Without divergence only its own tendency is left to cancel, by the pressure of the height.
        state[2] = self.tendency(state)[1] / np.where(grid.degree > 0, GRAVITY_M_PER_S2 * grid.laplacian, np.inf)
        state[2, 0] = MEAN_DEPTH_M * np.sqrt(4 * np.pi)
        return state

    def initial(self, generator: np.random.Generator) -> np.ndarray:
        """Random jets and bumps, drawn for each hemisphere by itself."""
        config, grid = self.config, self.grid
        east = np.zeros((grid.latitudes, grid.longitudes))
        bumps = np.zeros_like(east)
        for side in (1, -1):
            speed = generator.uniform(*config.jet_m_s)
            shift = np.deg2rad(generator.uniform(-1, 1) * config.jet_shift_degrees)
            place = generator.uniform(0, 2 * np.pi), np.deg2rad(generator.uniform(*config.bump_latitude))
            east += speed * jet(side * grid.latitude - shift)
            bumps += config.bump_m * bump(grid.longitude, side * grid.latitude, *place)
        state = self.balanced(east)
        state[2] += grid.forward(bumps)
        return state

    def steps(self, state: np.ndarray, seconds: float, number: int, hour: float) -> int:
        """How many steps `seconds` want; SimulationError when the flow is out of range."""
        speed = float(np.hypot(*self.grid.wind(state[0], state[1])).max())
        depth = float(self.grid.inverse(state[2]).max())
        if not speed < LARGEST_SPEED_M_S:
            raise SimulationError(
                f"sample {number} blew up in hour {hour:g}: its largest wind is {speed:g} m/s where at most "
                f"{LARGEST_SPEED_M_S:g} is expected; lower jet_m_s or raise hyperdiffusion_m4_s"
            )
        fastest = (speed + np.sqrt(GRAVITY_M_PER_S2 * depth)) * np.sqrt(-self.grid.laplacian.min())
        return int(np.ceil(seconds * fastest / COURANT))

    def advance(self, state: np.ndarray, seconds: float, steps: int) -> np.ndarray:
        """The state `seconds` later, in equal steps."""
        half_decay = np.exp(-0.5 * seconds / steps * self.damping)
        for _ in range(steps):
            state = runge_kutta_step(state, self.tendency, half_decay, seconds / steps)
        return state


def jet(latitude: np.ndarray) -> np.ndarray:
    """Zonal wind of Galewsky et al. at latitudes [radians], 1 where it is fastest."""
    south, north = JET_BORDERS
    inside = (latitude > south) & (latitude < north)
    product = np.where(inside, (latitude - south) * (latitude - north), -1.0)
    return np.where(inside, np.exp(1 / product + 4 / (north - south) ** 2), 0.0)


def bump(longitude: np.ndarray, latitude: np.ndarray, east: float, north: float) -> np.ndarray:
    """Height of Galewsky et al.'s perturbation about a place, all in radians, 1 at the highest."""
    away = (longitude - east + np.pi) % (2 * np.pi) - np.pi
    return np.cos(latitude) * np.exp(-((away / BUMP_SIZE[0]) ** 2) - ((latitude - north) / BUMP_SIZE[1]) ** 2)


def integrate(model: ShallowWaterModel, number: int) -> Iterator[np.ndarray]:
    """Yield the state of one trajectory, frame by frame; the time step follows the flow every hour."""
    config = model.config
    state = model.initial(config.generator(number))
    hour = 0.0
    for frame in np.round(config.spin_up_hours + np.arange(config.frames) * config.frame_interval_hours, 9):
        for then in np.union1d(np.arange(np.floor(hour) + 1, frame), frame):
            seconds = 3600 * (then - hour)
            if seconds > 0:
                state = model.advance(state, seconds, model.steps(state, seconds, number, hour))
            hour = float(then)
        yield state


def parts(config: ShallowWaterConfig) -> FieldParts:
    """The field store of `config`, one part a trajectory."""
    model = ShallowWaterModel(config)
    rows = config.output_latitudes

    def make(part: int, report: Report) -> Mapping[str, np.ndarray]:
        values = np.empty((2, 1, config.frames, rows, 2 * rows), np.float32)
        hours = config.spin_up_hours + config.frames * config.frame_interval_hours
        with np.errstate(over="ignore", invalid="ignore"):  # a blow-up is reported with its place
            for frame, state in enumerate(integrate(model, part)):
                values[:, 0, frame] = [model.grid.on_cells(state[i], rows) for i in (2, 0)]
                report((config.spin_up_hours + (frame + 1) * config.frame_interval_hours) / hours)
        return {"height": config.cut(values[0]), "vorticity": config.cut(values[1])}

    return FieldParts(_fields(config), (config.cuts,) * config.trajectories, make, config.settings(), config.workers)


def simulate(config: ShallowWaterConfig, *, progress: Progress | None = None) -> xr.Dataset:
    """Integrate `config`: `height` [m] and relative `vorticity` [1/s], dims (trajectory, time, latitude, longitude).

    Each trajectory of the store is one sequence; those of one integration follow each other. progress: called with
    (maps done, maps in all), from `workers` threads. Raises SimulationError when a state blows up and
    MissingPackageError without ducc0.
    """
    return gather(parts(config), progress)


def _fields(config: ShallowWaterConfig) -> xr.Dataset:
    """The store before it is filled."""
    rows = config.output_latitudes
    shape = (config.trajectories * config.cuts, config.sequence_frames, rows, 2 * rows)
    empty = dask.array.zeros(shape, dtype=np.float32, chunks=(1, *shape[1:]))
    attrs = {
        "product": "shallow-water simulation",
        "history": f"simulated with {config.settings()}",
        "symmetries": json.dumps(SYMMETRIES),
    }
    time = frame_times(config.sequence_frames, config.frame_interval_hours / 24)
    units = {name: units for name, (units, _) in CHANNELS.items()}
    fields = fields_dataset(time, *cell_axes(rows), dict.fromkeys(CHANNELS, empty), attrs, units)
    for name, (_, long_name) in CHANNELS.items():
        fields[name].attrs["long_name"] = long_name
    return fields
