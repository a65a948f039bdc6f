"""The slow level of a chart: a mean and a slope that no training record is long enough to know, with their errors.

Season and steric rise move the mean of a sea for months. Dynamics learned from weeks of maps have seen every rise come
to an end within days, and forecast that the next one does. Here the mean of a chart is a slow level plus what the codes
make of the rest:

    d(level)/dt = slope,    slope an Ornstein-Uhlenbeck process of std s and time scale T,
    mean of a map = level + rest,    the rest taken as white noise of variance v / (days between maps).

T is that of a yearly cycle, a year over 2 pi: a harmonic of weeks cannot be told from a trend. v is the variance of the
rest times the time it stays correlated. The Kalman filter of the two numbers is exact, with an unknown first level. A
forecast lets the rest go on by the learned dynamics from where it is and adds what the slope brings, so that only the
error of the slope counts: that of the level is made up for by the rest.

All in a chart's normalised units. A uniform field is a direction of the codes, so that a level is seen in codes and put
back into them, and what decodes codes need not know of it.
"""

import math
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..model import LatentModel
from ..numerics.gaussian import cholesky
from ..numerics.modes import without_gradients

TURNOVER_DAYS = 365.25 / (2 * math.pi)
HISTORY_DAYS = 60.0  # of maps that a level is taken from: older ones say nothing of the slope
LATTICE = 16  # points a side of a tile at which a uniform field is looked for among the modes
RIDGE = 1e-4  # of the variance of codes: modes that hardly vary are not used to make a uniform field


class LevelForm(NamedTuple):
    """How codes hold the mean of a tile.

    measure : (channel, code), the mean field of a tile of given codes is measure @ code, from that of the mean code
    uniform : (channel, code) codes of the field that is one in a channel and zero in the others
    """

    measure: Tensor
    uniform: Tensor

    @classmethod
    def of(cls, latent: LatentModel) -> Self:
        """That of an affine decoder of tiles: least squares on a lattice, held down by the codes' variance."""
        axis = (torch.arange(LATTICE, device=latent.device) + 0.5) / LATTICE * 2 - 1
        points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).flatten(0, 1).to(latent.code_variance)
        modes = latent.decoder.linearise(points, latent.code_prior.mean[None]).modes.double()
        scale = latent.code_variance.double().sqrt()
        rows = (modes * scale).flatten(0, 1)
        gram = rows.T @ rows / len(points)
        gram.diagonal().add_(RIDGE)
        measure = modes.mean(0)
        found = torch.cholesky_solve(measure.T * scale[:, None], cholesky(gram)).T * scale
        # Exactly one by the measure itself: what is taken out is what is put back.
        found = torch.cholesky_solve(found, cholesky(measure @ found.T))
        return cls(measure.to(latent.code_variance), found.to(latent.code_variance))


class Drift(NamedTuple):
    """Level and slope a day of every chart and channel at one moment.

    mean : (chart, channel, 2); covariance : (chart, channel, 2, 2); std : (channel,) of slopes at large
    """

    mean: Tensor
    covariance: Tensor
    std: Tensor

    def path(self, days: Tensor) -> Tensor:
        """(time, chart, channel) levels along the line through the present one, at `days` (time,) from it."""
        level, slope = self.mean.unbind(-1)
        return level + days[:, None, None].to(level) * slope

    def ahead(self, days: Tensor) -> tuple[Tensor, Tensor]:
        """Levels (time, chart, channel) after `days` (time,) and the variance that the slope's error brings."""
        level, slope = self.mean.unbind(-1)
        reach = _reach(days)[:, None, None].to(level)
        noise = _noise(days)[:, 0, 0, None, None].to(level) * self.std.square()
        return level + reach * slope, reach.square() * self.covariance[..., 1, 1] + noise


@without_gradients
def drift_of(levels: Tensor, times: NDArray[np.float64], noise: Tensor) -> Drift:
    """Filter levels (time, chart, channel) at ascending `times` (time,) [days], to the last of them.

    noise : (channel, 2) std of slopes [1/day] and variance of the rest times its time of correlation [day]
    """
    levels, noise = levels.double(), noise.double()
    std, rest = noise.unbind(-1)
    steps = torch.as_tensor(np.diff(times), dtype=torch.float64, device=levels.device)
    usual = float(steps.median()) if len(steps) else 1.0
    error = rest / usual
    zero = torch.zeros_like(std)
    first = torch.stack([torch.stack([error, zero], -1), torch.stack([zero, std.square()], -1)], -2)
    mean = torch.stack([levels[0], torch.zeros_like(levels[0])], dim=-1)
    covariance, flows, noises = first, _flow(steps), _noise(steps)
    for step, seen in enumerate(levels[1:]):
        flow = flows[step]
        mean = mean @ flow.T
        covariance = flow @ covariance @ flow.T + noises[step] * std.square()[:, None, None]
        gain = covariance[:, :, 0] / (covariance[:, 0, 0] + error).clamp_min(torch.finfo(error.dtype).tiny)[:, None]
        mean = mean + gain * (seen - mean[..., 0]).unsqueeze(-1)
        covariance = covariance - gain.unsqueeze(-1) * covariance[:, :1]
    return Drift(mean, covariance.expand(levels.shape[1], -1, -1, -1), std)


def _reach(days: Tensor) -> Tensor:
    """(time,) days for which a slope goes on in the mean."""
    return -TURNOVER_DAYS * torch.expm1(-days.double() / TURNOVER_DAYS)


def _flow(days: Tensor) -> Tensor:
    """(time, 2, 2) the flow of level and slope over `days` (time,)."""
    one, zero = torch.ones_like(days), torch.zeros_like(days)
    last = torch.exp(-days / TURNOVER_DAYS)
    return torch.stack([torch.stack([one, _reach(days)], -1), torch.stack([zero, last], -1)], -2)


def _noise(days: Tensor) -> Tensor:
    """(time, 2, 2) covariance that level and slope gain over `days` (time,), over the variance of slopes."""
    x = days.double() / TURNOVER_DAYS
    last = torch.exp(-x)
    level = TURNOVER_DAYS**2 * (2 * x - 3 + 4 * last - last.square())
    both = TURNOVER_DAYS * (1 - last).square()
    return torch.stack([torch.stack([level, both], -1), torch.stack([both, 1 - last.square()], -1)], -2)
