"""Distributions that cost nothing and must be beaten: the climate of training maps, and persistence with its growth.

Training maps are (time, channel, point) with times in days; runs are joined by leaving a gap between their times.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .baselines import climatology

Array = NDArray[np.float64]

# Central intervals of 50 and 90 % lie exactly between two of so many members.
MEMBERS = 39


@dataclass(frozen=True)
class References:
    """What the training maps say without a forecast.

    mean, std : (channel, point) of the training maps, the Gaussian climatological forecast; NaN where never seen twice
    changes : (lead, member, channel, point) differences between training maps a lead apart, spread evenly over the
    record; NaN for a lead that no two maps are apart
    """

    mean: Array
    std: Array
    changes: Array

    @classmethod
    def of(cls, training: Array, times: Array, leads: Array, members: int = MEMBERS) -> Self:
        """From training maps (time, channel, point). With fewer pairs of maps than `members` some come repeatedly."""
        mean = climatology(training)
        count = np.isfinite(training).sum(axis=0)
        square = np.nansum((training - mean) ** 2, axis=0)
        std = np.where(count > 1, np.sqrt(square / np.maximum(count - 1, 1)), np.nan)
        changes = np.full((len(leads), members, *mean.shape), np.nan)
        for row, lead in enumerate(leads):
            before, after = _pairs(times, float(lead))
            if len(before) > 1:
                chosen = np.round(np.linspace(0, len(before) - 1, members)).astype(int)
                changes[row] = training[after[chosen]] - training[before[chosen]]
        return cls(mean, std, changes)

    def persistence(self, last: Array, lead: int) -> Array:
        """Ensemble (member, channel, point) of a last map (channel, point) plus past changes over the lead `lead`."""
        return last + self.changes[lead]


def _pairs(times: Array, lead: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of all pairs of maps that are `lead` days apart."""
    after = np.minimum(np.searchsorted(times, times + lead - 1e-3), len(times) - 1)
    before = np.flatnonzero(np.abs(times[after] - times - lead) < 2e-3)
    return before, after[before]
