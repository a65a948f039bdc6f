"""What a peer is given and what it has to do."""

import math
import time
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class UnsuitableTaskError(ValueError):
    """A peer cannot do this task at all, for example a grid method without a whole grid."""


@dataclass(frozen=True)
class Task:
    """Training data and the budget; values are normalised, a channel has mean 0 and variance 1 over what is kept.

    coordinates : (point, input) decoder coordinates of the whole grid, rows first
    shape : rows and columns of the grid
    kept : (point,) bool, the points whose values may be used; one mask for all sequences
    interval : days between frames
    training : (sequence, frame, point, channel) on the whole grid; peers look at `seen` only
    seconds : wall-clock budget of `fit`
    """

    coordinates: Tensor
    shape: tuple[int, int]
    kept: Tensor
    interval: float
    training: Tensor
    seed: int
    seconds: float

    def __post_init__(self) -> None:
        points = self.shape[0] * self.shape[1]
        if not len(self.coordinates) == len(self.kept) == self.training.shape[2] == points:
            raise ValueError(
                f"a grid of {self.shape[0]} x {self.shape[1]} has {points} points, but there are coordinates of "
                f"{len(self.coordinates)}, a mask of {len(self.kept)} and values of {self.training.shape[2]}"
            )
        if not bool(self.kept.any()):
            raise ValueError("the mask keeps no point; raise the share that is kept")

    @property
    def is_full(self) -> bool:
        """Whether every point of the grid is kept."""
        return bool(self.kept.all())

    @property
    def seen(self) -> Tensor:
        """What may be learned from: (sequence, frame, kept point, channel)."""
        return self.training if self.is_full else self.training[:, :, self.kept]


class Peer(Protocol):
    """A method in the table."""

    name: str

    def fit(self, task: Task) -> None:
        """Learn from the kept points of the training frames within `task.seconds`."""
        ...

    def forecast(self, first: Tensor, frames: int) -> Tensor:
        """Whole-grid frames (sequence, frame, point, channel) from first frames (sequence, kept point, channel).

        Frame 0 is the peer's own reconstruction of the first frame.
        """
        ...


class Budget:
    """A wall-clock allowance that starts when it is made."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._start = seconds, time.perf_counter()

    @property
    def share(self) -> float:
        """The elapsed share, 0 to 1."""
        return min((time.perf_counter() - self._start) / max(self.seconds, 1e-9), 1.0)

    @property
    def is_spent(self) -> bool:
        """Whether no time is left."""
        return self.share >= 1.0


def one_cycle(share: float, rising: float = 0.3) -> float:
    """Learning rate over its peak at an elapsed share of the budget: up from 1/25 by a cosine, then down to nothing.

    The one-cycle schedule (Smith & Topin 2019) by elapsed time, so that a shorter budget is annealed as well.
    """
    if share < rising:
        return 1.0 - 0.96 * (1.0 + math.cos(math.pi * share / rising)) / 2
    return (1.0 + math.cos(math.pi * (share - rising) / (1.0 - rising))) / 2 + 1e-5


def set_rates(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to `factor` times its `peak`, an entry of the group."""
    for group in optimiser.param_groups:
        group["lr"] = factor * group["peak"]
