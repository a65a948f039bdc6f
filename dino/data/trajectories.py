"""Trajectories of many physics as states: the modes of their box, the candidates of their equations, their frames."""

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from data_pipeline.layout.trajectories import AXES

from ..config import PhysicsConfig
from ..dynamics.terms import forcing, library
from ..errors import ConfigError, EmptyDataError, SchemaError
from ..inference.transitions import Frames
from ..space.harmonics import Harmonics, NoSpace

FEWEST = 3  # frames of a trajectory
EQUAL = 1e-6  # share of an interval by which intervals may differ


def modes_of(trajectories: xr.Dataset, config: PhysicsConfig) -> Harmonics | NoSpace:
    """The modes of a dataset's channels and box."""
    channels = tuple(str(name) for name in trajectories.data_vars)
    lengths = tuple(float(each) for each in np.atleast_1d(trajectories.attrs["lengths"]))
    if not lengths:
        return NoSpace(channels)
    if not np.all(np.atleast_1d(trajectories.attrs["periodic"])):
        raise ConfigError("primitives want a periodic box; this one is not: mirror its fields, or train a decoder")
    sizes = tuple(config.refine * trajectories.sizes[axis] for axis in AXES[len(lengths)])
    degree = 1 if config.products == "grid" else max(2, config.degree)
    return Harmonics(channels, lengths[::-1], sizes, degree)


def candidates_of(modes: Harmonics | NoSpace, config: PhysicsConfig) -> list[str]:
    """The candidate terms of a configuration."""
    texts = config.candidates
    if texts is None:
        texts = library(modes.channels, modes.dimensions, order=config.order, degree=config.degree)
    given = config.forcing
    return [*texts, *forcing(given.channels, modes.dimensions, given.waves, given.powers)]


def values_of(trajectories: xr.Dataset, modes: Harmonics | NoSpace) -> Tensor:
    """Values (trajectory, time, channel, *space) float64; EmptyDataError where a value is missing."""
    values = np.stack([np.array(trajectories[name].values, np.float64) for name in modes.channels], axis=2)
    if not np.isfinite(values).all():
        trajectory, frame = np.argwhere(~np.isfinite(values))[0][:2]
        raise EmptyDataError(
            f"trajectory {trajectory} has a missing value in frame {frame}; complete frames are wanted: leave it out or fill it"
        )
    return torch.from_numpy(values)


def frames_of(
    trajectories: xr.Dataset, modes: Harmonics | NoSpace, most: int | None, frames: int | None
) -> tuple[np.ndarray, Frames]:
    """Numbers of the environments, ascending, and the states of as many trajectories of each as the fewest have.

    most, frames : at most so many trajectories of each and frames of a trajectory, all when None
    """
    if trajectories.sizes["time"] < FEWEST:
        raise EmptyDataError(f"{trajectories.sizes['time']} frames came where at least {FEWEST} are wanted")
    part = trajectories.isel(time=slice(0, frames))
    times = part["time"].values
    gaps = np.diff(times)
    if np.ptp(gaps) > EQUAL * gaps.mean():
        raise SchemaError(
            f"frames are {gaps.min():g} to {gaps.max():g} apart; equal intervals are wanted: resample or leave out"
        )
    environment = part["environment"].values
    numbers, counts = np.unique(environment, return_counts=True)
    each = int(counts.min()) if most is None else min(most, int(counts.min()))
    rows = np.concatenate([np.flatnonzero(environment == number)[:each] for number in numbers])
    states = modes.encode(values_of(part.isel(trajectory=rows), modes))
    return numbers, Frames(states.unflatten(0, (len(numbers), each)), torch.tensor(times))
