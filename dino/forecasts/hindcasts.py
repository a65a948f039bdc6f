"""What forecasts from earlier maps of the same sea would have been worth, and what to make of the next one.

Dynamics know the seas and weeks that they were learned from. Elsewhere they may run too fast, or end a rise of the
season within days, and one of the simplest forecasts is better: the last map held still, or half of its recent trend.
How good each is shows in the maps before the start. With the changes of a chart's codes since the last map,

    change = a (change by the dynamics) + b (half the recent trend times the lead),

a and b not negative, are least squares over hindcasts: forecasts from earlier maps whose outcome was known at the start.
This is a combination of forecasts whose weights follow from the covariance of their errors (Bates and Granger 1969);
what a and b leave to one is persistence. Every chart has its own, so that it knows nothing of other charts. Few
hindcasts must not spoil anything: a lead begins with what the shorter lead before it found, the first with the dynamics
alone, and that expectation counts as much as `CAUTION` hindcasts. Longer leads than the record can tell keep it.

The mean square of what is left in hindcasts, over that of the dynamics on the maps that training held out, makes a
factor of the spread in the same manner.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..inference.maps import EncodedMaps
from ..model import LatentModel, Ocean
from ..numerics.modes import without_gradients

CAUTION = 1.0  # hindcasts that what was expected counts for
TREND_DAYS = 5.0  # over which a recent trend is taken, as the baseline of that name does
ALIKE = 0.01  # of the variance of changes: by less two forecasts are not told from one another
KNOTS = 6
BLOCK_NUMBERS = 2**24  # of histories that are made side by side


class Hindcasts(NamedTuple):
    """Changes of codes in hindcasts.

    leads : (knot,) days; count : (knot,) hindcasts of each
    products : (knot, chart, 3, 3) means over them of the products of what happened, dynamics and half the trend
    trend : (chart, code) a day, of the last maps
    """

    leads: Tensor
    count: Tensor
    products: Tensor
    trend: Tensor


class Combination(NamedTuple):
    """Shares (time, chart) of the dynamics' change and of half the trend, and the factor of the standard deviation."""

    dynamics: Tensor
    trend: Tensor
    spread: Tensor


def knots_of(latent: LatentModel) -> list[int]:
    """Leads in intervals at which hindcasts are compared, ever farther apart, as far as the model was scored."""
    return sorted({round(lead) for lead in np.geomspace(1, latent.scored_leads, KNOTS)})


@without_gradients
def hindcast(latent: LatentModel, ocean: Ocean, maps: EncodedMaps) -> Hindcasts | None:
    """Forecasts from the maps before the last one, against the maps after each; None where there are too few."""
    interval, intervals = latent.spec.interval_days, knots_of(latent)
    codes, window = maps.record(interval), max(2, int(TREND_DAYS / interval))
    first = max(latent.lags, window - 1)
    if len(codes) < first + 2:
        return None
    charts, size = codes.shape[1:]
    count = [max(len(codes) - first - lead, 0) for lead in intervals]
    products = codes.new_zeros(len(intervals), charts, 3, 3)
    days, context = codes.new_tensor(intervals) * interval, latent.context(ocean)
    together = max(1, BLOCK_NUMBERS // (len(codes) * size * max(latent.lags + 1, len(intervals) * latent.dynamics.order)))
    for block in range(0, charts, together):
        here = slice(block, block + together)
        some, part = codes[:, here], context[here] if context.shape[-1] else context
        histories = some.unfold(0, latent.lags + 1, 1).movedim(-1, -2)[first - latent.lags : -1]
        made = latent.dynamics.codes(latent.integrate(latent.initialiser(histories), days, part))
        starts, trends = some[first:-1], _trends(some, window)[first - window + 1 : -1] / interval
        for knot, (lead, known) in enumerate(zip(intervals, count, strict=True)):
            if known:
                happened = some[first + lead :] - starts[:known]
                changes = [happened, made[knot, :known] - starts[:known], 0.5 * days[knot] * trends[:known]]
                stacked = torch.stack(changes, dim=-1).double()
                products[knot, here] = (torch.einsum("tcka,tckb->cab", stacked, stacked) / known).to(products)
    return Hindcasts(days, codes.new_tensor(count), products, _trends(codes[-window:], window)[0] / interval)


@without_gradients
def combined(latent: LatentModel, found: Hindcasts, leads: Tensor) -> Combination:
    """The combination at `leads` (time,) [days], linear between those of hindcasts and constant beyond them."""
    expected = torch.tensor([1.0, 0.0]).to(found.trend).expand(len(found.trend), -1)
    factor, rows = torch.ones_like(found.trend[:, 0]), []
    for lead, count, products in zip(found.leads.tolist(), found.count, found.products, strict=True):
        predicted = latent.model_error(lead)[0].sum()
        known = (products[:, 0, 0] > 0) & torch.isfinite(products).all(-1).all(-1) & (predicted > 0)
        if count > 0:
            shares = _shares(products, expected, CAUTION / (CAUTION + count))
            left = torch.cat([torch.ones_like(shares[:, :1]), -shares], dim=-1)
            missed = torch.einsum("ca,cab,cb->c", left, products, left) / predicted
            expected = torch.where(known[:, None], shares, expected)
            factor = torch.where(known, (CAUTION * factor + count * missed) / (CAUTION + count), factor)
        rows.append(torch.cat([expected, factor.sqrt()[:, None]], dim=-1))
    table = torch.stack(rows)
    place = torch.searchsorted(found.leads, leads.to(found.leads)).clamp(1, len(table) - 1)
    low, high = found.leads[place - 1], found.leads[place]
    share = ((leads.to(low) - low) / (high - low)).clamp(0.0, 1.0)
    return Combination(*torch.lerp(table[place - 1], table[place], share[:, None, None]).unbind(-1))


def _shares(products: Tensor, expected: Tensor, caution: Tensor) -> Tensor:
    """(chart, 2) least squares of what happened, not negative, drawn by the share `caution` towards `expected`."""
    square, right = products[:, 1:, 1:], products[:, 1:, 0]
    right = torch.lerp(right, (square @ expected.unsqueeze(-1)).squeeze(-1), caution)
    size = square.diagonal(dim1=1, dim2=2)
    alike = ALIKE * size.mean(-1, keepdim=True) + torch.finfo(size.dtype).tiny
    square, right = square + torch.diag_embed(alike.expand_as(size)), right + alike * expected
    alone = (right / square.diagonal(dim1=1, dim2=2)).clamp_min(0.0)
    both = torch.linalg.solve(square, right)
    # Of two that may not be negative the best is inside, or has one alone: that which explains more.
    explained = alone * right
    single = torch.where(explained == explained.amax(-1, keepdim=True), alone, 0.0)
    return torch.where((both >= 0).all(-1, keepdim=True), both, single)


def _trends(codes: Tensor, window: int) -> Tensor:
    """(time, ...) slopes a frame of the line through every `window` frames (frame, ...), by least squares."""
    steps = torch.arange(window, dtype=codes.dtype, device=codes.device) - (window - 1) / 2
    return codes.unfold(0, window, 1) @ (steps / steps.square().sum())
