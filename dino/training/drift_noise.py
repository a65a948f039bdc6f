"""How fast and how far the level of a chart drifts: two numbers a channel, from the codes of the training maps."""

import torch
from torch import Tensor

from ..data.codes import CodeSeries
from ..inference.drift import LevelForm
from ..model import LatentModel

# Weeks of maps do not show a season: a slope is never thought smaller than this share a day of the std of what a level
# does beside it. A line through weeks takes along what is slow in the rest, which therefore seems to be over sooner
# than it is: it is taken to last so many times as long. Both were chosen on days up to 20 May 2005 of the Mediterranean
# and on the tiles of January 2014 (docs/experiments.md).
LEAST_SLOPE, LONGER = 0.05, 4.0


@torch.no_grad()
def fit_drift(model: LatentModel, training: CodeSeries) -> None:
    """Fill `model.drift_noise` from the codes (series, time, code) of the ocean that the run forecasts.

    A line is drawn through the level of every series. What scatters about it is the rest, of variance v and correlated
    for t days, several times as long as it seems. Such a rest makes slopes scatter by 12 v t / (days)^3; the variance
    of slopes is by what they scatter more.
    """
    levels = training.codes.double() @ LevelForm.of(model).measure.double().T
    model.drift_noise.copy_(drift_noise(levels, model.spec.interval_days))


def drift_noise(levels: Tensor, interval: float) -> Tensor:
    """(channel, 2) std of slopes [1/day] and variance of the rest times its days, of levels (series, time, channel)."""
    count = levels.shape[1]
    days = (torch.arange(count, dtype=levels.dtype, device=levels.device) - (count - 1) / 2) * interval
    rest = levels - levels.mean(1, keepdim=True)
    slopes = torch.einsum("t,stc->sc", days, rest) / days.square().sum()
    rest = rest - days[:, None] * slopes.unsqueeze(1)
    variance = rest.square().mean((0, 1))
    lasting = LONGER * variance * _correlated(rest) * interval
    explained = lasting / interval / days.square().sum()
    slope = torch.maximum(slopes.square().mean(0) - explained, LEAST_SLOPE**2 * variance)
    return torch.stack([slope.sqrt(), lasting], dim=-1)


def _correlated(rest: Tensor) -> Tensor:
    """(channel,) maps for which a rest (series, time, channel) stays correlated: up to where it is so no more."""
    count = rest.shape[1]
    power = rest.square().sum((0, 1)).clamp_min(torch.finfo(rest.dtype).tiny)
    lagged = torch.stack([(rest[:, lag:] * rest[:, : count - lag]).sum((0, 1)) / power for lag in range(1, count)])
    positive = (lagged > 0).cumprod(0)
    return 1 + 2 * (lagged * positive).sum(0)
