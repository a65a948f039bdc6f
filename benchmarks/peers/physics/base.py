"""What a peer of the many-physics protocols is given and what it has to do."""

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from data_pipeline.layout.trajectories import PARAMETER, parameter_names

from ..base import UnsuitableTaskError


class PhysicsPeer(Protocol):
    """A method that learns from several environments and forecasts another one.

    Datasets have the layout of `data_pipeline.layout.trajectories`. `told` says what of an environment the method is
    given besides trajectories: "parameters" or "nothing".
    """

    name: str
    told: str

    def fit(self, train: xr.Dataset, validation: xr.Dataset) -> None:
        """Learn from `train`; `validation` has other trajectories of the same environments, for choices alone."""
        ...

    def adapt(self, prompt: xr.Dataset) -> None:
        """Take up the environments of a few trajectories; forecasts are then of these environments."""
        ...

    def forecast(self, initial: xr.Dataset, times: np.ndarray) -> np.ndarray:
        """Values (trajectory, time, channel, [y,] [x]) at `times` from the one frame of `initial`."""
        ...


@dataclass(frozen=True)
class Arrays:
    """A dataset of trajectories as arrays.

    values : (trajectory, time, channel, [y,] [x]); times : (time,); place : (trajectory,) which of the environments
    `numbers` each trajectory is of; parameters : (trajectory, parameter), those named in `names`
    """

    values: np.ndarray
    times: np.ndarray
    numbers: np.ndarray
    place: np.ndarray
    names: tuple[str, ...]
    parameters: np.ndarray

    @classmethod
    def of(cls, ds: xr.Dataset) -> "Arrays":
        """The arrays of a dataset, its channels in their order."""
        channels = list(ds.attrs.get("channels", ds.data_vars))
        values = np.stack([np.asarray(ds[name].values, np.float64) for name in channels], axis=2)
        numbers, place = np.unique(ds["environment"].values, return_inverse=True)
        names = tuple(parameter_names(ds))
        columns = [np.asarray(ds[PARAMETER + name].values, np.float64) for name in names]
        parameters = np.stack(columns, axis=1) if columns else np.zeros((len(values), 0))
        return cls(values, np.asarray(ds["time"].values, np.float64), numbers, place, names, parameters)

    @property
    def interval(self) -> float:
        """Time between frames, which must be even."""
        steps = np.diff(self.times)
        if len(steps) == 0 or np.ptp(steps) > 1e-6 * steps[0]:
            raise UnsuitableTaskError("the peers of many physics need two or more frames at even times")
        return float(steps[0])

    def by_environment(self) -> np.ndarray:
        """Values (environment, trajectory, time, channel, ...), the same count of trajectories for each environment."""
        count = int(np.bincount(self.place).min())
        return np.stack([self.values[self.place == number][:count] for number in range(len(self.numbers))])


def places(numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(trajectory,) which of the environments `numbers` each wanted environment is.

    Raises UnsuitableTaskError for an environment that was not adapted to.
    """
    unknown = sorted(set(wanted.tolist()) - set(numbers.tolist()))
    if unknown:
        raise UnsuitableTaskError(f"environments {unknown} came where {numbers.tolist()} were adapted to")
    return np.searchsorted(numbers, wanted)


@dataclass(frozen=True)
class Scale:
    """Mean and spread of every channel over the training frames, (channel, 1, ...) beside values."""

    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, values: np.ndarray) -> "Scale":
        """The scale of values (trajectory, time, channel, ...)."""
        axes = (0, 1, *range(3, values.ndim))
        shape = (-1, *[1] * (values.ndim - 3))
        mean, spread = values.mean(axes).reshape(shape), values.std(axes).reshape(shape)
        return cls(torch.as_tensor(mean).float(), torch.as_tensor(np.maximum(spread, 1e-12)).float())

    def forward(self, values: np.ndarray) -> Tensor:
        """Values (..., channel, [y,] [x]) of mean 0 and spread 1, float32."""
        return (torch.as_tensor(values).float() - self.mean) / self.spread

    def back(self, values: Tensor) -> np.ndarray:
        """The physical values of scaled ones, float64."""
        return (values * self.spread + self.mean).double().numpy()


class CoreBudget:
    """An allowance of seconds of this process's own processor time, whatever else the machine does."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._start = seconds, time.process_time()

    @property
    def share(self) -> float:
        """The elapsed share, 0 to 1."""
        return min((time.process_time() - self._start) / max(self.seconds, 1e-9), 1.0)

    @property
    def is_spent(self) -> bool:
        """Whether no time is left."""
        return self.share >= 1.0
