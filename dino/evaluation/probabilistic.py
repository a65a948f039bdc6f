"""How honest is the spread of a forecast: scores of whole distributions, Gaussian or members of an ensemble.

Arrays are (start, lead, channel, point) as in `scores`, members have a first axis of their own. Functions of single
values keep their shape; summaries weigh points by area, pool over starts and are (lead, channel, ...).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from data_pipeline.errors import SchemaError

from .scores import Mask, pool, ratio, rmse, valid

Array = NDArray[np.float64]

BINS = 20
CLASSES = 10
INTERVALS = (0.5, 0.9)


@dataclass(frozen=True)
class Judged:
    """Forecast distributions set against the truth value by value, of the truth's shape; NaN where either is missing.

    mean, std : of the forecast; crps : in the units of the field; pit : probability integral transform of the truth;
    probability : forecast of the event; happened : whether it did, 0 or 1
    """

    mean: Array
    std: Array
    crps: Array
    pit: Array
    probability: Array
    happened: Array

    @classmethod
    def gaussian(cls, truth: Array, mean: Array, std: Array, low: Array, high: Array) -> Self:
        """Gaussian forecasts; the event is a value below `low` or above `high`, which broadcast to the truth."""
        _check(truth, mean, "a Gaussian forecast")
        z = _standardised(truth, mean, std)
        outside = ndtr(_standardised(low, mean, std)) + ndtr(-_standardised(high, mean, std))
        return cls(mean, std, crps_of_gaussian(truth, mean, std), ndtr(z), outside, _happened(truth, low, high))

    @classmethod
    def ensemble(cls, truth: Array, members: Array, low: Array, high: Array) -> Self:
        """Ensembles (member, *truth's shape) of equally likely members, two at least.

        The variance is that of the members times 1 + 1/members: the truth differs from the mean of a finite ensemble
        by that much if it is one more member (Fortin et al. 2014, J. Hydrometeorol. 15, 1708-1713).
        """
        _check(truth, members[0], "an ensemble")
        outside = ((members < low) | (members > high)).mean(axis=0)
        std = members.std(axis=0, ddof=1) * np.sqrt(1.0 + 1.0 / len(members))
        missing = np.where(np.isfinite(truth + std), 0.0, np.nan)
        pit = pit_of_members(truth, members)
        return cls(
            members.mean(axis=0), std, fair_crps(truth, members), pit, outside + missing, _happened(truth, low, high)
        )

    @classmethod
    def stack(cls, parts: Sequence["Judged"]) -> Self:
        """Starts, judged one by one (lead, channel, point), put together."""
        return cls(*(np.stack([getattr(part, f.name) for part in parts]) for f in fields(cls)))


@dataclass(frozen=True)
class Reliability:
    """Reliability curve of an event: forecasts sorted into classes of equal width of their probability.

    forecast, observed : (lead, channel, class) mean probability and frequency, NaN for an empty class; share : of the
    area that fell into each class
    """

    forecast: Array
    observed: Array
    share: Array


def crps_of_gaussian(truth: Array, mean: Array, std: Array) -> Array:
    """Continuous ranked probability score of Gaussian forecasts (Gneiting & Raftery 2007, JASA 102, 359-378).

    A forecast without spread is a point forecast, whose score is its absolute error.
    """
    z = (truth - mean) / np.where(std == 0.0, 1.0, std)
    density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    crps = std * (z * (2.0 * ndtr(z) - 1.0) + 2.0 * density - 1.0 / np.sqrt(np.pi))
    return np.where(std == 0.0, np.abs(truth - mean), crps)


def fair_crps(truth: Array, members: Array) -> Array:
    """CRPS of ensembles (member, ...) whose expectation is that of the distribution the members are drawn from.

    (Ferro 2014, Q. J. R. Meteorol. Soc. 140, 1917-1923.) It may be negative for a single forecast. Raises SchemaError
    for fewer than two members.
    """
    count = len(members)
    if count < 2:
        raise SchemaError(f"the fair score got {count} members; it wants two at least")
    distance = np.zeros(np.broadcast_shapes(np.shape(truth), members.shape[1:]))
    for member in members:
        distance += np.abs(member - truth)
    # Sum of |x_i - x_j| over pairs from the sorted members, at the cost of a sort.
    rank = 2.0 * np.arange(1, count + 1) - count - 1.0
    between = np.tensordot(rank, np.sort(members, axis=0), axes=1)
    return distance / count - between / (count * (count - 1.0))


def pit_of_members(truth: Array, members: Array) -> Array:
    """Rank of the truth among its ensemble as a number in (0, 1): (members below + 1/2) / (members + 1).

    Members equal to the truth count as half below. NaN where truth or members are missing.
    """
    below = np.zeros(np.broadcast_shapes(np.shape(truth), members.shape[1:]))
    for member in members:
        below += np.where(np.isfinite(member), (member < truth) + 0.5 * (member == truth), np.nan)
    return np.where(np.isfinite(truth), (below + 0.5) / (len(members) + 1.0), np.nan)


def crps_gaussian(truth: Array, mean: Array, std: Array, weights: Array, mask: Mask | None = None) -> Array:
    """Mean `crps_of_gaussian` (lead, channel)."""
    return pool(crps_of_gaussian(truth, mean, std), weights, mask)


def spread_skill_ratio(truth: Array, mean: Array, std: Array, weights: Array, mask: Mask | None = None) -> Array:
    """Root-mean-square predicted standard deviation over RMSE: 1 is reliable, below 1 overconfident."""
    mask = valid(truth - mean + std, mask)
    return ratio(np.sqrt(pool(std**2, weights, mask)), rmse(truth, mean, weights, mask))


def coverage(pit: Array, share: float, weights: Array, mask: Mask | None = None) -> Array:
    """Share (lead, channel) of truths inside the central interval that should hold `share` of them.

    From an ensemble it can be right only where `share` is a multiple of 2 / (members + 1), as with 39 members.
    """
    inside = np.where(np.isfinite(pit), np.abs(pit - 0.5) <= 0.5 * share, np.nan)
    return pool(inside, weights, mask)


def histogram(pit: Array, weights: Array, mask: Mask | None = None, bins: int = BINS) -> Array:
    """Histogram (lead, channel, bin) of the probability integral transform, or of ranks; 1 everywhere is reliable.

    A U shape tells of too little spread, a hump of too much, a slope of a bias (Dawid 1984; Hamill 2001).
    """
    return bins * np.stack([pool(part, weights, mask) for part in _classes(pit, bins)], axis=-1)


def reliability(
    probability: Array, happened: Array, weights: Array, mask: Mask | None = None, classes: int = CLASSES
) -> Reliability:
    """Reliability curve of the event that was forecast with `probability` (Murphy & Winkler 1977)."""
    made, observed, share = [], [], []
    mask = valid(probability + happened, mask)
    for inside in _classes(probability, classes):
        filled = pool(inside, weights, mask)
        share.append(filled)
        made.append(ratio(pool(inside * probability, weights, mask), filled))
        observed.append(ratio(pool(inside * happened, weights, mask), filled))
    return Reliability(*(np.stack(part, axis=-1) for part in (made, observed, share)))


def _classes(values: Array, count: int) -> list[Array]:
    """Membership (0 or 1, NaN where missing) of values in [0, 1] in classes of equal width, the last one closed."""
    # Numbers that should lie on an edge, as ranks do, go up however they were rounded.
    index = np.minimum(np.floor(np.nan_to_num(values) * count + 1e-9), count - 1)
    missing = np.where(np.isfinite(values), 0.0, np.nan)
    return [(index == number) + missing for number in range(count)]


def _standardised(value: Array, mean: Array, std: Array) -> Array:
    """(value - mean) / std; without spread a step at the mean."""
    departure = value - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(std == 0.0, np.where(departure == 0.0, 0.0, np.inf * np.sign(departure)), departure / std)


def _happened(truth: Array, low: Array, high: Array) -> Array:
    known = np.isfinite(truth) & np.isfinite(low) & np.isfinite(high)
    return np.where(known, (truth < low) | (truth > high), np.nan)


def _check(truth: Array, forecast: Array, name: str) -> None:
    if truth.shape != forecast.shape:
        raise SchemaError(
            f"{name} has shape {forecast.shape} but the truth {truth.shape}: give both on the same points"
        )
