"""Quasi-geostrophic turbulence on a doubly periodic beta plane: a two-layer Phillips ocean, or one layer and a half.

Internally lengths are kilometres and times are days. Potential vorticity of layer i, with psi the streamfunction,

    q1 = ∇²psi1 + F1 (psi2 − psi1),   q2 = ∇²psi2 + F2 (psi1 − psi2),   F1 + F2 = 1 / Ld²,  F2 = (H1 / H2) F1,
    ∂q/∂t + J(psi, q) + U ∂q/∂x + (∂Q/∂y) ∂psi/∂x = −r ∇²psi (lowest layer) − hyperviscosity + forcing,

where the upper layer moves at U over a lower layer at rest (Phillips 1954; Vallis, Atmospheric and Oceanic Fluid
Dynamics, section 6.6). With one layer psi2 = 0 and F1 = 1 / Ld². Sea level is f0 psi1 / g, without the mean slope of U.
"""

from collections.abc import Iterator, Mapping

import dask.array
import numpy as np
import xarray as xr

from data_pipeline.errors import SimulationError
from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.simulators.box import box_attributes, box_axes
from data_pipeline.simulators.layer_model import KM_PER_DAY, Forcing, QuasiGeostrophicModel
from data_pipeline.simulators.layer_settings import QuasiGeostrophicConfig
from data_pipeline.simulators.sequences import batches, frame_times
from data_pipeline.simulators.spectral import runge_kutta_step
from data_pipeline.simulators.tracer import TRACER, TracerModel, Weather
from data_pipeline.stores.parts import FieldParts, Report, gather
from data_pipeline.system.progress import Progress

COURANT = 2.4  # of 2.83, where fourth-order Runge-Kutta loses stability to advection
LARGEST_SPEED_M_S = 20.0
LOWER_LAYER = "lower_layer"
Model = QuasiGeostrophicModel | TracerModel
BATCH = 4  # runs integrated together: large enough to amortise Python, small enough for the cache


def simulate(config: QuasiGeostrophicConfig, *, progress: Progress | None = None) -> xr.Dataset:
    """Integrate `config` and return the field dataset: `ssh` [m], dims (trajectory, time, latitude, longitude).

    With `lower_layer` there is a channel of this name beside it, f0 psi2 / g [m]; with `tracer` there is `sst` [degC],
    departures from a large-scale gradient about a constant (`TracerConfig`). Neither changes the sea level.

    Sea level is the anomaly about the mean slope that `shear_m_s` implies, with zero mean over the box. Trajectories of
    one run follow each other, `gap_days` apart. progress: called with (maps done, maps in all), from `workers` threads.
    Raises `SimulationError` when a state blows up.
    """
    return gather(parts(config), progress)


