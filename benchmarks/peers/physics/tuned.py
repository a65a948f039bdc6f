"""A peer whose settings are chosen on validation trajectories of the training environments."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ..base import UnsuitableTaskError
from .base import Arrays, PhysicsPeer

CAP = 2.0  # of the relative error of a trajectory: one that diverges counts as this


@dataclass(frozen=True)
class Trial:
    """How validation stands for the test: prompts of `frames` frames of the same trajectory, or of other trajectories.

    Without `frames`, the first training trajectory of every environment is the prompt and the forecast starts at frame
    0 of the validation trajectories.
    """

    frames: int | None = None
    horizon: int | None = None

    def split(self, train: xr.Dataset, validation: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
        """Prompt, initial frame and truth."""
        if self.frames is None:
            first = np.unique(train["environment"].values, return_index=True)[1]
            later = validation.isel(time=slice(1, None))
            return train.isel(trajectory=first), validation.isel(time=[0]), later
        count = np.arange(validation.sizes["trajectory"], dtype=np.int32)
        alone = validation.assign_coords(environment=("trajectory", count))
        prompt = alone.isel(time=slice(0, self.frames))
        end = None if self.horizon is None else self.frames + self.horizon
        return prompt, prompt.isel(time=[-1]), alone.isel(time=slice(self.frames, end))


class Tuned:
    """The candidate with the least validation error, which is kept as `chosen` and `least`."""

    def __init__(self, candidates: Sequence[Callable[[], PhysicsPeer]], trial: Trial) -> None:
        """Candidates are made and fitted one after the other; all have the same name."""
        first = candidates[0]()
        self.candidates, self.trial, self.name, self.told = candidates, trial, first.name, first.told

    def fit(self, train: xr.Dataset, validation: xr.Dataset) -> None:
        """Fit every candidate, score its forecasts of the validation trajectories, keep the best.

        Raises UnsuitableTaskError where no candidate makes a finite forecast of any trajectory.
        """
        self.least, best = float("inf"), None
        prompt, initial, truth = self.trial.split(train, validation)
        wanted = Arrays.of(truth).values
        for candidate in self.candidates:
            peer = candidate()
            peer.fit(train, validation)
            peer.adapt(prompt)
            error = capped_error(peer.forecast(initial, truth["time"].values), wanted)
            if error < self.least:
                self.least, best = error, peer
        if best is None:
            raise UnsuitableTaskError(f"none of {len(self.candidates)} settings of {self.name} forecasts anything")
        self.chosen = best
        self.adapt, self.forecast = best.adapt, best.forecast

    def adapt(self, prompt: xr.Dataset) -> None:
        """As the chosen candidate, once there is one."""
        raise UnsuitableTaskError(f"{self.name} has not been fitted")

    def forecast(self, initial: xr.Dataset, times: np.ndarray) -> np.ndarray:
        """As the chosen candidate, once there is one."""
        raise UnsuitableTaskError(f"{self.name} has not been fitted")


def capped_error(made: np.ndarray, wanted: np.ndarray) -> float:
    """Mean over trajectories of the relative L2 error, each at most `CAP`."""
    axes = tuple(range(1, wanted.ndim))
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.sqrt(np.square(made - wanted).sum(axes) / np.square(wanted).sum(axes))
    return float(np.where(np.isfinite(errors), np.minimum(errors, CAP), CAP).mean())
