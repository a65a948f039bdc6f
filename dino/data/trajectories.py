"""Trajectories of many physics as states: the modes of their box, the candidates of their equations, their frames."""

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from data_pipeline.layout.trajectories import AXES

from ..config import PhysicsConfig
from ..dynamics.primitives import Modes
from ..dynamics.terms import forcing, library, parse_terms
from ..errors import ConfigError, EmptyDataError, SchemaError
from ..space.harmonics import Harmonics, NoSpace
from .mirrored import is_even

FEWEST = 3  # frames of a trajectory
EQUAL = 1e-6  # share of an interval by which intervals may differ
ROUNDING = 4  # last digits of a time by which they may differ besides


def lengths_of(trajectories: xr.Dataset) -> tuple[float, ...]:
    """Of the box along x, then y; none for a system without space."""
    return tuple(float(each) for each in np.atleast_1d(trajectories.attrs["lengths"]))


def modes_of(trajectories: xr.Dataset, config: PhysicsConfig) -> Harmonics | NoSpace:
    """The modes of a dataset's channels and box; products of as many factors as a candidate has have no aliasing."""
    channels = tuple(str(name) for name in trajectories.data_vars)
    lengths = lengths_of(trajectories)
    if not lengths:
        return NoSpace(channels)
    if not np.all(np.atleast_1d(trajectories.attrs["periodic"])):
        raise ConfigError("waves are of a periodic box and this one has edges: continue it by its mirror image first")
    sizes = tuple(config.refine * trajectories.sizes[axis] for axis in AXES[len(lengths)])
    if config.waves is not None:
        sizes = tuple(min(size, 2 * config.waves + 1) for size in sizes)
    if config.products == "grid":
        return Harmonics(channels, lengths[::-1], sizes, 1)
    terms = parse_terms(candidates_of(channels, len(lengths), config), channels)
    factors = max(len(monomial.factors) for term in terms for monomial in term.monomials)
    return Harmonics(channels, lengths[::-1], sizes, max(2, config.degree, factors))


def candidates_of(
    channels: tuple[str, ...], dimensions: int, config: PhysicsConfig, edges: tuple[str, ...] = ()
) -> list[str]:
    """The candidate terms of a configuration; ConfigError where there are none.

    edges : axes that nothing passes at their ends, of which the library has the even terms alone
    """
    texts = config.candidates
    if texts is None:
        texts = library(channels, dimensions, order=config.order, degree=config.degree)
        texts = [term.text for term in parse_terms(texts, channels) if is_even(term, edges)]
    given = config.forcing
    made = [*texts, *forcing(given.channels, dimensions, given.waves, given.powers)]
    if not made:
        raise ConfigError("no candidate terms came; give at least one, or none at all for those of the library")
    unknown = sorted(set(config.sizes) - set(made))
    if unknown:
        raise ConfigError(f"sizes name {', '.join(unknown)}; the candidates are {', '.join(made)}: give one of them")
    return made


def values_of(trajectories: xr.Dataset, modes: Modes) -> Tensor:
    """Values (trajectory, time, channel, *space) float64; EmptyDataError where a value is missing."""
    values = np.stack([np.array(trajectories[name].values, np.float64) for name in modes.channels], axis=2)
    if not np.isfinite(values).all():
        trajectory, frame = np.argwhere(~np.isfinite(values))[0][:2]
        environment = trajectories["environment"].values[trajectory]
        raise EmptyDataError(
            f"a trajectory of environment {environment} has a missing value at time "
            f"{trajectories['time'].values[frame]:g}; complete frames are wanted: leave it out or fill it"
        )
    return torch.from_numpy(values)


def frames_of(
    trajectories: xr.Dataset, modes: Modes, most: int | None = None, frames: int | None = None
) -> tuple[np.ndarray, Tensor, Tensor]:
    """Numbers of the environments, ascending, states (environment, trajectory, frame, block, channel) of as many
    trajectories of each as the fewest have, and the times (frame,).

    most, frames : at most so many trajectories of each and frames of a trajectory, all when None
    Raises EmptyDataError for fewer than three frames or a missing value, SchemaError for unequal intervals.
    """
    if trajectories.sizes["time"] < FEWEST or not trajectories.sizes["trajectory"]:
        raise EmptyDataError(
            f"{trajectories.sizes['time']} frames of {trajectories.sizes['trajectory']} trajectories came where at "
            f"least {FEWEST} of one are wanted; give longer trajectories"
        )
    part = trajectories.isel(time=slice(0, frames))
    times = part["time"].values
    gaps = np.diff(times)
    if np.ptp(gaps) > EQUAL * gaps.mean() + ROUNDING * np.spacing(np.abs(times).max()):
        raise SchemaError(
            f"frames are {gaps.min():g} to {gaps.max():g} apart; equal intervals are wanted: resample or leave out"
        )
    environment = part["environment"].values
    numbers, counts = np.unique(environment, return_counts=True)
    each = int(counts.min()) if most is None else min(most, int(counts.min()))
    rows = np.concatenate([np.flatnonzero(environment == number)[:each] for number in numbers])
    states = modes.encode(values_of(part.isel(trajectory=rows), modes))
    return numbers, states.unflatten(0, (len(numbers), each)), torch.tensor(times)


def alike(trajectories: xr.Dataset) -> list[xr.Dataset]:
    """The dataset in parts in which every environment has the same number of trajectories."""
    _, place, counts = np.unique(trajectories["environment"].values, return_inverse=True, return_counts=True)
    return [trajectories.isel(trajectory=np.flatnonzero(counts[place] == count)) for count in np.unique(counts)]
