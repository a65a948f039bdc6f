"""Scattered observations of a box as tensors, and what they told of its fields as a dataset."""

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from data_pipeline.layout.trajectories import AXES, trajectories_dataset

from ..dynamics.primitives import Modes
from ..errors import ObservationError
from .scattered import Points


def points_of(points: xr.Dataset, modes: Modes, error: float | None) -> Iterator[tuple[int, Points]]:
    """The points of each environment, numbers ascending; ObservationError says which column is missing or no number."""
    axes = AXES[modes.dimensions]
    for name in ("trajectory", "time", *axes):
        if name not in points.variables or points[name].dims != ("obs",):
            raise ObservationError(
                f"points lack the column {name!r} (obs,); they have {', '.join(map(str, points.variables))}"
            )
    seen = [name for name in modes.channels if name in points.data_vars]
    if not seen:
        raise ObservationError(f"points have none of the channels {', '.join(modes.channels)}; give one of them")
    numbers = points["environment"].values if "environment" in points.variables else np.zeros(points.sizes["obs"], int)
    for number in np.unique(numbers):
        rows = np.flatnonzero(numbers == number)
        yield int(number), _of_environment(points.isel(obs=rows), seen, modes, error)


def _of_environment(points: xr.Dataset, seen: list[str], modes: Modes, error: float | None) -> Points:
    place = np.stack([np.asarray(points[axis].values, np.float64) for axis in AXES[modes.dimensions]] or [[]], -1)
    place = place if modes.dimensions else np.zeros((points.sizes["obs"], 0))
    time = np.asarray(points["time"].values, np.float64)
    if not (np.isfinite(place).all() and np.isfinite(time).all()):
        raise ObservationError("points have a place or a time that is no number; leave them out")
    _, trajectory = np.unique(points["trajectory"].values, return_inverse=True)
    columns: list[tuple[np.ndarray, ...]] = []
    for name in seen:
        value = np.asarray(points[name].values, np.float64)
        if f"{name}_error" in points.variables:
            width = np.asarray(points[f"{name}_error"].values, np.float64)
        elif error is None:
            raise ObservationError(f"points have no column {name}_error; give it, or `error` for all of them")
        else:
            width = np.full(len(value), error)
        kept = np.flatnonzero(np.isfinite(value))
        columns.append(
            (
                trajectory[kept],
                np.full(len(kept), modes.channels.index(name)),
                time[kept],
                kept,
                value[kept],
                width[kept],
            )
        )
    whole = [np.concatenate(parts) for parts in zip(*columns, strict=True)]
    tensors = [torch.as_tensor(part) for part in (*whole[:3], place[whole[3]], *whole[4:])]
    return Points(*tensors)


def from_states(modes: Modes, states: Tensor, time: float, lengths: tuple[float, ...], number: int) -> xr.Dataset:
    """Fields of states (trajectory, block, channel) at one time, all of environment `number`."""
    fields = modes.decode(states).numpy()
    channels = {name: fields[:, None, column] for column, name in enumerate(modes.channels)}
    environment = np.full(len(fields), number, np.int32)
    return trajectories_dataset(channels, [time], lengths=lengths, environment=environment)
