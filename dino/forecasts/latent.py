"""Latent states ahead: Gaussian codes of all charts at any later time."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.observations import SAME_MOMENT_DAYS, datetime_of
from ..dynamics import CoupledODE, check_finite, mode_flows
from ..errors import ObservationError
from ..inference.analysis import Analysis
from ..inference.hindcasts import Hindcasts
from ..inference.maps import EncodedMaps
from ..model import LatentModel, Ocean, Start
from ..numerics.gaussian import cholesky
from ..numerics.modes import without_gradients
from ..space.gridmap import GridMap
from .combination import combination
from .horizon import drawn_to_population, integrable, residual_gain, share_of_hindcasts

MEMBERS = 48
BLOCK_NUMBERS = 2**22  # of states of members that are integrated together
Array = NDArray[np.float64]


@dataclass(frozen=True)
class LatentForecast:
    """Gaussian codes at some times.

    codes : (time, chart, code); factor : (time, chart, code, direction) with covariance factor factor';
    model_error : (time, code) variance added to every chart; unresolved : (time, channel) variance of what the basis
    leaves out; calibration : (time, channel, part) factors of the standard deviation of what codes explain and of what
    is unresolved; scale : (time, chart) factor of both that hindcasts from maps found. All in the charts' normalised
    units.
    """

    codes: Tensor
    factor: Tensor
    model_error: Tensor
    unresolved: Tensor
    calibration: Tensor
    scale: Tensor

    @property
    def calibrated_unresolved(self) -> Tensor:
        """(time, channel) variance of the residual field, with its factor."""
        return self.unresolved * self.calibration[..., 1].square()


@without_gradients
def forecast_latent(
    latent: LatentModel, ocean: Ocean, analysis: Analysis, days: Array, spread: bool = True, *, together: bool = False
) -> LatentForecast:
    """Gaussian codes of all charts at `days` since 1950-01-01, at or after the start of the window.

    together : a direction of the factor is the same departure at all times, from the analysis on
    Linear dynamics carry the covariance exactly; others an ensemble of pairs of opposite sign. Raises
    `ObservationError` for times before the analysis or, where its trajectory is not known, before its end.
    """
    leads = days - analysis.time
    leads = np.where(np.abs(leads) < SAME_MOMENT_DAYS, 0.0, leads)
    if (days < analysis.earliest - SAME_MOMENT_DAYS).any():
        raise ObservationError(
            f"{datetime_of(days.min())!s:.16} lies before the analysis, which begins "
            f"{datetime_of(analysis.earliest)!s:.16}; ask for later times, or analyse a longer window with smooth=True"
        )
    ahead = torch.as_tensor(np.maximum(leads, 0.0), dtype=analysis.mean.dtype, device=analysis.mean.device)
    ahead = integrable(latent, ahead)
    if latent.dynamics.is_linear or isinstance(latent.dynamics, CoupledODE):
        codes, factor = _carried_exactly(latent, analysis, ahead, spread, together)
    else:
        codes, factor = _carried_by_members(latent, ocean, analysis, ahead, spread)
    grown = [latent.model_error(max(float(lead), 0.0)) for lead in leads]
    unresolved = torch.stack([variance for _, variance in grown])
    if analysis.maps is None:
        # Nothing observed the part outside the basis: its whole variance is in the error.
        unresolved = latent.unresolved_variance.expand_as(unresolved)
    for index in np.flatnonzero(leads < 0):
        codes[index], root = _inside_window(analysis, float(days[index]))
        if spread:
            factor[index] = 0.0
            factor[index, ..., : root.shape[-1]] = _in_few_directions(root, factor.shape[-1])
    start = Start.POINTS if analysis.maps is None else Start.MAPS
    calibration = torch.stack([latent.calibration(float(lead), start) for lead in leads])
    errors, scale = torch.stack([variance for variance, _ in grown]), torch.ones_like(codes[..., 0])
    made = LatentForecast(codes, factor, errors, unresolved, calibration, scale)
    if analysis.hindcasts is not None:
        share = share_of_hindcasts(latent, leads).to(codes)
        made = _combined(made, analysis.hindcasts, analysis.mean[:, : codes.shape[-1]], ahead, share)
    return drawn_to_population(latent, made, leads)


def _combined(forecast: LatentForecast, past: Hindcasts, now: Tensor, ahead: Tensor, share: Tensor) -> LatentForecast:
    """A forecast `ahead` (time,) [days] of codes `now` (chart, code), as hindcasts combine and scale it.

    share : (time,) of their changes that is made
    """
    found = combination(past, ahead)
    reach = 0.5 * ahead.clamp_max(float(past.leads[-1]))[:, None, None]
    codes = now + found.dynamics.unsqueeze(-1) * (forecast.codes - now) + found.trend.unsqueeze(-1) * reach * past.trend
    codes = torch.lerp(forecast.codes, codes, share[:, None, None])
    return replace(forecast, codes=codes, scale=1.0 + share[:, None] * (found.spread - 1.0))


def _carried_exactly(
    latent: LatentModel, analysis: Analysis, ahead: Tensor, spread: bool, together: bool
) -> tuple[Tensor, Tensor]:
    """Codes (time, chart, code) and factors (time, chart, code, code) of linear dynamics.

    together : factors (time, chart, code, state) of the analysis' own root, carried
    """
    if isinstance(latent.dynamics, CoupledODE):
        flows = latent.dynamics.flows(ahead)
    else:  # of the state's flow the first row alone, which makes codes
        flows = mode_flows(latent.dynamics, ahead)[:, 0]
    codes = check_finite(torch.stack([_codes_of(flow, analysis.mean) for flow in flows]), ahead)
    if not spread:
        return codes, codes.new_zeros(*codes.shape, 0)
    if together:
        root = cholesky(analysis.covariance)
        return codes, torch.stack([_codes_of(flow, root) for flow in flows])
    covariances = (_codes_of(flow, _codes_of(flow, analysis.covariance).mT) for flow in flows)
    return codes, torch.stack([cholesky(covariance) for covariance in covariances])


def _codes_of(flow: Tensor, x: Tensor) -> Tensor:
    """The codes' rows that a flow makes of the states' rows of x (chart, state, ...).

    flow : (order, code) of modes that go their own ways each; (code, code) of those that push each other
    """
    if flow.shape[0] == flow.shape[1] == x.shape[1]:
        return torch.einsum("ij,cj...->ci...", flow.to(x), x)
    parts = x.unflatten(1, flow.shape)
    return (flow.view(*flow.shape, *[1] * (x.dim() - 2)).to(x) * parts).sum(1)


def _carried_by_members(
    latent: LatentModel, ocean: Ocean, analysis: Analysis, ahead: Tensor, spread: bool
) -> tuple[Tensor, Tensor]:
    """Codes (time, chart, code) and factors (time, chart, code, member) of an ensemble, some charts at a time."""
    charts, size = analysis.mean.shape
    members, code = MEMBERS if spread else 0, latent.dynamics.code_size
    codes = analysis.mean.new_empty(len(ahead), charts, code)
    factor = analysis.mean.new_empty(len(ahead), charts, code, members)
    noise, context = _noise(members, size).to(analysis.mean), latent.context(ocean)
    together = max(1, BLOCK_NUMBERS // ((members + 1) * size))
    for first in range(0, charts, together):
        here = slice(first, first + together)
        start = analysis.mean[None, here]
        if members:
            departures = torch.einsum("cij,mj->mci", cholesky(analysis.covariance[here]), noise)
            start = torch.cat([start, start + departures])
        states = latent.integrate(start, ahead, context[here] if context.shape[-1] else context)
        found = check_finite(latent.dynamics.codes(states), ahead)
        # The ensemble mean is the better forecast: what cannot be known from the analysis averages out of it.
        codes[:, here] = found[:, 1:].mean(1) if members else found[:, 0]
        if members:
            factor[:, here] = ((found[:, 1:] - codes[:, None, here]) / members**0.5).permute(0, 2, 3, 1)
    return codes, factor


def _noise(members: int, size: int) -> Tensor:
    """(member, size) numbers in pairs of opposite signs, which keep the ensemble mean at the analysis exactly.

    The same in all charts, so that a chart's forecast does not depend on which others there are.
    """
    noise = torch.randn(members, size, generator=torch.Generator().manual_seed(0))
    noise[members // 2 :] = -noise[: members // 2]
    return noise


def _inside_window(analysis: Analysis, day: float) -> tuple[Tensor, Tensor]:
    """Codes (chart, code) and the root of their covariance at a moment of the window."""
    assert analysis.nodes is not None
    assert analysis.trajectory is not None
    mean, covariance = analysis.trajectory
    code = covariance.shape[-1]
    position = float(np.interp(day, analysis.nodes, np.arange(len(analysis.nodes), dtype=float)))
    low = min(int(position), len(analysis.nodes) - 2)
    fraction = position - low
    codes = torch.lerp(mean[low], mean[low + 1], fraction)[..., :code]
    return codes, cholesky(covariance[low + (fraction > 0.5)])


def _in_few_directions(root: Tensor, directions: int) -> Tensor:
    """A factor (chart, code, direction) of the covariance of a root (chart, code, code), by draws if it has fewer."""
    if root.shape[-1] <= directions:
        return root
    return root @ _noise(directions, root.shape[-1]).T.to(root) / directions**0.5


@without_gradients
def carried_residual(latent: LatentModel, ocean: Ocean, maps: EncodedMaps, leads: Array) -> list[GridMap]:
    """The residual field carried forward cell by cell: one map for each of `leads` days, in channels' units."""
    history = maps.residual[-(latent.lags + 1) :].flatten(1)[None]
    ahead = integrable(latent, torch.as_tensor(leads, dtype=history.dtype))
    carried = latent.forecast_unresolved(history, ahead)[0].double().cpu().numpy()
    gain = residual_gain(latent, leads).double().cpu().numpy()
    carried = carried.reshape(len(leads), -1, *maps.shape) * (gain * ocean.spread)[:, :, None, None]
    return [GridMap(maps.axes[1], maps.axes[0], field) for field in carried]
