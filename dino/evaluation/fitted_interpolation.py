"""Optimal interpolation fitted to the observations a user has: the baseline every analysis must beat.

Several covariances are fitted by their likelihood, and the one is preferred that forecasts held-out days best. Which is
best differs by sea: a smooth simulated ocean wants a smooth kernel that travels, real tracks want a rough one.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..data.observations import Observations, day_of
from .averages import averaged, boxes
from .covariance import Covariance, positions_km
from .covariance_fit import at_bounds, fit_covariance
from .optimal_interpolation import OptimalInterpolation

Moment = dt.datetime | np.datetime64

FITTED_OBSERVATIONS = 6000
FEWEST = 10  # observations to fit to, and to choose by
# The last part of the record before the scored period: its days are forecast from what lies before each.
VALIDATION_SHARE = 0.2
VALIDATION_STARTS = 8
# Leads are told apart, in shares of the validation days: the last, whose errors are larger, count as much as the first.
VALIDATION_LEADS = (0.0, 0.1, 0.3, 0.6, 1.0)
VALIDATION_WINDOW_DAYS = 15.0
VALIDATION_TARGETS = 600
# A start of validation looks at one place: so many averages of observations around it are used.
VALIDATION_OBSERVATIONS = 900
# Windows of fewer observations are interpolated as they are.
AVERAGED_BEYOND = 1000

CUSTOMARY = "one gaussian scale"
# Taken where no day is left to choose by, and wherever no other forecasts validation days clearly better: a few days of
# tracks tell covariances apart only roughly.
DEFAULT = "two rough scales"
CLEARLY_BETTER = 0.95
CANDIDATES: Mapping[str, dict[str, Any]] = {
    CUSTOMARY: {"components": 1, "space_kernel": "gaussian", "time_kernel": "gaussian"},
    "two rough scales": {"space_kernel": "matern32", "time_kernel": "exponential"},
    "two rough scales that travel": {"space_kernel": "matern32", "time_kernel": "exponential", "travelling": True},
    "two matern scales that travel": {"space_kernel": "matern32", "time_kernel": "matern32", "travelling": True},
    "one gaussian scale that travels": {
        "components": 1, "space_kernel": "gaussian", "time_kernel": "gaussian", "travelling": True,
    },
    "two gaussian scales that travel": {"space_kernel": "gaussian", "time_kernel": "gaussian", "travelling": True},
}  # fmt: skip


@dataclass(frozen=True)
class FittedInterpolation:
    """A maker of optimal-interpolation maps.

    preferred : the candidate that was taken; validation_misfit : of every candidate that was tried, in the units of the
    observations, their errors included
    """

    covariance: Covariance
    preferred: str
    validation_misfit: Mapping[str, float]

    @property
    def at_bounds(self) -> list[str]:
        """The scales that the fit left at a bound of its search: there they are not what is most likely."""
        return at_bounds(self.covariance)

    def __call__(self, seen: Observations, now: float) -> OptimalInterpolation:
        """Interpolation of the observations of a window that ends at `now` [days]; dense ones are averaged first."""
        if len(seen) <= AVERAGED_BEYOND:
            return _interpolation(self.covariance, seen)
        return _interpolation(self.covariance, *averaged(seen, *boxes(self.covariance)))


def fitted_interpolation(
    observations: Observations, before: Moment | None, seed: int = 0, *, customary: bool = False
) -> FittedInterpolation:
    """Interpolation with the covariance of `CANDIDATES` that forecasts the validation days best.

    The default one stays where no other is clearly better.
    Only observations before the scored period are used; without `before` all of them, and then a record that is scored
    must not be given. Candidates are fitted by likelihood to the days before the validation days, a random subset of
    the observations where there are many; the one preferred is fitted to the validation days too. A record with nothing
    before the scored period is fitted whole, two rough scales without a choice. `customary`: one scale, Gaussian in
    space and time, whatever validation says.
    """
    usable = known_before(observations, before)
    split = validation_split(usable)
    early = usable.select(usable.time < split)
    scored = before is not None and usable.time[-1] >= day_of(before)
    if customary or scored or min(len(early), len(usable) - len(early)) < FEWEST:
        name = CUSTOMARY if customary else DEFAULT
        return FittedInterpolation(_fit(usable, name, seed), name, {})
    made = {name: _fit(early, name, seed) for name in CANDIDATES}
    places = validation_places(usable, split, boxes(made[CUSTOMARY]), seed)
    misfit = {name: validation_misfit(covariance, places, usable.time[-1] - split) for name, covariance in made.items()}
    best = min(misfit, key=misfit.__getitem__)
    preferred = best if misfit[best] < CLEARLY_BETTER * misfit[DEFAULT] else DEFAULT
    return FittedInterpolation(_fit(usable, preferred, seed), preferred, misfit)


def interpolations(observations: Observations, before: Moment | None, seed: int = 0) -> dict[str, FittedInterpolation]:
    """The baselines of a report by name: the preferred interpolation and the customary one."""
    return {
        "optimal_interpolation": fitted_interpolation(observations, before, seed),
        "customary_interpolation": fitted_interpolation(observations, before, seed, customary=True),
    }


def known_before(observations: Observations, before: Moment | None) -> Observations:
    """The observations before a moment; the whole record where it begins later, or without a moment."""
    if before is None or observations.time[0] >= day_of(before):
        return observations
    return observations.select(observations.time < day_of(before))


def validation_split(usable: Observations) -> float:
    """The day where the validation days of a record begin: they are its last fifth."""
    first, last = float(usable.time[0]), float(usable.time[-1])
    return last - VALIDATION_SHARE * (last - first)


@dataclass(frozen=True)
class Place:
    """What a start of validation is given, averages with the number of observations in each, and what it forecasts."""

    start: float
    seen: Observations
    count: np.ndarray
    ahead: Observations


def validation_places(usable: Observations, split: float, box: tuple[float, float], seed: int = 0) -> list[Place]:
    """Starts spread over the validation days, each at a place that chance draws among the observations.

    A start has the averages of the window before it that are nearest to its place, and forecasts what is observed later
    within half their distance, so that no forecast misses observations beyond. None where a start has none of both.
    """
    chance, last, places = np.random.default_rng(seed), float(usable.time[-1]), []
    usable = usable.select(np.isfinite(usable.values[:, 0]))
    for index in range(VALIDATION_STARTS):
        start = split + index * (last - split) / VALIDATION_STARTS
        window = usable.select((usable.time >= start - VALIDATION_WINDOW_DAYS) & (usable.time < start))
        ahead = usable.select(usable.time >= start)
        if not len(window) or not len(ahead):
            continue
        seen, count = (
            averaged(window, *box) if len(window) > VALIDATION_OBSERVATIONS else (window, np.ones(len(window)))
        )
        place = positions_km(ahead.longitude, ahead.latitude)[chance.integers(len(ahead))]
        away = np.linalg.norm(positions_km(seen.longitude, seen.latitude) - place, axis=1)
        if len(seen) > VALIDATION_OBSERVATIONS:
            radius = np.partition(away, VALIDATION_OBSERVATIONS)[VALIDATION_OBSERVATIONS]
            near = np.linalg.norm(positions_km(ahead.longitude, ahead.latitude) - place, axis=1) < 0.5 * radius
            seen, count, ahead = seen.select(away < radius), count[away < radius], ahead.select(near)
        kept = np.sort(chance.permutation(len(ahead))[:VALIDATION_TARGETS])
        places.append(Place(start, seen, count, ahead.select(kept)))
    return places


def validation_misfit(covariance: Covariance, places: Sequence[Place], days: float) -> float:
    """Misfit of the forecasts of all places, in the units of the observations; infinite where there is no forecast.

    The root mean square is taken in each range of leads (`VALIDATION_LEADS` of `days`), and the geometric mean of these
    returned.
    """
    squares, leads = [np.empty(0)], [np.empty(0)]
    for place in places:
        made = _interpolation(covariance, place.seen, place.count)
        mean, _ = made.predict(place.ahead.time, place.ahead.longitude, place.ahead.latitude)
        squares.append((mean - place.ahead.values[:, 0]) ** 2)
        leads.append((place.ahead.time - place.start) / days)
    square, lead = np.concatenate(squares), np.concatenate(leads)
    ranges = [square[(lead >= low) & (lead <= high)] for low, high in pairwise(VALIDATION_LEADS)]
    misfits = [np.mean(part) for part in ranges if len(part)]
    return float(np.exp(0.5 * np.mean(np.log(misfits)))) if misfits else float("inf")


def _fit(usable: Observations, candidate: str, seed: int) -> Covariance:
    chance = np.random.default_rng(seed)
    count = min(FITTED_OBSERVATIONS, len(usable))
    usable = usable.select(np.sort(chance.choice(len(usable), count, replace=False)))
    values = usable.values[:, 0]
    return fit_covariance(
        usable.time, usable.longitude, usable.latitude, values - np.nanmean(values),
        error=_errors(usable), seed=seed, subsets=6, subset_size=250, iterations=60, **CANDIDATES[candidate],
    )  # fmt: skip


def _interpolation(covariance: Covariance, seen: Observations, count: np.ndarray | None = None) -> OptimalInterpolation:
    """Interpolation of observations, or of averages of so many."""
    error = _errors(seen)
    if count is not None:
        # The white noise of a mean is less, too: it goes into the errors.
        error = np.sqrt(covariance.noise_variance / count + (0.0 if error is None else error**2))
        covariance = replace(covariance, noise_variance=0.0)
    return OptimalInterpolation(covariance, seen.time, seen.longitude, seen.latitude, seen.values[:, 0], error=error)


def _errors(observations: Observations) -> np.ndarray | None:
    error = observations.error[:, 0]
    return error if np.isfinite(error).all() else None
