"""A task and its test truth from two field stores."""

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from dino.data.charts import kept_cells
from dino.space.domain import PeriodicBox, Sphere

from .base import Task, UnsuitableTaskError

DIMS = ("trajectory", "time", "latitude", "longitude")


@dataclass(frozen=True)
class Experiment:
    """A task with what it is tested on.

    truth : (sequence, frame, point, channel) in physical units
    mean, spread : (channel,), of the kept points of the training frames
    channels : names of the variables
    """

    task: Task
    truth: Tensor
    mean: Tensor
    spread: Tensor
    channels: tuple[str, ...]

    @property
    def first(self) -> Tensor:
        """What a peer sees at test: normalised first frames (sequence, kept point, channel)."""
        return ((self.truth[:, 0] - self.mean) / self.spread)[:, self.task.kept]

    def physical(self, normalised: Tensor) -> Tensor:
        """A forecast (..., channel) in the units of the store."""
        return normalised * self.spread + self.mean


def experiment_from_stores(
    train: xr.Dataset,
    test: xr.Dataset,
    *,
    keep: float = 1.0,
    mask_seed: int = 0,
    seed: int = 0,
    seconds: float = 600.0,
    training_frames: int = 10,
    test_frames: int = 20,
) -> Experiment:
    """Read field stores with dims (trajectory, time, latitude, longitude), as `open_store` opens them.

    A share `keep` of the grid's points, those that `dino` keeps with `data.keep_seed` of `mask_seed`, serves all
    sequences.
    """
    channels = tuple(str(name) for name in train.data_vars if train[name].dims == DIMS)
    if not channels or channels != tuple(str(name) for name in test.data_vars if test[name].dims == DIMS):
        raise UnsuitableTaskError(
            f"both stores must hold the same variables with dims {DIMS}; they hold {dict(train.sizes)} with "
            f"{list(train.data_vars)} and {dict(test.sizes)} with {list(test.data_vars)}"
        )
    if not 0 < keep <= 1:
        raise UnsuitableTaskError(f"the share of kept points must be above 0 and at most 1, not {keep}")
    shape = (train.sizes["latitude"], train.sizes["longitude"])
    kept = torch.as_tensor(kept_cells(shape, keep, mask_seed).ravel())
    values = _frames(train, channels, training_frames)
    seen = values[:, :, kept]
    mean, spread = seen.mean(dim=(0, 1, 2)), seen.std(dim=(0, 1, 2))
    task = Task(_coordinates(train), shape, kept, _interval(train), (values - mean) / spread, seed, seconds)
    return Experiment(task, _frames(test, channels, test_frames), mean, spread, channels)


def _frames(dataset: xr.Dataset, channels: tuple[str, ...], frames: int) -> Tensor:
    """(sequence, frame, point, channel) float32."""
    if dataset.sizes["time"] < frames:
        raise UnsuitableTaskError(
            f"{frames} frames of each sequence are wanted and the store has {dataset.sizes['time']}"
        )
    part = dataset.isel(time=slice(0, frames))
    values = np.stack([part[name].values.astype(np.float32) for name in channels], -1)
    if not np.isfinite(values).all():
        raise UnsuitableTaskError("fields with missing values are no task for these peers; give a store without land")
    return torch.as_tensor(values).flatten(2, 3)


def _coordinates(dataset: xr.Dataset) -> Tensor:
    """Decoder coordinates (point, input) of a periodic box or the globe."""
    longitude, latitude = dataset["longitude"].values.astype(float), dataset["latitude"].values.astype(float)
    if "periodic_length_km" in dataset.attrs:
        x, y = dataset.attrs["periodic_length_km"]
        domain = PeriodicBox(
            longitude=dataset.attrs.get("reference_longitude", 0.0),
            latitude=dataset.attrs.get("reference_latitude", 0.0),
            length_km=(float(x), float(y)),
        )
    elif np.ptp(longitude) + np.diff(longitude).max() > 359:
        domain = Sphere()
    else:
        raise UnsuitableTaskError("the store is neither a periodic box (periodic_length_km) nor the globe")
    rows, columns = np.meshgrid(latitude, longitude, indexing="ij")
    return torch.as_tensor(domain.coordinates(columns.ravel(), rows.ravel()), dtype=torch.float32)


def _interval(dataset: xr.Dataset) -> float:
    """Days between frames, which must be equal."""
    steps = np.diff(dataset["time"].values)
    days = steps / np.timedelta64(1, "D") if np.issubdtype(steps.dtype, np.timedelta64) else steps / 86400.0
    if not np.allclose(days, days[0], rtol=1e-6):
        raise UnsuitableTaskError("frames must be equally spaced in time")
    return float(days[0])