def parts(config: QuasiGeostrophicConfig) -> FieldParts:
    """The field store of `config`, in parts of a few runs."""
    ocean = QuasiGeostrophicModel(config)
    model = ocean if config.tracer is None else TracerModel(ocean, config.tracer)
    runs = config.trajectories if config.runs is None else config.runs
    cuts = -(-config.trajectories // runs)
    frames = int(np.ceil(config.days / config.output_interval_days - 1e-9))
    seeds = np.random.SeedSequence(config.seed).spawn(runs)
    # The last runs may reach beyond the trajectories asked for.
    blocks = [block for block in batches(runs, BATCH) if block.start * cuts < config.trajectories]
    sizes = tuple(min(block.stop * cuts, config.trajectories) - block.start * cuts for block in blocks)

    def make(part: int, report: Report) -> Mapping[str, np.ndarray]:
        block = blocks[part]
        names = _channels(config)
        maps = np.empty((len(names), len(block), cuts, frames, config.grid, config.grid), np.float32)
        for cut, frame, levels in _integrate(model, seeds[block.start : block.stop], block.start, cuts, frames):
            maps[:, :, cut, frame] = np.moveaxis(levels, 1, 0)
            report((cut * frames + frame + 1) / (cuts * frames))
        flat = maps.reshape(len(names), -1, frames, config.grid, config.grid)[:, : sizes[part]]
        return dict(zip(names, flat, strict=True))

    return FieldParts(_fields(config, frames), sizes, make, config.model_dump_json(), config.workers)


def _integrate(
    model: Model, seeds: list[np.random.SeedSequence], first_run: int, cuts: int, frames: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (cut, frame, levels (run, channel, y, x)) of a batch of runs, spin-up and gaps passed over."""
    config = model.config
    kept = _levels_kept(config)
    generators = [np.random.default_rng(seed) for seed in seeds]
    ocean = model.ocean if isinstance(model, TracerModel) else model
    state = _initial_state(ocean, generators)
    forcing: Forcing | Weather = Forcing(ocean, generators)
    if isinstance(model, TracerModel):
        state, forcing = model.begun(state), Weather(model, forcing, seeds)
    day = 0.0
    for cut in range(cuts):
        pause = config.spin_up_days if cut == 0 else config.gap_days
        for interval in _intervals(pause):
            state = _advance(model, state, forcing, day, interval, first_run)
            day += interval
        for frame in range(frames):
            if frame:
                state = _advance(model, state, forcing, day, config.output_interval_days, first_run)
                day += config.output_interval_days
            yield cut, frame, model.levels(state)[:, kept]


def _intervals(days: float) -> list[float]:
    """Whole days, then the rest, so that the time step follows the flow during a pause."""
    whole = int(days)
    return [1.0] * whole + ([days - whole] if days > whole else [])


def _advance(
    model: Model, state: np.ndarray, forcing: Forcing | Weather, day: float, interval: float, first_run: int
) -> np.ndarray:
    """Step over `interval` days with equal steps as long as the flow at its start allows."""
    speed = _checked_speed(model, state, day, first_run)
    steps = int(np.ceil(interval * speed * model.grid.largest / COURANT)) or 1
    step = interval / steps
    half_decay = np.exp(-0.5 * step * model.damping).astype(state.dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # a blow-up is reported below, with its place
        for _ in range(steps):
            push = forcing.draw(step)
            tendency = model.tendency if push is None else lambda q, push=push: model.tendency(q) + push
            state = runge_kutta_step(state, tendency, half_decay, step)
        _checked_speed(model, state, day + interval, first_run)
    return state


def _checked_speed(model: Model, state: np.ndarray, day: float, first_run: int) -> float:
    """Largest speed of a batch [km/day]; SimulationError when one is out of range."""
    speed = model.speed(state)
    bad = np.flatnonzero(~(speed < LARGEST_SPEED_M_S * KM_PER_DAY))
    if len(bad):
        raise SimulationError(
            f"sample {first_run + bad[0]} blew up on day {day:g} of its run: its largest speed is "
            f"{speed[bad[0]] / KM_PER_DAY:g} m/s where at most {LARGEST_SPEED_M_S:g} is expected; lower shear_m_s or "
            "forcing_m_per_day, or shorten drag_days or hyperviscosity_hours"
        )
    return float(speed.max())


def _initial_state(model: QuasiGeostrophicModel, generators: list[np.random.Generator]) -> np.ndarray:
    """Random eddies, weaker in the lower layer, which instability then takes over."""
    config = model.config
    amplitude = config.initial_ssh_std_m / abs(model.metres)
    draws = [[model.grid.random_field(g, config.initial_wavelength_km) for _ in range(2)] for g in generators]
    upper, other = amplitude * np.stack(draws, 1)
    psi = np.stack([upper, 0.4 * upper + 0.2 * other][: config.layers], 1)
    return model.potential_vorticity(psi)


def _fields(config: QuasiGeostrophicConfig, frames: int) -> xr.Dataset:
    """The store before it is filled."""
    place = config.length_km, config.reference_longitude, config.reference_latitude
    longitude, latitude = box_axes(config.grid, *place)
    attrs = {
        "product": "quasi-geostrophic simulation",
        "history": f"simulated with {config.model_dump_json()}",
        **box_attributes(*place),
    }
    shape = (config.trajectories, frames, config.grid, config.grid)
    empty = dask.array.zeros(shape, dtype=np.float32, chunks=(1, *shape[1:]))
    fields = dict.fromkeys(_channels(config), empty)
    times = frame_times(frames, config.output_interval_days)
    return fields_dataset(times, longitude, latitude, fields, attrs, units={LOWER_LAYER: "m"})


def _channels(config: QuasiGeostrophicConfig) -> tuple[str, ...]:
    """Names of what is stored: of the layers from the surface down, then of the tracer."""
    layers = ("ssh", LOWER_LAYER) if config.lower_layer else ("ssh",)
    return layers if config.tracer is None else (*layers, TRACER)


def _levels_kept(config: QuasiGeostrophicConfig) -> list[int]:
    """Which levels of a model these are."""
    layers = list(range(2 if config.lower_layer else 1))
    return layers if config.tracer is None else [*layers, config.layers]
