"""Optimal interpolation fitted to the observations a user has: the baseline every analysis must beat."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np

from ..data.observations import Observations, day_of
from .covariance import fit_covariance
from .optimal_interpolation import OptimalInterpolation

FITTED_OBSERVATIONS = 6000


def fitted_interpolation(
    observations: Observations, before: dt.datetime | None, seed: int = 0, *, customary: bool = False
) -> Callable[[Observations, float], OptimalInterpolation]:
    """A maker of optimal-interpolation maps whose covariance maximises the likelihood of the observations.

    Only observations before the scored period are used to fit, a random subset when there are many. `customary`: one
    scale, Gaussian in space and time, in place of two of the default kernels.
    """
    usable = observations
    if before is not None and observations.time[0] < day_of(before):
        usable = observations.window(float(observations.time[0]), day_of(before))
    chance = np.random.default_rng(seed)
    count = min(FITTED_OBSERVATIONS, len(usable))
    usable = usable.select(np.sort(chance.choice(len(usable), count, replace=False)))
    values = usable.values[:, 0]
    shape: dict[str, Any] = (
        {"components": 1, "space_kernel": "gaussian", "time_kernel": "gaussian"} if customary else {}
    )
    covariance = fit_covariance(
        usable.time, usable.longitude, usable.latitude, values - np.nanmean(values),
        error=_errors(usable), seed=seed, subsets=4, subset_size=250, iterations=40, **shape,
    )  # fmt: skip

    def make(seen: Observations, now: float) -> OptimalInterpolation:
        return OptimalInterpolation(
            covariance, seen.time, seen.longitude, seen.latitude, seen.values[:, 0], error=_errors(seen)
        )

    return make


def _errors(observations: Observations) -> np.ndarray | None:
    error = observations.error[:, 0]
    return error if np.isfinite(error).all() else None
