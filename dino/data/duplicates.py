"""Observations that were delivered twice, told by digests of what was observed where and when."""

import numpy as np
from numpy.typing import NDArray

from .observations import Observations

Fingerprints = NDArray[np.uint64]


def fingerprints(observations: Observations) -> Fingerprints:
    """(n,) 64-bit digests of time, position and values; those of different observations differ but for chance.

    The source is left out: a pass that is delivered twice may come under two names.
    """
    columns = [observations.time, observations.longitude, observations.latitude, *observations.values.T]
    digest = np.zeros(len(observations), np.uint64)
    for column in columns:
        plain = np.where(np.isnan(column), np.nan, column + 0.0)  # one NaN, one zero
        digest = _mixed(digest ^ _mixed(np.ascontiguousarray(plain, np.float64).view(np.uint64)))
    return digest


def _mixed(numbers: Fingerprints) -> Fingerprints:
    """A bijection of 64-bit numbers that spreads every bit over all of them (splitmix64, Steele et al. 2014)."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def without_duplicates(observations: Observations) -> tuple[Observations, Fingerprints]:
    """The first of every set of equal observations, in time order, with their fingerprints."""
    digests = fingerprints(observations)
    first = np.sort(np.unique(digests, return_index=True)[1])
    if len(first) == len(observations):
        return observations, digests
    return observations.select(first), digests[first]
