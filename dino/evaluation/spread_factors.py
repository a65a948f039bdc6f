"""Factors that make the spread of forecasts as large as their error: fitted at a few leads, a table for the model.

A reliable forecast of variance v, compared with a value whose own error has the variance r, misses it by v + r in the
mean square. The factor of the standard deviation at a lead is therefore sqrt(mean(error^2 - r) / mean(v)).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..model import LEADS
from .samples import Samples

Array = NDArray[np.float64]

# A factor beyond these is no correction of a spread but the sign of another fault; it is cut and told.
LEAST, MOST = 0.1, 10.0
# Share of the squared misfit that the values' own errors may have where a spread is made smaller: what is left of a
# misfit after an error that is assumed and nearly as large says nothing of a field's spread, which stays as it is.
MOSTLY_NOISE = 0.9
# Share of the predicted variance below which a part is not told from the other by its errors.
NEGLIGIBLE = 0.05


@dataclass(frozen=True)
class Calibration:
    """Factors fitted at a few leads.

    leads : (knot,) mean lead in days; factors : (knot, channel, part) of what codes explain and what the basis leaves
    out; forecasts : (knot,) how many forecasts speak; cut : whether some factor was outside `LEAST` to `MOST`, or was
    left at 1 because the values' own errors explain the misfit
    """

    leads: Array
    factors: Array
    forecasts: NDArray[np.int64]
    cut: bool

    def table(self, interval_days: float) -> Tensor:
        """(lead, channel, part) factors after 0, 1, 2 ... intervals: their logarithm linear between the knots."""
        days = np.arange(LEADS) * interval_days
        flat = np.log(self.factors).reshape(len(self.leads), -1)
        made = np.stack([np.interp(days, self.leads, column) for column in flat.T], axis=-1)
        return torch.as_tensor(np.exp(made).reshape(LEADS, *self.factors.shape[1:]), dtype=torch.float32)


def fit_factors(samples: Samples, edges: Sequence[float], separate: bool = False) -> Calibration:
    """One knot for the samples with edges[i] < lead <= edges[i + 1], where there are any.

    separate : give the residual field a factor of its own, else both parts share one. Channels never seen keep
    a factor of 1.
    """
    channels = samples.squared.shape[1]
    leads, factors, forecasts, cut = [], [], [], False
    for low, high in pairwise(edges):
        part = samples.select((samples.lead > low) & (samples.lead <= high))
        if not len(part):
            continue
        knot = np.ones((channels, 2))
        for channel in range(channels):
            found = _fit(part, channel, separate)
            knot[channel] = np.nan_to_num(np.clip(found, LEAST, MOST), nan=1.0)
            cut |= bool((knot[channel] != found).any())
        leads.append(float(np.average(part.lead, weights=part.weight)))
        factors.append(knot)
        forecasts.append(len(np.unique(part.start)))
    return Calibration(np.array(leads), np.array(factors), np.array(forecasts), cut)


def _fit(samples: Samples, channel: int, separate: bool) -> Array:
    """Factors (part,) of one channel from samples of about one lead; NaN where these tell none."""
    known = np.isfinite(samples.squared[:, channel])
    explained, rest = samples.explained[known, channel], samples.unresolved[known, channel]
    excess = samples.squared[known, channel] - samples.noise[known, channel]
    weight = samples.weight[known]
    whole = weight @ (explained + rest)
    if not whole > 0:
        return np.ones(2)
    common = float(max(weight @ excess, 0.0) / whole)
    misfit, noise = weight @ samples.squared[known, channel], weight @ samples.noise[known, channel]
    if common < 1.0 and noise > MOSTLY_NOISE * misfit:
        return np.full(2, np.nan)
    shares = np.array([weight @ explained, weight @ rest]) / whole
    if separate and common > 0 and shares.min() > NEGLIGIBLE:
        return np.sqrt(_separate(explained, rest, excess, samples.noise[known, channel], weight, common))
    return np.full(2, np.sqrt(common))


def _separate(explained: Array, rest: Array, excess: Array, noise: Array, weight: Array, common: float) -> Array:
    """Factors (part,) of variances: least squares weighed as squared errors scatter, then scaled to the mean square.

    A squared error scatters by its expectation. The pull towards the common factor weighs as much as a twentieth of the
    samples: two parts that are large and small together are not told apart.
    """
    scatter = common * (explained + rest) + noise
    columns = np.stack([explained, rest], axis=-1) / scatter[:, None]
    normal = (columns * weight[:, None]).T @ columns
    right = (columns * weight[:, None]).T @ (excess / scatter)
    pull = 0.05 * np.diag(normal.diagonal())
    found = np.linalg.solve(normal + pull, right + pull @ np.full(2, common))
    found = np.clip(found, 0.1 * common, 10.0 * common)
    return found * (weight @ excess) / (weight @ (found[0] * explained + found[1] * rest))
